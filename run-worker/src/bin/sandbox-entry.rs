//! The first program inside a sandbox. It adds the last layers, reports that, and becomes the command.
//!
//! bwrap has made the namespaces and loaded the seccomp filters. The rest can only be done from inside: the
//! limits (the kernel counts processes per user namespace), landlock (bwrap could not mount under it), a
//! filter that refuses landlock to the command, and joining the cgroup. If one of them fails, the command
//! does not begin.
//!
//! Arguments: STATUS-FD CGROUP-FD (or `-`) PROCESSES ADDRESS-SPACE FILE-SIZE OPEN-FILES -- COMMAND…

use std::fs::File;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// The newest version of landlock that is used. An older kernel applies what it knows.
const LANDLOCK: ABI = ABI::V6;
/// The directories that a command can write to.
const WRITABLE: [&str; 3] = ["/workspace", "/tmp", "/dev/shm"];
/// A command gets 3 % of a processor that a service also wants (weight 36 against 1024): enough to end at
/// all.
const NICE: i32 = 15;
/// Without memory, the kernel ends processes with this first.
const MOST_LIKELY: &str = "1000";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [status, cgroup, processes, address_space, file_size, open_files, separator, program, rest @ ..] =
        &arguments[..]
    else {
        bail!("only run-worker starts this program");
    };
    if separator != "--" {
        bail!("only run-worker starts this program");
    }
    let mut status = inherited(status)?;
    for (resource, max) in [
        (Resource::Nproc, processes),
        (Resource::As, address_space),
        (Resource::Fsize, file_size),
        (Resource::Nofile, open_files),
    ] {
        limit(resource, max.parse()?)?;
    }
    for resource in [Resource::Core, Resource::Msgqueue, Resource::Memlock, Resource::Rtprio] {
        limit(resource, 0)?;
    }
    // The kernel may refuse both, and no protection depends on them. The second one is for the whole session.
    let _ = nice(NICE);
    let _ = std::fs::write("/proc/self/autogroup", NICE.to_string());
    // The kernel ends a command before any service. Raising this needs no right.
    let _ = std::fs::write("/proc/self/oom_score_adj", MOST_LIKELY);
    let landlocked = landlock().context("landlock")?;
    refuse_landlock().context("seccomp")?;
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    // Last: in its group, the program may wait for a processor.
    if cgroup != "-" {
        inherited(cgroup)?.write_all(b"0").context("cgroup")?;
    }
    status.write_all(if landlocked { b"L" } else { b"-" }).context("status")?;
    Err(Command::new(program).args(rest).exec()).context("failed to start the command")
}

#[expect(unsafe_code, reason = "a program gets inherited descriptors only by their numbers")]
fn inherited(number: &str) -> anyhow::Result<File> {
    let number = number.parse()?;
    // SAFETY: run-worker opened it for this program, and nothing else here owns it.
    Ok(unsafe { File::from_raw_fd(number) })
}

fn limit(resource: Resource, max: u64) -> anyhow::Result<()> {
    let limit = Rlimit { current: Some(max), maximum: Some(max) };
    setrlimit(resource, limit).with_context(|| format!("{resource:?}"))
}

/// Applies landlock. Returns false if the kernel does not have it.
fn landlock() -> anyhow::Result<bool> {
    let read = AccessFs::from_read(LANDLOCK);
    let devices = AccessFs::WriteFile | AccessFs::IoctlDev;
    let mut rules: Vec<(&str, BitFlags<AccessFs>)> = vec![("/", read), ("/dev", read | devices)];
    rules.extend(WRITABLE.map(|path| (path, AccessFs::from_all(LANDLOCK))));
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    for (path, access) in rules {
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, access))?;
    }
    Ok(ruleset.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

/// The command cannot make rules of its own: the kernel keeps each file that a rule names, also a deleted
/// one, and nothing shows that.
fn refuse_landlock() -> anyhow::Result<()> {
    let calls =
        [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];
    let calls = calls.map(|call| (call, vec![])).into_iter().collect();
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, missing, arch)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
