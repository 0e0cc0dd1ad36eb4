//! A program is mended, and a long log is searched.

use std::fmt::Write as _;

use serde_json::json;

use super::services::Services;
use super::{program, python, save, shell};

const SERVER: &str = r#"
import http.server
import json


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/hello/")
        body = json.dumps({"hello": name}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve():
    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
"#;

const TEST: &str = r#"
import json
import threading
import urllib.request

from server import serve


def test_a_name_with_a_space():
    server = serve()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/hello/Ada%20L", timeout=10) as answer:
        assert json.load(answer) == {"hello": "Ada L"}
    server.shutdown()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_mended_until_its_test_passes() {
    let services = Services::start().await;
    let test = shell("cd work && python3 -m pytest -q 2>&1 | tail -15");
    let path = "work/server.py";
    let (old, new) =
        (r#"self.path.removeprefix("/hello/")"#, r#"unquote(self.path.removeprefix("/hello/"))"#);
    let imports = ("import json\n", "import json\nfrom urllib.parse import unquote\n");
    let calls = [
        shell(
            "mkdir work && cp inputs/*.py work && cd work
             git init -q && git add . && git commit -qm Given",
        ),
        test.clone(),
        ("edit_file", json!({"path": path, "old": old, "new": new})),
        ("edit_file", json!({"path": path, "old": imports.0, "new": imports.1})),
        test,
        shell(
            "cd work && git commit -qam 'Decode names' && git show --format=%s > ../fix.patch
             cat ../fix.patch",
        ),
        save("fix.patch"),
        save(path),
    ];
    let files: [(&str, &[u8]); 2] = [("server.py", SERVER.as_bytes()), ("test_server.py", TEST.as_bytes())];
    let ended = services.run(&files, &calls).await;
    ended.told[0].has(&["exit code 0"]);
    ended.told[1].has(&["1 failed", "Ada%20L"]);
    ended.told[1].lacks(&["PermissionError", "Operation not permitted"]);
    ended.told[4].has(&["1 passed"]);
    ended.told[5].has(&["exit code 0", "Decode names", "+from urllib.parse import unquote"]);
    let (_, fixed) = services.artifact(&ended.run, "server.py").await;
    assert_eq!(String::from_utf8(fixed).unwrap(), SERVER.replace(old, new).replace(imports.0, imports.1));
    let (_, change) = services.artifact(&ended.run, "fix.patch").await;
    assert_eq!(String::from_utf8(change).unwrap().matches("\n+").count(), 3, "two lines and the file's name");
}

const LOG_BYTES: usize = 22 << 20;
/// Of so many lines, one is an error.
const ERRORS_EACH: usize = 1000;
/// Lines of an hour.
const LINES_AN_HOUR: usize = 30_000;

/// A log of [`LOG_BYTES`], and its hours with their errors as CSV.
fn log() -> (String, String) {
    let (mut log, mut errors, mut line) = (String::new(), [0_usize; 24], 0);
    while log.len() < LOG_BYTES {
        let (hour, minute) = (line / LINES_AN_HOUR, line % LINES_AN_HOUR / 500);
        let is_error = line % ERRORS_EACH == 0;
        let level = if is_error { "ERROR" } else { "INFO " };
        errors[hour] += usize::from(is_error);
        let time = format!("2024-03-05T{hour:02}:{minute:02}:00Z");
        let _ = writeln!(log, "{time} {level} request {line} of shop.example took 17 ms");
        line += 1;
    }
    let mut hours = "hour,errors\n".to_owned();
    for (hour, errors) in errors.iter().enumerate().filter(|(_, errors)| **errors > 0) {
        let _ = writeln!(hours, "2024-03-05T{hour:02},{errors}");
    }
    (log, hours)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_searched() {
    let services = Services::start().await;
    let (log, hours) = log();
    let (lines, errors) = (log.lines().count(), log.matches(" ERROR ").count());
    let near_the_end = json!({"path": "inputs/app.log", "from_line": lines - 2, "lines": 10});
    let calls = [
        ("read_file", json!({"path": "inputs/app.log"})),
        ("read_file", near_the_end),
        shell("rg -c ' ERROR ' inputs/app.log; cat inputs/app.log"),
        python(program!("call/hours")),
        save("hours.csv"),
    ];
    let ended = services.run(&[("app.log", log.as_bytes())], &calls).await;
    ended.told[0].has(&["request 0 of", &lines.to_string()]);
    ended.told[1].has(&[&format!("request {} of", lines - 1)]);
    ended.told[2].has(&[&format!("\n{errors}\n"), "printed more than"]);
    ended.told[3].has(&["exit code 0", &format!("{errors} errors")]);
    assert!(ended.told.iter().all(|told| told.0.len() < 64 << 10), "what the model reads stays short");
    let (kind, bytes) = services.artifact(&ended.run, "hours.csv").await;
    assert!(kind.starts_with("text/csv"), "{kind}");
    assert_eq!(String::from_utf8(bytes).unwrap(), hours);
    let resident = services.worker.resident_mb();
    assert!(resident < 400, "the worker holds no copies: {resident} MiB");
}
