//! Decides before a form with files is read whether its account has room, and whether its files are stored.

use shared::config::Quotas;
use shared::db::Db;
use shared::ids::UserId;

use super::create::refused;
use super::idempotency::{is_known, is_known_beginning};
use super::uploads::Uploads;
use crate::Refusal;
use crate::accounts::quotas::{self, Asked};

/// Bytes of a large form that may be no file: fields, boundaries and part headers.
const NO_FILES: u64 = 2 << 20;

/// What is known of an idempotency key before the form is read.
#[derive(Debug, Clone, Copy)]
pub enum Earlier<'a> {
    /// The path and the key.
    Key(&'a str, &'a str),
    /// The path and the beginning of the key. The rest depends on the fields.
    Beginning(&'a str, &'a str),
}

/// Refuses a form of `large` bytes that cannot fit; `None` stands for a small one. Otherwise the bytes of
/// each attempt would count to the day's request bytes. The creating statement checks exactly.
///
/// A form that an earlier request has sent is read whatever the account uses, but its files are not stored.
/// Otherwise they could be stored and deleted again and again, whatever the day's request bytes are.
pub async fn admit(
    db: &Db,
    (user, quotas): (UserId, &Quotas),
    large: Option<u64>,
    earlier: Option<Earlier<'_>>,
    files: &mut Uploads,
) -> Result<(), Refusal> {
    if let Some(Earlier::Key(path, key)) = earlier
        && is_known(db, user, path, key).await?
    {
        let expired = "the earlier create with this Idempotency-Key has just expired; try again";
        files.store_none(Refusal::Unavailable(expired));
        return Ok(());
    }
    let Some(bytes) = large else { return Ok(()) };
    let asked = Asked { stored_bytes: bytes.saturating_sub(NO_FILES).max(1), request_bytes: bytes };
    let Some(exceeded) = quotas::check(db, user, quotas, asked).await? else { return Ok(()) };
    let refusal = refused(exceeded);
    if let Some(Earlier::Beginning(path, beginning)) = earlier
        && is_known_beginning(db, user, path, beginning).await?
    {
        files.store_none(refusal);
        return Ok(());
    }
    Err(refusal)
}
