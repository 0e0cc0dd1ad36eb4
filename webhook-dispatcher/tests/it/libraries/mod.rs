//! The official libraries of Standard Webhooks verify what the dispatcher sends, and refuse what was changed.

use std::io::Write;
use std::process::{Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::{TimeDelta, Utc};
use public_client::header::HeaderMap;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::ids::DeliveryId;
use shared::testing::{ReceivedWebhook, WebhookReceiver};
use shared::webhook_secrets::signing_bytes;
use webhook_dispatcher::signature;

use crate::fixture::{Fixture, received};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/libraries");

struct Case {
    name: &'static str,
    secret: String,
    headers: HeaderMap,
    body: Vec<u8>,
    is_good: bool,
}

impl Case {
    fn json(&self) -> Value {
        let headers = self.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap()));
        let headers: serde_json::Map<_, _> = headers.map(|(name, value)| (name, value.into())).collect();
        json!({"secret": self.secret, "headers": headers, "body": BASE64_STANDARD.encode(&self.body)})
    }
}

fn as_sent(name: &'static str, secret: &str, request: &ReceivedWebhook, is_good: bool) -> Case {
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.headers[name].parse().unwrap());
    }
    Case { name, secret: secret.to_owned(), headers, body: request.body.clone(), is_good }
}

/// A body that the dispatcher's code signed `skew` seconds from now.
fn signed_at(name: &'static str, secret: &str, skew: i64, is_good: bool) -> Case {
    let key = signing_bytes(&SecretString::from(secret)).unwrap();
    let at = Utc::now() + TimeDelta::seconds(skew);
    let body = b"{\"type\":\"run.completed\"}".to_vec();
    let headers = signature::headers(&[key], DeliveryId::generate(), at, &body);
    Case { name, secret: secret.to_owned(), headers, body, is_good }
}

fn check(cases: &[Case]) {
    let expected: Vec<_> =
        cases.iter().map(|case| (case.name, if case.is_good { "verified" } else { "refused" })).collect();
    let found = cases.iter().map(|case| {
        let library = standardwebhooks::Webhook::new(&case.secret).unwrap();
        library.verify(&case.body, &case.headers).map_or("refused", |()| "verified").to_owned()
    });
    assert_eq!(named(cases, &found.collect::<Vec<_>>()), expected, "Rust");
    let variable = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; see deploy/local/with-node.sh"))
    };
    let mut python = Command::new(variable("CAPI_STANDARD_WEBHOOKS_PYTHON"));
    python.arg(format!("{HERE}/verify.py"));
    assert_eq!(named(cases, &verdicts(&mut python, cases)), expected, "Python");
    let modules = format!("{}/node_modules", variable("CAPI_STANDARD_WEBHOOKS_NODE"));
    let mut node = Command::new(variable("CAPI_NODE"));
    node.arg(format!("{HERE}/verify.cjs")).env("NODE_PATH", modules);
    assert_eq!(named(cases, &verdicts(&mut node, cases)), expected, "JavaScript");
}

fn named<'a>(cases: &[Case], verdicts: &'a [String]) -> Vec<(&'static str, &'a str)> {
    assert_eq!(cases.len(), verdicts.len(), "{verdicts:?}");
    cases.iter().zip(verdicts).map(|(case, verdict)| (case.name, verdict.as_str())).collect()
}

fn verdicts(program: &mut Command, cases: &[Case]) -> Vec<String> {
    let mut running = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let cases = serde_json::to_vec(&cases.iter().map(Case::json).collect::<Vec<_>>()).unwrap();
    running.stdin.take().unwrap().write_all(&cases).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn official_libraries_verify_and_refuse() {
    let fixture = Fixture::create().await;
    let secret = fixture.rotate_secret(&[0; 32]).await;
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = fixture.start().await;
    fixture.deliver_to(&receiver.url()).await;
    let request = received(&receiver, 1).await.remove(0);
    let mut flipped = as_sent("one flipped bit", &secret, &request, false);
    let middle = flipped.body.len() / 2;
    flipped.body[middle] ^= 1;
    let mut other_id = as_sent("another id", &secret, &request, false);
    other_id.headers.insert("webhook-id", DeliveryId::generate().to_string().parse().unwrap());
    let stranger = format!("whsec_{}", BASE64_STANDARD.encode([7; 32]));
    check(&[
        as_sent("as sent", &secret, &request, true),
        flipped,
        other_id,
        as_sent("another secret", &stranger, &request, false),
        signed_at("fresh", &secret, 0, true),
        signed_at("almost too old", &secret, -270, true),
        signed_at("too old", &secret, -301, false),
        signed_at("too new", &secret, 331, false),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_verify_for_a_day_after_a_rotation() {
    let fixture = Fixture::create().await;
    let (old, new) = (fixture.rotate_secret(&[0; 32]).await, fixture.rotate_secret(&[0; 32]).await);
    let receiver = WebhookReceiver::start([]).await;
    let _dispatcher = fixture.start().await;
    fixture.deliver_to(&receiver.url()).await;
    let within_a_day = received(&receiver, 1).await.remove(0);
    let left = "SELECT round(extract(epoch FROM max(expires_at) - capi_now()) / 3600)::text AS text
                FROM webhook_secrets";
    assert_eq!(fixture.text(left).await, "24");
    // The timestamp of a later request would be too new, so the secret expires and not the clock goes on.
    fixture
        .database
        .run_sql("UPDATE webhook_secrets SET expires_at = capi_now() WHERE expires_at > capi_now()")
        .await;
    fixture.deliver_to(&receiver.url()).await;
    let after_a_day = received(&receiver, 2).await.remove(1);
    check(&[
        as_sent("old secret within a day", &old, &within_a_day, true),
        as_sent("new secret within a day", &new, &within_a_day, true),
        as_sent("old secret after a day", &old, &after_a_day, false),
        as_sent("new secret after a day", &new, &after_a_day, true),
    ]);
}
