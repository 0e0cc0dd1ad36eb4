//! The console's part of the route table.

use actix_web::http::Method;
use actix_web::{HttpResponse, web};

use super::assets;
use super::page::see_other;
use super::pages::{account, app, apps, run, sign_in};
use super::session::Visitor;
use crate::http::endpoint::{Access, Endpoint};

#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    use Access::{Open, Session};
    let get = |path, access, handler| Endpoint { method: Method::GET, path, access, handler };
    let post = |path, access, handler| Endpoint { method: Method::POST, path, access, handler };
    vec![
        get("/", Open, || web::to(async || see_other("/apps"))),
        get("/console/{version}/{file}", Open, || web::to(assets::handle)),
        get("/sign-in", Open, || web::to(sign_in::form)),
        post("/sign-in", Open, || web::to(sign_in::handle)),
        get("/signed-in", Open, || web::to(sign_in::signed_in)),
        get("/sign-up", Open, || web::to(sign_in::sign_up::form)),
        post("/sign-up", Open, || web::to(sign_in::sign_up::handle)),
        post("/sign-out", Session, || web::to(sign_in::sign_out::handle)),
        get("/apps", Session, || web::to(apps::list)),
        get("/apps/new", Session, || web::to(apps::choose)),
        post("/apps", Session, || web::to(apps::create)),
        get("/apps/{appId}", Session, || web::to(app::start::form)),
        post("/apps/{appId}/run", Session, || web::to(app::start::handle)),
        get("/apps/{appId}/runs", Session, || web::to(app::runs::page)),
        get("/apps/{appId}/api", Session, || web::to(app::api::page)),
        post("/apps/{appId}/keys", Session, || web::to(app::api::create_key)),
        get("/apps/{appId}/edit", Session, || web::to(app::edit::form)),
        post("/apps/{appId}/edit", Session, || web::to(app::edit::handle)),
        post("/apps/{appId}/preview", Session, || web::to(app::preview::handle)),
        get("/apps/{appId}/versions", Session, || web::to(app::versions::page)),
        post("/apps/{appId}/versions/restore", Session, || web::to(app::versions::restore)),
        post("/apps/{appId}/archive", Session, || web::to(app::archive::handle)),
        get("/runs/{id}", Session, || web::to(run::show)),
        get("/runs/{id}/live", Session, || web::to(run::live::handle)),
        get("/runs/{id}/events.jsonl", Session, || web::to(run::raw::handle)),
        post("/runs/{id}/cancel", Session, || web::to(run::actions::cancel)),
        post("/runs/{id}/delete", Session, || web::to(run::actions::delete)),
        get("/runs/{id}/artifacts/{artifactId}", Session, || web::to(run::artifact::download)),
        get("/runs/{id}/artifacts/{artifactId}/image", Session, || web::to(run::artifact::image)),
        get("/runs/{id}/artifacts/{artifactId}/text", Session, || web::to(run::artifact::text)),
        get("/account", Session, || web::to(to_keys)),
        get("/account/keys", Session, || web::to(account::keys::page)),
        post("/account/keys", Session, || web::to(account::keys::create)),
        post("/account/keys/{keyId}/revoke", Session, || web::to(account::keys::revoke)),
        get("/account/webhooks", Session, || web::to(account::webhooks::page)),
        post("/account/webhooks/reveal", Session, || web::to(account::webhooks::reveal)),
        post("/account/webhooks/rotate", Session, || web::to(account::webhooks::rotate)),
        get("/account/webhooks/deliveries", Session, || web::to(account::deliveries::page)),
        post("/account/webhooks/deliveries/{deliveryId}/resend", Session, || {
            web::to(account::deliveries::resend)
        }),
        post("/account/webhooks/test", Session, || web::to(account::deliveries::test)),
        get("/account/usage", Session, || web::to(account::usage::page)),
        get("/account/activity", Session, || web::to(account::activity::page)),
        get("/account/security", Session, || web::to(account::security::page)),
        post("/account/security/password", Session, || web::to(account::security::change_password)),
        post("/account/security/sign-out", Session, || web::to(account::security::sign_out_everywhere)),
    ]
}

async fn to_keys(_: Visitor) -> HttpResponse {
    see_other("/account/keys")
}
