//! Fetches a page through the client for addresses that users and models give, and decodes it to text.

use std::time::Duration;

use encoding_rs::{Encoding, UTF_8};
use public_client::header::CONTENT_TYPE;
use public_client::{
    Body, BodyEnd, CONNECT_TIMEOUT, GetFailure, Hops, Limits, MAX_REDIRECTS, PublicClient, Response,
};
use shared::media_types;
use shared::net::failure::RequestFailure;
use shared::net::ip_policy::IpPolicy;
use url::Url;

const LIMITS: Limits =
    Limits { connect: CONNECT_TIMEOUT, total: Duration::from_secs(15), body_bytes: 2 << 20 };
const ACCEPT: &str = "text/html, text/*, application/json;q=0.9, */*;q=0.1";
/// A page names its encoding within these first bytes, if it does at all.
const SNIFFED_BYTES: usize = 1024;

pub(super) struct FetchClient(PublicClient);

pub(super) struct Page {
    /// The URL that answered, after redirects.
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) text: String,
    pub(super) is_html: bool,
    pub(super) is_cut: bool,
}

impl FetchClient {
    pub(super) fn new(policy: IpPolicy) -> anyhow::Result<Self> {
        let user_agent = concat!("capi-fetch/", env!("CARGO_PKG_VERSION"));
        Ok(Self(PublicClient::new(user_agent, policy, LIMITS)?))
    }

    /// Returns the page, or a sentence for the model that says why there is none.
    pub(super) async fn get(&self, url: &str, hops: &impl Hops) -> Result<Page, String> {
        let response = self.0.get(url, ACCEPT, hops).await.map_err(|failure| match failure {
            GetFailure::Request(failure) => message(&failure),
            GetFailure::Refused(why) => why,
        })?;
        read(response).await
    }
}

async fn read(response: Response) -> Result<Page, String> {
    let content_type = response.header(CONTENT_TYPE).unwrap_or("text/html").to_ascii_lowercase();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_types::is_text(media_type) {
        return Err(format!("The page is {media_type}, which is not text."));
    }
    let is_html = media_type == "text/html" || media_type == "application/xhtml+xml";
    let (url, status) = (response.url().clone(), response.status());
    let Body { bytes, end } = response.read().await;
    if let BodyEnd::Failed(failure) = &end {
        return Err(message(failure));
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(SNIFFED_BYTES)]);
    let encoding = named_encoding(&content_type).or_else(|| named_encoding(&head)).unwrap_or(UTF_8);
    let text = encoding.decode(&bytes).0.into_owned();
    Ok(Page { url, status, text, is_html, is_cut: end == BodyEnd::Cut })
}

/// The encoding that a header or the beginning of a page names.
fn named_encoding(text: &str) -> Option<&'static Encoding> {
    let (_, named) = text.split_once("charset=")?;
    let name = named.trim_start_matches(['"', '\'']).split(['"', '\'', ';', '>', '/', ' ']).next()?;
    Encoding::for_label(name.as_bytes())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_found_in_headers_and_meta_elements() {
        let named = |text: &str| named_encoding(text).map(Encoding::name);
        assert_eq!(named("text/html; charset=\"shift_jis\"; x=y"), Some("Shift_JIS"));
        assert_eq!(named("<meta charset=windows-1251>"), Some("windows-1251"));
        assert_eq!(named("<meta content='text/html; charset=iso-8859-1'/>"), Some("windows-1252"));
        assert_eq!(named("text/html"), None);
    }
}
