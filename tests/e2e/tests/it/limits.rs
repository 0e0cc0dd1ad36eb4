//! The rate limit is exact, and nobody is let in unchecked (K4, K5).

use std::time::{Duration, Instant};

use e2e::{Process, Service, Stack};
use futures_util::future::join_all;
use gateway_domain::accounts::ApiKey;
use shared::testing::{TcpProxy, eventually};

const LIMIT: usize = 30;
const WINDOW: Duration = Duration::from_mins(1);

/// Whether it was admitted, and between which moments that was decided.
struct Try {
    admitted: bool,
    sent: Instant,
    answered: Instant,
}

async fn try_once(stack: &Stack, gateway: &Process, key: &str) -> Try {
    let sent = Instant::now();
    let answer =
        stack.send(stack.client().get(format!("{}/api/v1/models", gateway.url())).bearer_auth(key)).await;
    let admitted = answer.status == 200;
    assert_eq!(answer.headers["ratelimit-policy"], "\"user\";q=30;w=60", "{answer:?}");
    if !admitted {
        assert_eq!((answer.status, &answer.body["code"]), (429, &"rate_limited".into()));
        let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{answer:?}");
        assert!(answer.headers["ratelimit"].to_str().unwrap().starts_with("\"user\";r=0;t="), "{answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains("?wait="), "{answer:?}");
    }
    Try { admitted, sent, answered: Instant::now() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_is_exact_over_gateways_and_keys() {
    let stack = Stack::pro().await;
    let gateways = [
        stack.start(Service::Gateway).await,
        stack.start(Service::Gateway).await,
        stack.start(Service::Gateway).await,
    ];
    let keys = [
        stack.key.clone(),
        stack.on_account(&["key", "create", "--name", "second"]).await,
        stack.on_account(&["key", "create", "--name", "third"]).await,
    ];
    let burst = join_all((0..200).map(|n| try_once(&stack, &gateways[n % 3], &keys[(n / 3) % 3]))).await;
    assert_eq!(burst.iter().filter(|one| one.admitted).count(), LIMIT, "of 200 at once");

    // Keep asking until the window has rolled on: at no time are there more than 30 within 60 s.
    let mut admitted: Vec<Try> = burst.into_iter().filter(|one| one.admitted).collect();
    let begun = Instant::now();
    let mut n = 0;
    while begun.elapsed() < WINDOW + Duration::from_secs(3) {
        let more = join_all((0..3).map(|gateway| try_once(&stack, &gateways[gateway], &keys[n % 3]))).await;
        admitted.extend(more.into_iter().filter(|one| one.admitted));
        n += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(admitted.len() > LIMIT, "places become free again");
    admitted.sort_by_key(|one| one.sent);
    for (first, one_too_many) in admitted.iter().zip(admitted.iter().skip(LIMIT)) {
        assert!(
            one_too_many.answered - first.sent >= WINDOW,
            "31 within {:?}",
            one_too_many.answered - first.sent
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_caller_who_waits_is_admitted() {
    const CALLERS: usize = 20;
    let stack = Stack::pro().await;
    let gateway = stack.start(Service::Gateway).await;
    let mut accounts = Vec::new();
    for number in 0..CALLERS {
        accounts.push(stack.account(&format!("caller{number}@example.com"), "pro").await);
    }
    let call = |key: String| {
        stack.send(stack.client().get(format!("{}/api/v1/models", gateway.url())).bearer_auth(key))
    };
    let lone = async |number: usize| {
        let key = &accounts[number].key;
        for _ in 0..LIMIT {
            assert_eq!(call(key.clone()).await.status, 200);
        }
        let refused = call(key.clone()).await;
        assert_eq!(refused.status, 429);
        let wait = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_secs(wait)).await;
        call(key.clone()).await.status
    };
    let statuses = join_all((0..CALLERS).map(lone)).await;
    assert_eq!(statuses, [200; CALLERS], "Retry-After is never too short");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_caller_who_does_not_wait_costs_no_statement() {
    let stack = Stack::pro().await;
    let gateway = stack.start(Service::Gateway).await;
    for _ in 0..=LIMIT {
        try_once(&stack, &gateway, &stack.key).await;
    }
    let before = gateway.counter("capi_database_calls_total").await;
    for _ in 0..20 {
        assert!(!try_once(&stack, &gateway, &stack.key).await.admitted);
    }
    assert!((gateway.counter("capi_database_calls_total").await - before).abs() < 0.5);
    let places = "SELECT cardinality(stamps)::text AS text FROM rate_windows";
    assert_eq!(stack.text(places).await, LIMIT.to_string(), "a refused request takes no place");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_nobody_is_let_in() {
    let stack = Stack::unlimited().await;
    let (proxy, settings) = stack.database_proxy().await;
    let gateway = Process::start(Service::Gateway, &settings).await;
    for outage in [TcpProxy::freeze, TcpProxy::cut] {
        stack.create_run(&gateway, "hello", None).await;
        outage(&proxy);
        for path in ["/api/v1/models", "/api/v1/runs"] {
            let sent = Instant::now();
            let answer = stack.get(&gateway, path).await;
            assert_eq!((answer.status, &answer.body["code"]), (503, &"unavailable".into()), "{answer:?}");
            assert!(answer.headers.contains_key("retry-after"));
            assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
        }
        proxy.mend();
        eventually("it works again", async || {
            (stack.get(&gateway, "/api/v1/models").await.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_keys_is_stopped_in_front_of_the_database() {
    let stack = Stack::create(
        "pro",
        "[plans.team]\napi = true\nrequests_per_minute = 30\napi_keys = 10\nrunning_runs = 1\n",
    )
    .await;
    let trusted = stack.settings_with("CAPI_TRUSTED_PROXIES", "127.0.0.0/8");
    let gateway = Process::start(Service::Gateway, &trusted).await;
    let from = |address: &str, key: &str| {
        let request = stack.client().get(format!("{}/api/v1/me", gateway.url())).bearer_auth(key);
        stack.send(request.header("x-forwarded-for", address).timeout(Duration::from_secs(10)))
    };
    let good = from("198.51.100.7", &stack.key).await;
    assert_eq!(good.status, 200);
    // Some places are filled again while these are asked for.
    let mut tried = 0;
    let stopped = loop {
        let answer = from("198.51.100.7", ApiKey::generate().reveal()).await;
        if answer.status != 401 {
            break answer;
        }
        tried += 1;
        assert!(tried < 1000, "it goes on for ever");
    };
    assert!(tried >= 300, "ten times the largest plan's rate: {tried}");
    assert_eq!((stopped.status, &stopped.body["code"]), (429, &"rate_limited".into()), "{stopped:?}");
    assert!(stopped.body["detail"].as_str().unwrap().contains("wrong keys from this address"));
    assert!(stopped.headers.contains_key("retry-after"));
    assert_eq!(from("198.51.100.7", &stack.key).await.status, 200, "a good key is not to blame");
    assert_eq!(from("203.0.113.9", ApiKey::generate().reveal()).await.status, 401, "nor is another address");
}
