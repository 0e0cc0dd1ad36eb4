//! Endpoints as data, and how a table of them is served. HEAD beside GET, OPTIONS, and 405 with Allow follow
//! from the table, and so do the tests that try every route.

use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route, guard};

use super::ApiError;

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every client: the endpoint shows nothing of an account.
    Open,
    /// The owner of what the path names, with an API key.
    Key,
    /// The owner with an API key, or a client with a signed link.
    KeyOrLink,
    /// The owner of what the path names, signed in to the console.
    Session,
}

/// One line of a route table.
pub struct Endpoint {
    /// GET includes HEAD.
    pub method: Method,
    /// With `{parameters}`.
    pub path: &'static str,
    pub access: Access,
    pub handler: fn() -> Route,
}

impl Endpoint {
    /// Whether it takes an API key. Those endpoints are the API that the OpenAPI document describes.
    #[must_use]
    pub const fn takes_key(&self) -> bool {
        matches!(self.access, Access::Key | Access::KeyOrLink)
    }
}

/// Serves the endpoints, and answers 404 for every other path.
pub fn serve_table(config: &mut ServiceConfig, endpoints: Vec<Endpoint>) {
    let mut paths: Vec<(&str, Vec<Endpoint>)> = Vec::new();
    for endpoint in endpoints {
        match paths.iter_mut().find(|(path, _)| *path == endpoint.path) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => paths.push((endpoint.path, vec![endpoint])),
        }
    }
    // The first resource that matches a path serves it: literal paths come before paths with parameters.
    paths.sort_by_key(|(path, _)| path.contains('{'));
    for (path, endpoints) in paths {
        let allow = allow(&endpoints);
        let mut resource = web::resource(path);
        for Endpoint { method, handler, .. } in endpoints {
            resource = resource.route(match method {
                Method::GET => handler().guard(guard::Any(guard::Get()).or(guard::Head())),
                method => handler().guard(guard::Method(method)),
            });
        }
        config.service(resource.default_service(web::to(move |request: HttpRequest| {
            std::future::ready(other_method(&request, allow.clone()))
        })));
    }
    config.default_service(web::to(async || Err::<HttpResponse, _>(ApiError::not_found("path"))));
}

fn allow(endpoints: &[Endpoint]) -> String {
    let names = endpoints.iter().map(|endpoint| match &endpoint.method {
        &Method::GET => "GET, HEAD",
        method => method.as_str(),
    });
    names.chain(["OPTIONS"]).collect::<Vec<_>>().join(", ")
}

fn other_method(request: &HttpRequest, allow: String) -> Result<HttpResponse, ApiError> {
    if request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header((ALLOW, allow)).finish());
    }
    Err(ApiError::MethodNotAllowed { allow })
}
