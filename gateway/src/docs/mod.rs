//! /docs: the contract for people, and for programs that read for them. Guides come from docs/guides, as HTML
//! and as Markdown. All pages look like the console and load nothing from other servers.
//!
//! These pages stand above the other faces: they show the API's document and use the console's style.

mod clients;
mod guides;
mod index;
mod llms;
mod page;
pub mod problems;
mod reference;
mod render;

use actix_web::http::Method;
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};

use crate::http::endpoint::{Access, Endpoint};

/// The endpoints of the documentation.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    let open = |path, handler| Endpoint { method: Method::GET, path, access: Access::Open, handler };
    vec![
        open("/api/v1/openapi.json", || web::to(reference::document)),
        open("/llms.txt", || web::to(llms::handle)),
        open("/docs", || web::to(index::handle)),
        open("/docs/", || web::to(async || moved("/docs"))),
        open("/docs/index.html", || web::to(async || moved("/docs/reference"))),
        open("/docs/llms.txt", || web::to(llms::handle)),
        open("/docs/reference", || web::to(reference::page)),
        open("/docs/swagger/{file}", || web::to(reference::file)),
        open("/docs/api", || web::to(guides::api)),
        open("/docs/API.md", || web::to(guides::api_as_markdown)),
        open("/docs/guides", || web::to(async || moved("/docs"))),
        open("/docs/guides/{name}", || web::to(guides::handle)),
        open("/docs/clients/{file}", || web::to(clients::file)),
        open("/docs/problems", || web::to(problems::index)),
        open("/docs/problems/{code}", || web::to(problems::page)),
    ]
}

/// An address of earlier versions. Browsers keep the fragment.
fn moved(to: &str) -> HttpResponse {
    HttpResponse::Found().insert_header((LOCATION, to)).finish()
}
