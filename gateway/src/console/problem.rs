//! What a browser is shown instead of a page: the problem in words, and a way on. Whoever has to sign in first is led there
//! and back.

use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;
use url::form_urlencoded;

use super::page::{Frame, html, is_for_script, see_other};
use crate::http::ApiError;

#[derive(Template)]
#[template(path = "problem.html")]
struct Page<'p> {
    frame: Frame,
    title: &'p str,
    detail: String,
    request_id: &'p str,
}

/// The answer to a browser's request that failed.
pub(crate) fn answer(error: &ApiError, request: &HttpRequest, request_id: &str) -> HttpResponse {
    if matches!(error, ApiError::SignInNeeded) {
        return to_sign_in(request);
    }
    let problem = error.problem();
    metrics::counter!("capi_problems_total", "code" => problem.code()).increment(1);
    let title = problem.title();
    let page = Page { frame: Frame::open(title), title, detail: error.detail(), request_id };
    let body = page.render().unwrap_or_else(|_| problem.title().to_owned());
    let mut response = html(error.status_code(), body);
    if let Some((name, value)) = error.header()
        && let Ok(value) = value.parse()
    {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Back to this page afterwards, where it can be asked for again.
fn to_sign_in(request: &HttpRequest) -> HttpResponse {
    let here = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let safe = request.method().is_safe() && !is_for_script(request) && here != "/";
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", here).finish();
    let path = if safe { format!("/sign-in?{query}") } else { "/sign-in".to_owned() };
    if is_for_script(request) {
        // A redirect would put the sign-in page into a part of this one.
        return HttpResponse::Unauthorized()
            .insert_header((HeaderName::from_static("hx-redirect"), path))
            .finish();
    }
    see_other(&path)
}
