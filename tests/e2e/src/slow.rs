//! Clients that begin a request and never finish it, or never read its answer.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use shared::testing::WAIT_LIMIT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::address::Gateway;

const HEAD: &str = "POST /api/v1/runs HTTP/1.1\r\nHost: capi\r\nContent-Type: application/json\r\n";
const KEYLESS: usize = 10;

/// How the gateway cut a client off.
#[derive(Debug)]
pub struct Cut {
    /// Time from the last byte of the client.
    pub after: Duration,
    /// The answer, if there was one.
    pub answer: String,
}

/// So many clients that never finish the head of their request.
pub async fn slow_heads(gateway: &impl Gateway, clients: usize) -> Vec<Cut> {
    join_all((0..clients).map(|_| dawdle(gateway.url(), HEAD.to_owned()))).await
}

/// So many clients with this key that never finish the body of their request.
pub async fn slow_bodies(gateway: &impl Gateway, key: &str, clients: usize) -> Vec<Cut> {
    let beginning = format!("{HEAD}Authorization: Bearer {key}\r\nContent-Length: 100\r\n\r\n{{");
    join_all((0..clients).map(|_| dawdle(gateway.url(), beginning.clone()))).await
}

/// The same without a key.
pub async fn slow_keyless_bodies(gateway: &impl Gateway) -> Vec<Cut> {
    let beginning = format!("{HEAD}Content-Length: 100\r\n\r\n{{");
    join_all((0..KEYLESS).map(|_| dawdle(gateway.url(), beginning.clone()))).await
}

/// A client with this key that sends a GET and reads nothing.
pub async fn unread(gateway: &impl Gateway, path: &str, key: &str) -> TcpStream {
    unread_answer(
        gateway,
        &format!("GET {path} HTTP/1.1\r\nHost: capi\r\nAuthorization: Bearer {key}\r\n\r\n"),
    )
    .await
}

/// A client that sends these bytes and reads nothing.
pub async fn unread_answer(gateway: &impl Gateway, request: &str) -> TcpStream {
    // Small, so that the answer waits in the gateway.
    const RECEIVE_BUFFER: u32 = 4096;
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("a buffer may be small");
    let address = gateway.url().trim_start_matches("http://").parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("the gateway listens");
    stream.write_all(request.as_bytes()).await.expect("the gateway reads");
    stream
}

/// A busy gateway may refuse a client at first; it then begins again.
async fn dawdle(url: String, beginning: String) -> Cut {
    let deadline = Instant::now() + WAIT_LIMIT;
    loop {
        let cut = dawdle_once(&url, &beginning).await;
        if !cut.answer.starts_with("HTTP/1.1 503 ") || Instant::now() > deadline {
            return cut;
        }
    }
}

async fn dawdle_once(url: &str, beginning: &str) -> Cut {
    let mut stream =
        TcpStream::connect(url.trim_start_matches("http://")).await.expect("the gateway listens");
    stream.write_all(beginning.as_bytes()).await.expect("the gateway reads");
    let begun = Instant::now();
    let mut answer = Vec::new();
    // A reset connection is cut off too.
    let cut = tokio::time::timeout(WAIT_LIMIT, stream.read_to_end(&mut answer)).await;
    assert!(cut.is_ok(), "the gateway never cuts the client off");
    Cut { after: begun.elapsed(), answer: String::from_utf8_lossy(&answer).into_owned() }
}
