//! The artifact store of a stack.

use std::path::PathBuf;

use bytes::Bytes;
use diesel::sql_types::{BigInt, Binary, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::statement;
use shared::ids::{ArtifactId, RunId};
use shared::storage::{Artifacts, ObjectKey};
use url::{Position, Url};

use crate::address::Gateway;
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

    /// Downloads the run's artifact of this title; its type and its bytes.
    pub async fn artifact(&self, gateway: &impl Gateway, run: &Value, title: &str) -> (String, Vec<u8>) {
        let mut all = run["artifacts"].as_array().into_iter().flatten();
        let artifact = all.find(|artifact| artifact["title"] == title);
        let artifact = artifact.unwrap_or_else(|| panic!("no {title}: {run}"));
        let text = |member: &str| artifact[member].as_str().expect("a text");
        let link = Url::parse(text("downloadUrl")).expect("a URL");
        // The gateway's public address need not be the one at which it answers here.
        let link = format!("{}{}", gateway.url(), &link[Position::BeforePath..]);
        let answer = self.client.get(link).send().await.expect("the gateway answers");
        assert_eq!(answer.status().as_u16(), 200, "{title}");
        let bytes = answer.bytes().await.expect("the body comes").to_vec();
        assert_eq!(artifact["size"], bytes.len(), "{title}");
        (text("type").to_owned(), bytes)
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
