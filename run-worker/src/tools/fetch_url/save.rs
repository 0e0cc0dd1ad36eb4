//! Saves what a URL holds as a file: first beside the workspace, then in it.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use uuid::Uuid;

use super::client::{Reply, SaveFailure};
use crate::sandbox::free_on_disk;
use crate::sandbox::limits::SandboxLimits;
use crate::tools::ToolError;
use crate::tools::files::{check_room, disk_error, message_of, on_disk, writable};
use crate::workspace::{Workspace, WorkspacePath};

/// What a directory takes on disk, and at most what the end of a file wastes.
const BLOCK: u64 = 4096;

/// A file of the worker that no sandbox sees. Dropping it deletes the file, unless it was moved.
pub(super) struct Download {
    path: PathBuf,
    pub(super) bytes: u64,
}

impl Drop for Download {
    fn drop(&mut self) {
        // It may be in the workspace by now.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where a file will be saved.
pub(super) struct Target {
    path: PathBuf,
    given: String,
    /// Bytes that the workspace has room for.
    pub(super) room: u64,
}

/// Checks the path before anything is fetched.
pub(super) async fn target(workspace: &Workspace, given: String) -> Result<Target, ToolError> {
    let path = writable(&given)?;
    let of_task = workspace.clone();
    on_disk(workspace.tasks().clone(), move || {
        if given.ends_with('/') {
            let why = format!("{given:?} names a directory; give the path of a file in it.");
            return Err(ToolError::RespondToModel(why));
        }
        let (root, _) = of_task
            .open_root(WorkspacePath::Workspace(PathBuf::new()))
            .map_err(|error| disk_error(&error))?;
        match root.read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(message_of(&given, &error)),
            Ok(_) => return Err(taken(&given)),
        }
        check_room(&of_task, &path, 1)?;
        let measured = of_task.measure().map_err(|error| disk_error(&error))?;
        let used = measured.map_or(of_task.quota().bytes, |measured| measured.bytes);
        let around = (path.components().count() as u64 + 1) * BLOCK;
        let free = of_task.quota().bytes.saturating_sub(used).saturating_sub(around);
        Ok(Target { path, given, room: free })
    })
    .await
}

fn taken(given: &str) -> ToolError {
    let why = format!("{given:?} exists already. Give another path, or delete the file first.");
    ToolError::RespondToModel(why)
}

/// Writes the body to a file of at most `max` bytes. `limit` continues a sentence about these.
pub(super) async fn download(
    reply: Reply,
    workspace: &Workspace,
    id: Uuid,
    (max, limit): (u64, &str),
) -> Result<Download, ToolError> {
    let announced = reply.announced_bytes();
    let too_large = || {
        let size = announced.map_or_else(|| format!("more than {max}"), |size| size.to_string());
        ToolError::RespondToModel(format!("The file has {size} bytes, but at most {max} {limit}."))
    };
    if announced.is_some_and(|size| size > max) {
        return Err(too_large());
    }
    let (dir, needed) = (workspace.private_path(""), announced.unwrap_or(max));
    let free = on_disk(workspace.tasks().clone(), move || Ok(free_on_disk(&dir))).await?;
    if !leaves_reserve(free, needed) {
        tracing::warn!(free, needed, call_id = %id, "the disk has no room for a download");
        let why = "The worker's disk has no room for the file now. Try again later, or use a smaller file.";
        return Err(ToolError::RespondToModel(why.to_owned()));
    }
    let mut download = Download { path: workspace.private_path(&format!("fetch-{}", id.simple())), bytes: 0 };
    let mut file = File::create(&download.path).await.map_err(|error| disk_error(&error))?;
    download.bytes = reply.save(&mut file, max).await.map_err(|failure| match failure {
        SaveFailure::TooLarge => too_large(),
        SaveFailure::Request(why) => ToolError::RespondToModel(why),
        SaveFailure::Disk(error) => disk_error(&error),
    })?;
    Ok(download)
}

/// Whether the disk keeps what other runs need. Downloads beside the workspace count for no quota.
const fn leaves_reserve(free: u64, needed: u64) -> bool {
    free.saturating_sub(needed) >= SandboxLimits::DEFAULT.disk_reserve
}

impl Download {
    /// Opens the file, which the sandbox's user can read then.
    pub(super) fn open(&self) -> std::io::Result<std::fs::File> {
        let file = std::fs::File::open(&self.path)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        Ok(file)
    }

    /// Moves the file into the workspace.
    pub(super) async fn keep(self, workspace: &Workspace, target: Target) -> Result<u64, ToolError> {
        let of_task = workspace.clone();
        on_disk(workspace.tasks().clone(), move || {
            let Target { path, given, .. } = target;
            check_room(&of_task, &path, self.bytes)?;
            let adopt = |path: &Path| {
                let (root, path) = of_task.open_root(WorkspacePath::Workspace(path.to_owned()))?;
                root.adopt(&self.path, &path, 0o644, of_task.owner())
            };
            match adopt(&path) {
                Ok(()) => Ok(self.bytes),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken(&given)),
                Err(error) => Err(message_of(&given, &error)),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_leaves_the_reserve_of_the_disk() {
        let reserve = SandboxLimits::DEFAULT.disk_reserve;
        assert!(leaves_reserve(reserve + 50, 50));
        assert!(!leaves_reserve(reserve + 50, 51));
        assert!(!leaves_reserve(10, 50));
        assert!(leaves_reserve(u64::MAX, 50), "the free space is unknown");
    }
}
