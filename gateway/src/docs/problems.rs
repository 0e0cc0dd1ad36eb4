//! /docs/problems: a page for each problem. The `type` of a problem is the address of its page.

use actix_web::{HttpResponse, web};
use askama::Template;

use super::page::{self, Frame};
use crate::http::ApiError;
use crate::http::problems::Problem;

#[derive(Template)]
#[template(path = "docs/problems.html")]
struct Page {
    frame: Frame,
    problems: Vec<Problem>,
}

/// GET /docs/problems
pub async fn index() -> Result<HttpResponse, ApiError> {
    page::show(&Page { frame: Frame::new("Problems", "/docs/problems"), problems: Problem::ALL.to_vec() })
}

/// GET /docs/problems/{code}
pub async fn page(code: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let problem = Problem::ALL.iter().find(|problem| problem.code() == code.as_str());
    let problem = *problem.ok_or(ApiError::not_found("problem"))?;
    let here = format!("/docs/problems/{}", problem.code());
    page::show(&Page { frame: Frame::new(problem.title(), here), problems: vec![problem] })
}
