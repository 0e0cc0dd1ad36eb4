//! The route table of the API, and nothing else.

use actix_web::http::Method;
use actix_web::web;

use super::{apps, artifacts, deliveries, me, models, runs};
use crate::http::endpoint::{Access, Endpoint};

/// The endpoints that take an API key.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    use Access::{AnyKey, AppsKey, Key, KeyOrLink};
    let get = |path, access, handler| Endpoint { method: Method::GET, path, access, handler };
    let post = |path, access, handler| Endpoint { method: Method::POST, path, access, handler };
    let put = |path, access, handler| Endpoint { method: Method::PUT, path, access, handler };
    let delete = |path, access, handler| Endpoint { method: Method::DELETE, path, access, handler };
    vec![
        get("/api/agentapps", AnyKey, || web::to(apps::list::handle)),
        get("/api/v1/apps", AnyKey, || web::to(apps::list::handle)),
        get("/api/v1/apps/{appId}", AnyKey, || web::to(apps::get::handle)),
        post("/api/v1/apps", AppsKey, || web::to(apps::create::handle)),
        put("/api/v1/apps/{appId}", AppsKey, || web::to(apps::put::handle)),
        post("/api/v1/apps/{appId}/archive", AppsKey, || web::to(apps::archive::handle)),
        get("/api/v1/models", AnyKey, || web::to(models::handle)),
        get("/api/v1/me", AnyKey, || web::to(me::handle)),
        post("/api/v1/runs", Key, || web::to(runs::create::handle)),
        get("/api/v1/runs", Key, || web::to(runs::list::handle)),
        get("/api/v1/runs/{id}", Key, || web::to(runs::get::handle)),
        get("/api/v1/runs/{id}/events", Key, || web::to(runs::events::handle)),
        delete("/api/v1/runs/{id}", Key, || web::to(runs::delete::handle)),
        post("/api/v1/runs/{id}/cancel", Key, || web::to(runs::cancel::handle)),
        get("/api/v1/runs/{id}/artifacts/{artifactId}", KeyOrLink, || web::to(artifacts::handle)),
        get("/api/v1/webhook-deliveries", Key, || web::to(deliveries::list::handle)),
        get("/api/v1/webhook-deliveries/{deliveryId}", Key, || web::to(deliveries::get::handle)),
        post("/api/v1/webhook-deliveries/{deliveryId}/redeliver", Key, || {
            web::to(deliveries::redeliver::handle)
        }),
        post("/api/v1/webhooks/test", Key, || web::to(deliveries::test::handle)),
        post("/api/v1/apps/{appId}/runs", Key, || web::to(runs::create::handle)),
        get("/api/v1/apps/{appId}/runs", Key, || web::to(runs::list::handle)),
        get("/api/v1/apps/{appId}/runs/{id}", Key, || web::to(runs::get::handle)),
        get("/api/v1/apps/{appId}/runs/{id}/events", Key, || web::to(runs::events::handle)),
        post("/api/v1/apps/{appId}/runs/{id}/cancel", Key, || web::to(runs::cancel::handle)),
    ]
}
