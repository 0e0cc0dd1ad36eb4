//! A form of one of our pages: its fields in order, bounded, and only with the session's token.

use actix_web::HttpRequest;
use actix_web::web::Payload;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use url::form_urlencoded;

use super::visitor::Visitor;
use crate::http::ApiError;
use crate::http::extract::{body, is_of_type};

/// Bytes of a form without files: an app with its schema and prompt fits in many times.
const MAX_FORM: usize = 1 << 20;
/// Bytes of one that anybody may send: an email and a password.
const MAX_UNSIGNED: usize = 8 << 10;
/// The hidden field.
const TOKEN: &str = "form_token";

/// The fields of a form.
#[derive(Debug, Clone, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the form that a signed-in visitor sent.
    pub(super) async fn read(
        request: &HttpRequest,
        payload: Payload,
        visitor: &Visitor,
    ) -> Result<Self, ApiError> {
        let form = Self::read_up_to(MAX_FORM, request, payload).await?;
        form.check(visitor)?;
        Ok(form)
    }

    /// The same where nobody is signed in yet.
    pub(super) async fn read_unsigned(request: &HttpRequest, payload: Payload) -> Result<Self, ApiError> {
        Self::read_up_to(MAX_UNSIGNED, request, payload).await
    }

    async fn read_up_to(limit: usize, request: &HttpRequest, payload: Payload) -> Result<Self, ApiError> {
        if !is_of_type(request, "application/x-www-form-urlencoded") {
            return Err(ApiError::UnsupportedMediaType);
        }
        let bytes = body(request, payload, limit).await?;
        let fields = form_urlencoded::parse(&bytes);
        Self::of(fields.map(|(name, value)| (name.into_owned(), value.into_owned())))
    }

    /// Fields that were read elsewhere.
    pub(super) fn of(fields: impl Iterator<Item = (String, String)>) -> Result<Self, ApiError> {
        // Browsers end the lines of a text area with CR LF.
        let fields: Vec<_> = fields.map(|(name, value)| (name, value.replace("\r\n", "\n"))).collect();
        if fields.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            let message = "the form holds the character U+0000; leave it out".to_owned();
            return Err(ApiError::invalid_request(message));
        }
        Ok(Self(fields))
    }

    pub(super) fn check(&self, visitor: &Visitor) -> Result<(), ApiError> {
        let given = self.text(TOKEN).as_bytes();
        verify_slices_are_equal(given, visitor.form_token.as_bytes()).map_err(|_| ApiError::ForeignForm)
    }

    /// The field's value; empty where it is missing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The values of a field that repeats.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }
}
