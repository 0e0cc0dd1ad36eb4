//! The only client of the run-worker for URLs that a model chose: it owns the policy on addresses, redirects, proxies and sizes. Redirects
//! are followed by hand, since each hop's host may be an address that no resolver sees.

use std::sync::Arc;
use std::time::Duration;

use encoding_rs::{Encoding, UTF_8};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response};
use shared::net::ip_policy::IpPolicy;
use shared::net::public_url::{PublicUrl, UrlRefusal};
use shared::net::resolver::{NotPublic, PublicResolver};
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From connecting to the last byte, of one hop.
const HOP_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_REDIRECTS: usize = 5;
/// Bytes of a page that are read.
const MAX_PAGE_BYTES: usize = 2 << 20;
/// Bytes in which a page names its encoding, if it does.
const SNIFFED: usize = 1024;
const TEXT_TYPES: [&str; 6] = [
    "application/json",
    "application/xml",
    "application/xhtml+xml",
    "application/javascript",
    "+json",
    "+xml",
];

/// See the module.
pub(super) struct FetchClient {
    http: Client,
    policy: IpPolicy,
}

/// What a URL led to.
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) text: String,
    pub(super) is_html: bool,
    pub(super) is_cut: bool,
}

struct Resolver(PublicResolver);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move { Ok(Box::new(resolver.resolve(name.as_str()).await?.into_iter()) as Addrs) })
    }
}

impl FetchClient {
    pub(super) fn new(policy: IpPolicy) -> anyhow::Result<Self> {
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(HOP_TIMEOUT)
            .user_agent(concat!("capi-fetch/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Resolver(PublicResolver::new(policy.clone())?)))
            .build()?;
        Ok(Self { http, policy })
    }

    /// The page, or why there is none, in words for a model.
    pub(super) async fn get(&self, url: &str) -> Result<Page, String> {
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let checked = self.check(&url)?;
            let request = self
                .http
                .get(checked.clone())
                .header(ACCEPT, "text/html, text/*, application/json;q=0.9, */*;q=0.1");
            let response = request.send().await.map_err(|error| words(&error))?;
            match next_hop(&checked, &response) {
                Some(next) => url = next,
                None => return read(checked, response).await,
            }
        }
        Err(format!("The page redirects more than {MAX_REDIRECTS} times."))
    }

    /// A host that is an address never reaches the resolver: it is judged here, at every hop.
    fn check(&self, url: &str) -> Result<Url, String> {
        let checked = PublicUrl::parse(url, &self.policy).map_err(|refusal| match refusal {
            UrlRefusal::NotPublic(_) => "The URL does not lead to a public address.".to_owned(),
            UrlRefusal::Credentials => "The URL must not carry a user name or password.".to_owned(),
            other => format!("The URL {other}."),
        })?;
        Ok(checked.url().clone())
    }
}

fn next_hop(from: &Url, response: &Response) -> Option<String> {
    let target = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    Some(from.join(target.to_str().ok()?).ok()?.into())
}

async fn read(url: Url, mut response: Response) -> Result<Page, String> {
    let kind =
        response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("text/html");
    let kind = kind.to_ascii_lowercase();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_owned();
    if !essence.starts_with("text/") && !TEXT_TYPES.iter().any(|known| essence.ends_with(known)) {
        return Err(format!("The page is {essence}, which is not text."));
    }
    let (mut bytes, mut is_cut) = (Vec::new(), false);
    while let Some(more) = response.chunk().await.map_err(|error| words(&error))? {
        let room = MAX_PAGE_BYTES - bytes.len();
        bytes.extend_from_slice(&more[..more.len().min(room)]);
        if more.len() > room {
            is_cut = true;
            break;
        }
    }
    let encoding =
        charset(&kind).or_else(|| charset(&String::from_utf8_lossy(&bytes[..bytes.len().min(SNIFFED)])));
    let (text, ..) = encoding.unwrap_or(UTF_8).decode(&bytes);
    let is_html = essence == "text/html" || essence == "application/xhtml+xml";
    Ok(Page { url, status: response.status().as_u16(), text: text.into_owned(), is_html, is_cut })
}

/// The encoding that a header or the beginning of a page names.
fn charset(text: &str) -> Option<&'static Encoding> {
    let (_, named) = text.split_once("charset=")?;
    let name = named.trim_start_matches(['"', '\'']).split(['"', '\'', ';', '>', '/', ' ']).next()?;
    Encoding::for_label(name.as_bytes())
}

fn words(error: &reqwest::Error) -> String {
    let why = if NotPublic::caused(error) {
        "The host has no public address."
    } else if error.is_timeout() {
        "The page did not come in time."
    } else if error.is_connect() {
        "There is no connection to the host; does it exist?"
    } else {
        "The connection broke."
    };
    why.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_named_in_many_ways() {
        let named = |text: &str| charset(text).map(Encoding::name);
        assert_eq!(named("text/html; charset=\"shift_jis\"; x=y"), Some("Shift_JIS"));
        assert_eq!(named("<meta charset=windows-1251>"), Some("windows-1251"));
        assert_eq!(named("<meta content='text/html; charset=iso-8859-1'/>"), Some("windows-1252"));
        assert_eq!(named("text/html"), None);
    }
}
