//! Secrets at rest: AES-256-GCM (NIST SP 800-38D). A sealed value is `key id (8) | nonce (12) | ciphertext | tag
//! (16)` and is bound to its owner, so that a row copied to another account does not open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};

const KEY_ID_LEN: usize = 8;

/// Seals and opens.
pub struct EncryptionKey {
    id: [u8; KEY_ID_LEN],
    key: RandomizedNonceKey,
}

/// Why a value was not sealed or opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    /// It was sealed with another key.
    #[error("sealed with another CAPI_SECRET_KEY than the present one")]
    OtherKey,
    /// Changed, cut, or of another owner.
    #[error("a sealed value is damaged or belongs to another owner")]
    Damaged,
}

impl EncryptionKey {
    /// A key of 32 bytes; its id is the head of its SHA-256.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "only fails for keys that are not 32 bytes long"
    )]
    pub fn new(bytes: &[u8; 32]) -> Self {
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..KEY_ID_LEN]);
        Self { id, key: RandomizedNonceKey::new(&AES_256_GCM, bytes).expect("32 bytes are a key") }
    }

    /// Encrypts `plain` for `owner`.
    pub fn seal(&self, owner: &[u8], plain: &[u8]) -> Result<Vec<u8>, EncryptionError> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(owner), &mut sealed)
            .map_err(|_| EncryptionError::Damaged)?;
        Ok([&self.id, nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// Decrypts what [`Self::seal`] made for the same owner.
    pub fn open(&self, owner: &[u8], sealed: &[u8]) -> Result<Vec<u8>, EncryptionError> {
        let (id, rest) = sealed.split_at_checked(KEY_ID_LEN).ok_or(EncryptionError::Damaged)?;
        if id != self.id {
            return Err(EncryptionError::OtherKey);
        }
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN).ok_or(EncryptionError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| EncryptionError::Damaged)?;
        let mut plain = ciphertext.to_vec();
        let length = self
            .key
            .open_in_place(nonce, Aad::from(owner), &mut plain)
            .map_err(|_| EncryptionError::Damaged)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_it_sealed_for_the_same_owner() {
        let key = EncryptionKey::new(&[7; 32]);
        let sealed = key.seal(b"ada", b"secret").unwrap();
        assert_eq!(key.open(b"ada", &sealed).unwrap(), b"secret");
        assert_eq!(key.open(b"bob", &sealed), Err(EncryptionError::Damaged));
        assert_eq!(EncryptionKey::new(&[8; 32]).open(b"ada", &sealed), Err(EncryptionError::OtherKey));
        let mut flipped = sealed.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(key.open(b"ada", &flipped), Err(EncryptionError::Damaged));
        assert_eq!(key.open(b"ada", &sealed[..10]), Err(EncryptionError::Damaged));
    }
}
