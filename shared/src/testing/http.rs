//! A small HTTP server on loopback, for the model, the pages and the receivers of tests.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub(super) type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// Answers every request with `answer`, until the runtime ends.
pub(super) async fn serve<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> SocketAddr
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a listener has an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

/// A response with a streamed body.
pub(super) fn respond<Part: Into<Bytes> + 'static>(
    status: u16,
    kind: &str,
    parts: BoxStream<'static, Part>,
) -> Response<Body> {
    respond_with(status, kind, None, parts)
}

/// The same with another header.
pub(super) fn respond_with<Part: Into<Bytes> + 'static>(
    status: u16,
    kind: &str,
    header: Option<(&str, String)>,
    parts: BoxStream<'static, Part>,
) -> Response<Body> {
    use futures_util::StreamExt;
    let frames = parts.map(|part| Ok(Frame::data(part.into()))).boxed();
    let mut response = Response::builder().status(status).header("content-type", kind);
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    response.body(StreamBody::new(frames)).expect("status and header are valid")
}
