//! The first program inside a sandbox: it puts the last layers on, says that they are, and becomes the command.
//!
//! bwrap has made the namespaces and the seccomp filter. What is left can only be done from inside: the limits (of
//! processes they count per user namespace), landlock, under which bwrap could not mount, and joining the cgroup. Whatever fails here ends the program
//! before the command begins.
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

/// The newest landlock that is asked for; an older kernel gives what it has.
const LANDLOCK: ABI = ABI::V6;
/// What may be written to.
const WRITABLE: [&str; 3] = ["/workspace", "/tmp", "/dev/shm"];
/// Commands give way to services.
const NICE: i32 = 15;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [status, cgroup, processes, address_space, file_size, open_files, separator, program, rest @ ..] =
        &arguments[..]
    else {
        bail!("this program is started by run-worker");
    };
    if separator != "--" {
        bail!("this program is started by run-worker");
    }
    let mut status = passed(status)?;
    for (resource, most) in [
        (Resource::Nproc, processes),
        (Resource::As, address_space),
        (Resource::Fsize, file_size),
        (Resource::Nofile, open_files),
    ] {
        limit(resource, most.parse()?)?;
    }
    for resource in [Resource::Core, Resource::Msgqueue, Resource::Memlock, Resource::Rtprio] {
        limit(resource, 0)?;
    }
    // Both may be refused, and neither guards anything.
    let _ = nice(NICE);
    let _ = std::fs::write("/proc/self/autogroup", NICE.to_string());
    let landlocked = landlock().context("landlock")?;
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    // Last, because from then on it may have to wait for a processor.
    if cgroup != "-" {
        passed(cgroup)?.write_all(b"0").context("cgroup")?;
    }
    status.write_all(if landlocked { b"L" } else { b"-" }).context("status")?;
    Err(Command::new(program).args(rest).exec()).context("the command cannot be started")
}

#[expect(unsafe_code, reason = "a descriptor has no other way into a new program")]
fn passed(number: &str) -> anyhow::Result<File> {
    let number = number.parse()?;
    // SAFETY: run-worker opened it for this program, which has nothing else that could own it.
    Ok(unsafe { File::from_raw_fd(number) })
}

fn limit(resource: Resource, most: u64) -> anyhow::Result<()> {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(resource, limit).with_context(|| format!("{resource:?}"))
}

/// Whether the kernel has landlock at all; if so, it is in force.
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
