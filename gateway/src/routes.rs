//! The route table, and nothing else. `web::resource` answers a wrong method with 405; macro routes would say 404.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Resource};

use crate::error::ApiError;
use crate::{apps, runs};

/// All routes.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            only("/api/agentapps", "GET, HEAD")
                .route(web::get().to(apps::list::handle))
                .route(web::head().to(apps::list::handle)),
        )
        .service(
            only("/api/v1/apps", "GET, HEAD")
                .route(web::get().to(apps::list::handle))
                .route(web::head().to(apps::list::handle)),
        )
        .service(only("/api/v1/apps/{appId}/runs", "POST").route(web::post().to(runs::create::handle)))
        .service(only("/api/v1/runs", "POST").route(web::post().to(runs::create::handle)))
        .service(
            only("/api/v1/runs/{id}", "GET, HEAD")
                .route(web::get().to(runs::get::handle))
                .route(web::head().to(runs::get::handle)),
        )
        .default_service(web::to(async || Err::<HttpResponse, _>(ApiError::NotFound("path"))));
}

fn only(path: &str, allow: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || async move {
        Err::<HttpResponse, _>(ApiError::MethodNotAllowed { allow })
    }))
}
