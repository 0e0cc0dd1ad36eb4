//! State that `start` gave to the server.

use actix_web::{HttpRequest, web};

use crate::http::ApiError;

/// The state of type `T`.
pub fn app_data<T: 'static>(request: &HttpRequest) -> Result<&web::Data<T>, ApiError> {
    request.app_data::<web::Data<T>>().ok_or_else(|| ApiError::internal("the server lacks its state"))
}
