//! What a command sees of the machine, as bwrap's arguments. It sees nothing else.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::limits::SandboxLimits;
use crate::workspace::{INSIDE as WORKSPACE, Mounts};

/// The path of the prepared Python environment inside.
const PYTHON: &str = "/opt/python";
/// The only user inside. It is mapped to an unprivileged user outside.
const USER: &str = "1000";

/// What the machine offers, found once when the worker starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// A copy of sandbox-entry that the sandbox's user can read.
    pub(super) entry: PathBuf,
    /// Replaces the machine's /etc.
    pub(super) etc: PathBuf,
    /// What programs need of the machine's /etc: empty directories of `etc`.
    pub(super) configuration: Vec<PathBuf>,
    /// The prepared Python environment, a venv of /usr/bin/python3.
    pub(super) python: Option<PathBuf>,
    /// matplotlib's list of fonts. matplotlib would need seconds to make it.
    pub(super) fonts: Option<PathBuf>,
    /// /bin, /lib and the like, with their targets if they are links.
    pub(super) roots: Vec<(PathBuf, Option<PathBuf>)>,
}

/// The numbers of the descriptors that bwrap inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// bwrap writes the id of the first process there.
    pub(super) info: i32,
    /// The entry writes there when the command begins.
    pub(super) status: i32,
    /// bwrap reads the script from there.
    pub(super) script: i32,
    pub(super) filters: [i32; 5],
    /// cgroup.procs of the command's cgroup.
    pub(super) cgroup: Option<i32>,
}

/// A script's interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpreter {
    Bash,
    /// The system's Python 3 with the prepared packages.
    Python,
}

impl Interpreter {
    const fn script(self) -> &'static str {
        match self {
            Self::Bash => "/tmp/main.sh",
            Self::Python => "/tmp/main.py",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Bash => "/usr/bin/bash",
            Self::Python => "/opt/python/bin/python3",
        }
    }
}

/// The whole environment of a command.
const ENVIRONMENT: [(&str, &str); 13] = [
    ("PATH", "/opt/python/bin:/usr/local/bin:/usr/bin:/bin"),
    ("HOME", "/tmp"),
    ("USER", "agent"),
    ("LANG", "C.UTF-8"),
    ("TZ", "UTC"),
    ("TERM", "dumb"),
    ("PYTHONPATH", WORKSPACE),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONUNBUFFERED", "1"),
    // A thread for each core would use up address space and processes.
    ("OPENBLAS_NUM_THREADS", "1"),
    ("OMP_NUM_THREADS", "1"),
    ("MPLCONFIGDIR", "/tmp/matplotlib"),
    // A git that was compiled on the machine would look elsewhere for it.
    ("GIT_CONFIG_SYSTEM", "/etc/gitconfig"),
];
/// There is no display: matplotlib draws into files.
const BACKEND: (&str, &str) = ("MPLBACKEND", "Agg");

/// bwrap's command line.
pub(super) fn arguments(
    host: &Host,
    limits: &SandboxLimits,
    mounts: &Mounts,
    file_size: u64,
    interpreter: Interpreter,
    fds: Descriptors,
) -> Vec<OsString> {
    let mut line = Line::default();
    line.add(["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]);
    line.add(["--unshare-cgroup-try", "--disable-userns", "--assert-userns-disabled"]);
    line.add(["--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
    line.add(["--uid", USER, "--gid", USER, "--hostname", "sandbox", "--clearenv"]);
    for (name, value) in ENVIRONMENT.into_iter().chain([BACKEND]) {
        line.add(["--setenv", name, value]);
    }
    line.read_only(Path::new("/usr"), "/usr");
    for (root, target) in &host.roots {
        match target {
            Some(target) => line.push("--symlink").push(target).push(root),
            None => line.push("--ro-bind").push(root).push(root),
        };
    }
    line.read_only(&host.etc, "/etc");
    for directory in &host.configuration {
        line.push("--ro-bind-try").push(directory).push(directory);
    }
    line.add(["--proc", "/proc", "--dev", "/dev"]);
    line.add(["--size", &limits.shared_memory.to_string(), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]);
    line.add(["--size", &limits.tmp.to_string(), "--tmpfs", "/tmp"]);
    if let Some(python) = &host.python {
        line.read_only(python, PYTHON);
    }
    if let Some(fonts) = &host.fonts {
        let name = fonts.file_name().unwrap_or_default();
        line.push("--ro-bind").push(fonts).push(Path::new("/tmp/matplotlib").join(name));
    }
    line.read_only(&host.entry, "/run/capi/entry");
    line.push("--bind").push(&mounts.workspace).push(WORKSPACE);
    line.read_only(&mounts.inputs, "/workspace/inputs");
    line.add(["--ro-bind-data", &fds.script.to_string(), interpreter.script()]);
    line.add(["--chdir", WORKSPACE, "--remount-ro", "/"]);
    for filter in fds.filters {
        line.add(["--add-seccomp-fd", &filter.to_string()]);
    }
    line.add(["--info-fd", &fds.info.to_string(), "--", "/run/capi/entry", &fds.status.to_string()]);
    line.add([fds.cgroup.map_or("-".to_owned(), |fd| fd.to_string()).as_str()]);
    let of_a_process = [limits.processes, limits.address_space, limits.data, file_size, limits.open_files];
    line.add(of_a_process.map(|limit| limit.to_string()).each_ref().map(String::as_str));
    line.add(["--", interpreter.program(), interpreter.script()]);
    line.0
}

#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn push(&mut self, argument: impl Into<OsString>) -> &mut Self {
        self.0.push(argument.into());
        self
    }

    fn add<const N: usize>(&mut self, arguments: [&str; N]) -> &mut Self {
        self.0.extend(arguments.map(OsString::from));
        self
    }

    fn read_only(&mut self, source: &Path, target: &str) -> &mut Self {
        self.push("--ro-bind").push(source).push(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_the_policy() {
        let host = Host {
            entry: "/w/entry".into(),
            etc: "/w/etc".into(),
            configuration: vec!["/etc/alternatives".into()],
            python: Some("/srv/python".into()),
            fonts: Some("/srv/python/fontlist.json".into()),
            roots: vec![("/bin".into(), Some("usr/bin".into())), ("/lib64".into(), None)],
        };
        let mounts = Mounts { workspace: "/w/run/workspace".into(), inputs: "/w/run/inputs".into() };
        let fds = Descriptors { info: 3, status: 4, script: 5, filters: [6, 7, 8, 9, 10], cgroup: None };
        let line = arguments(&host, &SandboxLimits::DEFAULT, &mounts, 1000, Interpreter::Python, fds);
        let line: Vec<_> = line.iter().map(|argument| argument.to_string_lossy()).collect();
        insta::assert_snapshot!(line.join(" ").replace(" --", "\n--"));
    }
}
