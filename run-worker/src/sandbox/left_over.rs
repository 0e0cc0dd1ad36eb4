//! Finds what sandboxes of a dead worker left. `--die-with-parent` ends them with the worker, but a process
//! that was killed needs some time to end.

use std::fs;
use std::path::Path;

/// The name of bubblewrap's processes. One of them is the first process of each sandbox.
const BWRAP: &[u8] = b"bwrap\n";

/// Whether processes of sandboxes exist whose workspaces are in this directory. The first process of a
/// sandbox is bwrap, which names its workspace in its arguments. When it is killed, it loses its arguments
/// and then waits for all others. So a bwrap without arguments counts too, whichever worker started it.
#[must_use]
pub fn has_processes(home: &Path) -> bool {
    let mark = format!("{}/", home.display());
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut processes = processes.filter(|process| process.join("cmdline").exists());
    processes.any(|process| {
        let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
        if arguments.is_empty() {
            is_ending_bwrap(&process)
        } else {
            String::from_utf8_lossy(&arguments).contains(&mark)
        }
    })
}

/// A zombie counts as gone: its sandbox is empty.
fn is_ending_bwrap(process: &Path) -> bool {
    let stat = fs::read(process.join("stat")).unwrap_or_default();
    let state = String::from_utf8_lossy(&stat);
    let state = state.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next());
    let is_gone = matches!(state, None | Some('Z' | 'X'));
    !is_gone && fs::read(process.join("comm")).is_ok_and(|name| name == BWRAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sandbox of another test may end just now.
    fn becomes_empty(home: &Path) -> bool {
        (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            !has_processes(home)
        })
    }

    #[test]
    fn a_process_that_names_the_directory_is_found() {
        let home = tempfile::tempdir().unwrap();
        assert!(becomes_empty(home.path()));
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "read line", "sh"])
            .arg(home.path().join("run"))
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        assert!(has_processes(home.path()));
        assert!(becomes_empty(&home.path().join("run/other")));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(becomes_empty(home.path()));
    }
}
