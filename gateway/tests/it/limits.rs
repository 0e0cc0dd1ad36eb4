//! The rate limit is exact, and no request passes unchecked (K4, K5).

use std::time::{Duration, Instant};

use e2e::accounts::ApiKey;
use e2e::{Gateway, Stack, patiently};
use futures_util::future::join_all;
use shared::testing::{TcpProxy, eventually};

use crate::app::TestApp;

const LIMIT: usize = 30;
const PLACES: &str = "SELECT cardinality(stamps)::text AS text FROM rate_windows";
const WINDOW: Duration = Duration::from_mins(1);
/// A gateway remembers the refusal of a key for this time.
const REMEMBERED: Duration = Duration::from_secs(5);

/// A request, and the moments between which it was decided, on the database's clock.
struct Try {
    outcome: Outcome,
    sent: Instant,
    answered: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Admitted,
    Refused,
    /// The machine was so busy that the answer was 503. The request may have taken a place.
    Unavailable,
}

fn count(tries: &[Try], outcome: Outcome) -> usize {
    tries.iter().filter(|one| one.outcome == outcome).count()
}

/// `ahead` is how far the database's clock is ahead.
async fn try_once(stack: &Stack, gateway: &TestApp, key: &str, ahead: Duration) -> Try {
    let sent = Instant::now() + ahead;
    let answer =
        stack.send(stack.client().get(format!("{}/api/v1/models", gateway.url())).bearer_auth(key)).await;
    let outcome = match answer.status {
        200 => Outcome::Admitted,
        503 => Outcome::Unavailable,
        _ => Outcome::Refused,
    };
    if outcome != Outcome::Unavailable {
        assert_eq!(answer.headers["ratelimit-policy"], "\"user\";q=30;w=60", "{answer:?}");
    }
    if outcome == Outcome::Refused {
        assert_eq!((answer.status, &answer.body["code"]), (429, &"rate_limited".into()));
        let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{answer:?}");
        assert!(answer.headers["ratelimit"].to_str().unwrap().starts_with("\"user\";r=0;t="), "{answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains("?wait="), "{answer:?}");
    }
    Try { outcome, sent, answered: Instant::now() + ahead }
}

/// Every second until the window begins to roll on, then every 200 ms until all of it has.
fn steps() -> impl Iterator<Item = Duration> {
    let coarse = (0..55).map(Duration::from_secs);
    coarse.chain((0..40).map(|step| Duration::from_secs(55) + step * Duration::from_millis(200)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_is_exact_over_gateways_and_keys() {
    let stack = Stack::pro().await;
    let gateways = [TestApp::start(&stack).await, TestApp::start(&stack).await, TestApp::start(&stack).await];
    let keys = [stack.key.clone(), stack.create_key("second").await, stack.create_key("third").await];
    let burst = (0..200).map(|n| try_once(&stack, &gateways[n % 3], &keys[(n / 3) % 3], Duration::ZERO));
    let burst = join_all(burst).await;
    let (admitted, unavailable) = (count(&burst, Outcome::Admitted), count(&burst, Outcome::Unavailable));
    assert!(
        admitted <= LIMIT && admitted + unavailable >= LIMIT,
        "{admitted} of 200 at once, {unavailable} 503"
    );
    let mut all = burst;
    eventually("all places are taken", async || {
        if stack.text(PLACES).await == LIMIT.to_string() {
            return Some(());
        }
        all.push(try_once(&stack, &gateways[0], &keys[0], Duration::ZERO).await);
        None
    })
    .await;

    // The database's clock moves on until the window has rolled on. A gateway remembers for a while, by its
    // own clock, that it refused a key, so each request has its own key.
    let mut keys = stack.add_keys(3 * steps().count()).await.into_iter();
    for ahead in steps() {
        stack.database.set_clock_ahead(ahead).await;
        let keys: Vec<_> = keys.by_ref().take(3).collect();
        let more = gateways.iter().zip(&keys).map(|(gateway, key)| try_once(&stack, gateway, key, ahead));
        all.extend(join_all(more).await);
    }
    let mut admitted: Vec<_> = all.into_iter().filter(|one| one.outcome == Outcome::Admitted).collect();
    assert!(admitted.len() > LIMIT, "places become free again");
    admitted.sort_by_key(|one| one.sent);
    for (first, one_too_many) in admitted.iter().zip(admitted.iter().skip(LIMIT)) {
        let apart = one_too_many.answered - first.sent;
        assert!(apart >= WINDOW, "31 within {apart:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_waits_for_retry_after_is_admitted() {
    const CALLERS: usize = 20;
    let stack = Stack::pro().await;
    let gateway = TestApp::start(&stack).await;
    // It has not refused anything, so it asks the database.
    let other = TestApp::start(&stack).await;
    let mut ahead = Duration::ZERO;
    for number in 0..CALLERS {
        let key = stack.account(&format!("caller{number}@example.com"), "pro").await.key;
        let call = |gateway: &TestApp| {
            stack.send(stack.client().get(format!("{}/api/v1/models", gateway.url())).bearer_auth(&key))
        };
        let filling = join_all((0..LIMIT).map(|_| call(&gateway))).await;
        assert!(filling.iter().all(|answer| [200, 503].contains(&answer.status)), "{filling:?}");
        let mut admitted = filling.iter().filter(|answer| answer.status == 200).count();
        let unavailable = filling.len() - admitted;
        // A request that was too slow may have taken no place.
        let refused = eventually("the window is full", async || {
            let answer = call(&gateway).await;
            admitted += usize::from(answer.status == 200);
            (answer.status == 429).then_some(answer)
        })
        .await;
        assert!(admitted <= LIMIT && admitted + unavailable >= LIMIT, "{admitted}, {unavailable} 503");
        let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        ahead += Duration::from_secs(wait);
        stack.database.set_clock_ahead(ahead).await;
        let admitted = patiently(async || call(&other).await).await;
        assert_eq!(admitted.status, 200, "Retry-After is never too short");
    }
}

/// The database stands still, so that a request which needs a statement is answered 503.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_caller_who_does_not_wait_costs_no_statement() {
    let stack = Stack::pro().await;
    let (proxy, settings) = stack.database_proxy().await;
    let gateway = TestApp::start_as(&settings).await;
    for _ in 0..LIMIT {
        stack.get(&gateway, "/api/v1/models").await;
    }
    // A request that was too slow may have taken no place.
    let refused_at = eventually("the window is full", async || {
        let asked_at = Instant::now();
        (stack.get(&gateway, "/api/v1/models").await.status == 429).then_some(asked_at)
    })
    .await;
    proxy.freeze();
    let again = join_all((0..20).map(|_| async {
        let answer = stack.get_once(&gateway, "/api/v1/models").await;
        (answer.status, refused_at.elapsed())
    }));
    for (status, after) in again.await {
        let asks_again = after > REMEMBERED;
        assert!(status == 429 || (asks_again && status == 503), "{status} after {after:?}");
    }
    proxy.mend();
    assert_eq!(stack.text(PLACES).await, LIMIT.to_string(), "a refused request takes no place");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_every_request_is_refused() {
    let stack = Stack::unlimited().await;
    let (proxy, settings) = stack.database_proxy().await;
    let gateway = TestApp::start_as(&settings).await;
    for outage in [TcpProxy::freeze, TcpProxy::cut] {
        stack.create_run(&gateway, "hello", None).await;
        outage(&proxy);
        for path in ["/api/v1/models", "/api/v1/runs"] {
            let answer = stack.get_once(&gateway, path).await;
            assert_eq!((answer.status, &answer.body["code"]), (503, &"unavailable".into()), "{answer:?}");
            assert!(answer.headers.contains_key("retry-after"));
        }
        proxy.mend();
        eventually("it works again", async || {
            (stack.get(&gateway, "/api/v1/models").await.status == 200).then_some(())
        })
        .await;
    }
}

/// Another transaction has locked the window of one account for a long time.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_window_holds_up_its_account_alone() {
    let stack = Stack::unlimited().await;
    let gateway = TestApp::start(&stack).await;
    let other = stack.account("other@example.com", "big").await.key;
    let ask = async |key: &str| {
        let request = stack.client().get(format!("{}/api/v1/models", gateway.url())).bearer_auth(key);
        stack.send(request).await.status
    };
    assert_eq!(ask(&stack.key).await, 200);
    let lock = stack.meanwhile("SELECT 1 FROM rate_windows FOR UPDATE").await;
    assert_eq!(ask(&other).await, 200, "its window is not locked");
    let (locked, others) =
        tokio::join!(join_all((0..5).map(|_| ask(&stack.key))), join_all((0..20).map(|_| ask(&other))));
    assert!(locked.iter().all(|status| *status == 503), "{locked:?}");
    // A busy machine may be slower than a client waits.
    let admitted = others.iter().filter(|status| **status == 200).count();
    assert!(admitted >= 15, "{others:?}");
    drop(lock);
    eventually("the account is admitted again", async || (ask(&stack.key).await == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_keys_is_stopped_before_the_database() {
    let plans = "[plans.team]\napi = true\nrequests_per_minute = 30\napi_keys = 10\nrunning_runs = 1\n";
    let stack = Stack::create("pro", plans).await;
    let gateway = TestApp::start_with(&stack, "CAPI_TRUSTED_PROXIES", "127.0.0.0/8").await;
    let from = |address: &str, key: &str| {
        let request = stack.client().get(format!("{}/api/v1/me", gateway.url())).bearer_auth(key);
        stack.send(request.header("x-forwarded-for", address).timeout(Duration::from_mins(1)))
    };
    let good = from("198.51.100.7", &stack.key).await;
    assert_eq!(good.status, 200);
    // Some places become free again while the requests are answered.
    let (mut tried, mut sent) = (0, 0);
    let stopped = loop {
        sent += 20;
        let answers = (0..20).map(|_| async { from("198.51.100.7", ApiKey::generate().reveal()).await });
        let (refused, other): (Vec<_>, Vec<_>) =
            join_all(answers).await.into_iter().partition(|answer| answer.status == 401);
        tried += refused.len();
        if let Some(answer) = other.into_iter().find(|answer| answer.status != 503) {
            break answer;
        }
        assert!(sent < 4000, "the flood is never stopped");
    };
    assert!(tried >= 300, "ten times the largest plan's rate: {tried}");
    assert_eq!((stopped.status, &stopped.body["code"]), (429, &"rate_limited".into()), "{stopped:?}");
    assert!(stopped.body["detail"].as_str().unwrap().contains("wrong keys from this address"));
    assert!(stopped.headers.contains_key("retry-after"));
    assert_eq!(from("198.51.100.7", &stack.key).await.status, 200, "a good key is not to blame");
    assert_eq!(from("203.0.113.9", ApiKey::generate().reveal()).await.status, 401, "nor is another address");
}
