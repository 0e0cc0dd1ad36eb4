//! The authenticated client of a request, as an extractor: a handler that takes one cannot be reached without
//! it, nor with a key that lacks the scope of its line in the route table. (The error of a middleware would
//! skip the layers around it.)

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use gateway_domain::accounts::rate_limit::{Admission, Window};
use gateway_domain::accounts::{Actor, ApiKey, Scope, Scopes};
use gateway_domain::runs::RunRef;
use shared::config::Quotas;
use shared::db::DbError;
use shared::ids::{ApiKeyId, AppId, UserId};

use crate::context::Context;
use crate::http::ApiError;
use crate::http::admission::Knock;
use crate::http::endpoint::access_of;
use crate::http::extract::app_data;
use crate::http::large_body::check_unread;
use crate::http::limits::Flood;
use crate::http::middleware::record_user;

/// A client gets 503 within a second if it cannot be admitted. It is never admitted unchecked.
const ADMIT_DEADLINE: Duration = Duration::from_millis(900);

/// The client, admitted by the rate limit.
#[derive(Debug, Clone)]
pub struct Caller {
    pub user: UserId,
    pub key: ApiKeyId,
    /// The one app that the key may see, if it is scoped.
    pub app: Option<AppId>,
    /// What the key may do.
    pub scopes: Scopes,
    /// The name of the account's plan.
    pub plan: String,
    /// Those of the plan.
    pub quotas: Quotas,
    address: IpAddr,
}

impl Caller {
    #[must_use]
    pub fn may_see(&self, app: AppId) -> bool {
        self.app.is_none_or(|only| only == app)
    }

    /// Refuses a key that lacks the scope.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes.contains(scope) { Ok(()) } else { Err(ApiError::ScopeRequired { scope }) }
    }

    /// For the audit log.
    #[must_use]
    pub const fn actor(&self) -> Actor {
        Actor::ApiKey(self.key, self.address)
    }

    /// The app that the path names, if this key may see it.
    pub fn app_in_path(&self, request: &HttpRequest) -> Result<Option<AppId>, ApiError> {
        let Some(text) = request.match_info().get("appId") else { return Ok(None) };
        let app = text.parse().ok().filter(|app| self.may_see(*app));
        app.map(Some).ok_or(ApiError::not_found("app"))
    }

    /// The run that the path names, within the app of the path or of the key.
    pub fn run_in_path(&self, request: &HttpRequest) -> Result<RunRef, ApiError> {
        let unknown = || ApiError::not_found("run");
        let run = request.match_info().get("id").and_then(|id| id.parse().ok()).ok_or_else(unknown)?;
        let app = self.app_in_path(request).map_err(|_| unknown())?;
        Ok(RunRef { run, app: app.or(self.app) })
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(&request, app_data(&request)?).await })
    }
}

async fn authenticate(request: &HttpRequest, context: &web::Data<Context>) -> Result<Caller, ApiError> {
    let (address, now) = (context.client_address(request), Instant::now());
    let key = bearer(request)?.sha256();
    if let Some(window) = context.refusals.current(&key, now) {
        metrics::counter!("capi_requests_rate_limited_total", "limiter" => "cached_window").increment(1);
        return Err(refused(request, window));
    }
    if let Err(Flood(wait)) = context.flood.check(&key, address, now) {
        metrics::counter!("capi_requests_rate_limited_total", "limiter" => "flood_guard").increment(1);
        return Err(ApiError::Flood { retry_after: wait.as_secs() + 1 });
    }
    // A client that goes before its set begins costs no statement, and one that goes later is counted.
    let admitting = context.admission.call(Knock { key, address });
    let admitted = tokio::time::timeout(ADMIT_DEADLINE, admitting).await.map_err(|_| DbError::Timeout)?;
    match admitted? {
        Admission::Unknown => {
            Err(ApiError::Unauthorized("the API key is unknown, revoked or expired; create a new one"))
        }
        Admission::NoPlan(plan) => Err(ApiError::PlanRequired { plan }),
        Admission::Refused(window) => {
            metrics::counter!("capi_requests_rate_limited_total", "limiter" => "window").increment(1);
            Err(refused(request, window))
        }
        Admission::Admitted { key, user, app, scopes, plan, window } => {
            request.extensions_mut().insert(window);
            record_user(request, user);
            check_unread(request)?;
            let quotas = context.plans.quotas(&plan);
            let caller = Caller { user, key, app, scopes, plan, quotas, address };
            let access = access_of(request).ok_or_else(|| ApiError::internal("no table has this path"))?;
            access.scope().map_or(Ok(()), |scope| caller.require(scope))?;
            Ok(caller)
        }
    }
}

fn refused(request: &HttpRequest, window: Window) -> ApiError {
    request.extensions_mut().insert(window);
    ApiError::RateLimited { retry_after: window.retry_after(), limit: window.limit }
}

fn bearer(request: &HttpRequest) -> Result<ApiKey, ApiError> {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(ApiError::Unauthorized("send the header `Authorization: Bearer capi_…`"));
    };
    let text = header.to_str().unwrap_or_default();
    let Some((_, token)) = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
    else {
        return Err(ApiError::Unauthorized("use the Bearer scheme: `Authorization: Bearer capi_…`"));
    };
    let token = token.trim();
    if !ApiKey::has_prefix(token) {
        return Err(ApiError::Unauthorized(
            "this is no capi key: those begin with `capi_`; create one in the console (Account → API Keys)",
        ));
    }
    ApiKey::parse(token).ok_or(ApiError::Unauthorized(
        "the API key is malformed or has a typo (its checksum is wrong); copy it again",
    ))
}
