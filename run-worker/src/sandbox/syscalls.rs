//! The system calls that a command can make, as seccomp filters for bwrap.
//!
//! The first filter allows the calls that it lists and answers all others with "not implemented". C libraries
//! then fall back: from clone3, whose arguments a filter cannot read, to clone. The second filter refuses
//! calls by their arguments. The third answers some calls as a file system that does not have them: fallocate
//! takes space of the disk that the kernel counts for no process, and an access list of a file in memory has
//! up to 64 KiB that nothing counts. C libraries then write zeros, and programs copy a file without its
//! attributes. The fourth ignores requests for larger buffers of sockets, which are memory that no process
//! shows. The fifth leaves out options of sockets, as a kernel that does not know them.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::socket_rules::{refused_sockets, unknown_options};

/// The filters as programs for the kernel.
pub(super) type Filters = [Vec<u8>; 5];

pub(super) fn filters() -> Result<Filters, Error> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let allowed = COMMON.iter().chain(OF_THE_ARCHITECTURE).map(|call| (*call, vec![])).collect();
    let allowing = SeccompFilter::new(allowed, errno(libc::ENOSYS), SeccompAction::Allow, arch)?;
    let refusing = SeccompFilter::new(refused()?, SeccompAction::Allow, errno(libc::EPERM), arch)?;
    let unsupported =
        [libc::SYS_fallocate, libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr].into_iter();
    let unsupported = unsupported.map(|call| (call, vec![])).collect();
    let unsupported = SeccompFilter::new(unsupported, SeccompAction::Allow, errno(libc::EOPNOTSUPP), arch)?;
    // The number 0 is success.
    let ignoring = SeccompFilter::new(ignored()?, SeccompAction::Allow, errno(0), arch)?;
    let without =
        SeccompFilter::new(unknown_options()?, SeccompAction::Allow, errno(libc::ENOPROTOOPT), arch)?;
    Ok([
        bytes(&allowing.try_into()?),
        bytes(&refusing.try_into()?),
        bytes(&unsupported.try_into()?),
        bytes(&ignoring.try_into()?),
        bytes(&without.try_into()?),
    ])
}

fn bytes(program: &BpfProgram) -> Vec<u8> {
    let instruction = |one: &seccompiler::sock_filter| {
        let [code_low, code_high] = one.code.to_ne_bytes();
        let [a, b, c, d] = one.k.to_ne_bytes();
        [code_low, code_high, one.jt, one.jf, a, b, c, d]
    };
    program.iter().flat_map(instruction).collect()
}

/// Larger buffers of sockets.
fn ignored() -> Result<BTreeMap<i64, Vec<SeccompRule>>, Error> {
    let options = [libc::SO_SNDBUF, libc::SO_RCVBUF].map(of_a_socket).into_iter();
    Ok(BTreeMap::from([(libc::SYS_setsockopt, options.collect::<Result<_, _>>()?)]))
}

/// An option of setsockopt.
fn of_a_socket(option: i32) -> Result<SeccompRule, Error> {
    let is = |argument, value: i32| {
        let value = value.unsigned_abs().into();
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
    };
    Ok(SeccompRule::new(vec![is(1, libc::SOL_SOCKET)?, is(2, option)?])?)
}

/// Forms of fallocate: FS_IOC_RESVSP, FS_IOC_RESVSP64, FS_IOC_ZERO_RANGE, XFS_IOC_ALLOCSP and
/// XFS_IOC_ALLOCSP64.
const ALLOCATING: [u64; 5] = [0x4030_5828, 0x4030_582a, 0x4030_5839, 0x4030_580a, 0x4030_5824];

/// Sockets of other kinds, programs of sockets, new namespaces, input into a terminal, and hiding from
/// the worker: what a process that is not dumpable has open can be seen only by root, and threads with
/// descriptors of their own would all have to be searched.
fn refused() -> Result<BTreeMap<i64, Vec<SeccompRule>>, Error> {
    let is = |argument, operator, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
    };
    let other_than_unix = is(0, SeccompCmpOp::Ne, libc::AF_UNIX.unsigned_abs().into())?;
    let new_namespaces = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    let flags = new_namespaces.map(|flag| {
        let flag = flag.unsigned_abs().into();
        is(0, SeccompCmpOp::MaskedEq(flag), flag)
    });
    let with_threads = libc::CLONE_THREAD | libc::CLONE_FILES;
    let own_descriptors = SeccompCmpOp::MaskedEq(with_threads.unsigned_abs().into());
    let own_descriptors = is(0, own_descriptors, libc::CLONE_THREAD.unsigned_abs().into());
    let unshared = u64::from(libc::CLOSE_RANGE_UNSHARE);
    let unshared = is(2, SeccompCmpOp::MaskedEq(unshared), unshared)?;
    let programs = [
        libc::SO_ATTACH_FILTER,
        libc::SO_ATTACH_BPF,
        libc::SO_ATTACH_REUSEPORT_CBPF,
        libc::SO_ATTACH_REUSEPORT_EBPF,
    ];
    let programs = programs.map(of_a_socket).into_iter();
    let requests = [libc::TIOCSTI, libc::TIOCLINUX].into_iter().chain(ALLOCATING);
    let requests = requests.map(|request| is(1, SeccompCmpOp::Eq, request));
    let set_dumpable = is(0, SeccompCmpOp::Eq, libc::PR_SET_DUMPABLE.unsigned_abs().into())?;
    Ok(BTreeMap::from([
        (libc::SYS_socket, refused_sockets()?),
        (libc::SYS_socketpair, vec![other_than_unix]),
        (libc::SYS_clone, flags.into_iter().chain([own_descriptors]).collect::<Result<_, _>>()?),
        (libc::SYS_close_range, vec![unshared]),
        (libc::SYS_setsockopt, programs.collect::<Result<_, _>>()?),
        (libc::SYS_ioctl, requests.collect::<Result<_, _>>()?),
        (libc::SYS_prctl, vec![set_dumpable]),
    ]))
}

macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

/// The calls of compilers, shells and interpreters.
///
/// Left out are calls with a history of escapes, and calls that use memory which no limit counts: mounts,
/// namespaces, modules, keys, bpf, io_uring, perf, userfaultfd, ptrace and other access to the memory of
/// processes, file handles, inotify (no limit counts its unread events), System V IPC, message queues, memfd,
/// clocks, swap, quotas, I/O ports.
const COMMON: &[i64] = calls! {
    SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev SYS_preadv2
    SYS_pwritev2 SYS_sendfile SYS_splice SYS_tee SYS_copy_file_range SYS_openat SYS_openat2 SYS_close
    SYS_close_range SYS_lseek SYS_dup SYS_dup3 SYS_pipe2 SYS_fcntl SYS_ioctl SYS_flock SYS_fsync SYS_fdatasync
    SYS_sync_file_range SYS_fadvise64 SYS_readahead SYS_ftruncate SYS_truncate SYS_fallocate SYS_fstat
    SYS_newfstatat SYS_statx SYS_statfs SYS_fstatfs SYS_getdents64 SYS_getcwd SYS_chdir SYS_fchdir SYS_mkdirat
    SYS_unlinkat SYS_renameat SYS_renameat2 SYS_linkat SYS_symlinkat SYS_readlinkat SYS_mknodat SYS_faccessat
    SYS_faccessat2 SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_umask SYS_utimensat SYS_getxattr
    SYS_lgetxattr SYS_fgetxattr SYS_listxattr SYS_llistxattr SYS_flistxattr SYS_setxattr SYS_lsetxattr
    SYS_fsetxattr SYS_removexattr SYS_lremovexattr SYS_fremovexattr SYS_sync SYS_syncfs SYS_epoll_create1
    SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_ppoll SYS_pselect6 SYS_eventfd2 SYS_signalfd4
    SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime SYS_socket SYS_socketpair SYS_bind SYS_listen
    SYS_accept SYS_accept4 SYS_connect SYS_getsockname SYS_getpeername SYS_sendto SYS_recvfrom SYS_sendmsg
    SYS_recvmsg SYS_sendmmsg SYS_recvmmsg SYS_setsockopt SYS_getsockopt SYS_shutdown SYS_mmap SYS_munmap
    SYS_mprotect SYS_mremap SYS_madvise SYS_msync SYS_mincore SYS_brk SYS_mlock SYS_munlock SYS_membarrier
    SYS_rseq SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_get_mempolicy SYS_futex SYS_set_robust_list
    SYS_get_robust_list SYS_clone SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_wait4 SYS_waitid
    SYS_kill SYS_tkill SYS_tgkill SYS_pidfd_open SYS_pidfd_send_signal SYS_set_tid_address SYS_getpid
    SYS_getppid SYS_gettid SYS_getpgid SYS_setpgid SYS_getsid SYS_setsid SYS_getuid SYS_geteuid SYS_getgid
    SYS_getegid SYS_getresuid SYS_getresgid SYS_getgroups SYS_setuid SYS_setgid SYS_setreuid SYS_setregid
    SYS_setresuid SYS_setresgid SYS_setgroups SYS_setfsuid SYS_setfsgid SYS_capget SYS_capset SYS_prctl
    SYS_seccomp SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self SYS_rt_sigaction
    SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait SYS_rt_sigsuspend
    SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo SYS_sigaltstack SYS_restart_syscall SYS_nanosleep
    SYS_clock_nanosleep SYS_clock_gettime SYS_clock_getres SYS_gettimeofday SYS_getitimer SYS_setitimer
    SYS_timer_create SYS_timer_settime SYS_timer_gettime SYS_timer_getoverrun SYS_timer_delete SYS_times
    SYS_getrusage SYS_getrlimit SYS_setrlimit SYS_prlimit64 SYS_getpriority SYS_setpriority SYS_sched_yield
    SYS_sched_getaffinity SYS_sched_setaffinity SYS_sched_getparam SYS_sched_getscheduler
    SYS_sched_setscheduler SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_sched_getattr SYS_getcpu
    SYS_uname SYS_sysinfo SYS_getrandom SYS_personality
};

/// Older forms of the calls. Newer architectures do not have them.
#[cfg(target_arch = "x86_64")]
const OF_THE_ARCHITECTURE: &[i64] = calls! {
    SYS_open SYS_creat SYS_stat SYS_lstat SYS_access SYS_pipe SYS_dup2 SYS_poll SYS_select SYS_epoll_create
    SYS_epoll_wait SYS_eventfd SYS_signalfd SYS_getdents SYS_rename SYS_mkdir SYS_rmdir SYS_link SYS_unlink
    SYS_symlink SYS_readlink SYS_chmod SYS_chown SYS_lchown SYS_mknod SYS_utime SYS_utimes SYS_futimesat
    SYS_fork SYS_vfork SYS_alarm SYS_pause SYS_time SYS_getpgrp SYS_arch_prctl
};
#[cfg(not(target_arch = "x86_64"))]
const OF_THE_ARCHITECTURE: &[i64] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_are_programs_that_the_kernel_would_take() {
        for filter in filters().unwrap() {
            assert!(filter.len().is_multiple_of(8) && filter.len() / 8 < 4096, "{}", filter.len());
        }
    }

    #[test]
    fn ways_out_are_not_on_the_list() {
        let listed: Vec<_> = COMMON.iter().chain(OF_THE_ARCHITECTURE).collect();
        for call in [
            libc::SYS_mount,
            libc::SYS_io_uring_setup,
            libc::SYS_bpf,
            libc::SYS_ptrace,
            libc::SYS_unshare,
            libc::SYS_clone3,
            libc::SYS_inotify_init1,
            libc::SYS_fanotify_init,
            libc::SYS_io_setup,
            libc::SYS_keyctl,
            libc::SYS_memfd_create,
        ] {
            assert!(!listed.contains(&&call), "{call}");
        }
    }
}
