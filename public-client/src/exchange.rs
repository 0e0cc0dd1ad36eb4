//! A connection in HTTP/1.1, and one request and its answer over it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use shared::net::failure::RequestFailure;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::connect::Stream;
use crate::failure::exchange_failure;
use crate::head_limit::{HeadLimit, Limit};
use crate::kept::{Kept, Origin};

/// Bytes from the server until the head of its answer is complete, interim answers included.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Bytes of one read. A head must fit into it.
const READ_BYTES: usize = 32 << 10;
/// The task of a connection notices the end of an answer at once, unless the request is not sent to its end.
const READY_WITHIN: Duration = Duration::from_millis(50);

/// An open connection. It is closed when this is dropped.
pub(crate) struct Open {
    sender: SendRequest<Full<Bytes>>,
    limit: Limit,
    /// The address of the server.
    pub(crate) peer: IpAddr,
    pub(crate) opened: Instant,
    _connection: JoinSet<()>,
}

/// An answer. The connection is closed when this is dropped, unless it is kept before.
pub(crate) struct Exchange {
    pub(crate) response: Response<Incoming>,
    open: Open,
    /// Where the connection is kept for the next request.
    pub(crate) kept: Option<(Arc<Kept>, Origin)>,
}

impl Open {
    pub(crate) async fn new(stream: Box<dyn Stream>, peer: IpAddr) -> Result<Self, RequestFailure> {
        let (stream, limit) = HeadLimit::new(stream);
        let (sender, connection) = http1::Builder::new()
            .read_buf_exact_size(Some(READ_BYTES))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| exchange_failure(&error))?;
        let mut task = JoinSet::new();
        // Its error reaches the request or the body too.
        task.spawn(async move { drop(connection.await) });
        Ok(Self { sender, limit, peer, opened: Instant::now(), _connection: task })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether it can take a further request, now or very soon.
    pub(crate) async fn is_ready(&mut self) -> bool {
        timeout(READY_WITHIN, self.sender.ready()).await.is_ok_and(|ready| ready.is_ok())
    }

    /// Sends the request. Returns when the head of the answer is there.
    pub(crate) async fn send(mut self, request: Request<Full<Bytes>>) -> Result<Exchange, RequestFailure> {
        self.limit.set(MAX_HEAD_BYTES);
        let response = self.sender.send_request(request).await.map_err(|error| exchange_failure(&error))?;
        self.limit.lift();
        Ok(Exchange { response, open: self, kept: None })
    }
}

impl Exchange {
    /// Keeps the connection, if its client keeps connections. The body must be read to its end.
    pub(crate) fn keep(self) {
        if let Some((kept, origin)) = self.kept {
            kept.put(origin, self.open);
        }
    }

    pub(crate) fn peer(&self) -> IpAddr {
        self.open.peer
    }
}
