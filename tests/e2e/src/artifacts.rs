//! The artifact store of a stack.

use std::path::PathBuf;

use bytes::Bytes;
use diesel::sql_types::{BigInt, Binary, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::statement;
use shared::ids::{ArtifactId, RunId};
use shared::storage::{Artifacts, ObjectKey};
use url::Url;

use crate::stack::Stack;

impl Stack {
    /// Gives a run an artifact, as a worker does.
    pub async fn add_artifact(&self, run: RunId, id: ArtifactId, kind: &str, title: &str, bytes: Bytes) {
        let sql = "INSERT INTO artifacts (id, run_id, type, title, size, sha256)
                   VALUES ($1, $2, $3, $4, $5, sha256($6))";
        statement(sql)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<SqlUuid, _>(run.uuid())
            .bind::<Text, _>(kind)
            .bind::<Text, _>(title)
            .bind::<BigInt, _>(i64::try_from(bytes.len()).expect("a length"))
            .bind::<Binary, _>(bytes.as_ref())
            .execute(&mut self.database.conn().await)
            .await
            .expect("the artifact is written");
        self.artifacts().put(&ObjectKey::artifact(run, id), bytes).await.expect("the bytes are stored");
    }

    /// The store.
    #[must_use]
    pub fn artifacts(&self) -> Artifacts {
        let url = Url::from_directory_path(self.artifacts_dir()).expect("an absolute path");
        Artifacts::open(&url).expect("the store opens")
    }

    /// The store's directory.
    #[must_use]
    pub fn artifacts_dir(&self) -> PathBuf {
        self.dir.path().join("artifacts")
    }

    /// The number of artifacts that are stored for a run.
    #[must_use]
    pub fn stored(&self, run: RunId) -> usize {
        let dir = self.artifacts_dir().join(format!("runs/{run}/artifacts"));
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    }
}
