//! Forms of the console's pages: fields in order, bounded in size. `SignedForm` also checks the session's
//! form token.

use actix_web::web::{self, Payload};
use actix_web::{FromRequest, HttpRequest, dev};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use futures_util::future::LocalBoxFuture;
use url::form_urlencoded;

use super::session::Visitor;
use crate::http::ApiError;
use crate::http::extract::{body, is_of_type};

/// Bytes of a form without files. The largest is an app with its schema and prompt.
const MAX_FORM: usize = 1 << 20;
/// Bytes of a form without a session: an email and a password.
const MAX_UNSIGNED: usize = 8 << 10;
/// Fields of a form. The editor of an app has six for each of its input fields.
const MAX_FIELDS: usize = 2000;
/// The hidden field that holds the form token.
const TOKEN: &str = "form_token";

/// A form that the visitor sent from one of the console's pages, as an extractor. `T` gives the visitor,
/// alone or with what the path names (`OwnApp`, `OwnRun`). `T` is extracted before the body is read, so a
/// request without a session costs no reading. A form for an unknown app is 404, whatever its token.
pub(crate) struct SignedForm<T = Visitor> {
    pub(crate) sender: T,
    pub(crate) form: Form,
}

impl<T> FromRequest for SignedForm<T>
where
    T: FromRequest<Error = ApiError> + AsRef<Visitor> + 'static,
{
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let sender = T::from_request(request, payload);
        let payload = web::Payload::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let sender = sender.await?;
            let payload = payload.await.map_err(|_| ApiError::internal("the request has no body to read"))?;
            let form = Form::read_up_to(MAX_FORM, &request, payload).await?;
            form.check_token(sender.as_ref())?;
            Ok(Self { sender, form })
        })
    }
}

/// The fields of a form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form that is sent before there is a session.
    pub(crate) async fn read_unsigned(request: &HttpRequest, payload: Payload) -> Result<Self, ApiError> {
        Self::read_up_to(MAX_UNSIGNED, request, payload).await
    }

    async fn read_up_to(limit: usize, request: &HttpRequest, payload: Payload) -> Result<Self, ApiError> {
        if !is_of_type(request, "application/x-www-form-urlencoded") {
            return Err(ApiError::UnsupportedMediaType(
                "send the form with content-type: application/x-www-form-urlencoded".to_owned(),
            ));
        }
        let bytes = body(request, payload, limit).await?;
        let fields = form_urlencoded::parse(&bytes);
        Self::of(fields.map(|(name, value)| (name.into_owned(), value.into_owned())))
    }

    /// Takes fields that were read elsewhere.
    pub(crate) fn of(fields: impl Iterator<Item = (String, String)>) -> Result<Self, ApiError> {
        // Browsers end the lines of a text area with CR LF.
        let fields = fields.map(|(name, value)| (name, value.replace("\r\n", "\n")));
        let fields: Vec<_> = fields.take(MAX_FIELDS + 1).collect();
        if fields.len() > MAX_FIELDS {
            return Err(ApiError::invalid_request(format!("the form has more than {MAX_FIELDS} fields")));
        }
        if fields.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(ApiError::invalid_request("the form contains the character U+0000; remove it"));
        }
        Ok(Self(fields))
    }

    /// Refuses a form without the token of the visitor's session.
    pub(crate) fn check_token(&self, visitor: &Visitor) -> Result<(), ApiError> {
        let given = self.text(TOKEN).as_bytes();
        verify_slices_are_equal(given, visitor.form_token.as_bytes()).map_err(|_| ApiError::ForeignForm)
    }

    /// The field's value, or an empty text if the form does not have the field.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The values of a field that repeats.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_a_bounded_number_of_fields() {
        let form = |fields: usize| Form::of((0..fields).map(|_| ("a".to_owned(), String::new())));
        assert_eq!(form(MAX_FIELDS).unwrap().all("a").len(), MAX_FIELDS);
        assert!(form(usize::MAX).unwrap_err().to_string().contains("fields"));
    }
}
