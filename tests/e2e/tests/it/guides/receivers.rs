//! The receivers of the guide about webhooks, in five languages: each accepts what the dispatcher sends, and
//! refuses forgeries.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::free_ports;
use futures_util::future::join_all;
use serde_json::json;
use shared::testing::eventually;
use standardwebhooks::Webhook;
use tokio::process::{Child, Command};

use super::blocks::{Block, blocks_of, source_of};
use super::sample::assert_like;
use super::session::tool;
use super::{Installation, delivered, parsed, samples};

const LANGUAGES: [&str; 5] = ["python", "js", "go", "ruby", "php"];
/// A Go compiler that takes longer has hung, even on a busy machine.
const COMPILE: Duration = Duration::from_mins(10);

struct Receiver {
    port: u16,
    printed: PathBuf,
    _process: Child,
}

impl Receiver {
    async fn start(block: &Block, dir: &Path, secret: &str) -> Self {
        std::fs::create_dir(dir).unwrap();
        let [port] = free_ports();
        let mut command = program(block, dir, port).await;
        let printed = dir.join("printed");
        let process = command
            .current_dir(dir)
            .env("PORT", port.to_string())
            .env("CAPI_WEBHOOK_SECRET", secret)
            .stdin(Stdio::null())
            .stdout(File::create(&printed).unwrap())
            .stderr(File::create(dir.join("errors")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually(&format!("the receiver in {} listens", block.language), async || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        Self { port, printed, _process: process }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

/// Writes the program and returns the command that starts it.
async fn program(block: &Block, dir: &Path, port: u16) -> Command {
    let file = |name: &str| {
        std::fs::write(dir.join(name), &block.text).unwrap();
        name.to_owned()
    };
    match block.language.as_str() {
        "python" => {
            let mut command = Command::new(tool("CAPI_STANDARD_WEBHOOKS_PYTHON"));
            command.arg(file("receiver.py"));
            command
        }
        "js" => {
            let modules = Path::new(&tool("CAPI_STANDARD_WEBHOOKS_NODE")).join("node_modules");
            std::os::unix::fs::symlink(modules, dir.join("node_modules")).unwrap();
            let mut command = Command::new(tool("CAPI_NODE"));
            command.arg(file("receiver.mjs"));
            command
        }
        "go" => {
            let build = Command::new("go")
                .args(["build", "-o", "receiver", &file("receiver.go")])
                .current_dir(dir)
                .env("GOCACHE", dir.join("cache"))
                .env("GOFLAGS", "-mod=mod")
                .env("GO111MODULE", "off")
                .kill_on_drop(true)
                .output();
            let output = tokio::time::timeout(COMPILE, build).await.unwrap().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Command::new(dir.join("receiver"))
        }
        "ruby" => {
            let mut command = Command::new("ruby");
            command.arg(file("receiver.rb"));
            command
        }
        "php" => {
            let mut command = Command::new("php");
            command.arg("-S").arg(format!("127.0.0.1:{port}")).arg(file("receiver.php"));
            command
        }
        other => panic!("there is no receiver in {other}"),
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// The status of the answer to a webhook that is sent by hand.
async fn answer(receiver: &Receiver, headers: &[(&str, String)], body: &[u8]) -> u16 {
    let request = reqwest::Client::new().post(receiver.url()).body(body.to_vec());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    request.send().await.unwrap().status().as_u16()
}

/// What a receiver must refuse, and what it must accept although no dispatcher sends it here.
async fn refuses_forgeries(receiver: &Receiver, secret: &str, language: &str) {
    let body = json!({"type": "run.completed", "data": {"id": "é"}}).to_string().into_bytes();
    let official = Webhook::new(secret).unwrap();
    let other = Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let signed = |by: &Webhook, time: i64| by.sign("msg_1", time, &body).unwrap();
    let headers = |time: i64, signature: String| {
        vec![
            ("webhook-id", "msg_1".to_owned()),
            ("webhook-timestamp", time.to_string()),
            ("webhook-signature", signature),
        ]
    };
    let time = now();
    let good = signed(&official, time);
    let ask = async |what: &str, headers: &[(&str, String)], body: &[u8], expected: u16| {
        assert_eq!(answer(receiver, headers, body).await, expected, "{language}: {what}");
    };
    ask("genuine", &headers(time, good.clone()), &body, 204).await;
    ask(
        "the old secret's signature first",
        &headers(time, format!("{} {good}", signed(&other, time))),
        &body,
        204,
    )
    .await;
    let mut flipped = body.clone();
    flipped[30] ^= 1;
    ask("a flipped byte", &headers(time, good.clone()), &flipped, 401).await;
    ask("another secret", &headers(time, signed(&other, time)), &body, 401).await;
    ask("no signature", &headers(time, String::new()), &body, 401).await;
    ask("no headers", &[], &body, 401).await;
    let old = time - 301;
    ask("301 s old", &headers(old, signed(&official, old)), &body, 401).await;
    let early = time + 330;
    ask("from the future", &headers(early, signed(&official, early)), &body, 401).await;
    let mut other_id = headers(time, good);
    other_id[0] = ("webhook-id", "msg_2".to_owned());
    ask("another id", &other_id, &body, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_tested_and_deliveries_are_listed() {
    let installation = Installation::start().await;
    let secret = installation.stack.webhook_secret().await;
    let mut blocks = blocks_of(&source_of("webhooks"));
    let sample = samples(&blocks).remove(0);
    let dir = tempfile::tempdir().unwrap();
    let php = blocks.iter().find(|block| block.language == "php").unwrap();
    let receiver = Receiver::start(php, &dir.path().join("php"), &secret).await;
    blocks.retain(|block| block.language == "sh");
    for block in &mut blocks {
        // The port of the guide may belong to another program.
        block.text = block.text.replace("http://127.0.0.1:8787/", &receiver.url());
    }
    let outputs = installation.session().run(&blocks).await;
    let [tested, deliveries] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_like(&sample, &parsed(tested));
    assert!(parsed(deliveries)["data"].is_array(), "{deliveries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_receiver_accepts_webhooks_and_refuses_forgeries() {
    let installation = Installation::start().await;
    let secret = installation.stack.webhook_secret().await;
    let blocks = blocks_of(&source_of("webhooks"));
    let dir = tempfile::tempdir().unwrap();
    let check = async |language: &str| {
        let block = blocks.iter().find(|block| block.language == language);
        let block = block.unwrap_or_else(|| panic!("the guide has no receiver in {language}"));
        let receiver = Receiver::start(block, &dir.path().join(language), &secret).await;
        let create = json!({"inputs": {"text": "Ada Lovelace"}, "webhookUrl": receiver.url()});
        let path = format!("/api/v1/apps/{}/runs", installation.extract);
        let stack = &installation.stack;
        let id = stack.create_run_at(&installation.gateway, &path, &stack.key, &create).await;
        delivered(&installation, &id).await;
        let line = format!("run.completed {id}\n");
        eventually(&format!("the receiver in {language} prints the event"), async || {
            std::fs::read_to_string(&receiver.printed).unwrap().contains(&line).then_some(())
        })
        .await;
        refuses_forgeries(&receiver, &secret, language).await;
    };
    join_all(LANGUAGES.map(check)).await;
}
