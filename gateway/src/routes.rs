//! The route table, and nothing else. Everything that holds for all routes is derived from it: HEAD beside GET, OPTIONS,
//! 405 with Allow, the test that no key opens what belongs to another account, and the test that each route is documented.

use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route, guard};

use crate::error::ApiError;
use crate::{apps, artifacts, console, docs, me, models, runs};

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody: nothing of any account is behind it.
    Open,
    /// The owner of what the path names, with an API key.
    Key,
    /// The same, or whoever has a signed link.
    KeyOrLink,
    /// The owner of what the path names, signed in to the console.
    Session,
}

/// One line of the table.
pub struct Endpoint {
    /// GET includes HEAD.
    pub method: Method,
    /// With `{parameters}`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    pub(crate) handler: fn() -> Route,
}

impl Endpoint {
    /// Whether it belongs to the API: to programs, with a key.
    #[must_use]
    pub const fn takes_key(&self) -> bool {
        matches!(self.access, Access::Key | Access::KeyOrLink)
    }
}

/// The table; the console's pages have their own part of it.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    let mut all = of_programs();
    all.extend(console::endpoints());
    all
}

fn of_programs() -> Vec<Endpoint> {
    use Access::{Key, KeyOrLink, Open};
    let get = |path, access, handler| Endpoint { method: Method::GET, path, access, handler };
    let post = |path, access, handler| Endpoint { method: Method::POST, path, access, handler };
    let delete = |path, access, handler| Endpoint { method: Method::DELETE, path, access, handler };
    vec![
        get("/api/agentapps", Key, || web::to(apps::list::handle)),
        get("/api/v1/apps", Key, || web::to(apps::list::handle)),
        get("/api/v1/apps/{appId}", Key, || web::to(apps::get::handle)),
        get("/api/v1/models", Key, || web::to(models::handle)),
        get("/api/v1/me", Key, || web::to(me::handle)),
        post("/api/v1/runs", Key, || web::to(runs::create::handle)),
        get("/api/v1/runs", Key, || web::to(runs::list::handle)),
        get("/api/v1/runs/{id}", Key, || web::to(runs::get::handle)),
        delete("/api/v1/runs/{id}", Key, || web::to(runs::delete::handle)),
        post("/api/v1/runs/{id}/cancel", Key, || web::to(runs::cancel::handle)),
        get("/api/v1/runs/{id}/artifacts/{artifactId}", KeyOrLink, || web::to(artifacts::download::handle)),
        post("/api/v1/apps/{appId}/runs", Key, || web::to(runs::create::handle)),
        get("/api/v1/apps/{appId}/runs", Key, || web::to(runs::list::handle)),
        get("/api/v1/apps/{appId}/runs/{id}", Key, || web::to(runs::get::handle)),
        post("/api/v1/apps/{appId}/runs/{id}/cancel", Key, || web::to(runs::cancel::handle)),
        get("/api/v1/openapi.json", Open, || web::to(docs::document)),
        get("/docs", Open, || web::to(docs::page)),
        get("/docs/", Open, || web::to(docs::page)),
        get("/docs/style.css", Open, || web::to(docs::problems::style)),
        get("/docs/{file}", Open, || web::to(docs::file)),
        get("/docs/problems", Open, || web::to(docs::problems::index)),
        get("/docs/problems/{code}", Open, || web::to(docs::problems::page)),
    ]
}

/// Serves the table.
pub fn routes(config: &mut ServiceConfig) {
    let mut paths: Vec<(&str, Vec<Endpoint>)> = Vec::new();
    for endpoint in endpoints() {
        match paths.iter_mut().find(|(path, _)| *path == endpoint.path) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => paths.push((endpoint.path, vec![endpoint])),
        }
    }
    // A resource takes what it matches first: literal paths before those with parameters.
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
    config.default_service(web::to(async || Err::<HttpResponse, _>(ApiError::NotFound("path"))));
}

fn allow(endpoints: &[Endpoint]) -> String {
    let names = endpoints.iter().map(|endpoint| match endpoint.method {
        Method::GET => "GET, HEAD",
        Method::POST => "POST",
        _ => "DELETE",
    });
    names.chain(["OPTIONS"]).collect::<Vec<_>>().join(", ")
}

fn other_method(request: &HttpRequest, allow: String) -> Result<HttpResponse, ApiError> {
    if request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header((ALLOW, allow)).finish());
    }
    Err(ApiError::MethodNotAllowed { allow })
}
