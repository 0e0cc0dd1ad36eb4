//! Signs a request by Standard Webhooks 1.0: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`,
//! one signature for each active secret, separated by spaces.

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::{DateTime, Utc};
use public_client::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretSlice};
use shared::ids::DeliveryId;

/// The headers of a request; `keys` are the bytes of the active secrets.
#[must_use]
pub fn headers(keys: &[SecretSlice<u8>], id: DeliveryId, at: DateTime<Utc>, body: &[u8]) -> HeaderMap {
    let (id, timestamp) = (id.to_string(), at.timestamp());
    let signature = signature(keys, &id, timestamp, body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in
        [("webhook-id", id), ("webhook-timestamp", timestamp.to_string()), ("webhook-signature", signature)]
    {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    headers
}

fn signature(keys: &[SecretSlice<u8>], id: &str, timestamp: i64, body: &[u8]) -> String {
    let start = format!("{id}.{timestamp}.");
    let sign_with = |key: &SecretSlice<u8>| {
        let mut signing = Context::with_key(&Key::new(HMAC_SHA256, key.expose_secret()));
        signing.update(start.as_bytes());
        signing.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(signing.sign()))
    };
    keys.iter().map(sign_with).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_gives_the_signature_of_the_official_library() {
        let secrets = [vec![1_u8; 32], vec![2_u8; 32]];
        let now = chrono::Utc::now().timestamp();
        let keys = secrets.clone().map(SecretSlice::from);
        let value = signature(&keys, "msg", now, b"{}");
        for secret in &secrets {
            let official = standardwebhooks::Webhook::new(&BASE64_STANDARD.encode(secret)).unwrap();
            let mut headers = std::collections::HashMap::new();
            for one in value.split(' ') {
                headers.insert(one, official.sign("msg", now, b"{}").unwrap() == *one);
            }
            assert_eq!(headers.values().filter(|equal| **equal).count(), 1);
        }
    }
}
