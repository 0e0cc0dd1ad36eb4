//! The only client for user URLs: it owns the policy on addresses, redirects, proxies and sizes. Nothing else in
//! capi may send a request to an address that a user chose.

mod resolver;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response};
use shared::net::ip_policy::IpPolicy;
use shared::net::public_url::PublicUrl;
use shared::net::resolver::{NotPublic, PublicResolver};
use shared::text::CleanText;

use crate::attempt::Attempted;
use resolver::Resolver;

/// From connecting to the last byte.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read, and that are stored.
const READ_BYTES: usize = 16 * 1024;
const STORED_BYTES: usize = 1024;
const ERROR_BYTES: usize = 300;

/// See the module.
pub struct WebhookClient {
    http: Client,
    policy: IpPolicy,
}

impl WebhookClient {
    /// `policy` judges every address, resolved or literal.
    pub fn new(policy: IpPolicy) -> anyhow::Result<Self> {
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .user_agent(concat!("capi-webhooks/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Resolver(PublicResolver::new(policy.clone())?)))
            .build()?;
        Ok(Self { http, policy })
    }

    /// One POST. Whatever happens is told in the result.
    pub async fn post(&self, url: &str, headers: HeaderMap, body: Vec<u8>) -> Attempted {
        let started = Instant::now();
        // A host that is an address never reaches the resolver: it is judged here, again at every try.
        let url = match PublicUrl::parse(url, &self.policy) {
            Ok(url) => url,
            Err(refusal) => return failed(started, &format!("the URL {refusal}")),
        };
        let sending = async {
            let response = self.http.post(url.url().clone()).headers(headers).body(body).send().await?;
            Ok::<_, reqwest::Error>(read(response).await)
        };
        match tokio::time::timeout(TOTAL_TIMEOUT, sending).await {
            Err(_) => failed(started, "no whole answer within 15 s"),
            Ok(Err(error)) => failed(started, words(&error)),
            Ok(Ok(mut attempted)) => {
                attempted.duration = started.elapsed();
                attempted
            }
        }
    }
}

fn failed(started: Instant, why: &str) -> Attempted {
    Attempted {
        duration: started.elapsed(),
        error: Some(CleanText::new(why, ERROR_BYTES)),
        ..Attempted::default()
    }
}

async fn read(mut response: Response) -> Attempted {
    let status = response.status();
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut body = Vec::new();
    // The status has the say; a body that breaks off changes nothing.
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes[..bytes.len().min(READ_BYTES - body.len())]);
        if body.len() >= READ_BYTES {
            break;
        }
    }
    let error = match status.as_u16() {
        200..=299 => None,
        300..=399 => Some("redirects are not followed; give the final URL".to_owned()),
        code => Some(format!("the receiver answered {code}")),
    };
    Attempted {
        duration: Duration::ZERO,
        status_code: Some(status.as_u16()),
        error: error.map(|words| CleanText::new(&words, ERROR_BYTES)),
        response_body: Some(CleanText::from_bytes(&body, STORED_BYTES)),
        retry_after,
    }
}

fn words(error: &reqwest::Error) -> &'static str {
    if NotPublic::caused(error) {
        "the host has no public address"
    } else if error.is_timeout() {
        "no whole answer within 15 s"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}
