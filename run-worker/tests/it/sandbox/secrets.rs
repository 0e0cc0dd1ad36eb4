//! S1: secrets of the worker are found nowhere inside.

use std::io::Write;

use run_worker::sandbox::Interpreter;
use rustix::io::{FdFlags, fcntl_setfd};

use super::Lab;

const SECRET: &str = "canary-5d1f9a";

/// Searches everything readable for the word: environments, command lines, open files, and all files except
/// the system's programs.
const SEARCH: &str = r#"
import os, glob, stat
word = b"canary-" + b"5d1f9a"
def look(path):
    try:
        if not stat.S_ISREG(os.stat(path).st_mode): return
        with open(path, "rb") as file:
            if word in file.read(1 << 20): print("FOUND", path)
    except OSError: pass
places = ["/proc/[0-9]*/*", "/proc/[0-9]*/fd/*", "/proc/[0-9]*/task/*/environ"]
for path in [path for place in places for path in glob.glob(place)]:
    if path.endswith(("main.py", "kmsg")): continue
    if os.path.basename(path) not in ("mem", "pagemap", "clear_refs"): look(path)
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
    // Like a descriptor that the worker inherited from its parent.
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
    // The search does find a planted word.
    let control = SEARCH.replacen(
        "import os, glob, stat",
        &format!("import os, glob, stat\nopen('planted', 'w').write('{SECRET}')"),
        1,
    );
    assert!(lab.printed(Interpreter::Python, &control).await.contains("FOUND /workspace/planted"));
}
