//! What can be done with runs over HTTP: list, cancel, delete, wait, dry run, and the rules of HTTP itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use e2e::{Answer, Process, Service, Stack};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::ids::ArtifactId;
use shared::testing::{TcpProxy, WebhookReceiver, eventually};

async fn create(stack: &Stack, gateway: &Process, more: Value) -> String {
    let mut body = json!({"appId": stack.app, "inputs": {"text": "hello"}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = stack.post(gateway, "/api/v1/runs", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.headers["location"], format!("/api/v1/runs/{}", answer.body["id"].as_str().unwrap()));
    answer.body["id"].as_str().unwrap().to_owned()
}

fn ids(page: &Answer) -> Vec<String> {
    let items = page.body["data"].as_array().unwrap_or_else(|| panic!("{page:?}"));
    items.iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_their_pages_hold_together() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let other = stack.import("name = 'Other'\nprompt = 'x'").await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(
            create(&stack, &gateway, json!({"metadata": {"n": number.to_string(), "ci": "yes"}})).await,
        );
    }
    let elsewhere = stack.post(&gateway, &format!("/api/v1/apps/{other}/runs"), &json!({})).await;
    let elsewhere = elsewhere.body["id"].as_str().unwrap().to_owned();
    for id in &made[..2] {
        let cancelled = stack.post(&gateway, &format!("/api/v1/runs/{id}/cancel"), &json!({})).await;
        assert_eq!((cancelled.status, cancelled.body), (200, json!({"success": true})));
    }
    let list = async |query: &str| stack.get(&gateway, &format!("/api/v1/runs{query}")).await;

    let all = list("").await;
    let newest_first: Vec<_> = std::iter::once(&elsewhere).chain(made.iter().rev()).cloned().collect();
    assert_eq!((ids(&all), &all.body["nextCursor"]), (newest_first.clone(), &Value::Null));
    let item = &all.body["data"][7];
    assert!(item.get("inputs").is_none() && item.get("result").is_none() && item["usage"].is_object());
    let whole = list("?include=inputs,result&limit=1").await;
    assert_eq!(whole.body["data"][0]["inputs"], json!({}));
    assert_eq!(whole.body["data"][0]["result"], Value::Null);

    assert_eq!(ids(&list("?status=cancelled").await), [made[1].clone(), made[0].clone()]);
    assert_eq!(ids(&list("?status=cancelled&status=pending").await), newest_first);
    assert_eq!(ids(&list("?status=running").await), Vec::<String>::new());
    assert_eq!(ids(&list(&format!("?appId={other}")).await), [elsewhere.clone()]);
    assert_eq!(ids(&stack.get(&gateway, &format!("/api/v1/apps/{other}/runs")).await), [elsewhere.clone()]);
    assert_eq!(ids(&list("?metadata.n=3").await), [made[3].clone()]);
    assert_eq!(ids(&list("?metadata.n=3&metadata.ci=no").await), Vec::<String>::new());
    assert_eq!(ids(&list("?metadata.ci=yes&status=cancelled").await).len(), 2);
    assert_eq!(ids(&list("?source=console").await), Vec::<String>::new());
    let third = stack.get(&gateway, &format!("/api/v1/runs/{}", made[3])).await.body;
    let at = third["createdAt"].as_str().unwrap();
    let around = [list(&format!("?createdAfter={at}")).await, list(&format!("?createdBefore={at}")).await];
    assert_eq!(ids(&around[1]), [made[2].clone(), made[1].clone(), made[0].clone()]);
    // The shown time has milliseconds, the row microseconds.
    assert_eq!(ids(&around[0]).len(), 5);

    // Pages of two, while new runs arrive and one of the old ones goes: nothing twice, nothing left out.
    let mut seen = Vec::new();
    let mut query = "?metadata.ci=yes&limit=2".to_owned();
    loop {
        let page = list(&query).await;
        seen.extend(ids(&page));
        create(&stack, &gateway, json!({"metadata": {"ci": "yes"}})).await;
        let Some(cursor) = page.body["nextCursor"].as_str() else { break };
        query = format!("?cursor={cursor}&limit=2");
    }
    assert_eq!(seen, made.iter().rev().cloned().collect::<Vec<_>>(), "the cursor carries its filters");
    let cursor = list("?status=pending&limit=1").await.body["nextCursor"].as_str().unwrap().to_owned();
    let contradicts = list(&format!("?cursor={cursor}&status=running")).await;
    assert_eq!((contradicts.status, &contradicts.body["errors"][0]["parameter"]), (400, &"cursor".into()));
    assert_eq!(list(&format!("?cursor={cursor}&status=pending")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_walks_an_index() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    for number in 0..3 {
        create(&stack, &gateway, json!({"metadata": {"n": number.to_string()}})).await;
    }
    for query in ["", "?status=pending", "?status=failed&status=completed", "?metadata.n=1"] {
        assert_eq!(stack.get(&gateway, &format!("/api/v1/runs{query}")).await.status, 200);
    }
    stack.database.run_sql("INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs, chat_model_id, metadata, created_at, last_seq)
        SELECT gen_random_uuid(), user_id, app_id, app_version_id, 'api', 'pending', '', '{}', 'm', '{}', created_at + n * interval '1 s', 1
        FROM runs, generate_series(1, 20000) n").await;
    stack.database.run_sql("ANALYZE runs").await;
    for condition in ["", "AND status = 'failed'", "AND app_id = (SELECT id FROM apps)"] {
        let plan = format!(
            "SELECT id FROM runs WHERE user_id = (SELECT id FROM users) {condition} ORDER BY created_at DESC, id DESC LIMIT 21"
        );
        let plan = stack.explain(&plan).await;
        assert!(plan.contains("Index Scan Backward") || plan.contains("Index Only Scan Backward"), "{plan}");
        assert!(!plan.contains("Sort"), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_final_and_told() {
    let stack = Stack::unlimited().await;
    let gateways = [stack.start(Service::Gateway).await, stack.start(Service::Gateway).await];
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let receiver = WebhookReceiver::start([]).await;
    let pending = stack.create_run(&gateways[0], "never", Some(&receiver.url())).await;
    let cancel = async |id: &str| {
        stack.post(&gateways[1], &format!("/api/v1/apps/{}/runs/{id}/cancel", stack.app), &json!({})).await
    };
    for _ in 0..2 {
        let answer = cancel(&pending).await;
        assert_eq!((answer.status, answer.body), (200, json!({"success": true})));
    }
    let run = stack.get(&gateways[0], &format!("/api/v1/runs/{pending}")).await.body;
    assert_eq!((&run["status"], run["completedAt"].is_string()), (&"cancelled".into(), true), "{run}");
    let told = eventually("the webhook", async || receiver.received().pop()).await.json();
    assert_eq!((&told["type"], &told["data"]["status"]), (&"run.cancelled".into(), &"cancelled".into()));

    // In the middle of a model call: what the worker says later changes nothing.
    let worker = stack.start(Service::RunWorker).await;
    let running = stack.create_run(&gateways[0], "HOLD", None).await;
    eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
    assert_eq!(cancel(&running).await.status, 200);
    stack.model.release();
    let other = stack.create_run(&gateways[0], "hello", None).await;
    stack.ended(&gateways[0], &other).await;
    eventually("the worker lets go", async || {
        (worker.counter("capi_writes_fenced_total").await > 0.0 || stack.model.holding() == 0).then_some(())
    })
    .await;
    let run = stack.get(&gateways[0], &format!("/api/v1/runs/{running}")).await.body;
    assert_eq!((&run["status"], &run["result"]), (&"cancelled".into(), &Value::Null), "{run}");
    let late = cancel(&other).await;
    assert_eq!((late.status, &late.body["code"]), (409, &"run_already_finished".into()));
    let last =
        "SELECT string_agg(type, ' ' ORDER BY seq) AS text FROM run_events GROUP BY run_id ORDER BY run_id";
    for log in stack.texts(last).await {
        assert_eq!(log.matches("run.c").count(), 2, "one beginning and one end: {log}");
        assert!(log.ends_with("run.cancelled") || log.ends_with("run.completed"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_run_leaves_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let receiver = WebhookReceiver::start([500]).await;
    let _dispatcher = stack.start(Service::WebhookDispatcher).await;
    let body = json!({"appId": stack.app, "inputs": {"text": "x"}, "metadata": {"a": "b"}, "webhookUrl": receiver.url()});
    let id = stack.post(&gateway, "/api/v1/runs", &body).await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/runs/{id}");
    let delete =
        || stack.send(stack.client().delete(format!("{}{path}", gateway.url())).bearer_auth(&stack.key));
    let early = delete().await;
    assert_eq!((early.status, &early.body["code"]), (409, &"run_not_finished".into()));
    let artifact = ArtifactId::generate();
    stack.add_artifact(id.parse().unwrap(), artifact, "text/plain", "a", Bytes::from("a")).await;
    stack.post(&gateway, &format!("{path}/cancel"), &json!({})).await;
    eventually("a try is recorded", async || {
        (stack.text("SELECT count(*)::text AS text FROM webhook_attempts").await == "1").then_some(())
    })
    .await;
    let gone = delete().await;
    assert_eq!((gone.status, gone.body), (204, Value::Null));
    assert_eq!((delete().await.status, stack.get(&gateway, &path).await.status), (404, 404));
    let left = "SELECT ((SELECT count(*) FROM runs) + (SELECT count(*) FROM run_events) + (SELECT count(*) FROM artifacts)
        + (SELECT count(*) FROM run_metadata) + (SELECT count(*) FROM webhook_deliveries) + (SELECT count(*) FROM webhook_attempts))::text AS text";
    assert_eq!(stack.text(left).await, "0");
    let stored = stack.artifacts().get(id.parse().unwrap(), artifact, 0..1).await;
    assert!(stored.is_err_and(|error| error.is_missing()));
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_end_with_the_run_whatever_the_broker_does() {
    let mut stack = Stack::unlimited().await;
    let (scheme, rest) = stack.queues.url.split_once('@').unwrap();
    let (target, path) = rest.split_once('/').unwrap();
    let proxy = TcpProxy::start(target.to_owned()).await;
    let direct = stack.settings.clone();
    stack.settings = stack.settings_with("CAPI_AMQP_URL", &format!("{scheme}@{}/{path}", proxy.address));
    let gateway = stack.start(Service::Gateway).await;
    stack.settings = direct;
    let _worker = stack.start(Service::RunWorker).await;

    let id = stack.create_run(&gateway, "HOLD", None).await;
    let url = format!("/api/v1/runs/{id}");
    let short = stack.get(&gateway, &format!("{url}?wait=1")).await;
    assert_eq!((short.status, &short.body["status"]), (200, &"running".into()), "the wait ends first");
    assert_eq!(short.headers["retry-after"], "2");
    let for_ever = format!("{url}?wait=4000000000");
    let long = stack.get(&gateway, &for_ever);
    let released = async {
        eventually("the model is asked", async || (stack.model.holding() == 1).then_some(())).await;
        eventually("it waits", async || {
            (stack.text("SELECT cardinality(ends)::text AS text FROM open_waits").await == "1").then_some(())
        })
        .await;
        stack.model.release();
        Instant::now()
    };
    let (ended, released) = tokio::join!(long, released);
    assert_eq!((&ended.body["status"], ended.headers.get("retry-after")), (&"completed".into(), None));
    assert!(released.elapsed() < Duration::from_millis(1500), "woken, not polled: {:?}", released.elapsed());
    eventually("its place is free", async || {
        (stack.text("SELECT cardinality(ends)::text AS text FROM open_waits").await == "0").then_some(())
    })
    .await;

    // Without nudges the slow poll is the net.
    proxy.cut();
    let id = stack.create_run(&gateway, "hello", None).await;
    let ended = stack.get(&gateway, &format!("/api/v1/runs/{id}?wait=30")).await;
    assert_eq!(ended.body["status"], "completed", "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_may_wait_for_its_end() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start_with(Service::Gateway, "CAPI_MAX_WAIT_SECONDS", "2").await;
    let body = json!({"inputs": {"text": "hello"}});
    let preferring = async |wait: &str| {
        let url = format!("{}/api/v1/apps/{}/runs", gateway.url(), stack.app);
        stack.send(stack.client().post(url).bearer_auth(&stack.key).header("prefer", wait).json(&body)).await
    };
    let late = preferring("respond-async, wait=600").await;
    assert_eq!((late.status, &late.body["status"]), (202, &"pending".into()), "{late:?}");
    assert_eq!(late.headers["preference-applied"], "wait=2", "shortened, not refused");
    assert!(late.headers.contains_key("location"));
    let _worker = stack.start(Service::RunWorker).await;
    let done = preferring("wait=2").await;
    assert_eq!((done.status, &done.body["result"]["text"]), (200, &"You said: hello".into()), "{done:?}");
    let at_once = preferring("wait=soon").await;
    assert_eq!((at_once.status, at_once.headers.get("preference-applied")), (202, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_twenty_waits_are_open_over_all_gateways_and_a_draining_one_ends_its_own() {
    let stack = Stack::unlimited().await;
    let mut gateways = [stack.start(Service::Gateway).await, stack.start(Service::Gateway).await];
    let id = stack.create_run(&gateways[0], "hello", None).await;
    let urls = gateways.each_ref().map(|gateway| format!("{}/api/v1/runs/{id}?wait=40", gateway.url()));
    let wait = |number: usize| {
        let request = stack.client().get(&urls[number % 2]).bearer_auth(&stack.key);
        tokio::spawn(async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
        })
    };
    let waits: Vec<_> = (0..20).map(wait).collect();
    eventually("twenty wait", async || {
        (stack.text("SELECT cardinality(ends)::text AS text FROM open_waits").await == "20").then_some(())
    })
    .await;
    for url in &urls {
        let refused = stack.send(stack.client().get(url).bearer_auth(&stack.key)).await;
        assert_eq!((refused.status, &refused.body["code"]), (429, &"too_many_streams".into()));
    }
    let count = "SELECT count(*)::text AS text FROM runs";
    let body = json!({"appId": stack.app, "inputs": {"text": "x"}});
    let create = stack.client().post(format!("{}/api/v1/runs", gateways[0].url())).bearer_auth(&stack.key);
    let refused = stack.send(create.header("prefer", "wait=5").json(&body)).await;
    assert_eq!((refused.status, stack.text(count).await.as_str()), (429, "1"), "nothing is created");
    let drained = Instant::now();
    for gateway in &mut gateways {
        assert!(gateway.terminate().await, "it ends well");
    }
    for (status, body) in join_all(waits).await.into_iter().map(Result::unwrap) {
        assert_eq!((status, &body["status"]), (200, &"pending".into()), "the state of that moment");
    }
    assert!(drained.elapsed() < Duration::from_secs(10), "not held: {:?}", drained.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_checks_everything_and_creates_nothing() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let good = json!({"appId": stack.app, "inputs": {"text": "x"}, "queueTimeoutSeconds": 60});
    let dry = stack.post(&gateway, "/api/v1/runs?dryRun=true", &good).await;
    let expected = json!({"valid": true, "appId": stack.app, "appName": "Echo", "appVersion": 1, "chatModelId": "scripted"});
    assert_eq!((dry.status, dry.body), (200, expected));
    let bad = json!({"appId": stack.app, "inputs": {}});
    assert_eq!(stack.post(&gateway, "/api/v1/runs?dryRun=true", &bad).await.body["code"], "invalid_inputs");
    assert_eq!(stack.post(&gateway, "/api/v1/runs?dryRun=maybe", &good).await.status, 400);
    assert_eq!(stack.text("SELECT count(*)::text AS text FROM runs").await, "0");
    assert_eq!(stack.post(&gateway, "/api/v1/runs?dryRun=false", &good).await.status, 202);
    assert_eq!(stack.text("SELECT queue_timeout_seconds::text AS text FROM runs").await, "60");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_spoken_as_it_should_be() {
    let stack = Stack::unlimited().await;
    let gateway = stack.start(Service::Gateway).await;
    let id = stack.create_run(&gateway, "hello", None).await;
    let url = format!("{}/api/v1/runs/{id}", gateway.url());
    let request = |method: &str| stack.client().request(method.parse().unwrap(), &url);
    let got = stack.send(request("GET").bearer_auth(&stack.key)).await;
    let head = stack.send(request("HEAD").bearer_auth(&stack.key)).await;
    assert_eq!((head.status, &head.body), (200, &Value::Null));
    for name in ["etag", "retry-after", "content-type", "cache-control", "content-length"] {
        assert_eq!(head.headers.get(name), got.headers.get(name), "{name}");
    }
    assert_eq!(got.headers["cache-control"], "private, no-store");
    let options = stack.send(request("OPTIONS")).await;
    assert_eq!(
        (options.status, &options.headers["allow"]),
        (204, &"GET, HEAD, DELETE, OPTIONS".parse().unwrap())
    );
    assert!(options.headers.get("access-control-allow-origin").is_none(), "keys do not belong in browsers");
    let wrong = stack.send(request("PUT").bearer_auth(&stack.key)).await;
    assert_eq!(
        (wrong.status, &wrong.headers["allow"]),
        (405, &"GET, HEAD, DELETE, OPTIONS".parse().unwrap())
    );

    let tag = got.headers["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let known = |tag: &str| stack.send(request("GET").bearer_auth(&stack.key).header("if-none-match", tag));
    let unchanged = known(&format!("\"other\", {tag}")).await;
    assert_eq!((unchanged.status, &unchanged.headers["etag"]), (304, &tag.parse().unwrap()));
    stack.post(&gateway, &format!("/api/v1/runs/{id}/cancel"), &json!({})).await;
    let changed = known(&tag).await;
    assert_eq!((changed.status, changed.headers.get("retry-after")), (200, None));

    let own = stack.send(request("GET").bearer_auth(&stack.key).header("x-request-id", "my-id_1.2")).await;
    assert_eq!(own.headers["x-request-id"], "my-id_1.2");
    let mut given = BTreeSet::new();
    for insane in ["a b", "x".repeat(200).as_str(), "<script>"] {
        let answer = stack.send(request("GET").bearer_auth(&stack.key).header("x-request-id", insane)).await;
        given.insert(answer.headers["x-request-id"].to_str().unwrap().to_owned());
    }
    assert!(given.len() == 3 && given.iter().all(|id| id.len() == 36), "{given:?}");

    for number in 0..20 {
        stack.create_run(&gateway, &format!("run {number}"), None).await;
    }
    let list = stack.client().get(format!("{}/api/v1/runs", gateway.url())).bearer_auth(&stack.key);
    let packed = list.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]));
    let small =
        request("GET").bearer_auth(&stack.key).header("accept-encoding", "gzip").send().await.unwrap();
    assert!(small.headers().get("content-encoding").is_none(), "not worth it");
}
