//! An API key: `capi_`, 32 random base62 characters, and 6 characters of CRC32. Leak scanners and the gateway
//! detect a typo without the database. Only the SHA-256 is stored: with 190 bits of entropy a slow hash would
//! add nothing.

use aws_lc_rs::digest::{SHA256, digest};
use rand::RngExt;

const PREFIX: &str = "capi_";
const RANDOM_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of the key that lists show.
const DISPLAY_CHARS: usize = 12;

/// The SHA-256 of a key or a session token, as the database and the in-process tables hold it.
pub type KeyHash = [u8; 32];

/// A well-formed key. It has no Debug or Display, so that it cannot get into a log.
pub struct ApiKey(String);

impl ApiKey {
    #[must_use]
    pub fn generate() -> Self {
        let mut random = rand::rng();
        let body: String =
            (0..RANDOM_CHARS).map(|_| char::from(BASE62[random.random_range(0..BASE62.len())])).collect();
        Self(format!("{PREFIX}{body}{}", checksum(&body)))
    }

    /// Whether the text begins like a key. Keys of other services do not.
    #[must_use]
    pub fn has_prefix(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The key, if its form and checksum are right.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        if rest.len() != RANDOM_CHARS + CHECKSUM_CHARS
            || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return None;
        }
        let (body, sum) = rest.split_at(RANDOM_CHARS);
        (checksum(body) == sum).then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn sha256(&self) -> KeyHash {
        sha256(&self.0)
    }

    /// The first characters, which lists show.
    #[must_use]
    pub fn display_prefix(&self) -> &str {
        &self.0[..DISPLAY_CHARS]
    }

    /// The key itself, for the one time that it is shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

pub(super) fn sha256(secret: &str) -> KeyHash {
    let mut hash = KeyHash::default();
    hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    hash
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % BASE62.len()];
        rest /= BASE62.len();
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_keys_are_all_different_and_have_the_right_form() {
        const THREADS: usize = 4;
        const EACH: usize = 250_000;
        let generate = || (0..EACH).map(|_| ApiKey::generate()).collect::<Vec<_>>();
        let made: Vec<ApiKey> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(generate)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|key| ApiKey::parse(key.reveal()).is_some()));
        let different: std::collections::HashSet<_> = made.iter().map(ApiKey::reveal).collect();
        assert_eq!(different.len(), THREADS * EACH);
    }

    #[test]
    fn generated_keys_parse_and_changed_ones_do_not() {
        let key = ApiKey::generate();
        assert!(ApiKey::parse(key.reveal()).is_some());
        assert_ne!(key.reveal(), ApiKey::generate().reveal());
        let flipped: String = key
            .reveal()
            .chars()
            .enumerate()
            .map(|(at, c)| if at == 9 { if c == 'x' { 'y' } else { 'x' } } else { c })
            .collect();
        assert!(ApiKey::parse(&flipped).is_none());
        for bad in ["", "capi_", "sk_123", &key.reveal()[..42], &format!("{}0", key.reveal()), "capi_é"] {
            assert!(ApiKey::parse(bad).is_none(), "{bad:?}");
        }
    }
}
