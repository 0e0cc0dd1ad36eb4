//! CAPI_SECRET_KEY: encrypts stored secrets and signs links.

use std::path::PathBuf;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::prelude::{BASE64_STANDARD, Engine};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::LinksConfig;
use crate::encryption::EncryptionKey;
use crate::storage::Links;

/// The key, or the file with the key.
#[derive(Args, Clone, Debug)]
pub struct SecretKeyConfig {
    /// 32 random bytes in base64 (`openssl rand -base64 32`). Losing it loses all webhook secrets.
    #[arg(long, env = "CAPI_SECRET_KEY", hide_env_values = true)]
    pub secret_key: Option<SecretString>,
    /// File with the key.
    #[arg(long, env = "CAPI_SECRET_KEY_FILE")]
    pub secret_key_file: Option<PathBuf>,
}

/// What is wrong with the setting.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyError {
    #[error(
        "set CAPI_SECRET_KEY or CAPI_SECRET_KEY_FILE: 32 random bytes in base64 (openssl rand -base64 32)"
    )]
    Missing,
    #[error("set CAPI_SECRET_KEY or CAPI_SECRET_KEY_FILE, not both")]
    Both,
    #[error("CAPI_SECRET_KEY_FILE: cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("CAPI_SECRET_KEY must be 32 random bytes in base64 (openssl rand -base64 32)")]
    Malformed,
}

impl SecretKeyConfig {
    /// The key that encrypts secrets.
    pub fn read(&self) -> Result<EncryptionKey, SecretKeyError> {
        Ok(EncryptionKey::new(&self.bytes()?))
    }

    /// The key that signs links.
    pub fn links(&self, config: &LinksConfig) -> Result<Links, SecretKeyError> {
        Ok(Links::new(&self.bytes()?, &config.public_url))
    }

    /// A key for one purpose: what it signs is not valid for another purpose.
    pub fn derived(&self, purpose: &str) -> Result<[u8; 32], SecretKeyError> {
        let derived = sign(&Key::new(HMAC_SHA256, &self.bytes()?), purpose.as_bytes());
        derived.as_ref().try_into().map_err(|_| SecretKeyError::Malformed)
    }

    fn bytes(&self) -> Result<[u8; 32], SecretKeyError> {
        let text = match (&self.secret_key, &self.secret_key_file) {
            (Some(_), Some(_)) => return Err(SecretKeyError::Both),
            (None, None) => return Err(SecretKeyError::Missing),
            (Some(key), None) => key.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map(SecretString::from)
                .map_err(|error| SecretKeyError::Read(path.clone(), error))?,
        };
        let bytes =
            BASE64_STANDARD.decode(text.expose_secret().trim()).map_err(|_| SecretKeyError::Malformed)?;
        bytes.try_into().map_err(|_| SecretKeyError::Malformed)
    }
}
