//! /docs/problems: a page for each problem. The `type` of a problem is the address of its page.

use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use askama::Template;

use crate::http::ApiError;
use crate::http::problems::Problem;

const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "problems.html")]
struct Page {
    title: &'static str,
    problems: Vec<Problem>,
}

/// GET /docs/problems
pub async fn index() -> Result<HttpResponse, ApiError> {
    show(&Page { title: "Problems", problems: Problem::ALL.to_vec() })
}

/// GET /docs/problems/{code}
pub async fn page(code: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let problem = Problem::ALL.iter().find(|problem| problem.code() == code.as_str());
    let problem = *problem.ok_or(ApiError::not_found("problem"))?;
    show(&Page { title: problem.title(), problems: vec![problem] })
}

/// GET /docs/style.css
pub async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/css"))
        .body(include_str!("../../templates/docs.css"))
}

fn show(page: &Page) -> Result<HttpResponse, ApiError> {
    let body = page.render().map_err(|error| ApiError::fault(&error))?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/html; charset=utf-8"));
    response.insert_header((CONTENT_SECURITY_POLICY, POLICY));
    Ok(response.body(body))
}
