//! A server that sends given bytes, so that a test controls what HTTP libraries do not let it send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of a request that are read before the answer.
const REQUEST_BYTES: usize = 4096;

pub struct RawServer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// What happens after the last piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Close,
    /// The connection stays open until the client closes it.
    Hold,
    /// The last piece is sent again and again until the client closes the connection.
    Repeat,
}

impl RawServer {
    /// Reads one request, sends the pieces with `pause` between them, and closes the connection.
    pub async fn start(pieces: Vec<&'static [u8]>, pause: Duration) -> Self {
        Self::ending(pieces, pause, Ending::Close).await
    }

    /// The same with another ending.
    pub async fn ending(pieces: Vec<&'static [u8]>, pause: Duration, ending: Ending) -> Self {
        Self::serve(move |stream| answer(stream, pieces.clone(), pause, ending)).await
    }

    /// Answers up to `most` requests of each connection, and closes it then. A request must come in one
    /// piece.
    pub async fn answering_each(answer: &'static [u8], most: usize) -> Self {
        Self::serve(move |mut stream| async move {
            for _ in 0..most {
                let read = stream.read(&mut [0; REQUEST_BYTES]).await;
                if !read.is_ok_and(|bytes| bytes > 0) || stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// Resets each connection when the request arrives.
    pub async fn resetting() -> Self {
        // Bytes that arrived and were not read make the kernel reset the connection.
        Self::serve(|stream| async move { drop(stream.peek(&mut [0]).await) }).await
    }

    async fn serve<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(stream));
            }
        });
        Self { address, connections }
    }

    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/", self.address)
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// The number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn answer(mut stream: TcpStream, pieces: Vec<&'static [u8]>, pause: Duration, ending: Ending) {
    let mut request = [0; REQUEST_BYTES];
    let _ = stream.read(&mut request).await;
    let last = pieces.last().copied().unwrap_or_default();
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
    match ending {
        // The rest of the request is read: unread bytes would reset the connection.
        Ending::Close => {
            let _ = stream.shutdown().await;
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
        }
        Ending::Hold => while stream.read(&mut request).await.is_ok_and(|read| read > 0) {},
        Ending::Repeat => while stream.write_all(last).await.is_ok() {},
    }
}
