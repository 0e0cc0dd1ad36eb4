//! The keys of objects. All objects of a run lie under `runs/{id}/`.

use std::fmt;

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::ids::{ArtifactId, FileId, RunId};

/// The key of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(pub(super) Path);

/// Names a pack: an object that holds pieces of files of a snapshot. The attempt makes it unique, so that a
/// stale attempt never overwrites the pack of a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackId {
    pub attempt: i32,
    /// The event that names the first snapshot with this pack.
    pub seq: i64,
    /// Counts the packs of one snapshot.
    pub number: u32,
}

impl ObjectKey {
    #[must_use]
    pub fn artifact(run: RunId, artifact: ArtifactId) -> Self {
        Self(Path::from(format!("runs/{run}/artifacts/{artifact}")))
    }

    /// Of an input file.
    #[must_use]
    pub fn file(run: RunId, file: FileId) -> Self {
        Self(Path::from(format!("runs/{run}/files/{file}")))
    }

    /// Of the workspace when the attempt recorded event `seq`.
    #[must_use]
    pub fn snapshot(run: RunId, attempt: i32, seq: i64) -> Self {
        Self(Path::from(format!("runs/{run}/{attempt}/{seq}")))
    }

    #[must_use]
    pub fn pack(run: RunId, pack: PackId) -> Self {
        let PackId { attempt, seq, number } = pack;
        Self(Path::from(format!("runs/{run}/{attempt}/{seq}-{number}")))
    }

    /// Of a picture that a tool showed to the model. Its hash names it, so no attempt changes the picture of
    /// another one.
    #[must_use]
    pub fn shown_picture(run: RunId, sha256: &str) -> Self {
        Self(Path::from(format!("runs/{run}/pictures/{sha256}")))
    }

    /// Whether this object is such a picture of the run.
    #[must_use]
    pub fn is_shown_picture(&self, run: RunId) -> bool {
        self.0.as_ref().starts_with(&format!("runs/{run}/pictures/"))
    }

    /// Of the id of the installation that owns the store.
    #[must_use]
    pub fn installation() -> Self {
        Self(Path::from("installation"))
    }

    /// Parses the key of a snapshot in an event. Returns `None` for all other keys, and for keys of other
    /// runs.
    #[must_use]
    pub fn read_snapshot(run: RunId, text: &str) -> Option<Self> {
        let (attempt, seq) = text.strip_prefix(&format!("runs/{run}/"))?.split_once('/')?;
        Some(Self::snapshot(run, attempt.parse().ok()?, seq.parse().ok()?))
    }

    /// The attempt that wrote this object, if it is a snapshot or a pack of the run.
    #[must_use]
    pub fn snapshot_attempt(&self, run: RunId) -> Option<i32> {
        let (attempt, name) = self.0.as_ref().strip_prefix(&format!("runs/{run}/"))?.split_once('/')?;
        let (seq, number) = name.split_once('-').unwrap_or((name, "0"));
        let (_, _): (i64, u32) = (seq.parse().ok()?, number.parse().ok()?);
        attempt.parse().ok()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_snapshots_and_packs_of_the_run_count_as_such() {
        let (run, other) = (RunId::generate(), RunId::generate());
        let pack = ObjectKey::pack(run, PackId { attempt: 3, seq: 12, number: 4 });
        assert_eq!(pack.to_string(), format!("runs/{run}/3/12-4"));
        assert_eq!(pack.snapshot_attempt(run), Some(3));
        assert_eq!(ObjectKey::snapshot(run, 2, 7).snapshot_attempt(run), Some(2));
        assert_eq!(pack.snapshot_attempt(other), None);
        assert_eq!(ObjectKey::artifact(run, ArtifactId::generate()).snapshot_attempt(run), None);
        assert_eq!(ObjectKey::file(run, FileId::generate()).snapshot_attempt(run), None);
        assert_eq!(ObjectKey::read_snapshot(run, &pack.to_string()), None);
        let picture = ObjectKey::shown_picture(run, "0f");
        assert!(picture.is_shown_picture(run) && !picture.is_shown_picture(other));
        assert!(picture.snapshot_attempt(run).is_none() && !pack.is_shown_picture(run));
    }
}
