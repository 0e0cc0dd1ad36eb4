//! Why a request is refused. The faces match it exhaustively: the API gives each refusal a problem code and a
//! status, the console a sentence.

use chrono::{DateTime, Utc};
use shared::config::SearchMissing;
use shared::db::{Connection, Db, DbError};
use shared::definition_checker::CheckError;
use shared::runs::RunStatus;
use shared::storage::StorageError;

use crate::accounts::quotas::Exceeded;
use crate::field_error::FieldError;

/// Why something was not done.
#[derive(Debug)]
pub enum Refusal {
    /// The account has no such object; the text names its kind ("run", "app"). Objects of other accounts
    /// count as missing.
    NotFound(&'static str),
    InvalidRequest(String, Vec<FieldError>),
    InvalidInputs(Vec<FieldError>),
    /// The errors of a definition.
    InvalidApp(Vec<FieldError>),
    /// Another app of the account has this name.
    AppNameTaken(String),
    /// The app's current version is another one than the request expects.
    AppChanged {
        version: i32,
    },
    /// The account has as many apps, or the app as many versions, as are possible.
    TooManyApps {
        most: i64,
        what: &'static str,
    },
    UnknownModel {
        asked: String,
        known: Vec<String>,
    },
    ModelLacksTools {
        asked: String,
        able: Vec<String>,
    },
    /// The run has a picture that neither its model nor a tool of its app can look at.
    ModelLacksVision {
        asked: String,
        able: Vec<String>,
    },
    /// The installation lacks the search provider that the app needs.
    SearchMissing(SearchMissing),
    /// The request's field, and what is wrong with its URL.
    InvalidWebhookUrl {
        field: &'static str,
        why: String,
    },
    AppArchived,
    RunAlreadyFinished(RunStatus),
    RunNotFinished(RunStatus),
    /// A delivery that is to be sent again has attempts before it.
    DeliveryNotFinished {
        in_flight: bool,
        next_attempt_at: Option<DateTime<Utc>>,
    },
    IdempotencyConflict,
    /// The run that an earlier request with the same idempotency key created.
    RunDeleted,
    TooManyWaits {
        limit: usize,
    },
    /// The account tests its receivers too often.
    TooManyPings {
        in_flight: i64,
        per_minute: i64,
    },
    /// The account has too many definitions in check.
    TooManyChecks,
    /// The artifact store has no space for files.
    StoreFull,
    /// The account has no room for this under its plan.
    QuotaExceeded(Exceeded),
    /// A part of the installation does not answer; the text says what to do.
    Unavailable(&'static str),
    /// The database did not confirm a create, so the run may exist.
    MaybeCreated {
        has_key: bool,
    },
    /// A fault of this program. The cause is in the log.
    Internal,
}

impl Refusal {
    /// Logs a fault of this program.
    pub fn fault(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "request failed");
        Self::Internal
    }

    /// Whether the installation failed, and not the request.
    #[must_use]
    pub const fn is_own_failure(&self) -> bool {
        matches!(self, Self::StoreFull | Self::Unavailable(_) | Self::MaybeCreated { .. } | Self::Internal)
    }

    /// One error as the whole answer.
    #[must_use]
    pub fn invalid(error: FieldError) -> Self {
        Self::InvalidRequest(error.message.clone(), vec![error])
    }

    /// Refuses a request with all its errors, if it has any.
    pub fn unless_empty(errors: Vec<FieldError>) -> Result<(), Self> {
        if errors.is_empty() {
            return Ok(());
        }
        Err(Self::InvalidRequest(crate::joined(&errors), errors))
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        if error.is_outage() {
            tracing::warn!(%error, "the database does not answer");
            Self::Unavailable("the database does not answer; try again")
        } else {
            tracing::error!(%error, "statement failed");
            Self::Internal
        }
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        if matches!(error, StorageError::Full(_)) {
            metrics::counter!("capi_artifact_store_full_total").increment(1);
            tracing::error!(%error, "refused files");
            return Self::StoreFull;
        }
        metrics::counter!("capi_artifact_store_failures_total").increment(1);
        tracing::error!(%error, "the artifact store does not answer");
        Self::Unavailable("the artifact store does not answer; try again")
    }
}

/// Callers that have a place for the author's mistakes match [`CheckError::Refused`] before.
impl From<CheckError> for Refusal {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Refused(why) => Self::InvalidRequest(format!("the app {why}"), Vec::new()),
            CheckError::Busy => Self::TooManyChecks,
            CheckError::Unavailable(_) => {
                tracing::error!(%error, "request failed");
                Self::Unavailable("definitions cannot be checked now; try again")
            }
        }
    }
}

/// An error of a function that also has refusals of its own. Only its database errors decide whether a call
/// is repeated.
pub trait StoreError: From<DbError> {
    /// The database error, or the error itself if it is something else.
    fn into_db(self) -> Result<DbError, Self>;
}

/// Does `work` like [`Db::write`], for errors that are more than database errors.
pub(crate) async fn write<T, E: StoreError, Work: Future<Output = Result<T, E>>>(
    db: &Db,
    work: impl Fn(Connection) -> Work,
) -> Result<T, E> {
    let outcome = db.write(|conn| async {
        match work(conn).await {
            Ok(done) => Ok(Ok(done)),
            Err(error) => error.into_db().map_or_else(|refusal| Ok(Err(refusal)), Err),
        }
    });
    outcome.await?
}
