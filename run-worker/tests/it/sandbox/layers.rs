//! S6: if a layer is missing, no command runs, and health names the layer.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use run_worker::sandbox::{Health, Interpreter, Parts, SandboxError};

use super::{Lab, copy_program, parts};

/// A bwrap that ignores the flag `one`, and the flag `two` with its value.
fn bwrap_without(dir: &tempfile::TempDir, one: &str, two: &str) -> PathBuf {
    let script = format!(
        "#!/bin/bash
kept=()
while [ $# -gt 0 ]; do
    case $1 in {one}) shift ;; {two}) shift 2 ;; *) kept+=(\"$1\"); shift ;; esac
done
exec /usr/bin/bwrap \"${{kept[@]}}\"
"
    );
    program(dir, &script)
}

fn program(dir: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = dir.path().join(uuid::Uuid::new_v4().to_string());
    let written = path.with_extension("text");
    std::fs::write(&written, text).unwrap();
    copy_program(&written, &path);
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_missing_layer_is_named_and_nothing_runs() {
    let dir = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
    let cases = [
        (bwrap_without(&dir, "none", "--add-seccomp-fd"), "seccomp"),
        (bwrap_without(&dir, "--unshare-net", "none"), "network"),
        (bwrap_without(&dir, "--disable-userns", "none"), "bwrap"),
        (bwrap_without(&dir, "--unshare-pid", "none"), "user"),
        (bwrap_without(&dir, "--unshare-uts", "--hostname"), "user"),
        (PathBuf::from("/nowhere/bwrap"), "bwrap"),
        (PathBuf::from("/bin/false"), "bwrap"),
    ];
    for (bwrap, layer) in cases {
        let lab = Lab::open_with(&Parts { bwrap: bwrap.clone(), ..parts() }).await;
        let Health::Down(missing) = lab.sandbox.health() else {
            panic!("{layer}: {:?}", lab.sandbox.health())
        };
        assert!(missing.contains(&layer), "{layer}: {missing:?} {:?}", std::fs::read_to_string(bwrap));
        let workspace = lab.workspace();
        let refused = lab.sandbox.run(Lab::job(&workspace, Interpreter::Bash, "touch ran"), &lab.tasks).await;
        assert!(
            matches!(refused, Err(SandboxError::Start(_)))
                && !workspace.mounts().workspace.join("ran").exists()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_an_entry_that_adds_no_layers_is_detected() {
    let dir = tempfile::Builder::new().tempdir_in("/var/tmp").unwrap();
    let entry = program(&dir, "#!/bin/bash\nprintf L >&$1\nexec \"${@:9}\"\n");
    let lab = Lab::open_with(&Parts { entry, ..parts() }).await;
    let Health::Down(missing) = lab.sandbox.health() else { panic!("{:?}", lab.sandbox.health()) };
    for layer in ["limits", "landlock", "descriptors"] {
        assert!(missing.contains(&layer), "{layer}: {missing:?}");
    }
}
