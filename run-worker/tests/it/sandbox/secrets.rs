//! S1: what the worker knows is found nowhere inside.

use std::io::Write;

use run_worker::sandbox::Interpreter;
use rustix::io::{FdFlags, fcntl_setfd};

use super::Lab;

const SECRET: &str = "canary-5d1f9a";

/// Looks for the word in everything that can be read: environments, command lines, open files, and all files but the system's programs.
const SEARCH: &str = r#"
import os, glob, stat
word = b"canary-" + b"5d1f9a"
def look(path):
    try:
        if not stat.S_ISREG(os.stat(path).st_mode): return
        with open(path, "rb") as file:
            if word in file.read(1 << 20): print("FOUND", path)
    except OSError: pass
for path in glob.glob("/proc/[0-9]*/*") + glob.glob("/proc/[0-9]*/fd/*") + glob.glob("/proc/[0-9]*/task/*/environ"):
    if not path.endswith(("main.py", "kmsg")) and os.path.basename(path) not in ("mem", "pagemap", "clear_refs"): look(path)
for top in os.listdir("/"):
    if top in ("proc", "usr", "bin", "sbin", "lib", "lib32", "lib64"): continue
    for directory, _, names in os.walk("/" + top):
        for name in names: look(os.path.join(directory, name)) if name != "main.py" else None
print("environment", sorted(os.environ))
print("top", sorted(os.listdir("/")))
print("descriptors", [fd for fd in os.listdir("/proc/self/fd") if int(fd) > 3])
print("parent", os.getppid())
"#;

#[tokio::test(flavor = "multi_thread")]
async fn s1_secrets_are_found_nowhere_inside() {
    let lab = Lab::open().await;
    let mut file = tempfile::Builder::new().tempfile_in("/var/tmp").unwrap();
    file.write_all(SECRET.as_bytes()).unwrap();
    file.flush().unwrap();
    // As a descriptor of whoever starts the worker is inherited.
    fcntl_setfd(&file, FdFlags::empty()).unwrap();
    let seen = lab.printed(Interpreter::Python, SEARCH).await;
    assert!(!seen.contains("FOUND"), "{seen}");
    assert!(seen.contains("descriptors []") && seen.contains("parent 1\n"), "{seen}");
    assert!(
        seen.contains("top ['bin', 'dev', 'etc', 'lib', ")
            && !seen.contains("'root'")
            && !seen.contains("'var'"),
        "{seen}"
    );
    for name in ["CAPI_", "DATABASE", "CARGO"] {
        assert!(!seen.contains(name), "{name}: {seen}");
    }
    // The search finds what there is to find.
    let control = SEARCH.replacen(
        "import os, glob, stat",
        &format!("import os, glob, stat\nopen('planted', 'w').write('{SECRET}')"),
        1,
    );
    assert!(lab.printed(Interpreter::Python, &control).await.contains("FOUND /workspace/planted"));
}
