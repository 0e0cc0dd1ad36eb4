//! A problem as a client receives it.

use gateway_domain::FieldError;
use serde::Serialize;
use utoipa::ToSchema;

/// A problem (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub struct ProblemBody<'a> {
    /// A page that explains it.
    pub r#type: String,
    #[schema(value_type = String)]
    pub title: &'static str,
    pub status: u16,
    /// What is wrong and what to change.
    pub detail: String,
    #[schema(value_type = String)]
    pub code: &'static str,
    #[schema(value_type = String)]
    pub request_id: &'a str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(value_type = Option<Vec<FieldProblem>>, nullable = false, required = false)]
    pub errors: &'a [FieldError],
}

/// One error in a request; one of `pointer`, `parameter` and `header` gives its location.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes gateway_domain::FieldError, which knows no OpenAPI")]
pub struct FieldProblem {
    /// JSON pointer (RFC 6901) into the body.
    #[schema(value_type = Option<String>, nullable = false)]
    pointer: Option<String>,
    /// Query parameter.
    #[schema(value_type = Option<String>, nullable = false)]
    parameter: Option<String>,
    /// Header.
    #[schema(value_type = Option<String>, nullable = false)]
    header: Option<String>,
    code: String,
    message: String,
}
