//! A proxy before a gateway, as operators run one. It can refuse requests and lose answers, and it lists what
//! clients asked for.

use std::collections::VecDeque;
use std::io::Result;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered 503 with a `Retry-After` of so many seconds.
    Unavailable(u32),
    /// The connection is closed without an answer.
    Closed,
    /// The gateway answers, and the connection breaks before the answer arrives.
    AnswerLost,
    /// The gateway answers, and the answer does not arrive as long as the client waits.
    AnswerHeld,
    /// Nothing happens to it.
    None,
}

/// A request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `POST /api/v1/…`
    pub line: String,
    /// The header Idempotency-Key.
    pub once: Option<String>,
}

#[derive(Default)]
struct State {
    target: Option<SocketAddr>,
    faults: VecDeque<Fault>,
    asked: Vec<Asked>,
}

/// The proxy. It forwards one request for each connection.
pub struct Front {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Front {
    /// Starts it. It has an address before the gateway has one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { forward(client, &state).await });
            }
        });
        Self { address, state }
    }

    /// `http://ADDRESS:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Forwards to this gateway.
    pub fn forward_to(&self, gateway: &impl crate::Gateway) {
        let url = gateway.url();
        let address = url.trim_start_matches("http://").parse().expect("an address");
        locked(&self.state).target = Some(address);
    }

    /// What happens to the next requests, in order.
    pub fn next(&self, faults: &[Fault]) {
        locked(&self.state).faults.extend(faults);
    }

    /// The requests since the last call.
    #[must_use]
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut locked(&self.state).asked)
    }

    /// The number of requests whose line contains this text.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        locked(&self.state).asked.iter().filter(|asked| asked.line.contains(text)).count()
    }
}

fn locked(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn forward(mut client: TcpStream, state: &Mutex<State>) -> Result<()> {
    let Some((head, rest)) = read_head(&mut client).await? else { return Ok(()) };
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let (fault, target) = {
        let mut state = locked(state);
        let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
        state.asked.push(Asked { line, once: header("idempotency-key") });
        (state.faults.pop_front().unwrap_or(Fault::None), state.target)
    };
    let length: u64 = header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let body_left = length.saturating_sub(rest.len() as u64);
    if matches!(fault, Fault::Unavailable(_) | Fault::Closed) {
        // Closing a connection with unread bytes would reset it.
        tokio::io::copy(&mut (&mut client).take(body_left), &mut tokio::io::sink()).await?;
    }
    match fault {
        Fault::Closed => return Ok(()),
        Fault::Unavailable(seconds) => {
            let answer = format!(
                "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {seconds}\r\nContent-Length: \
                 0\r\nConnection: close\r\n\r\n"
            );
            return client.write_all(answer.as_bytes()).await;
        }
        Fault::AnswerLost | Fault::AnswerHeld | Fault::None => {}
    }
    let mut gateway = TcpStream::connect(target.expect("the proxy has a gateway")).await?;
    gateway.write_all(closing(&head).as_bytes()).await?;
    gateway.write_all(&rest).await?;
    if fault == Fault::None {
        return copy_bidirectional(&mut client, &mut gateway).await.map(|_| ());
    }
    tokio::io::copy(&mut (&mut client).take(body_left), &mut gateway).await?;
    tokio::io::copy(&mut gateway, &mut tokio::io::sink()).await?;
    if fault == Fault::AnswerHeld {
        tokio::io::copy(&mut client, &mut tokio::io::sink()).await?;
    }
    Ok(())
}

/// The head of a request with its last empty line, and the bytes behind it.
async fn read_head(client: &mut TcpStream) -> Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_HEAD {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), rest)));
        }
    }
    Ok(None)
}

/// The head with `Connection: close`, so that each request has its own connection.
fn closing(head: &str) -> String {
    let kept = head.trim_end().split("\r\n").filter(|line| !line.to_lowercase().starts_with("connection:"));
    let kept: Vec<_> = kept.collect();
    format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n"))
}
