//! A service whose threads are blocked on purpose. The database and the broker do not exist.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Pulses, Readiness, serve};
use crate::config::{DatabaseConfig, OpsConfig};
use crate::db::Db;
use crate::lifecycle::Lifecycle;

const THREADS: usize = 2;
const DEADLINE: Duration = Duration::from_mins(1);

fn get(address: SocketAddr, path: &str) -> (u16, String, Duration) {
    let asked = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: capi\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer, asked.elapsed())
}

fn wait_for(address: SocketAddr, path: &str, status: u16, text: &str) {
    let begun = Instant::now();
    loop {
        let (now, answer, took) = get(address, path);
        assert!(took < DEADLINE / 2, "{path} answers although the service is blocked: {took:?}");
        if now == status && answer.contains(text) {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "{path} never answers {status} with {text}: {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_blocked_runtime_is_not_ready_and_then_not_alive() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
    let address = runtime.block_on(async {
        let nowhere = DatabaseConfig { url: "postgres://capi@127.0.0.1:1/capi".into(), pool_size: 1 };
        let readiness = Readiness {
            db: Db::new(&nowhere, "capi-test").unwrap(),
            broker: vec![],
            needs_broker: false,
            store: None,
            http: None,
            pulses: Pulses::default(),
            own: vec![],
            lifecycle: Lifecycle::default(),
        };
        let config = OpsConfig { ops_addr: ([127, 0, 0, 1], 0).into(), run_dir: None };
        serve(&config, "test", readiness, None).unwrap()
    });
    wait_for(address, "/readyz", 503, r#""database":"down""#);
    assert_eq!(get(address, "/healthz").0, 200, "a restart does not bring a database back");

    let blocked = Arc::new(AtomicBool::new(true));
    for _ in 0..THREADS {
        let blocked = Arc::clone(&blocked);
        runtime.spawn(async move {
            let begun = Instant::now();
            while blocked.load(Ordering::Relaxed) && begun.elapsed() < DEADLINE {
                std::thread::sleep(Duration::from_millis(10));
            }
        });
    }
    wait_for(address, "/readyz", 503, r#""hung":["runtime"]"#);
    wait_for(address, "/healthz", 503, r#""status":"hung""#);
    blocked.store(false, Ordering::Relaxed);
    wait_for(address, "/healthz", 200, "alive");
    wait_for(address, "/readyz", 503, r#""hung":[]"#);

    drop(runtime);
    let begun = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begun.elapsed() < DEADLINE, "the thread ends with the runtime");
        std::thread::sleep(Duration::from_millis(50));
    }
}
