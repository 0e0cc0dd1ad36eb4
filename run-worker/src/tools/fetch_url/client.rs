//! Asks for a URL through the client for addresses that users and models give. Reads the body as far as the
//! caller wants it.

use std::time::Duration;

use public_client::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE};
use public_client::{CONNECT_TIMEOUT, GetFailure, Hops, Limits, MAX_REDIRECTS, PublicClient, Response};
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::content::Announced;

/// From the first connection to the last byte of a file or a document.
pub(super) const FILE_TIME: Duration = Duration::from_mins(2);
/// The same for the head of the answer, and for all of a page.
const PAGE_TIME: Duration = Duration::from_secs(15);
/// Bytes of a page that are read. Longer ones are generated, or data that a program should read.
pub(super) const MAX_PAGE_BYTES: usize = 4 << 20;
/// Bytes that show what a file without a known type is.
const SNIFFED_BYTES: usize = 1024;
const LIMITS: Limits = Limits { connect: CONNECT_TIMEOUT, total: FILE_TIME, body_bytes: MAX_PAGE_BYTES };
const ACCEPT: &str = "text/html, text/*, application/json;q=0.9, */*;q=0.8";

pub(super) struct FetchClient(PublicClient);

/// An answer whose body is not read yet.
pub(super) struct Reply {
    pub(super) head: Head,
    pub(super) announced: Announced,
    response: Response,
    /// The beginning of the body.
    begun: Vec<u8>,
    /// Until when a page must be read.
    page_until: Instant,
}

/// Where an answer came from.
#[derive(Clone)]
pub(super) struct Head {
    /// The URL of the call, without its fragment.
    pub(super) asked: Url,
    /// The URL that answered, after redirects.
    pub(super) url: Url,
    pub(super) status: u16,
}

/// The whole body, or its first bytes.
pub(super) struct PageBytes {
    pub(super) bytes: Vec<u8>,
    pub(super) is_cut: bool,
}

/// Why a body was not written to a file.
pub(super) enum SaveFailure {
    /// It has more bytes than there is room.
    TooLarge,
    /// A sentence for the model.
    Request(String),
    Disk(std::io::Error),
}

impl FetchClient {
    pub(super) fn new(policy: IpPolicy) -> anyhow::Result<Self> {
        let user_agent = concat!("capi-fetch/", env!("CARGO_PKG_VERSION"));
        Ok(Self(PublicClient::new(user_agent, policy, LIMITS)?))
    }

    /// Returns the answer, or a sentence for the model that says why there is none.
    pub(super) async fn get(&self, url: &str, hops: &impl Hops) -> Result<Reply, String> {
        let page_until = Instant::now() + PAGE_TIME;
        let response = match timeout_at(page_until, self.0.get(url, ACCEPT, hops)).await {
            Ok(Ok(response)) => response,
            Ok(Err(GetFailure::Request(failure))) => return Err(message(&failure)),
            Ok(Err(GetFailure::Refused(why))) => return Err(why),
            Err(_) => return Err(message(&RequestFailure::Timeout)),
        };
        let without_fragment = |mut url: Url| {
            url.set_fragment(None);
            url
        };
        let final_url = without_fragment(response.url().clone());
        let asked = Url::parse(url.trim()).map_or_else(|_| final_url.clone(), without_fragment);
        let header = |name| response.header(name).unwrap_or_default().to_owned();
        let announced = Announced {
            content_type: header(CONTENT_TYPE),
            disposition: header(CONTENT_DISPOSITION),
            encoding: header(CONTENT_ENCODING),
            path: final_url.path().to_owned(),
        };
        let head = Head { asked, url: final_url, status: response.status() };
        Ok(Reply { head, announced, response, begun: Vec::new(), page_until })
    }
}

impl Reply {
    /// The number of bytes that the server announces, if it does.
    pub(super) fn announced_bytes(&self) -> Option<u64> {
        self.response.announced_bytes()
    }

    /// Some first bytes of the body.
    pub(super) async fn beginning(&mut self) -> Result<&[u8], String> {
        self.read_until(SNIFFED_BYTES, self.page_until).await?;
        Ok(&self.begun)
    }

    /// Reads a page.
    pub(super) async fn page(mut self) -> Result<PageBytes, String> {
        self.read_until(MAX_PAGE_BYTES + 1, self.page_until).await?;
        let is_cut = self.begun.len() > MAX_PAGE_BYTES;
        self.begun.truncate(MAX_PAGE_BYTES);
        Ok(PageBytes { bytes: self.begun, is_cut })
    }

    /// Writes the body to a file, if it has at most `max` bytes. Returns their number.
    pub(super) async fn save(mut self, file: &mut File, max: u64) -> Result<u64, SaveFailure> {
        let mut written = 0;
        let mut next = std::mem::take(&mut self.begun);
        loop {
            written += next.len() as u64;
            if written > max {
                return Err(SaveFailure::TooLarge);
            }
            file.write_all(&next).await.map_err(SaveFailure::Disk)?;
            match self.response.next_piece().await {
                Ok(Some(piece)) => next = piece.into(),
                Ok(None) => break,
                Err(failure) => return Err(SaveFailure::Request(message(&failure))),
            }
        }
        file.flush().await.map_err(SaveFailure::Disk)?;
        Ok(written)
    }

    async fn read_until(&mut self, bytes: usize, deadline: Instant) -> Result<(), String> {
        while self.begun.len() < bytes {
            match timeout_at(deadline, self.response.next_piece()).await {
                Ok(Ok(Some(piece))) => self.begun.extend_from_slice(&piece),
                Ok(Ok(None)) => break,
                Ok(Err(failure)) => return Err(message(&failure)),
                Err(_) => return Err(message(&RequestFailure::Timeout)),
            }
        }
        Ok(())
    }
}

fn message(failure: &RequestFailure) -> String {
    match failure {
        // The refusal's own text says how an operator allows the address. A model cannot use that.
        RequestFailure::InvalidUrl(refusal) if refusal.is_about_the_address() => {
            "The URL does not lead to a public address.".to_owned()
        }
        RequestFailure::TooManyRedirects => format!("The page redirects more than {MAX_REDIRECTS} times."),
        other => other.to_string(),
    }
}
