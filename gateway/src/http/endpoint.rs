//! Endpoints as data, and how a table of them is served. HEAD beside GET, OPTIONS, and 405 with Allow follow
//! from the table, and so do the tests that try every route.

use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route, guard};
use gateway_domain::accounts::Scope;

use super::ApiError;
use super::paths::Paths;

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every client: the endpoint shows nothing of an account.
    Open,
    /// The owner of what the path names, with an API key that has the scope `runs`.
    Key,
    /// The same, or a client with a signed link.
    KeyOrLink,
    /// The owner of what the path names, with any API key.
    AnyKey,
    /// The owner of what the path names, with an API key that has the scope `apps:write`.
    AppsKey,
    /// The owner of what the path names, signed in to the console.
    Session,
}

impl Access {
    /// Whether it takes an API key.
    #[must_use]
    pub const fn takes_key(self) -> bool {
        matches!(self, Self::Key | Self::KeyOrLink | Self::AnyKey | Self::AppsKey)
    }

    /// The scope that the API key must have.
    #[must_use]
    pub const fn scope(self) -> Option<Scope> {
        match self {
            Self::Key | Self::KeyOrLink => Some(Scope::Runs),
            Self::AppsKey => Some(Scope::AppsWrite),
            Self::Open | Self::AnyKey | Self::Session => None,
        }
    }
}

/// Application data of each path: who may call its endpoints.
struct PathAccess(Vec<(Method, Access)>);

/// Who may call the endpoint of the request. `None` if no table serves it.
#[must_use]
pub fn access_of(request: &HttpRequest) -> Option<Access> {
    let PathAccess(methods) = request.app_data()?;
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    methods.iter().find(|(served, _)| served == method).map(|(_, access)| *access)
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
        self.access.takes_key()
    }
}

/// Serves the endpoints, and answers 404 for every other path.
pub fn serve_table(config: &mut ServiceConfig, endpoints: Vec<Endpoint>) {
    let known = Paths::of(&endpoints);
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
        let access = endpoints.iter().map(|endpoint| (endpoint.method.clone(), endpoint.access)).collect();
        let mut resource = web::resource(path).app_data(PathAccess(access));
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
    config.default_service(web::to(move |request: HttpRequest| {
        let likely = known.likely(request.path());
        std::future::ready(Err::<HttpResponse, _>(ApiError::NoSuchPath { likely }))
    }));
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
