//! Problems, times, and what says no more than that it is done.

use utoipa::ToSchema;

/// RFC 3339, UTC, milliseconds.
#[derive(ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-24T12:00:00.000Z")]
pub struct Time(String);

/// A problem (RFC 9457).
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Problem {
    /// A page that explains it.
    r#type: String,
    title: String,
    status: u16,
    /// What is wrong and what to change.
    detail: String,
    code: String,
    request_id: String,
    #[schema(value_type = Option<Vec<FieldProblem>>, nullable = false)]
    errors: Option<Vec<FieldProblem>>,
}

/// One mistake in a request; one of `pointer`, `parameter` and `header` says where.
#[derive(ToSchema)]
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

/// Done.
#[derive(ToSchema)]
pub struct Success {
    success: bool,
}
