//! Encryption of secrets at rest with AES-256-GCM (NIST SP 800-38D). An encrypted value is `key id (8) |
//! nonce (12) | ciphertext | tag (16)`. It is bound to its owner, so a row that is copied to another account
//! cannot be decrypted.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};

const KEY_ID_LEN: usize = 8;

pub struct EncryptionKey {
    id: [u8; KEY_ID_LEN],
    key: RandomizedNonceKey,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    #[error("the value was encrypted with another CAPI_SECRET_KEY")]
    OtherKey,
    #[error("the encrypted value is damaged or belongs to another owner")]
    Damaged,
}

impl EncryptionKey {
    /// The key's id is the start of its SHA-256.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "fails only for keys that are not 32 bytes long"
    )]
    pub fn new(bytes: &[u8; 32]) -> Self {
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..KEY_ID_LEN]);
        Self { id, key: RandomizedNonceKey::new(&AES_256_GCM, bytes).expect("32 bytes are a key") }
    }

    /// Encrypts `plain` for `owner`.
    pub fn encrypt(&self, owner: &[u8], plain: &[u8]) -> Result<Vec<u8>, EncryptionError> {
        let mut ciphertext = plain.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(owner), &mut ciphertext)
            .map_err(|_| EncryptionError::Damaged)?;
        Ok([&self.id, nonce.as_ref().as_slice(), &ciphertext].concat())
    }

    /// Decrypts a value that [`Self::encrypt`] made for the same owner.
    pub fn decrypt(&self, owner: &[u8], encrypted: &[u8]) -> Result<Vec<u8>, EncryptionError> {
        let (id, rest) = encrypted.split_at_checked(KEY_ID_LEN).ok_or(EncryptionError::Damaged)?;
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
    fn only_the_same_key_and_owner_decrypt() {
        let key = EncryptionKey::new(&[7; 32]);
        let encrypted = key.encrypt(b"ada", b"secret").unwrap();
        assert_eq!(key.decrypt(b"ada", &encrypted).unwrap(), b"secret");
        assert_eq!(key.decrypt(b"bob", &encrypted), Err(EncryptionError::Damaged));
        assert_eq!(EncryptionKey::new(&[8; 32]).decrypt(b"ada", &encrypted), Err(EncryptionError::OtherKey));
        let mut flipped = encrypted.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(key.decrypt(b"ada", &flipped), Err(EncryptionError::Damaged));
        assert_eq!(key.decrypt(b"ada", &encrypted[..10]), Err(EncryptionError::Damaged));
    }
}
