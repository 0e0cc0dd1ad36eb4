//! One request and its answer over one connection, in HTTP/1.1.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use shared::net::failure::RequestFailure;
use tokio::task::JoinSet;

use crate::connect::Stream;
use crate::failure::exchange_failure;
use crate::head_limit::HeadLimit;

/// Bytes from the server until the head of its answer is complete, interim answers included.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Bytes of one read. A head must fit into it.
const READ_BYTES: usize = 32 << 10;

/// An answer. The connection is closed when this is dropped.
pub(crate) struct Exchange {
    pub(crate) response: Response<Incoming>,
    _connection: JoinSet<()>,
}

/// Sends the request. Returns when the head of the answer is there.
pub(crate) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> Result<Exchange, RequestFailure> {
    let (stream, limit) = HeadLimit::new(stream, MAX_HEAD_BYTES);
    let (mut sender, connection) = http1::Builder::new()
        .read_buf_exact_size(Some(READ_BYTES))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| exchange_failure(&error))?;
    let mut task = JoinSet::new();
    // Its error reaches the request or the body too.
    task.spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.map_err(|error| exchange_failure(&error))?;
    limit.lift();
    Ok(Exchange { response, _connection: task })
}
