//! What a path names, as extractors: the visitor's app or run. Objects of other accounts count as missing.

use std::str::FromStr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use gateway_domain::apps::CurrentApp;
use gateway_domain::runs::{RunRef, get};
use shared::ids::{AppId, RunId};

use super::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::app_data;

/// The visitor's app that `{appId}` names, as it is stored now.
pub(crate) struct OwnApp {
    pub(crate) visitor: Visitor,
    pub(crate) app: Arc<CurrentApp>,
}

impl AsRef<Visitor> for OwnApp {
    fn as_ref(&self) -> &Visitor {
        &self.visitor
    }
}

impl FromRequest for OwnApp {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let visitor = Visitor::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let visitor = visitor.await?;
            let id: AppId = path_id(&request, "appId", "app")?;
            let app = app_data::<Context>(&request)?.load_app(visitor.user(), id).await?;
            Ok(Self { visitor, app })
        })
    }
}

/// The visitor's run that `{id}` names.
pub(crate) struct OwnRun {
    pub(crate) visitor: Visitor,
    pub(crate) run: RunRef,
}

impl AsRef<Visitor> for OwnRun {
    fn as_ref(&self) -> &Visitor {
        &self.visitor
    }
}

impl FromRequest for OwnRun {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let visitor = Visitor::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let visitor = visitor.await?;
            let id: RunId = path_id(&request, "id", "run")?;
            let run = RunRef::of_any_app(id);
            get::status(&app_data::<Context>(&request)?.db, visitor.user(), run).await?;
            Ok(Self { visitor, run })
        })
    }
}

/// The id in the path. A text that is no id names nothing.
fn path_id<Id: FromStr>(request: &HttpRequest, parameter: &str, what: &'static str) -> Result<Id, ApiError> {
    let text = request.match_info().get(parameter).unwrap_or_default();
    text.parse().map_err(|_| ApiError::not_found(what))
}
