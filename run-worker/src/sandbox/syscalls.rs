//! The system calls that programs inside may make, as two seccomp filters for bwrap to load: pure. The first lets through what it names and
//! answers everything else, the next kernel's calls too, with "not implemented", which C libraries understand: they
//! fall back from clone3 to clone, which can be looked into. The second refuses calls by their arguments.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Both filters, as the kernel reads them.
pub(super) fn filters() -> Result<[Vec<u8>; 2], Error> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let allowed = COMMON.iter().chain(OF_THE_ARCHITECTURE).map(|call| (*call, vec![])).collect();
    let allowing = SeccompFilter::new(allowed, errno(libc::ENOSYS), SeccompAction::Allow, arch)?;
    let refusing = SeccompFilter::new(refused()?, SeccompAction::Allow, errno(libc::EPERM), arch)?;
    Ok([bytes(&allowing.try_into()?), bytes(&refusing.try_into()?)])
}

fn bytes(program: &BpfProgram) -> Vec<u8> {
    let instruction = |one: &seccompiler::sock_filter| {
        let [code_low, code_high] = one.code.to_ne_bytes();
        let [a, b, c, d] = one.k.to_ne_bytes();
        [code_low, code_high, one.jt, one.jf, a, b, c, d]
    };
    program.iter().flat_map(instruction).collect()
}

/// Sockets but for those between processes of the sandbox; new namespaces; typing into a terminal.
fn refused() -> Result<BTreeMap<i64, Vec<SeccompRule>>, Error> {
    let is = |argument, operator, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
    };
    let other_than_unix = |argument| is(argument, SeccompCmpOp::Ne, libc::AF_UNIX.unsigned_abs().into());
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
    let typing = [libc::TIOCSTI, libc::TIOCLINUX].map(|request| is(1, SeccompCmpOp::Eq, request));
    Ok(BTreeMap::from([
        (libc::SYS_socket, vec![other_than_unix(0)?]),
        (libc::SYS_socketpair, vec![other_than_unix(0)?]),
        (libc::SYS_clone, flags.into_iter().collect::<Result<_, _>>()?),
        (libc::SYS_ioctl, typing.into_iter().collect::<Result<_, _>>()?),
    ]))
}

/// What compilers, shells and interpreters use. Not here, each a way out that was found before or a store of memory that no limit
/// counts: mounts, namespaces, modules, keys, bpf, io_uring, perf, userfaultfd, ptrace and reading other processes' memory, handles, System V
/// IPC and message queues, memfd, clocks, swap, quotas, ports.
#[rustfmt::skip]
const COMMON: &[i64] = &[
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_preadv,
    libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2, libc::SYS_sendfile, libc::SYS_splice, libc::SYS_tee, libc::SYS_copy_file_range,
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_close, libc::SYS_close_range, libc::SYS_lseek, libc::SYS_dup, libc::SYS_dup3, libc::SYS_pipe2,
    libc::SYS_fcntl, libc::SYS_ioctl, libc::SYS_flock, libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range, libc::SYS_fadvise64,
    libc::SYS_readahead, libc::SYS_ftruncate, libc::SYS_truncate, libc::SYS_fallocate, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx,
    libc::SYS_statfs, libc::SYS_fstatfs, libc::SYS_getdents64, libc::SYS_getcwd, libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_mkdirat,
    libc::SYS_unlinkat, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_linkat, libc::SYS_symlinkat, libc::SYS_readlinkat, libc::SYS_mknodat,
    libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_umask,
    libc::SYS_utimensat, libc::SYS_getxattr, libc::SYS_lgetxattr, libc::SYS_fgetxattr, libc::SYS_listxattr, libc::SYS_llistxattr,
    libc::SYS_flistxattr, libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_removexattr, libc::SYS_lremovexattr,
    libc::SYS_fremovexattr, libc::SYS_inotify_init1, libc::SYS_inotify_add_watch, libc::SYS_inotify_rm_watch, libc::SYS_sync, libc::SYS_syncfs,
    libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_ppoll, libc::SYS_pselect6,
    libc::SYS_eventfd2, libc::SYS_signalfd4, libc::SYS_timerfd_create, libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime,
    libc::SYS_socket, libc::SYS_socketpair, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_connect,
    libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg,
    libc::SYS_sendmmsg, libc::SYS_recvmmsg, libc::SYS_setsockopt, libc::SYS_getsockopt, libc::SYS_shutdown,
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_msync, libc::SYS_mincore,
    libc::SYS_brk, libc::SYS_mlock, libc::SYS_munlock, libc::SYS_membarrier, libc::SYS_rseq, libc::SYS_pkey_alloc, libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect, libc::SYS_get_mempolicy, libc::SYS_futex, libc::SYS_set_robust_list, libc::SYS_get_robust_list,
    libc::SYS_clone, libc::SYS_execve, libc::SYS_execveat, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_wait4, libc::SYS_waitid,
    libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal, libc::SYS_set_tid_address,
    libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid, libc::SYS_getpgid, libc::SYS_setpgid, libc::SYS_getsid, libc::SYS_setsid,
    libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid, libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getgroups,
    libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setresuid, libc::SYS_setresgid, libc::SYS_setgroups,
    libc::SYS_setfsuid, libc::SYS_setfsgid, libc::SYS_capget, libc::SYS_capset, libc::SYS_prctl, libc::SYS_seccomp,
    libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigpending, libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigsuspend, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo, libc::SYS_sigaltstack, libc::SYS_restart_syscall,
    libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_gettimeofday,
    libc::SYS_getitimer, libc::SYS_setitimer, libc::SYS_timer_create, libc::SYS_timer_settime, libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun, libc::SYS_timer_delete, libc::SYS_times, libc::SYS_getrusage, libc::SYS_getrlimit, libc::SYS_setrlimit,
    libc::SYS_prlimit64, libc::SYS_getpriority, libc::SYS_setpriority, libc::SYS_sched_yield, libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity, libc::SYS_sched_getparam, libc::SYS_sched_getscheduler, libc::SYS_sched_setscheduler,
    libc::SYS_sched_get_priority_max, libc::SYS_sched_get_priority_min, libc::SYS_sched_getattr, libc::SYS_getcpu,
    libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_getrandom, libc::SYS_personality,
];

/// Older forms, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OF_THE_ARCHITECTURE: &[i64] = &[
    libc::SYS_open, libc::SYS_creat, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_pipe, libc::SYS_dup2, libc::SYS_poll,
    libc::SYS_select, libc::SYS_epoll_create, libc::SYS_epoll_wait, libc::SYS_eventfd, libc::SYS_signalfd, libc::SYS_inotify_init,
    libc::SYS_getdents, libc::SYS_rename, libc::SYS_mkdir, libc::SYS_rmdir, libc::SYS_link, libc::SYS_unlink, libc::SYS_symlink,
    libc::SYS_readlink, libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_mknod, libc::SYS_utime, libc::SYS_utimes,
    libc::SYS_futimesat, libc::SYS_fork, libc::SYS_vfork, libc::SYS_alarm, libc::SYS_pause, libc::SYS_time, libc::SYS_getpgrp,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OF_THE_ARCHITECTURE: &[i64] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_filters_are_programs_that_the_kernel_would_take() {
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
        ] {
            assert!(!listed.contains(&&call), "{call}");
        }
    }
}
