//! Signed links to artifacts. A link downloads its artifact without an API key until it expires. The gateway
//! and the dispatcher sign links and the gateway checks them, so both derive the same key from
//! CAPI_SECRET_KEY.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, Utc};
use url::Url;

use crate::ids::{ArtifactId, RunId};
use crate::runs::{RunLinks, ShownArtifact};
use crate::time::Time;

/// Derives a key that no other use of the secret has.
const PURPOSE: &[u8] = b"capi artifact links 1";
/// Webhooks carry links, so a link must outlive the three days of delivery attempts.
const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Signs and checks links.
#[derive(Clone)]
pub struct Links {
    key: Key,
    base: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expired or changed")]
pub struct LinkRefusal;

impl Links {
    /// `public_url` is the address of the gateway for clients.
    #[must_use]
    pub fn new(secret: &[u8; 32], public_url: &Url) -> Self {
        let derived = sign(&Key::new(HMAC_SHA256, secret), PURPOSE);
        Self {
            key: Key::new(HMAC_SHA256, derived.as_ref()),
            base: public_url.as_str().trim_end_matches('/').to_owned(),
        }
    }

    /// The addresses of a run.
    #[must_use]
    pub fn of_run(&self, run: RunId) -> RunLinks {
        let this = format!("{}/api/v1/runs/{run}", self.base);
        RunLinks { events: format!("{this}/events"), console: format!("{}/runs/{run}", self.base), this }
    }

    /// Sets the URLs of the artifact and signs a link at the time `now`.
    pub(crate) fn add_to(&self, artifact: &mut ShownArtifact, run: RunId, now: DateTime<Utc>) {
        let id = artifact.id;
        let url = format!("{}/api/v1/runs/{run}/artifacts/{id}", self.base);
        let expires = expiry(now);
        artifact.download_url = format!("{url}?{}", self.query(run, id, expires));
        artifact.download_url_expires_at = Time(expires);
        artifact.url = url;
    }

    /// Returns the query of a link that expires at `expires`, which must be whole seconds.
    #[must_use]
    pub fn query(&self, run: RunId, artifact: ArtifactId, expires: DateTime<Utc>) -> String {
        let (mut query, expires) = (String::new(), expires.timestamp());
        let signature = sign(&self.key, signed(run, artifact, expires).as_bytes());
        let encoded = BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref());
        let _ = write!(query, "expires={expires}&signature={encoded}");
        query
    }

    /// Checks the signature. The caller must compare `expires` with the database's clock.
    pub fn check(
        &self,
        run: RunId,
        artifact: ArtifactId,
        expires: i64,
        signature: &str,
    ) -> Result<(), LinkRefusal> {
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| LinkRefusal)?;
        verify(&self.key, signed(run, artifact, expires).as_bytes(), &signature).map_err(|_| LinkRefusal)
    }
}

/// The lifetime ends with a whole hour, so that a run keeps its links, and its ETag, for that long.
fn expiry(now: DateTime<Utc>) -> DateTime<Utc> {
    let (end, hour) = ((now + LIFETIME).timestamp(), 3600);
    let rounded = DateTime::from_timestamp(end + (hour - end % hour) % hour, 0);
    rounded.unwrap_or(now + LIFETIME)
}

fn signed(run: RunId, artifact: ArtifactId, expires: i64) -> String {
    format!("{run}/{artifact}/{expires}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::format_time;

    #[test]
    fn links_stay_the_same_for_an_hour() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let lifetime = 7 * 24 * 3600;
        for (now, end) in [(0, 0), (1, 3600), (3600, 3600), (3601, 7200)] {
            assert_eq!(expiry(at(now)), at(lifetime + end), "{now}");
        }
    }

    #[test]
    fn a_signature_is_valid_for_its_artifact_and_time_only() {
        let base = Url::parse("https://capi.example.com/").unwrap();
        let (links, other) = (Links::new(&[7; 32], &base), Links::new(&[8; 32], &base));
        let (run, artifact) = (RunId::generate(), ArtifactId::generate());
        let stored = serde_json::json!({"id": artifact, "type": "", "title": "", "size": 0, "sha256": ""});
        let mut shown: ShownArtifact = serde_json::from_value(stored).unwrap();
        links.add_to(&mut shown, run, DateTime::UNIX_EPOCH);
        assert_eq!(format_time(shown.download_url_expires_at.0), "1970-01-08T00:00:00.000Z");
        let url = Url::parse(&shown.download_url).unwrap();
        assert_eq!(url.path(), format!("/api/v1/runs/{run}/artifacts/{artifact}"));
        let pairs: Vec<_> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
        let (expires, signature) = (pairs[0].parse().unwrap(), &pairs[1]);
        assert_eq!(links.check(run, artifact, expires, signature), Ok(()));
        assert_eq!(links.check(run, artifact, expires + 1, signature), Err(LinkRefusal));
        assert_eq!(links.check(run, ArtifactId::generate(), expires, signature), Err(LinkRefusal));
        assert_eq!(links.check(RunId::generate(), artifact, expires, signature), Err(LinkRefusal));
        assert_eq!(links.check(run, artifact, expires, "AAAA"), Err(LinkRefusal));
        assert_eq!(other.check(run, artifact, expires, signature), Err(LinkRefusal));
    }
}
