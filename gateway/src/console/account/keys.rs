//! API keys: made (shown this once), listed, revoked.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use diesel::QueryableByName;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Connection, DbError, statement};
use shared::ids::{ApiKeyId, AppId, UserId};

use super::super::form::Form;
use super::super::page::{Frame, see_other, show_as};
use super::super::visitor::Visitor;
use super::super::when::When;
use super::Tab;
use crate::auth::keys::{self, KeyRefusal, ListedKey, MAX_DAYS, NewKey};
use crate::context::Context;
use crate::error::ApiError;

/// Apps that can be chosen as a key's scope; with more, keys are made on the app's own page.
const MAX_CHOICES: usize = 200;

/// The form for a key, as it was filled in.
#[derive(Default)]
pub(in crate::console) struct KeyForm {
    pub(in crate::console) name: String,
    /// Days, as typed.
    pub(in crate::console) days: String,
    pub(in crate::console) app: String,
    pub(in crate::console) apps: Vec<(AppId, String)>,
    pub(in crate::console) active: usize,
    pub(in crate::console) most: usize,
    /// Of the account, where it has no API.
    pub(in crate::console) no_plan: Option<String>,
    pub(in crate::console) error: Option<String>,
}

/// What came of the form.
pub(in crate::console) enum NewKeyOutcome {
    /// The key itself, for this once.
    Made(String),
    /// The form again, with its mistake.
    Refused(Box<KeyForm>),
}

#[derive(QueryableByName)]
struct AppName {
    #[diesel(sql_type = SqlUuid)]
    id: AppId,
    #[diesel(sql_type = Text)]
    name: String,
}

async fn app_names(conn: &mut Connection, user: UserId) -> Result<Vec<AppName>, DbError> {
    let sql = "SELECT id, name FROM apps WHERE user_id = $1 AND archived_at IS NULL ORDER BY name LIMIT 200";
    Ok(statement(sql).bind::<SqlUuid, _>(user.uuid()).load(conn).await?)
}

impl KeyForm {
    fn empty(context: &Context, visitor: &Visitor, listed: &[ListedKey]) -> Self {
        let plan = context.plans.get(&visitor.session.plan).filter(|plan| plan.api);
        Self {
            active: listed.iter().filter(|key| key.state == "active").count(),
            most: plan.map_or(0, |plan| plan.api_keys as usize),
            no_plan: plan.is_none().then(|| visitor.session.plan.clone()),
            ..Self::default()
        }
    }

    /// For an app's page: its keys see that app alone.
    pub(in crate::console) async fn for_app(
        context: &Context,
        visitor: &Visitor,
        app: AppId,
    ) -> Result<Self, ApiError> {
        let user = visitor.user();
        let listed = context.db.read(|mut conn| async move { keys::list(&mut conn, user).await }).await?;
        Ok(Self { app: app.to_string(), ..Self::empty(context, visitor, &listed) })
    }

    pub(in crate::console) fn full(&self) -> bool {
        self.no_plan.is_none() && self.active >= self.most
    }
}

/// Makes the key that the form asks for; for `only` this app where it is given.
pub(in crate::console) async fn make_key(
    context: &Context,
    visitor: &Visitor,
    form: &Form,
    only: Option<AppId>,
) -> Result<NewKeyOutcome, ApiError> {
    let (user, by, plans) = (visitor.user(), visitor.actor(), &context.plans);
    let (name, days, app) = (form.text("name").trim(), form.text("days").trim(), form.text("app"));
    let wanted = wanted(name, days, app, only);
    let error = match &wanted {
        Err(error) => error.clone(),
        Ok(new) => {
            let making = context.db.write(|mut conn| async move {
                match keys::create(&mut conn, user, new, plans, by).await {
                    Err(KeyRefusal::Db(error)) => Err::<_, DbError>(error),
                    made => Ok(made),
                }
            });
            match making.await? {
                Ok(key) => return Ok(NewKeyOutcome::Made(key.reveal().to_owned())),
                Err(refusal) => format!("No key was made: {refusal}."),
            }
        }
    };
    let refused = KeyForm::for_app(context, visitor, only.unwrap_or_else(AppId::generate)).await?;
    let app = if only.is_some() { refused.app.clone() } else { app.to_owned() };
    let refused =
        KeyForm { name: name.to_owned(), days: days.to_owned(), app, error: Some(error), ..refused };
    Ok(NewKeyOutcome::Refused(Box::new(refused)))
}

fn wanted(name: &str, days: &str, app: &str, only: Option<AppId>) -> Result<NewKey, String> {
    if let Some(wrong) = keys::wrong_name(name) {
        return Err(format!("The name {wrong}."));
    }
    let days = match days {
        "" => None,
        days => Some(
            days.parse::<i32>()
                .ok()
                .filter(|days| (1..=MAX_DAYS).contains(days))
                .ok_or(format!("The days must be a whole number from 1 to {MAX_DAYS}, or nothing."))?,
        ),
    };
    let app = match (only, app) {
        (Some(only), _) => Some(only),
        (None, "") => None,
        (None, app) => Some(app.parse().map_err(|_| "There is no such app.".to_owned())?),
    };
    Ok(NewKey { name: name.to_owned(), app, days })
}

struct Listed {
    key: ListedKey,
    created: When,
    last_used: Option<When>,
    expires: Option<When>,
}

impl Listed {
    fn is_active(&self) -> bool {
        self.key.state == "active"
    }
}

#[derive(Template)]
#[template(path = "account/keys.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    keys: Vec<Listed>,
    made: Option<String>,
    form: KeyForm,
    action: &'static str,
}

async fn show_page(
    context: &Context,
    visitor: &Visitor,
    request: &HttpRequest,
    made: Option<String>,
    refused: Option<KeyForm>,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 1] = [("revoked", "Revoked: the next request with that key is refused.")];
    let user = visitor.user();
    let loading = context.db.read(|mut conn| async move {
        Ok((keys::list(&mut conn, user).await?, app_names(&mut conn, user).await?))
    });
    let (listed, apps) = loading.await?;
    let mut form = refused.unwrap_or_else(|| KeyForm::empty(context, visitor, &listed));
    form.apps = apps.into_iter().map(|app| (app.id, app.name)).take(MAX_CHOICES).collect();
    let status = if form.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let mut keys: Vec<_> = listed
        .into_iter()
        .map(|key| Listed {
            created: When(key.created_at),
            last_used: key.last_used_at.map(When),
            expires: key.expires_at.map(When),
            key,
        })
        .collect();
    keys.reverse();
    keys.sort_by_key(|listed| !listed.is_active());
    let frame = Tab::Keys.frame(visitor).noticing(request, &NOTICES);
    show_as(status, &Page { frame, tab: Tab::Keys, keys, made, form, action: "/account/keys" })
}

/// GET /account/keys
pub(in crate::console) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    show_page(&context, &visitor, &request, None, None).await
}

/// POST /account/keys
pub(in crate::console) async fn create(
    visitor: Visitor,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, payload, &visitor).await?;
    match make_key(&context, &visitor, &form, None).await? {
        NewKeyOutcome::Made(key) => show_page(&context, &visitor, &request, Some(key), None).await,
        NewKeyOutcome::Refused(form) => show_page(&context, &visitor, &request, None, Some(*form)).await,
    }
}

/// POST /account/keys/{keyId}/revoke
pub(in crate::console) async fn revoke(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Form::read(&request, payload, &visitor).await?;
    let key: ApiKeyId = path.parse().map_err(|_| ApiError::NotFound("key"))?;
    let (user, by) = (visitor.user(), visitor.actor());
    let revoking = context.db.write(|mut conn| async move { keys::revoke(&mut conn, user, key, by).await });
    if revoking.await? { Ok(see_other("/account/keys?done=revoked")) } else { Err(ApiError::NotFound("key")) }
}
