//! How the console answers a refusal of the app store outside the editor.

use gateway_domain::apps::store::StoreRefusal;
use gateway_domain::{FieldError, Refusal};

use crate::http::ApiError;

pub(crate) fn store_refusal(refusal: StoreRefusal) -> ApiError {
    let advice = match refusal {
        StoreRefusal::Db(error) => return error.into(),
        StoreRefusal::Unknown => return ApiError::not_found("app"),
        StoreRefusal::OverQuota(exceeded) => return Refusal::QuotaExceeded(exceeded).into(),
        StoreRefusal::NameTaken(_) => "rename one of the two apps first",
        StoreRefusal::TooMany(..) => "use another app",
        StoreRefusal::Changed(_) => "open its versions again",
    };
    ApiError::invalid(FieldError::part("version", "conflict", format!("{refusal}; {advice}")))
}
