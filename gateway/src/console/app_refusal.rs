//! How the console answers a refusal of the app store outside the editor.

use gateway_domain::FieldError;
use gateway_domain::apps::store::StoreRefusal;

use crate::http::ApiError;

impl From<StoreRefusal> for ApiError {
    fn from(refusal: StoreRefusal) -> Self {
        let advice = match refusal {
            StoreRefusal::Db(error) => return error.into(),
            StoreRefusal::Unknown => return Self::not_found("app"),
            StoreRefusal::NameTaken(_) => "rename one of the two apps first",
            StoreRefusal::TooMany(..) => "use another app",
            StoreRefusal::Changed(_) => "open its versions again",
        };
        Self::invalid(FieldError::part("version", "conflict", format!("{refusal}; {advice}")))
    }
}
