//! H3: what the kernel keeps for a command is refused, bounded or counted, also where no process shows it.

use run_worker::sandbox::limits::SandboxLimits;
use run_worker::sandbox::{EndReason, Interpreter, Job};
use run_worker::workspace::Quota;

use super::{Lab, QUOTA, processes};

const LIMITS: SandboxLimits = SandboxLimits::DEFAULT;

#[tokio::test(flavor = "multi_thread")]
async fn h3_calls_that_take_memory_unseen_are_refused() {
    let lab = Lab::open().await;
    let script = r#"
import ctypes, errno, fcntl, os, resource, signal, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def refused(what, call):
    try: result = call()
    except OSError as error: ctypes.set_errno(error.errno); result = -1
    print(what, errno.errorcode[ctypes.get_errno()] if result == -1 else "REACHED")
file = os.open("file", os.O_RDWR | os.O_CREAT, 0o600)
os.write(file, bytes(8192))
lock, pair, pipe = struct.pack("hhqqi4x", 0, 0, 0, 1, 0), socket.socketpair(), os.pipe()
program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
filter = struct.pack("HxxxxxxQ", 1, ctypes.addressof(program))
refused("inotify", lambda: libc.inotify_init1(0))
refused("seccomp", lambda: libc.syscall({"x86_64": 317}.get(os.uname().machine, 277), 1, 0, filter))
refused("filter", lambda: libc.prctl(22, 2, filter, 0, 0))
refused("futexes", lambda: libc.prctl(78, 1, 1 << 16, 0, 0))
refused("name", lambda: libc.prctl(0x53564d41, 0, 0, 0, 0))
for command in (36, 37, 38): refused("lock of a file", lambda: fcntl.fcntl(file, command, lock))
refused("access list", lambda: os.setxattr("/tmp", "user.a", b"a"))
refused("filter of a socket", lambda: pair[0].setsockopt(socket.SOL_SOCKET, 26, filter))
refused("sendfile", lambda: os.sendfile(pair[0].fileno(), file, 0, 1))
refused("splice", lambda: libc.splice(file, ctypes.byref(ctypes.c_long(0)), pipe[1], None, 1, 0))
refused("tee", lambda: libc.tee(pipe[0], pipe[1], 1, 0))
refused("own descriptors", lambda: libc.close_range(1000, 1001, 2))
stack = ctypes.create_string_buffer(1 << 16)
top = ctypes.c_void_p((ctypes.addressof(stack) + len(stack)) & ~15)
refused("own descriptors", lambda: libc.clone(libc.pause, top, 0x100 | 0x200 | 0x800 | 0x10000, None))
timer = ctypes.byref(ctypes.c_void_p())
print("timers", sum(libc.timer_create(1, None, timer) == 0 for _ in range(2000)))
"#;
    let seen = lab.printed(Interpreter::Python, script).await;
    let expected = "inotify ENOSYS\nseccomp ENOSYS\nfilter EINVAL\nfutexes EINVAL\nname EINVAL\n\
        lock of a file EINVAL\nlock of a file EINVAL\nlock of a file EINVAL\naccess list ENOTSUP\n\
        filter of a socket EPERM\nsendfile EINVAL\nsplice EINVAL\ntee EINVAL\nown descriptors EPERM\n\
        own descriptors EPERM\ntimers 1024\n";
    assert_eq!(seen, expected);
}

/// No line of /proc/locks shows these: their takers have ended, and shared their descriptors with the first
/// process.
const LOCKS: &str = r#"
import ctypes, fcntl, os, time
libc = ctypes.CDLL(None)
file, stack = os.open("file", os.O_RDWR | os.O_CREAT), ctypes.create_string_buffer(1 << 16)
top = ctypes.c_void_p((ctypes.addressof(stack) + len(stack)) & ~15)
def take(first):
    for n in range(first, first - 2000, -1): fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * n)
    os._exit(0)
take = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_long)(take)
for n in range(500, 0, -1):
    # CLONE_FILES and SIGCHLD.
    libc.clone(take, top, 0x400 | 17, ctypes.c_long(n * 2000))
    os.wait()
time.sleep(100)
"#;

const EPOLL: &str = r"
import os, select, time
pipes = [os.pipe()[0] for _ in range(60)]
kept = [select.epoll() for _ in range(20)]
for poll in kept:
    for pipe in pipes:
        for number in range(200, 256):
            os.dup2(pipe, number)
            poll.register(number)
            os.close(number)
time.sleep(100)
";

/// The kernel keeps the text of a file of /proc until it is closed.
const TEXTS: &str = r#"
import fcntl, os, time
file = os.open("file", os.O_RDWR | os.O_CREAT)
for n in range(15_000, 0, -1): fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * n)
kept, info = [], f"/proc/{os.getpid()}/fdinfo/{file}"
def read():
    for _ in range(60):
        kept.append(os.open(info, os.O_RDONLY))
        os.read(kept[-1], 1)
for _ in range(60):
    if os.fork() == 0:
        read()
        time.sleep(100)
time.sleep(100)
"#;

/// Neighbours differ in their rights, so each page has a mapping of its own.
const MAPPINGS: &str = r"
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
def map_pages():
    start = libc.mmap(None, ctypes.c_size_t(25_000 * 4096), 0, 0x4022, -1, ctypes.c_long(0))
    for n in range(0, 24_000, 2): libc.mprotect(ctypes.c_void_p(start + n * 4096), ctypes.c_size_t(4096), 1)
    time.sleep(100)
for _ in range(12):
    if os.fork() == 0: map_pages()
time.sleep(100)
";

#[tokio::test(flavor = "multi_thread")]
async fn h3_what_the_kernel_keeps_for_a_command_is_bounded() {
    let lab = Lab::open().await;
    let (locks, memory) = (EndReason::LockLimit(LIMITS.locks), EndReason::MemoryLimit(LIMITS.memory));
    for (script, ends) in [(LOCKS, [locks, locks]), (EPOLL, [locks, locks]), (TEXTS, [memory, locks])] {
        let workspace = lab.workspace();
        let execution = lab.run(Lab::job(&workspace, Interpreter::Python, script)).await;
        assert!(ends.contains(&execution.end), "{script}: {execution:?}");
        assert!(processes(&workspace).is_empty());
        workspace.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h3_mappings_count_as_memory() {
    // The processes have 120 MB without their mappings.
    let limits = SandboxLimits { memory: 256 << 20, ..LIMITS };
    let lab = Lab::open_limited(limits).await;
    let workspace = lab.workspace();
    // A list of mappings that is too long to read may hide files too.
    let quota = Quota { bytes: 1 << 40, ..QUOTA };
    let job = Job { quota, ..Lab::job(&workspace, Interpreter::Python, MAPPINGS) };
    assert_eq!(lab.run(job).await.end, EndReason::MemoryLimit(limits.memory));
}

#[tokio::test(flavor = "multi_thread")]
async fn h3_honest_programs_do_without_these_calls() {
    let lab = Lab::open().await;
    let script = r#"
import asyncio, fcntl, os, selectors, shutil, socket, sqlite3, subprocess
base = sqlite3.connect("base")
print(base.execute("PRAGMA journal_mode=WAL").fetchone()[0])
base.execute("CREATE TABLE t (n)")
for n in range(100):
    with base: base.execute("INSERT INTO t VALUES (?)", (n,))
print(sqlite3.connect("base").execute("SELECT sum(n) FROM t").fetchone()[0])
open("a", "wb").write(bytes(3 << 20))
shutil.copy2("a", "b"); shutil.copytree(".", "/tmp/all", ignore=lambda *_: ["inputs"])
subprocess.run("cp -a b c; cat c > d; cat d | cat > e; tar cf - e | tar xf - -C /tmp", shell=True, check=True)
print(os.path.getsize("e"), os.path.getsize("/tmp/e"))
left, right = socket.socketpair()
left.settimeout(5)
print(left.sendfile(open("base", "rb"), 0, 1000), len(right.recv(2000)))
open("log", "w").write("seen\n")
watching = subprocess.Popen("exec tail -n 1 -F log 2> log2", shell=True, stdout=subprocess.PIPE)
print(watching.stdout.readline())
open("log", "a").write("more\n")
print(watching.stdout.readline())
watching.kill()
with open("lock", "w") as file: fcntl.flock(file, fcntl.LOCK_EX); fcntl.lockf(file, fcntl.LOCK_EX)
async def slept(): await asyncio.gather(*(asyncio.sleep(0.1) for _ in range(1000)))
asyncio.run(slept())
print("done")
"#;
    let workspace = lab.workspace();
    // Other programs on this disk write too.
    let quota = Quota { bytes: 200 << 20, ..QUOTA };
    let execution = lab.run(Job { quota, ..Lab::job(&workspace, Interpreter::Python, script) }).await;
    let expected = "wal\n4950\n3145728 3145728\n1000 1000\nb'seen\\n'\nb'more\\n'\ndone\n";
    assert_eq!((execution.end, execution.output.shown("")), (EndReason::Exited(0), expected.to_owned()));
}
