//! Tests of the worker's statements on a real PostgreSQL, and of the sandbox.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod claim_sets;
mod claiming;
mod conformance;
mod consuming;
mod documents;
mod fencing;
mod fetch;
mod interleavings;
mod leases;
mod owner_per_claim;
mod pictures;
mod places;
mod plans;
mod prompt_cache;
mod quotas;
mod recorded;
mod resume;
mod retention;
mod run_sets;
mod sandbox;
mod search;
mod snapshots;
mod state_machine;
mod store_gc;

use clap::Parser;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use run_worker::config::Config;
use run_worker::leases::store::{self, Claimant, Claimed, Wanted};
use serde_json::json;
use shared::db::{Connection, statement};
use shared::ids::{ArtifactId, RunId, UserId};
use shared::runs::events::{EventData, LoggedAnswer, LoggedMessage, RequestedCall, StepUsage};
use shared::testing::{TestDatabase, TestQueues};
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(30);

fn claimant(worker: &str, cap: i32) -> Claimant {
    Claimant {
        worker: worker.to_owned(),
        lease: LEASE,
        caps: json!({ "pro": cap }),
        smallest_cap: 1,
        suspects_at_once: 1,
    }
}

/// Claims the user's oldest pending run, if the cap allows one more.
async fn claim_one(conn: &mut Connection, by: &Claimant, user: UserId) -> Option<Claimed> {
    let wanted = [Wanted { user, count: 1 }];
    store::claim(conn, by, Uuid::new_v4(), &wanted, 1, true).await.unwrap().runs.pop()
}

/// Takes over at most `limit` runs.
async fn take_over(conn: &mut Connection, by: &Claimant, limit: i64) -> Vec<Claimed> {
    store::take_over(conn, by, Uuid::new_v4(), limit).await.unwrap()
}

/// The settings of a worker in process with this models file, and more arguments.
fn worker_config(
    dir: &Path,
    (database, queues): (&TestDatabase, &TestQueues),
    models_file: &str,
    more: &[&str],
) -> Config {
    let models = dir.join("models.toml");
    std::fs::write(&models, models_file).unwrap();
    let (models, store) = (models.display().to_string(), format!("file://{}/artifacts", dir.display()));
    let settings = [
        ["--database-url", &database.url],
        ["--amqp-url", &queues.url],
        ["--queue-prefix", &queues.prefix],
        ["--models", &models],
        ["--artifacts-url", &store],
    ];
    Config::parse_from(["run-worker"].iter().chain(settings.as_flattened()).chain(more))
}

/// An answer of the model that calls a tool.
fn answer(content: &str) -> EventData {
    EventData::Message(LoggedMessage::Assistant(LoggedAnswer {
        content: content.to_owned(),
        finish_reason: "tool_calls".to_owned(),
        usage: StepUsage { input_tokens: 3, output_tokens: 2, ..StepUsage::default() },
        tool_calls: vec![RequestedCall {
            id: ArtifactId::generate().uuid(),
            provider_id: "a".to_owned(),
            name: "save_artifact".to_owned(),
            arguments: "{}".to_owned(),
            extra: None,
        }],
        reasoning: Some(json!({"reasoning": "Hm."})),
    }))
}

fn user_message(content: &str) -> EventData {
    EventData::Message(LoggedMessage::User { content: content.to_owned(), pictures: vec![] })
}

/// Makes an account with the plan `pro` and `count` pending runs. Returns their ids, oldest first.
async fn pending_runs(database: &TestDatabase, count: usize) -> (UserId, Vec<RunId>) {
    let (user, app, version) = (UserId::generate(), UserId::generate(), UserId::generate());
    let mut conn = database.conn().await;
    let account = "
        WITH u AS (
            INSERT INTO users (id, email, password_hash, plan) VALUES ($1, $1 || '@x', '', 'pro') RETURNING id
        ), s AS (
            INSERT INTO user_slots SELECT id FROM u RETURNING user_id
        ), a AS (
            INSERT INTO apps (id, user_id, name) SELECT $2, user_id, 'a' FROM s RETURNING id
        )
        INSERT INTO app_versions (id, app_id, version, definition)
        SELECT $3, id, 1, '{\"name\":\"a\",\"prompt\":\"p\"}' FROM a";
    statement(account)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<SqlUuid, _>(app.uuid())
        .bind::<SqlUuid, _>(version.uuid())
        .execute(&mut conn)
        .await
        .unwrap();
    let run = "
        WITH r AS (
            INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs,
                chat_model_id, metadata, created_at, last_seq, webhook_url, webhook_host)
            VALUES ($1, $2, $3, $4, 'api', 'pending', 't', '{}',
                'm', '{}', capi_now(), 1, 'http://h/', 'h:80')
            RETURNING id, created_at
        )
        INSERT INTO run_events (run_id, seq, type, at, attempt, data)
        SELECT id, 1, 'run.created', created_at, 0, '{\"source\": \"api\"}' FROM r";
    let ids: Vec<_> = (0..count).map(|_| RunId::generate()).collect();
    for id in &ids {
        statement(run)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<SqlUuid, _>(app.uuid())
            .bind::<SqlUuid, _>(version.uuid())
            .execute(&mut conn)
            .await
            .unwrap();
    }
    (user, ids)
}
