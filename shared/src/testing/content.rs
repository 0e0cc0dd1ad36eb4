//! A web server with given content of any type.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::http::{respond, respond_with, serve};

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

pub struct ContentServer {
    address: SocketAddr,
}

impl ContentServer {
    /// Any other path is 404.
    pub async fn start(given: impl IntoIterator<Item = (&'static str, Given)>) -> Self {
        let given: Arc<HashMap<_, _>> = Arc::new(given.into_iter().collect());
        let address = serve(move |request| {
            let given = given.get(request.uri().path()).cloned();
            async move {
                match given {
                    Some(Given::Content(kind, body)) => respond(200, kind, stream::iter([body]).boxed()),
                    Some(Given::Repeated(kind, body, times)) => {
                        respond(200, kind, stream::iter(std::iter::repeat_n(body, times)).boxed())
                    }
                    Some(Given::Redirect(to)) => {
                        let nothing = stream::empty::<Bytes>().boxed();
                        respond_with(302, "text/html", Some(("location", to)), nothing)
                    }
                    None => respond(404, "text/html", stream::iter(["gone".to_owned()]).boxed()),
                }
            }
        })
        .await;
        Self { address }
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
