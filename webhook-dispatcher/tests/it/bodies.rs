//! The bodies of all attempts are equal but for links, and show the run as GET does.

use std::time::Duration;

use serde_json::{Value, json};
use shared::ids::RunId;
use shared::runs::{RunningCaps, Viewer};
use shared::testing::{ReceivedWebhook, WebhookReceiver};

use crate::fixture::{Fixture, received};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_all_attempts_are_equal_but_for_links() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([500, 500]).await;
    let (run, _) = fixture.deliver_to(&receiver.url()).await;
    let artifact = format!(
        "INSERT INTO artifacts (id, run_id, type, title, size, sha256)
         VALUES (gen_random_uuid(), '{run}', 'text/plain', 'a.txt', 1, decode(repeat('00', 32), 'hex'))"
    );
    fixture.database.run_sql(artifact).await;
    let _dispatcher = fixture.start().await;
    for (number, ahead) in [(1, 0), (2, 3600), (3, 7200)] {
        fixture.let_pass(Duration::from_secs(ahead)).await;
        received(&receiver, number).await;
    }
    fixture.attempts_when(run, "delivered").await;
    let requests = receiver.received();
    let bodies: Vec<_> = requests.iter().map(|request| without_links(&request.body)).collect();
    assert_eq!(bodies[0].0, bodies[1].0);
    assert_eq!(bodies[0].0, bodies[2].0);
    let ended = "SELECT to_char(completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS text
                 FROM runs";
    assert_eq!(requests[2].json()["timestamp"], fixture.text(ended).await, "the time of the event");
    let ids: Vec<_> = requests.iter().map(|request| &request.headers["webhook-id"]).collect();
    assert_eq!((ids[0], ids[1]), (ids[1], ids[2]));
    let times: Vec<_> = requests.iter().map(|request| &request.headers["webhook-timestamp"]).collect();
    assert!(times[0] < times[1] && times[1] < times[2], "the time of the attempt: {times:?}");
    assert_ne!(bodies[0].1, bodies[2].1, "links are signed again");
}

/// The body with each signed link and its end of validity cut out, and what was cut out.
fn without_links(body: &[u8]) -> (String, Vec<String>) {
    const NAME: &str = "\"downloadUrl";
    const VALUE: &str = "\":\"";
    let (mut rest, mut kept, mut links) = (std::str::from_utf8(body).unwrap(), String::new(), Vec::new());
    while let Some(at) = rest.find(NAME) {
        let value = at + rest[at..].find(VALUE).unwrap() + VALUE.len();
        let (before, link) = rest.split_at(value);
        kept.push_str(before);
        let end = link.find('"').unwrap();
        links.push(link[..end].to_owned());
        rest = &link[end..];
    }
    kept.push_str(rest);
    assert_eq!(links.len(), 2, "the run has an artifact: {kept}");
    (kept, links)
}

/// Everything that a run may have, for a run that ends with these columns.
fn whole_run(run: RunId, end: &str) -> [String; 5] {
    [
        "INSERT INTO api_keys (id, user_id, name, sha256, display_prefix)
         SELECT id, id, 'key', sha256(uuid_send(id)), 'capi_' FROM users ON CONFLICT DO NOTHING"
            .to_owned(),
        format!(
            "UPDATE runs SET {end}, api_key_id = user_id, started_at = capi_now(), attempt = 2, last_seq = 9,
                 inputs = '{{\"text\": \"x\", \"list\": [1.5, null]}}',
                 metadata = '{{\"b\": \"2\", \"a\": \"1\"}}',
                 input_tokens = 10, output_tokens = 20, steps = 2, tool_calls = 3, cached_input_tokens = 4,
                 contacted_hosts = '{{a.example,b.example}}',
                 webhook_events = '{{run.completed,run.failed,run.cancelled,run.artifact}}'
             WHERE id = '{run}'"
        ),
        format!(
            "INSERT INTO run_files (id, run_id, name, type, size, sha256, part, position)
             SELECT gen_random_uuid(), '{run}', 'f' || n, 'text/csv', n, sha256(''), 'file', 3 - n
             FROM generate_series(1, 2) n"
        ),
        // One of them has a delivery of its own.
        format!(
            "INSERT INTO artifacts (id, run_id, type, title, size, sha256)
             VALUES (gen_random_uuid(), '{run}', 'text/plain; charset=utf-8', 'a.txt', 1, sha256('a'))"
        ),
        format!(
            "INSERT INTO webhook_deliveries
                 (id, lane_id, user_id, run_id, type, url, status, next_attempt_at, created_at)
             SELECT webhook_id_v1(id, 'run.' || status, NULL), webhook_lane_v1(user_id, webhook_host),
                    user_id, id, 'run.' || status, webhook_url, 'pending', completed_at, completed_at
             FROM runs WHERE id = '{run}'"
        ),
    ]
}

/// Cuts out the signed links, which another test checks.
fn without_signatures(mut run: Value) -> Value {
    for artifacts in ["/artifacts", "/result/artifacts"] {
        for artifact in run.pointer_mut(artifacts).and_then(Value::as_array_mut).into_iter().flatten() {
            for name in ["downloadUrl", "downloadUrlExpiresAt"] {
                assert!(artifact.as_object_mut().unwrap().remove(name).is_some(), "{artifact}");
            }
        }
    }
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_shows_the_run_as_get_does() {
    let fixture = Fixture::create().await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = fixture.start().await;
    let config = fixture.config();
    let viewer = Viewer {
        caps: RunningCaps { by_plan: json!({}), otherwise: 1 },
        links: config.secret_key.links(&config.links).unwrap(),
    };
    for (number, end) in [
        r#"status = 'completed', completed_at = capi_now(), result = '{"text": "done [1]",
           "data": {"a": null},
           "sources": [{"id": 1, "url": "https://e.org/", "title": "E", "how": "cited"}]}'"#,
        r#"status = 'failed', completed_at = capi_now(), error_code = 'model_unavailable', error = '{"code":
           "model_unavailable", "message": "m", "step": 2, "eventSeq": 9, "retryable": true}',
           result = '{"text": "so far", "partial": true}'"#,
        "status = 'cancelled', completed_at = capi_now()",
    ]
    .into_iter()
    .enumerate()
    {
        let run = fixture.run_to(&receiver.url()).await;
        for sql in whole_run(run, end) {
            fixture.database.run_sql(sql).await;
        }
        let requests = received(&receiver, 2 * (number + 1)).await;
        let mut conn = fixture.database.conn().await;
        let shown = viewer.load(&mut conn, fixture.user, run).await.unwrap().unwrap();
        let mut shown = without_signatures(serde_json::to_value(shown).unwrap());
        let state = shown.as_object_mut().unwrap().remove("webhook").unwrap();
        assert!(state["deliveryId"].is_string() && !shown["files"][1]["sha256"].is_null(), "{shown}");
        let bodies =
            requests.iter().map(ReceivedWebhook::json).filter(|body| body["data"]["id"] == run.to_string());
        let mut types = Vec::new();
        for body in bodies {
            assert_eq!(without_signatures(body["data"].clone()), shown, "{}", body["type"]);
            types.push(body["type"].as_str().unwrap().to_owned());
        }
        types.sort_unstable();
        let end = format!("run.{}", shown["status"].as_str().unwrap());
        assert_eq!(types, ["run.artifact".to_owned(), end]);
    }
}

/// The id of an event depends on nothing but the event.
#[tokio::test(flavor = "multi_thread")]
async fn events_keep_their_ids() {
    let fixture = Fixture::create().await;
    let run = fixture.run_to("http://127.0.0.1:8080/").await;
    for sql in [
        "UPDATE runs SET webhook_events = '{run.started,run.artifact}'",
        "UPDATE runs SET status = 'running', attempt = 1, lease_owner = 'w', started_at = capi_now(),
                lease_expires_at = capi_now() + interval '1 hour'",
        "INSERT INTO artifacts (id, run_id, type, title, size, sha256)
         SELECT gen_random_uuid(), id, 'text/plain', n::text, 1, sha256('')
         FROM runs, generate_series(1, 2) n",
    ] {
        fixture.database.run_sql(sql).await;
    }
    let derived = format!(
        "SELECT count(*) || ' ' || bool_and(d.id = webhook_id_v1('{run}', d.type, d.artifact_id)) AS text
         FROM webhook_deliveries d"
    );
    assert_eq!(fixture.text(derived).await, "3 true");
}
