//! Standard Webhooks 1.0: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, one per active secret,
//! separated by spaces.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::prelude::{BASE64_STANDARD, Engine};

/// The value of `webhook-signature`; `keys` are the secrets' bytes.
#[must_use]
pub fn signature(keys: &[Vec<u8>], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let one =
        |key: &Vec<u8>| format!("v1,{}", BASE64_STANDARD.encode(sign(&Key::new(HMAC_SHA256, key), &signed)));
    keys.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_official_library() {
        let secrets = [vec![1_u8; 32], vec![2_u8; 32]];
        let now = chrono::Utc::now().timestamp();
        let value = signature(&secrets, "msg", now, b"{}");
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
