//! The run endpoints, one a file.

mod accepting;
pub mod cancel;
pub mod create;
pub mod delete;
mod erase;
mod filters;
mod find;
mod form;
pub mod get;
pub mod list;
mod request;
mod validate;
mod wait;

pub(crate) use accepting::Create;
pub(crate) use cancel::cancel_and_tell;
pub(crate) use erase::delete_run;
pub(crate) use filters::{Filters, Source};
pub(crate) use find::{Found, find};
pub(crate) use form::{Uploads, read_browser_form};
pub(crate) use get::{is_over, load};
pub(crate) use request::{CreateRequest, DEFAULT_QUEUE_TIMEOUT};

use std::sync::Arc;

use actix_web::HttpRequest;
use shared::ids::{AppId, RunId, UserId};

use crate::apps::CurrentApp;
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;

/// The user's app as it is now; kept for the next request.
pub(crate) async fn load_app(
    context: &Context,
    user: UserId,
    app: AppId,
) -> Result<Arc<CurrentApp>, ApiError> {
    let apps = &context.apps;
    let loading = context.db.read(|mut conn| async move { apps.load(&mut conn, user, app).await });
    loading.await?.ok_or(ApiError::NotFound("app"))
}

/// The run that a path names, and the one app that it must be of: the path's, or that of the key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) run: RunId,
    pub(crate) app: Option<AppId>,
}

impl Named {
    fn of(request: &HttpRequest, caller: &Caller) -> Result<Self, ApiError> {
        let unknown = || ApiError::NotFound("run");
        let part = |name| request.match_info().get(name);
        let run = part("id").and_then(|id| id.parse().ok()).ok_or_else(unknown)?;
        let app: Option<AppId> = part("appId").map(str::parse).transpose().map_err(|_| unknown())?;
        if app.is_some_and(|app| !caller.may_see(app)) {
            return Err(unknown());
        }
        Ok(Self { run, app: app.or(caller.app) })
    }

    fn includes(&self, app: AppId) -> bool {
        self.app.is_none_or(|only| only == app)
    }
}
