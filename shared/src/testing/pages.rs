//! A web server with the pages that a fetching tool may meet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use super::http::{respond, respond_with, serve};

/// See the module.
pub struct PageServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

const PAGE: &str =
    "<html><head><title>Slow page</title><script>alert(1)</script></head><body><p>Hello.</p></body></html>";

impl PageServer {
    /// `/slow` comes after a moment, `/hop` leads there, `/inward` to an address that is never public, `/loop` to itself; `/huge` is
    /// 5 MB, `/long` 4 kB, `/image` no text, every other one 404.
    pub async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let address = serve(move |request| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                let text = |kind: &str, text: String| respond(200, kind, stream::iter([text]).boxed());
                let to = |target: &str| {
                    respond_with(
                        302,
                        "text/html",
                        Some(("location", target.to_owned())),
                        stream::empty::<String>().boxed(),
                    )
                };
                match request.uri().path() {
                    "/slow" => {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        text("text/html", PAGE.to_owned())
                    }
                    "/hop" => to("/slow"),
                    "/inward" => to("http://169.254.169.254/latest"),
                    "/loop" => to("/loop"),
                    "/huge" => text("text/html", "<p>word ".repeat(5_000_000 / 8)),
                    "/long" => text("text/plain", "word ".repeat(800)),
                    "/image" => text("image/png", "PNG".to_owned()),
                    _ => respond(404, "text/html", stream::iter(["gone".to_owned()]).boxed()),
                }
            }
        })
        .await;
        Self { address, asked }
    }

    /// http://…
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Requests so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
