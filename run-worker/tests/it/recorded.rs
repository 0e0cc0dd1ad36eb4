//! The statements that build or read the data of events in SQL use the keys of [`EventData`].

use std::collections::BTreeSet;

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Jsonb, Nullable};
use diesel_async::RunQueryDsl;
use run_worker::egress::{HostLog, recorded_hosts};
use run_worker::leases::append::append;
use serde_json::{Value, json};
use shared::config::LeaseConfig;
use shared::db::{Connection, statement};
use shared::ids::{ArtifactId, RunId};
use shared::runs::events::{
    self, Event, EventData, FoundSource, PublishedArtifact, RunStarted, RunTakenOver, SourceUse, ToolResult,
};
use shared::runs::{ErrorCode, Fence, RunEnd, RunError, RunResult, RunSource, ShownError, cancel, finish};
use shared::testing::TestDatabase;

use crate::{LEASE, answer, claim_one, claimant, pending_runs, take_over, user_message};

#[derive(QueryableByName)]
struct RunRow {
    #[diesel(sql_type = Nullable<Jsonb>)]
    result: Option<Value>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    error: Option<Value>,
    #[diesel(sql_type = Jsonb)]
    usage: Value,
    #[diesel(sql_type = Nullable<Jsonb>)]
    artifact: Option<Value>,
    #[diesel(sql_type = Bool)]
    newest: bool,
}

async fn row(conn: &mut Connection, run: RunId) -> RunRow {
    let sql = "
        SELECT r.result, r.error,
               jsonb_build_array(r.input_tokens, r.output_tokens, r.steps, r.tool_calls) AS usage,
               (SELECT to_jsonb(a) FROM (SELECT id, type, title, size, encode(sha256, 'hex') AS sha256
                FROM artifacts WHERE run_id = $1) a) AS artifact,
               r.last_seq = (SELECT max(seq) FROM run_events WHERE run_id = $1) AS newest
        FROM runs r WHERE r.id = $1";
    statement(sql).bind::<diesel::sql_types::Uuid, _>(run.uuid()).get_result(conn).await.unwrap()
}

async fn log(conn: &mut Connection, run: RunId) -> Vec<EventData> {
    let recorded = events::read(conn, run).await.unwrap();
    recorded.iter().map(|event| Event::read(event).unwrap().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_write_and_read_events_as_they_are_defined() {
    let database = TestDatabase::create().await;
    let (user, ids) = pending_runs(&database, 2).await;
    let mut conn = database.conn().await;
    claim_one(&mut conn, &claimant("first", 5), user).await.unwrap();
    database
        .run_sql("UPDATE runs SET lease_expires_at = capi_now() - interval '1 s' WHERE status = 'running'")
        .await;
    let run = take_over(&mut conn, &claimant("second", 5), 1).await.remove(0);
    let artifact = PublishedArtifact {
        id: ArtifactId::generate(),
        media_type: "text/plain".to_owned(),
        title: "a.txt".to_owned(),
        size: 7,
        sha256: "0f".repeat(32),
    };
    let written = [user_message("go"), answer("Half."), answer(" \n"), EventData::Artifact(artifact.clone())];
    assert!(append(&mut conn, run.fence(), run.last_seq, &written, LEASE).await.unwrap());
    let error = RunError::new(ErrorCode::WorkerLost, "why", None);
    finish(&mut conn, run.fence(), &[], &RunEnd::Lost(error)).await.unwrap();

    let recorded = log(&mut conn, ids[0]).await;
    assert_eq!(recorded[1], EventData::RunStarted(RunStarted { worker: "first".to_owned() }));
    assert_eq!(
        recorded[2],
        EventData::RunTakenOver(RunTakenOver { worker: "second".to_owned(), losses: 1, alone: false })
    );
    assert_eq!(recorded[3..7], written);
    let EventData::RunFailed(failed) = &recorded[7] else { panic!("{recorded:?}") };

    let ended = row(&mut conn, ids[0]).await;
    assert_eq!(
        ended.result,
        Some(json!({"text": "Half.", "partial": true})),
        "the last text that is not blank"
    );
    let shown: ShownError = serde_json::from_value(ended.error.unwrap()).unwrap();
    assert_eq!(shown.event_seq, 8);
    assert_eq!(shown.code, failed.error.code);
    assert_eq!(ended.usage, json!([6, 4, 2, 0]));
    assert_eq!(ended.artifact, Some(json!(artifact)));
    assert!(ended.newest);

    cancel(&mut conn, user, None, ids[1]).await.unwrap();
    assert_eq!(log(&mut conn, ids[1]).await[1..], [EventData::RunCancelled {}]);
}

/// The process that ends a lost or cancelled run does not know its pages, so the statement finds them.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_lost_or_cancelled_lists_its_sources() {
    let database = TestDatabase::create().await;
    let (user, ids) = pending_runs(&database, 2).await;
    let mut conn = database.conn().await;
    let page = |id: u32, title: &str, how| FoundSource {
        id,
        url: format!("https://e.org/{id}"),
        title: title.to_owned(),
        how,
        snippet: "It opens at nine.".to_owned(),
        date: None,
    };
    let result = |name: &str, sources: Vec<FoundSource>| {
        EventData::ToolResult(ToolResult {
            call_id: ArtifactId::generate().uuid(),
            name: name.to_owned(),
            content: String::new(),
            is_error: false,
            picture: None,
            workspace: None,
            contacted_hosts: Vec::new(),
            over_quota: false,
            sources,
        })
    };
    let found = [1, 2, 10].map(|id| page(id, if id == 2 { "" } else { "A page" }, SourceUse::Searched));
    let written = [
        result("web_search", found.to_vec()),
        result("fetch_url", vec![page(2, "Two", SourceUse::Read)]),
        answer("It opens at nine [10]."),
    ];
    for _ in &ids {
        let run = claim_one(&mut conn, &claimant("first", 5), user).await.unwrap();
        assert!(append(&mut conn, run.fence(), run.last_seq, &written, LEASE).await.unwrap());
        if run.id == ids[0] {
            let error = RunError::new(ErrorCode::WorkerLost, "why", None);
            finish(&mut conn, run.fence(), &[], &RunEnd::Lost(error)).await.unwrap();
        } else {
            cancel(&mut conn, user, None, run.id).await.unwrap();
        }
        let stored: RunResult = serde_json::from_value(row(&mut conn, run.id).await.result.unwrap()).unwrap();
        let source = |id: u32, title: &str, how| RunSource {
            id,
            url: format!("https://e.org/{id}"),
            title: title.to_owned(),
            how,
        };
        let expected = [
            source(1, "A page", SourceUse::Searched),
            source(2, "Two", SourceUse::Read),
            source(10, "A page", SourceUse::Cited),
        ];
        assert_eq!(stored.sources, expected, "{stored:?}");
        assert!(stored.partial);
    }
}

/// The row repeats what the events say, behind the same fence.
#[tokio::test(flavor = "multi_thread")]
async fn contacted_hosts_are_added_to_the_row() {
    #[derive(QueryableByName)]
    struct Hosts {
        #[diesel(sql_type = diesel::sql_types::Text)]
        text: String,
    }
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 1).await;
    let mut conn = database.conn().await;
    let run = claim_one(&mut conn, &claimant("first", 5), user).await.unwrap();
    let result = |hosts: &[&str]| {
        EventData::ToolResult(ToolResult {
            call_id: ArtifactId::generate().uuid(),
            name: "fetch_url".to_owned(),
            content: String::new(),
            is_error: false,
            picture: None,
            workspace: None,
            contacted_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            over_quota: false,
            sources: Vec::new(),
        })
    };
    let both = [result(&["b.example", "a.example"]), result(&[]), result(&["Z.example", "b.example"])];
    assert!(append(&mut conn, run.fence(), run.last_seq, &both, LEASE).await.unwrap());
    let last = run.last_seq + 3;
    assert!(append(&mut conn, run.fence(), last, &[result(&[])], LEASE).await.unwrap());
    let stale = [result(&["stale.example"])];
    let old = Fence { attempt: run.attempt - 1, ..run.fence() };
    assert!(!append(&mut conn, old, last + 1, &stale, LEASE).await.unwrap());
    let error = RunError::new(ErrorCode::ToolError, "why", None);
    let end = RunEnd::Failed(error, None);
    finish(&mut conn, run.fence(), &[result(&["c.example"])], &end).await.unwrap();
    let sql = "SELECT array_to_string(contacted_hosts, ' ') AS text FROM runs";
    let row: Hosts = statement(sql).get_result(&mut conn).await.unwrap();
    assert_eq!(row.text, "Z.example a.example b.example c.example");
}

/// A cancelled run and a lost worker record no result of the call. The row has its hosts before.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_in_the_row_before_it_is_contacted() {
    let database = TestDatabase::create().await;
    let (user, _) = pending_runs(&database, 1).await;
    let mut conn = database.conn().await;
    let run = claim_one(&mut conn, &claimant("first", 5), user).await.unwrap();
    let lease = LeaseConfig { lease_seconds: 30 };
    let log = HostLog::new(database.db.clone(), lease, run.fence(), BTreeSet::new());
    let hosts = async |conn: &mut Connection| {
        recorded_hosts(conn, run.id).await.unwrap().into_iter().collect::<Vec<_>>().join(" ")
    };
    log.begin("b.example").await.unwrap();
    log.begin("a.example").await.unwrap();
    assert_eq!(hosts(&mut conn).await, "a.example b.example");
    log.begin("a.example").await.unwrap();
    assert_eq!(hosts(&mut conn).await, "a.example b.example");
    cancel(&mut conn, user, None, run.id).await.unwrap();
    assert!(log.begin("c.example").await.unwrap_err().contains("over"));
    log.begin("b.example").await.unwrap();
    assert_eq!(hosts(&mut conn).await, "a.example b.example");
}
