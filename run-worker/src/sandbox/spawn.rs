//! Starts bwrap: with an empty environment, as an unprivileged user, with no other descriptors than it needs.
//!
//! One thread starts all of them and lives as long as the worker: `--die-with-parent` refers to the thread
//! that started bwrap.

use std::ffi::OsString;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;

use command_fds::{CommandFdExt, FdMapping};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::policy::Descriptors;
use super::syscalls::Filters;

pub(super) struct Spawned {
    pub(super) child: Child,
    /// bwrap's report about the first process inside, as JSON.
    pub(super) info: Receiver,
    /// The entry writes one byte when the command begins.
    pub(super) status: Receiver,
    /// Standard output and standard error of everything inside.
    pub(super) output: Receiver,
}

/// What bwrap gets as descriptors.
pub(super) struct Inherited<'a> {
    pub(super) script: &'a str,
    pub(super) filters: &'a Filters,
    /// cgroup.procs of the command's cgroup, open for writing.
    pub(super) cgroup: Option<OwnedFd>,
}

struct SpawnRequest {
    command: Command,
    reply: oneshot::Sender<std::io::Result<Child>>,
}

/// Sends requests to the thread.
#[derive(Debug, Clone)]
pub(super) struct Spawner(mpsc::Sender<SpawnRequest>);

impl Spawner {
    /// Starts the thread. It ends when the last clone is dropped.
    pub(super) fn start() -> std::io::Result<Self> {
        let (sender, requests) = mpsc::channel::<SpawnRequest>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("sandbox-spawner".to_owned()).spawn(move || {
            let _runtime = runtime.enter();
            for SpawnRequest { mut command, reply } in requests {
                // If the receiver is gone, the child is dropped here, which kills it.
                let _ = reply.send(command.spawn());
            }
        })?;
        Ok(Self(sender))
    }

    /// Starts `program`, as `user` if there is one. `arguments` makes the command line from the numbers of
    /// the descriptors.
    pub(super) async fn spawn(
        &self,
        program: &Path,
        user: Option<u32>,
        inherited: Inherited<'_>,
        arguments: impl FnOnce(Descriptors) -> Vec<OsString>,
    ) -> std::io::Result<Spawned> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        let ((info, info_end), (status, status_end), (output, output_end)) = (pipe()?, pipe()?, pipe()?);
        let mut passed = vec![info_end, status_end, in_memory(inherited.script.as_bytes())?];
        for filter in inherited.filters {
            passed.push(in_memory(filter)?);
        }
        let cgroup = inherited.cgroup.is_some().then_some(11);
        passed.extend(inherited.cgroup);
        let fds = Descriptors { info: 3, status: 4, script: 5, filters: [6, 7, 8, 9, 10], cgroup };
        let mut command = Command::new(program);
        command.args(arguments(fds)).env_clear().current_dir("/").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(output_end.try_clone()?).stderr(output_end);
        if let Some(user) = user {
            // This also drops the supplementary groups.
            command.uid(user).gid(user);
        }
        let mappings = passed.into_iter().zip(3..);
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
        command.fd_mappings(mappings.collect()).map_err(std::io::Error::other)?;
        let (reply, answer) = oneshot::channel();
        let gone = || std::io::Error::other("the thread that starts sandboxes is gone");
        self.0.send(SpawnRequest { command, reply }).map_err(|_| gone())?;
        let child = answer.await.map_err(|_| gone())??;
        let receiver = Receiver::from_owned_fd;
        Ok(Spawned { child, info: receiver(info)?, status: receiver(status)?, output: receiver(output)? })
    }
}

/// An unnamed file with this content, at its beginning.
fn in_memory(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memfd_create("capi", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}
