//! If the tests run as root: runs all of them again as an unprivileged user, hardened as in
//! docker-compose.yml: without capabilities, now or later.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{ENTRY, copy_program};

/// An id that no other user has.
const USER: &str = "65532";

#[test]
fn everything_holds_as_an_ordinary_user_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
    let copies =
        [("it", std::env::current_exe().unwrap()), ("entry", env!("CARGO_BIN_EXE_sandbox-entry").into())];
    for (name, program) in copies {
        copy_program(&program, &dir.path().join(name));
    }
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
        .args(["--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"])
        .arg(dir.path().join("it"))
        .args(["sandbox::", "--skip", "ordinary_user"])
        .env(ENTRY, dir.path().join("entry"))
        .env("RUST_BACKTRACE", "0")
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("running 0 tests"), "{said}\n{complained}");
}
