//! H3: memory that no process shows is bounded too: buffers of sockets, files in memory, page tables. And a
//! machine that runs short of memory loses one command, not all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use run_worker::sandbox::limits::SandboxLimits;
use run_worker::sandbox::{EndReason, Interpreter};

use super::{Lab, QUIET, processes};

const LIMITS: SandboxLimits = SandboxLimits::DEFAULT;
/// What a command may use above its limit, with cgroup v2 and without.
const ABOVE: [u64; 2] = [64 << 20, 256 << 20];

/// 16 processes with 220 sockets each, all of them full.
const SOCKETS: &str = r#"
import os, socket, time
kept = []
def fill():
    for _ in range(110):
        for one in socket.socketpair():
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
            one.setblocking(False)
            kept.append(one)
    for one in kept:
        try:
            while True: one.send(bytes(4096))
        except BlockingIOError: pass
    time.sleep(100)
for _ in range(16):
    if os.fork() == 0: fill()
print("begun", flush=True)
time.sleep(100)
"#;

/// TCP sockets get large buffers by themselves. In small pieces, their queues show few of the bytes that they
/// take.
const TCP: &str = r#"
import os, socket, time
def fill():
    server = socket.create_server(("127.0.0.1", 0), backlog=100)
    kept = []
    for _ in range(100):
        kept.append(socket.create_connection(server.getsockname()))
        kept.append(server.accept()[0])
    for one in kept:
        one.setblocking(False)
        try:
            while True: one.send(bytes(PIECE), socket.MSG_EOR)
        except BlockingIOError: pass
    time.sleep(200)
for _ in range(2):
    if os.fork() == 0: fill()
time.sleep(200)
"#;

/// A UDP socket holds what it received.
const UDP: &str = r#"
import os, socket, time
def fill():
    kept = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(200)]
    for one in kept:
        one.bind(("::1", 0))
        for _ in range(400): one.sendto(b"x", one.getsockname())
    time.sleep(100)
for _ in range(12):
    if os.fork() == 0: fill()
time.sleep(100)
"#;

const EMPTY_FILES: &str = r#"
import os, time
for n in range(250_000):
    os.mknod(f"{('/tmp', '/dev/shm')[n % 2]}/{n}")
print("done", flush=True)
time.sleep(100)
"#;

/// Each page that is touched needs a page table of its own.
const PAGE_TABLES: &str = r"
import mmap, os, time
def touch():
    memory = mmap.mmap(-1, 1800 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, len(memory), 2 << 20): memory[at] = 1
    time.sleep(100)
for _ in range(60):
    if os.fork() == 0: touch()
time.sleep(3)
";

/// Pages that are only read are one page of zeros. Their page tables are not.
const ZEROS: &str = r"
import mmap, os, time
def touch():
    memory = mmap.mmap(-1, 40 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ)
    for at in range(0, len(memory), 2 << 20): memory[at]
    time.sleep(100)
for _ in range(40):
    if os.fork() == 0: touch()
time.sleep(100)
";

const ALLOCATION: &str = r"
import os, time
for _ in range(8):
    if os.fork() == 0:
        kept = [bytearray(8 << 20) for _ in range(190)]
        time.sleep(100)
time.sleep(100)
";

const TMPFS: &str = r#"
import os, time
for path in ("/tmp/a", "/dev/shm/a"):
    try:
        with open(path, "wb", buffering=0) as file:
            while True: file.write(bytes(1 << 20))
    except OSError: pass
kept = [bytearray(8 << 20) for _ in range(115)]
if os.fork() == 0: kept += [bytearray(8 << 20) for _ in range(100)]
time.sleep(100)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn h3_memory_that_no_process_shows_is_bounded() {
    let lab = Lab::open().await;
    let (memory, sockets) = (EndReason::MemoryLimit(LIMITS.memory), EndReason::SocketLimit(LIMITS.sockets));
    let [large, small] = ["1 << 16", "1"].map(|piece| TCP.replace("PIECE", piece));
    for (script, ends) in [
        (SOCKETS, [sockets, memory]),
        (large.as_str(), [sockets, memory]),
        (small.as_str(), [sockets, memory]),
        (UDP, [sockets, memory]),
        (EMPTY_FILES, [EndReason::TmpEntries(LIMITS.tmp_entries), memory]),
        (PAGE_TABLES, [EndReason::Exited(0), memory]),
        (ZEROS, [memory, memory]),
        (ALLOCATION, [memory, memory]),
        (TMPFS, [memory, memory]),
    ] {
        let workspace = lab.workspace();
        let used = Used::watch();
        let execution = lab.run(Lab::job(&workspace, Interpreter::Python, script)).await;
        assert!(ends.contains(&execution.end), "{script}: {execution:?}");
        used.must_stay_below(&lab, script);
        assert!(processes(&workspace).is_empty());
        workspace.close().await;
    }
}

/// Asks again and again how much memory the machine has left.
struct Used {
    before: u64,
    least: Arc<AtomicU64>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Used {
    fn watch() -> Self {
        let before = available();
        let least = Arc::new(AtomicU64::new(before));
        let seen = Arc::clone(&least);
        let task = tokio::spawn(async move {
            loop {
                seen.fetch_min(available(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { before, least, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    fn must_stay_below(&self, lab: &Lab, what: &str) {
        let used = self.before.saturating_sub(self.least.load(Ordering::Relaxed));
        let above = ABOVE[usize::from(lab.lacks("cgroup"))];
        eprintln!("{} MB used at most, the limit is {} MB", used >> 20, LIMITS.memory >> 20);
        if std::env::var_os(QUIET).is_some() {
            assert!(used < LIMITS.memory + above, "{} MB: {what}", used >> 20);
        }
    }
}

fn available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn h3_honest_programs_with_sockets_and_temporary_files_are_not_ended() {
    let lab = Lab::open().await;
    let script = r#"
import multiprocessing, os, socket, tempfile, mmap, asyncio
def square(n): return n * n
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(8) as pool: print(sum(pool.map(square, range(1000))))
    shared = multiprocessing.Array("i", 100_000)
    pairs = [socket.socketpair() for _ in range(60)]
    for n in range(2000): open(f"/tmp/f{n}", "w").close()
    for _ in range(6):
        with tempfile.TemporaryFile(dir=".") as file: file.write(bytes(8 << 20)); file.flush()
    with open("space", "wb") as file: os.posix_fallocate(file.fileno(), 0, 1 << 20)
    print(os.path.getsize("space"), pairs[0][0].setsockopt(1, 7, 1 << 20))
    async def later(): await asyncio.sleep(1); return "later"
    print(asyncio.run(later()))
"#;
    let seen = lab.printed(Interpreter::Python, script).await;
    assert_eq!(seen, "332833500\n1048576 None\nlater\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn h2_a_machine_without_memory_loses_the_largest_command_only() {
    // Whatever the machine has left, it is too little.
    let lab = Lab::open_limited(SandboxLimits { memory_reserve: u64::MAX, ..LIMITS }).await;
    let (large, small) = (lab.workspace(), lab.workspace());
    let large_script = "import time\nheld = bytearray(200 << 20)\ntime.sleep(100)";
    let (large, small) = tokio::join!(
        lab.run(Lab::job(&large, Interpreter::Python, large_script)),
        lab.run(Lab::job(&small, Interpreter::Bash, "sleep 4; echo done")),
    );
    assert_eq!(large.end, EndReason::MachineMemory);
    assert_eq!((small.end, small.output.shown("")), (EndReason::Exited(0), "done\n".to_owned()));
}
