//! What the store of apps refuses, as an answer.

use shared::db::DbError;

use crate::apps::store::StoreRefusal;
use crate::error::ApiError;
use crate::mistake::FieldError;

/// A refusal as an answer; only a failed statement is done again.
pub(super) fn stored<T>(result: Result<T, StoreRefusal>) -> Result<Result<T, ApiError>, DbError> {
    match result {
        Ok(done) => Ok(Ok(done)),
        Err(StoreRefusal::Db(error)) => Err(error),
        Err(StoreRefusal::Unknown) => Ok(Err(ApiError::NotFound("app"))),
        Err(refusal) => {
            let advice = match refusal {
                StoreRefusal::NameTaken(_) => "rename one of them first",
                StoreRefusal::TooMany(..) => "go on with another app",
                _ => "open its versions again",
            };
            let mistake = FieldError::part("version", "conflict", format!("{refusal}; {advice}"));
            Ok(Err(ApiError::invalid(mistake)))
        }
    }
}
