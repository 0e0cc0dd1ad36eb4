//! The odd server. Each case has its own path prefix, its own answers, and a record of the requests. The
//! server writes HTTP by hand, because HTTP libraries do not send what odd servers send.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::strict;

/// [`End::Repeat`] stops after this many bytes.
const MAX_REPEATED: usize = 200 << 20;

/// A request that arrived.
pub(super) struct Request {
    /// How many requests of the case came before.
    pub(super) number: usize,
    pub(super) at: Instant,
    /// Behind the case's prefix, for example `/v1/chat/completions`.
    pub(super) path: String,
    /// With names in lower case.
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Value,
    /// What a server that accepts only valid requests would complain about.
    pub(super) mistake: Option<String>,
}

#[derive(Clone)]
pub(super) struct Reply {
    /// 0 sends no response line.
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<Vec<u8>>,
    pause: Duration,
    end: End,
}

/// What happens after the last piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// The connection is closed before the body is whole.
    Cut,
    Reset,
    /// The connection stays open until the client closes it.
    Hold,
    /// The last piece is sent again and again until the client closes the connection.
    Repeat,
}

impl Reply {
    pub(super) fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", kind.to_owned())];
        Self { status, headers, pieces: vec![body.into()], pause: Duration::ZERO, end: End::Whole }
    }

    /// An answer that is one JSON text.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// A stream of these bytes.
    pub(super) fn raw(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "text/event-stream", body)
    }

    /// The connection ends before a response.
    pub(super) fn none(end: End) -> Self {
        Self { status: 0, headers: Vec::new(), pieces: Vec::new(), pause: Duration::ZERO, end }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Sends the body in pieces of this many bytes.
    pub(super) fn in_pieces_of(mut self, bytes: usize) -> Self {
        self.pieces = self.pieces.concat().chunks(bytes).map(<[u8]>::to_vec).collect();
        self
    }

    /// Sends more bytes in a piece of their own.
    pub(super) fn then(mut self, piece: impl Into<Vec<u8>>) -> Self {
        self.pieces.push(piece.into());
        self
    }

    /// Waits after each piece.
    pub(super) fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    pub(super) fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

/// What a case answers.
pub(super) type Serve = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

#[derive(Clone)]
pub(super) struct OddServer {
    pub(super) address: SocketAddr,
    cases: Arc<HashMap<String, Recorded>>,
}

struct Recorded {
    serve: Serve,
    requests: Mutex<Vec<Request>>,
}

impl OddServer {
    pub(super) async fn start(cases: impl IntoIterator<Item = (String, Serve)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let recorded = |serve| Recorded { serve, requests: Mutex::default() };
        let cases = cases.into_iter().map(|(name, serve)| (name, recorded(serve))).collect();
        let server = Self { address, cases: Arc::new(cases) };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move {
                    if let Ok(Some(reply)) = serving.answer(&mut stream).await {
                        let _ = send(&mut stream, reply).await;
                    }
                });
            }
        });
        server
    }

    /// The requests of the case.
    pub(super) fn take(&self, case: &str) -> Vec<Request> {
        std::mem::take(&mut *self.cases[case].requests.lock().unwrap())
    }

    async fn answer(&self, stream: &mut TcpStream) -> io::Result<Option<Reply>> {
        let Some((head, body)) = read(stream).await? else { return Ok(None) };
        let mut lines = head.lines();
        let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let (case, path) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
        let Some(recorded) = self.cases.get(case) else {
            return Ok(Some(Reply::new(404, "text/plain", "no such case")));
        };
        let headers = lines.filter_map(|line| line.split_once(':'));
        let mut requests = recorded.requests.lock().unwrap();
        let mut request = Request {
            number: requests.len(),
            at: Instant::now(),
            path: format!("/{path}"),
            headers: headers.map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned())).collect(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            mistake: None,
        };
        request.mistake = strict::check(&request).err();
        let reply = (recorded.serve)(&request);
        requests.push(request);
        Ok(Some(reply))
    }
}

/// Reads the head and the body of a request.
async fn read(stream: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let (mut bytes, mut part) = (Vec::new(), vec![0; 64 << 10]);
    let end = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let mut head_end = None;
    while head_end.is_none() {
        match stream.read(&mut part).await? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&part[..read]),
        }
        head_end = end(&bytes);
    }
    let head = String::from_utf8_lossy(&bytes[..head_end.unwrap_or_default()]).into_owned();
    let mut body = bytes.split_off(head_end.unwrap_or_default() + 4);
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.unwrap_or(0);
    while body.len() < length {
        match stream.read(&mut part).await? {
            0 => return Ok(None),
            read => body.extend_from_slice(&part[..read]),
        }
    }
    Ok(Some((head, body)))
}

async fn send(stream: &mut TcpStream, reply: Reply) -> io::Result<()> {
    if reply.status != 0 {
        let mut head = format!("HTTP/1.1 {} Odd\r\nconnection: close\r\n", reply.status);
        for (name, value) in &reply.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("transfer-encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
    }
    for piece in &reply.pieces {
        send_chunk(stream, piece, reply.pause).await?;
    }
    match reply.end {
        End::Whole => stream.write_all(b"0\r\n\r\n").await?,
        End::Cut => {}
        End::Reset => return stream.set_zero_linger(),
        End::Hold => return drain(stream).await,
        End::Repeat => {
            let last = reply.pieces.last().cloned().unwrap_or_default();
            for _ in 0..MAX_REPEATED / last.len().max(1) {
                send_chunk(stream, &last, reply.pause).await?;
            }
        }
    }
    stream.shutdown().await?;
    // Unread bytes would reset the connection before the client has read the answer.
    drain(stream).await
}

async fn send_chunk(stream: &mut TcpStream, piece: &[u8], pause: Duration) -> io::Result<()> {
    if piece.is_empty() {
        return Ok(());
    }
    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
    chunk.extend_from_slice(piece);
    chunk.extend_from_slice(b"\r\n");
    stream.write_all(&chunk).await?;
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

async fn drain(stream: &mut TcpStream) -> io::Result<()> {
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
