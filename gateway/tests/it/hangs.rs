//! Threads of the gateway that are blocked on purpose. Readiness and liveness say so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::Method;
use actix_web::{HttpResponse, web};
use e2e::{Gateway, PrivatePostgres, Stack};
use gateway::http::endpoint::{Access, Endpoint};
use shared::testing::{TestDatabase, TestQueues, WAIT_LIMIT, eventually};

use crate::app::TestApp;

static BLOCKED: AtomicBool = AtomicBool::new(true);
const HANG: &str = "/hang";

fn endpoints() -> Vec<Endpoint> {
    let handler = || {
        web::to(async || {
            let begun = Instant::now();
            while BLOCKED.load(Ordering::Relaxed) && begun.elapsed() < WAIT_LIMIT {
                std::thread::sleep(Duration::from_millis(10));
            }
            HttpResponse::NoContent().finish()
        })
    };
    let mut all = gateway::endpoints();
    all.push(Endpoint { method: Method::GET, path: HANG, access: Access::Open, handler });
    all
}

/// One thread hangs. The others serve, so the probe of the port alone would not always notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_a_blocked_thread_is_not_ready_and_then_not_alive() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start_with_endpoints(&stack, endpoints).await;
    let says = async |path: &str, status: u16, text: &str| {
        let url = format!("http://{}{path}", gateway.ops());
        eventually(&format!("{path} answers {status} with {text}"), async || {
            let answer = stack.client().get(&url).timeout(Duration::from_secs(30)).send().await.ok()?;
            let found = answer.status().as_u16();
            let body = answer.text().await.ok()?;
            (found == status && body.contains(text)).then_some(())
        })
        .await;
    };
    says("/readyz", 200, r#""http":"up""#).await;
    let hanging = tokio::spawn(stack.client().get(format!("{}{HANG}", gateway.url())).send());
    says("/readyz", 503, r#""hung":["http"]"#).await;
    says("/healthz", 503, r#""hung":["http"]"#).await;
    BLOCKED.store(false, Ordering::Relaxed);
    says("/healthz", 200, "alive").await;
    says("/readyz", 200, r#""hung":[]"#).await;
    assert_eq!(hanging.await.unwrap().unwrap().status(), 204);
}

/// O1: the truth in less than 0.9 s. The limit here is generous, because tests share the machine.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_answers_while_the_database_swallows_packets() {
    let stack = Stack::unlimited().await;
    let (proxy, settings) = stack.database_proxy().await;
    let gateway = TestApp::start_as(&settings).await;
    let ask = async |path: &str| {
        let asked = Instant::now();
        let answer = stack.client().get(format!("http://{}{path}", gateway.ops())).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap(), asked.elapsed())
    };
    eventually("it is ready", async || (ask("/readyz").await.0 == 200).then_some(())).await;
    proxy.freeze();
    let (status, body, took) = ask("/readyz").await;
    assert!(status == 503 && body.contains(r#""database":"down""#), "{status} {body}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(ask("/healthz").await.0, 200, "a restart does not help");
    proxy.mend();
    eventually("it is ready again", async || (ask("/readyz").await.0 == 200).then_some(())).await;
}

/// Case 4: reads are answered, but nothing is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_database_does_not_commit_is_not_ready() {
    let postgres = PrivatePostgres::start().await;
    let database = TestDatabase::create_at(postgres.url.clone()).await;
    let stack = Stack::unlimited_over(database, TestQueues::create()).await;
    let gateway = TestApp::start(&stack).await;
    let ask = async |path: &str| {
        let asked = Instant::now();
        let answer = stack.client().get(format!("http://{}{path}", gateway.ops())).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap(), asked.elapsed())
    };
    eventually("it is ready", async || (ask("/readyz").await.0 == 200).then_some(())).await;
    postgres.hang_commits(true).await;
    eventually("it is not ready", async || (ask("/readyz").await.0 == 503).then_some(())).await;
    for _ in 0..20 {
        let (status, body, took) = ask("/readyz").await;
        assert!(status == 503 && body.contains(r#""database":"down""#), "{status} {body}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    let hanging = stack.text(
        "SELECT count(*)::text AS text FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event = 'SyncRep'",
    );
    let hanging: usize = hanging.await.parse().unwrap();
    assert!((1..=6).contains(&hanging), "probes do not pile up: {hanging}");
    assert_eq!(ask("/healthz").await.0, 200, "a restart does not help");
    postgres.hang_commits(false).await;
    eventually("it is ready again", async || (ask("/readyz").await.0 == 200).then_some(())).await;
}
