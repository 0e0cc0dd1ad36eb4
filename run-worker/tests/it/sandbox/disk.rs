//! H3: files that no directory shows count too. And a full disk ends the command that takes most.

use run_worker::sandbox::limits::SandboxLimits;
use run_worker::sandbox::{EndReason, Interpreter, Job};
use run_worker::workspace::{Quota, QuotaExceeded};
use shared::testing::eventually;

use super::{Lab, QUIET, QUOTA, processes};

const FULL: EndReason = EndReason::Quota(QuotaExceeded::Bytes(QUOTA.bytes));
const HIDDEN: EndReason = EndReason::HiddenFiles(QUOTA.bytes);

/// `hide(fd)` keeps a deleted file; the descriptor is closed afterwards.
const HIDE: &str = r#"
import ctypes, mmap, os, shutil, signal, socket, sys, threading, time
if HOW == "execute_only" and "inner" not in sys.argv:
    # Its user may execute it, but not read it: it is not dumpable.
    shutil.copy(os.path.realpath("/usr/bin/python3"), "program")
    os.chmod("program", 0o111)
    os.execv("./program", ["./program", __file__, "inner"])
libc = ctypes.CDLL(None, use_errno=True)
kept = []
def mapping(fd): kept.append(mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ))
def raw_mapping(fd):
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_size_t(0))
def in_flight(fd):
    pair = socket.socketpair()
    socket.send_fds(pair[0], [b"x"], [fd])
    kept.append(pair)
def in_flight_in_flight(fd):
    outer, inner = socket.socketpair(), socket.socketpair()
    socket.send_fds(inner[0], [b"x"], [fd])
    socket.send_fds(outer[0], [b"x"], [inner[1].fileno()])
    inner[0].close(); inner[1].close()
    kept.append(outer)
def file_of(megabytes):
    fd = os.open("hidden", os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(megabytes): os.write(fd, bytes(1 << 20))
    os.unlink("hidden")
    return fd
def by_a_child(fd): mapping(fd)
def headless(fd): mapping(fd)
def execute_only(fd): kept.append(os.dup(fd))
hide = globals()[HOW]
if HOW == "by_a_child": signal.signal(signal.SIGCHLD, signal.SIG_IGN)
def run():
    for n in range(60):
        if HOW == "by_a_child":
            # No process reaps the children that write.
            fd = os.open("hidden", os.O_RDWR | os.O_CREAT, 0o600)
            if os.fork() == 0:
                for _ in range(8): os.write(fd, bytes(1 << 20))
                os._exit(0)
            try: os.wait()
            except OSError: pass
            os.unlink("hidden")
        else:
            fd = file_of(8)
        hide(fd)
        os.close(fd)
        open("hidden-so-far", "w").write(str(n * 8))
        time.sleep(0.05)
    time.sleep(100)
if HOW == "headless":
    # The first thread ends. The others run on.
    threading.Thread(target=run).start()
    libc.syscall(60 if os.uname().machine == "x86_64" else 93, 0)
run()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn h3_deleted_files_that_are_only_mapped_or_under_way_count() {
    let lab = Lab::open().await;
    for how in [
        "mapping",
        "raw_mapping",
        "in_flight",
        "in_flight_in_flight",
        "by_a_child",
        "headless",
        "execute_only",
    ] {
        let workspace = lab.workspace();
        let script = format!("HOW = '{how}'\n{HIDE}");
        let execution = lab.run(Lab::job(&workspace, Interpreter::Python, &script)).await;
        // A deleted file that is still open for a moment may be seen beside the next ones.
        let ended = execution.end == HIDDEN || execution.end == FULL;
        assert!(ended, "{how}: {execution:?}");
        let hidden = std::fs::read_to_string(workspace.mounts().workspace.join("hidden-so-far"));
        let hidden: u64 = hidden.unwrap_or_default().parse().unwrap_or_default();
        eprintln!("{how}: ended with {hidden} MB hidden, the limit is {} MB", QUOTA.bytes >> 20);
        // On a busy machine checks are slow, and other programs change the free space of the disk.
        if std::env::var_os(QUIET).is_some() {
            assert!(hidden << 20 < QUOTA.bytes + (64 << 20), "{how}: {hidden} MB");
        }
        assert!(processes(&workspace).is_empty());
        workspace.close().await;
    }
}

/// A program that is built again while it runs, and a descriptor on its way to another process. Together they
/// write more than the workspace may hold.
#[tokio::test(flavor = "multi_thread")]
async fn h3_honest_programs_that_hold_deleted_files_are_not_ended() {
    // Other programs on this disk write too.
    let quota = Quota { bytes: 200 << 20, ..QUOTA };
    let lab = Lab::open().await;
    let workspace = lab.workspace();
    let script = r#"
import os, shutil, socket, subprocess
shutil.copy("/usr/bin/sleep", "server")
server = subprocess.Popen(["./server", "100"])
os.unlink("server")
shutil.copy("/usr/bin/sleep", "server")
pair = socket.socketpair()
for _ in range(30):
    with open("server", "rb") as file: socket.send_fds(pair[0], [b"x"], [file.fileno()])
    os.close(socket.recv_fds(pair[1], 1, 1)[1][0])
    with open("object", "wb") as file:
        for _ in range(8): file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    os.unlink("object")
server.kill()
print("built")
"#;
    let execution = lab.run(Job { quota, ..Lab::job(&workspace, Interpreter::Python, script) }).await;
    assert_eq!((execution.end, execution.output.shown("")), (EndReason::Exited(0), "built\n".to_owned()));
}

/// Space that no write fills, and processes that ordinary users cannot look into.
#[tokio::test(flavor = "multi_thread")]
async fn h3_space_is_taken_only_by_writing() {
    let lab = Lab::open().await;
    let script = r#"
import ctypes, errno, fcntl, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def refused(what, result):
    print(what, "refused" if result < 0 else "REACHED", errno.errorcode[ctypes.get_errno()])
fd = os.open("file", os.O_RDWR | os.O_CREAT, 0o600)
refused("fallocate", libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(1 << 20)))
space = struct.pack("hhqqiI4i", 0, 0, 0, 1 << 20, 0, 0, 0, 0, 0, 0)
for request in (0x40305828, 0x4030582a, 0x40305839, 0x4030580a, 0x40305824):
    try: fcntl.ioctl(fd, request, space); print("ioctl REACHED")
    except OSError as error: print("ioctl refused", errno.errorcode[error.errno])
refused("dumpable", libc.prctl(4, 0, 0, 0, 0))
refused("landlock", libc.syscall(444, 0, 0, 1))
print(os.fstat(fd).st_blocks)
"#;
    let seen = lab.printed(Interpreter::Python, script).await;
    let ioctls = "ioctl refused EPERM\n".repeat(5);
    assert_eq!(
        seen,
        format!("fallocate refused ENOTSUP\n{ioctls}dumpable refused EPERM\nlandlock refused ENOSYS\n0\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn h3_the_bytes_that_a_command_writes_are_bounded() {
    let limits = SandboxLimits { written: 64 << 20, ..SandboxLimits::DEFAULT };
    let lab = Lab::open_limited(limits).await;
    let workspace = lab.workspace();
    let script = "while :; do head -c 10M /dev/zero > a; sync a; rm a; done";
    // The space of a deleted file is free only later, and must not count here.
    let quota = Quota { bytes: 1 << 30, ..QUOTA };
    let execution = lab.run(Job { quota, ..Lab::job(&workspace, Interpreter::Bash, script) }).await;
    assert_eq!(execution.end, EndReason::WriteLimit(limits.written));
}

#[tokio::test(flavor = "multi_thread")]
async fn h2_a_full_disk_ends_the_command_that_takes_most_and_not_the_one_that_holds_most() {
    // Whatever the disk has left, it is too little.
    let lab = Lab::open_limited(SandboxLimits { disk_reserve: u64::MAX, ..SandboxLimits::DEFAULT }).await;
    let (writer, reader) = (lab.workspace(), lab.workspace());
    std::fs::write(reader.mounts().workspace.join("held"), vec![1; 16 << 20]).unwrap();
    let begun = reader.mounts().workspace.join("begun");
    let reads = "touch begun; while [ ! -e stop ]; do sleep 0.1; done; echo done";
    let reading = lab.run(Lab::job(&reader, Interpreter::Bash, reads));
    let writing = async {
        eventually("the reader runs", async || begun.exists().then_some(())).await;
        let job: Job = Lab::job(&writer, Interpreter::Bash, "head -c 8M /dev/zero > a; sleep 100");
        let execution = lab.run(job).await;
        std::fs::write(reader.mounts().workspace.join("stop"), "").unwrap();
        execution
    };
    let (read, written) = tokio::join!(reading, writing);
    assert_eq!(written.end, EndReason::MachineDisk);
    assert_eq!((read.end, read.output.shown("")), (EndReason::Exited(0), "done\n".to_owned()));
}
