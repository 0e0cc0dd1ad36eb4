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
    /// Of `scope_required`: the scope that the API key needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub scope: Option<&'static str>,
    /// Of `app_changed`: the version that the app has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub current_version: Option<i32>,
    /// Of `quota_exceeded`: the limit, by its name in the limits of GET /api/v1/me.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub quota: Option<&'static str>,
    /// Of `quota_exceeded`: what the account uses without this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub used: Option<i64>,
    /// Of `quota_exceeded`: what the plan allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limit: Option<i64>,
}

/// One error in a request; one of `pointer`, `parameter`, `header` and `part` gives its location.
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
    /// Part of a form.
    #[schema(value_type = Option<String>, nullable = false)]
    part: Option<String>,
    code: String,
    message: String,
}
