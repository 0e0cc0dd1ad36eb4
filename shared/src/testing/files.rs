//! A web server with files of any type, which a test gives.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use hyper::Response;

use super::http::{Body, respond, respond_with, serve};

/// What a path answers.
#[derive(Debug, Clone)]
pub enum Given {
    /// The media type and the body.
    Content(&'static str, Bytes),
    /// The same, with this many repetitions of the body, which are streamed.
    Repeated(&'static str, Bytes, usize),
    /// A redirect to this URL.
    Redirect(String),
}

/// The files, before the server starts.
#[derive(Default)]
pub struct FileServer(HashMap<String, Given>);

/// A server that runs until the runtime ends.
pub struct RunningFileServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl FileServer {
    /// A server with these paths, which begin with `/`.
    #[must_use]
    pub fn with(given: impl IntoIterator<Item = (&'static str, Given)>) -> Self {
        Self(given.into_iter().map(|(path, given)| (path.to_owned(), given)).collect())
    }

    /// Adds a file; `path` begins with `/`.
    pub fn add(&mut self, path: &str, media_type: &'static str, bytes: impl Into<Bytes>) {
        self.0.insert(path.to_owned(), Given::Content(media_type, bytes.into()));
    }

    /// Starts a server that answers 404 for every other path.
    pub async fn start(self) -> RunningFileServer {
        let (files, asked) = (Arc::new(self.0), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        let address = serve(move |request| {
            counted.fetch_add(1, Ordering::SeqCst);
            let given = files.get(request.uri().path()).cloned();
            async move { answer(given) }
        })
        .await;
        RunningFileServer { address, asked }
    }
}

fn answer(given: Option<Given>) -> Response<Body> {
    match given {
        Some(Given::Content(media_type, body)) => respond(200, media_type, stream::iter([body]).boxed()),
        Some(Given::Repeated(media_type, body, times)) => {
            respond(200, media_type, stream::iter(std::iter::repeat_n(body, times)).boxed())
        }
        Some(Given::Redirect(to)) => {
            let nothing = stream::empty::<Bytes>().boxed();
            respond_with(302, "text/html", Some(("location", to)), nothing)
        }
        None => respond(404, "text/plain", stream::iter(["There is no such file."]).boxed()),
    }
}

impl RunningFileServer {
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The number of requests so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
