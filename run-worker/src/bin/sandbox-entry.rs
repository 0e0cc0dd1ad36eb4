//! The first program inside a sandbox. It adds the last layers, reports that, and becomes the command.
//!
//! bwrap has made the namespaces and loaded the seccomp filters. The rest can only be done from inside: the
//! limits (the kernel counts processes per user namespace), landlock (bwrap could not mount under it), the
//! last filters, which refuse what bwrap and this program still need, and joining the cgroup. If one of them
//! fails, the command does not begin.
//!
//! Arguments: STATUS-FD CGROUP-FD (or `-`) PROCESSES ADDRESS-SPACE DATA FILE-SIZE OPEN-FILES -- COMMAND…

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// The newest version of landlock that is used. An older kernel applies what it knows.
const LANDLOCK: ABI = ABI::V6;
/// The directories that a command can write to.
const WRITABLE: [&str; 3] = ["/workspace", "/tmp", "/dev/shm"];
/// Signals that wait, and POSIX timers: the kernel keeps an object for each.
const PENDING_SIGNALS: u64 = 1024;
/// The operations of prctl. Others answer as on an older kernel: some take memory that no limit counts (names
/// of mappings, a table of futexes of any size).
const PRCTL: [libc::c_int; 22] = [
    libc::PR_SET_PDEATHSIG,
    libc::PR_GET_PDEATHSIG,
    libc::PR_GET_DUMPABLE,
    libc::PR_SET_DUMPABLE,
    libc::PR_GET_KEEPCAPS,
    libc::PR_SET_KEEPCAPS,
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_GET_SECCOMP,
    libc::PR_CAPBSET_READ,
    libc::PR_CAPBSET_DROP,
    libc::PR_GET_SECUREBITS,
    libc::PR_SET_TIMERSLACK,
    libc::PR_GET_TIMERSLACK,
    libc::PR_SET_CHILD_SUBREAPER,
    libc::PR_GET_CHILD_SUBREAPER,
    libc::PR_SET_NO_NEW_PRIVS,
    libc::PR_GET_NO_NEW_PRIVS,
    libc::PR_SET_THP_DISABLE,
    libc::PR_GET_THP_DISABLE,
    libc::PR_CAP_AMBIENT,
    libc::PR_SET_PTRACER,
];
/// fcntl's locks of an open file (F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW). They stay while the file is on its
/// way in a socket, where nothing shows them.
const OFD_LOCKS: [u64; 3] = [36, 37, 38];
/// A command gets 3 % of a processor that a service also wants (weight 36 against 1024): enough to end at
/// all.
const NICE: i32 = 15;
/// Without memory, the kernel ends processes with this first.
const MOST_LIKELY: &str = "1000";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [status, cgroup, processes, address_space, data, file_size, open_files, command @ ..] =
        &arguments[..]
    else {
        bail!("only run-worker starts this program");
    };
    let [separator, program, rest @ ..] = command else { bail!("only run-worker starts this program") };
    if separator != "--" {
        bail!("only run-worker starts this program");
    }
    let mut status = inherited(status)?;
    for (resource, max) in [
        (Resource::Nproc, processes),
        (Resource::As, address_space),
        (Resource::Data, data),
        (Resource::Fsize, file_size),
        (Resource::Nofile, open_files),
    ] {
        limit(resource, max.parse()?)?;
    }
    limit(Resource::Sigpending, PENDING_SIGNALS)?;
    for resource in [Resource::Core, Resource::Msgqueue, Resource::Memlock, Resource::Rtprio] {
        limit(resource, 0)?;
    }
    // The kernel may refuse both, and no protection depends on them. The second one is for the whole session.
    let _ = nice(NICE);
    let _ = std::fs::write("/proc/self/autogroup", NICE.to_string());
    // The kernel ends a command before any service. Raising this needs no right.
    let _ = std::fs::write("/proc/self/oom_score_adj", MOST_LIKELY);
    let landlocked = landlock().context("landlock")?;
    load_last_filters().context("seccomp")?;
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
///
/// It restricts files, and Unix sockets and signals to others. It does not restrict TCP: landlock knows ports
/// but no addresses, and the command's network namespace has no more than the loopback, where its own servers
/// may listen on any port.
fn landlock() -> anyhow::Result<bool> {
    let read = AccessFs::from_read(LANDLOCK);
    let devices = AccessFs::WriteFile | AccessFs::IoctlDev;
    let mut rules: Vec<(&str, BitFlags<AccessFs>)> = vec![("/", read), ("/dev", read | devices)];
    rules.extend(WRITABLE.map(|path| (path, AccessFs::from_all(LANDLOCK))));
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    for (path, access) in rules {
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, access))?;
    }
    Ok(ruleset.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

/// The command cannot make rules and filters of its own: the kernel keeps each file that a rule names, also a
/// deleted one, and each filter of each process, and nothing shows that.
///
/// Data cannot be moved without a copy: a pipe or a socket would hold whole pages of a file that was cut, and
/// count only the bytes. Programs that try it copy then.
fn load_last_filters() -> anyhow::Result<()> {
    let is = |argument, operator, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
    };
    let other_operations = PRCTL.map(|one| is(0, SeccompCmpOp::Ne, one.unsigned_abs().into()));
    let other_operations = other_operations.into_iter().collect::<Result<_, _>>()?;
    let locks = OFD_LOCKS.map(|command| SeccompRule::new(vec![is(1, SeccompCmpOp::Eq, command)?]));
    // As a kernel that does not know the operation. Programs then do without it.
    let unknown = BTreeMap::from([
        (libc::SYS_prctl, vec![SeccompRule::new(other_operations)?]),
        (libc::SYS_fcntl, locks.into_iter().collect::<Result<_, _>>()?),
        (libc::SYS_splice, vec![]),
        (libc::SYS_tee, vec![]),
        (libc::SYS_sendfile, vec![]),
    ]);
    load(unknown, libc::EINVAL)?;
    // Last: it refuses filters.
    let missing = [
        libc::SYS_seccomp,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_landlock_add_rule,
        libc::SYS_landlock_restrict_self,
    ];
    load(missing.map(|call| (call, vec![])).into_iter().collect(), libc::ENOSYS)
}

/// A filter that answers these calls with an error, and allows all others.
fn load(calls: BTreeMap<i64, Vec<SeccompRule>>, error: i32) -> anyhow::Result<()> {
    let refusal = SeccompAction::Errno(error.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, refusal, arch)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
