//! A web server with files of any type, which a test gives.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::http::{respond, serve};

/// The files, before the server starts.
#[derive(Default)]
pub struct FileServer(HashMap<String, (String, Bytes)>);

/// A server that runs until the runtime ends.
pub struct RunningFileServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl FileServer {
    /// Adds a file; `path` begins with `/`.
    pub fn add(&mut self, path: &str, media_type: &str, bytes: impl Into<Bytes>) {
        self.0.insert(path.to_owned(), (media_type.to_owned(), bytes.into()));
    }

    /// Starts a server that answers 404 for every other path.
    pub async fn start(self) -> RunningFileServer {
        let (files, asked) = (Arc::new(self.0), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        let address = serve(move |request| {
            counted.fetch_add(1, Ordering::SeqCst);
            let file = files.get(request.uri().path()).cloned();
            async move {
                match file {
                    Some((media_type, bytes)) => respond(200, &media_type, stream::iter([bytes]).boxed()),
                    None => respond(404, "text/plain", stream::iter(["There is no such file."]).boxed()),
                }
            }
        })
        .await;
        RunningFileServer { address, asked }
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
