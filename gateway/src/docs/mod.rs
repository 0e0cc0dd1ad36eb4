//! /docs: the contract for people. These pages load nothing from other servers.

pub mod problems;
mod reference;

use actix_web::http::Method;
use actix_web::web;

use crate::http::endpoint::{Access, Endpoint};

/// The endpoints of the documentation.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    let open = |path, handler| Endpoint { method: Method::GET, path, access: Access::Open, handler };
    vec![
        open("/api/v1/openapi.json", || web::to(reference::document)),
        open("/docs", || web::to(reference::page)),
        open("/docs/", || web::to(reference::page)),
        open("/docs/style.css", || web::to(problems::style)),
        open("/docs/{file}", || web::to(reference::file)),
        open("/docs/problems", || web::to(problems::index)),
        open("/docs/problems/{code}", || web::to(problems::page)),
    ]
}
