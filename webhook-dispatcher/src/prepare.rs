//! Prepares the request of an attempt: renders the body and signs it. It is pure: the claim returned what it
//! needs.

use public_client::header::HeaderMap;
use shared::encryption::EncryptionKey;
use shared::webhook_secrets;

use crate::claims::Claimed;
use crate::take::LoadedRun;
use crate::{request, signature};

/// A request that can be sent.
pub struct Prepared {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Why no request can be made: a sentence for the owner of the receiver.
pub struct NotPrepared(pub &'static str);

const GONE: NotPrepared = NotPrepared("The run or the signing secret no longer exists.");

impl From<serde_json::Error> for NotPrepared {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!(%error, "webhook not sent: failed to write the body");
        Self("capi failed to write the body. This is a fault of capi.")
    }
}

/// The request of this attempt.
pub fn prepare(
    secret_key: &EncryptionKey,
    claimed: &Claimed,
    run: LoadedRun,
) -> Result<Prepared, NotPrepared> {
    let keys = webhook_secrets::decrypt(secret_key, claimed.user_id, &claimed.secrets).map_err(|error| {
        tracing::error!(%error, "webhook not sent: the signing secret cannot be read");
        NotPrepared("The signing secret cannot be read. The operator must check CAPI_SECRET_KEY.")
    })?;
    if keys.is_empty() {
        return Err(GONE);
    }
    let body = match run {
        LoadedRun::Run(run) => request::body(&claimed.r#type, claimed.created_at, *run, claimed.artifact_id)?,
        LoadedRun::Missing if claimed.is_ping() => request::ping(claimed.created_at)?,
        LoadedRun::Missing => return Err(GONE),
        LoadedRun::Unreadable => {
            return Err(NotPrepared("capi failed to load the run. This is a fault of capi."));
        }
    };
    let headers = signature::headers(&keys, claimed.id, claimed.claimed_at, &body);
    Ok(Prepared { headers, body })
}
