//! API keys: made (shown this once), listed, revoked.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::accounts::keys::{self, KeyRefusal, ListedKey, MAX_DAYS, NewKey};
use gateway_domain::apps;
use shared::ids::{ApiKeyId, AppId};

use super::super::form::Form;
use super::super::page::{Frame, see_other, show_as};
use super::super::visitor::Visitor;
use super::super::when::When;
use super::Tab;
use crate::context::Context;
use crate::http::ApiError;

/// Apps that can be chosen as a key's scope; with more, keys are made on the app's own page.
const MAX_CHOICES: i64 = 200;

/// What was typed into the form for a key, and what is wrong with it.
#[derive(Default)]
pub(in crate::console) struct Typed {
    pub(in crate::console) name: String,
    pub(in crate::console) days: String,
    /// The app that it shall see; all where it is empty.
    pub(in crate::console) app: String,
    pub(in crate::console) error: Option<String>,
}

/// The form for a key.
pub(in crate::console) struct KeyForm {
    pub(in crate::console) typed: Typed,
    /// To choose from; none where the page is of one app.
    pub(in crate::console) apps: Vec<(AppId, String)>,
    pub(in crate::console) active: usize,
    pub(in crate::console) most: usize,
    /// Of the account, where it has no API.
    pub(in crate::console) no_plan: Option<String>,
}

impl KeyForm {
    fn new(context: &Context, visitor: &Visitor, listed: &[ListedKey], typed: Typed) -> Self {
        let plan = context.plans.get(&visitor.session.plan).filter(|plan| plan.api);
        Self {
            typed,
            apps: Vec::new(),
            active: listed.iter().filter(|key| key.state == "active").count(),
            most: plan.map_or(0, |plan| plan.api_keys as usize),
            no_plan: plan.is_none().then(|| visitor.session.plan.clone()),
        }
    }

    /// For an app's page: its keys see that app alone.
    pub(in crate::console) async fn for_app(
        context: &Context,
        visitor: &Visitor,
        typed: Typed,
    ) -> Result<Self, ApiError> {
        let listed = keys::list(&context.db, visitor.user()).await?;
        Ok(Self::new(context, visitor, &listed, typed))
    }

    /// What the page is answered with.
    pub(in crate::console) fn status(&self) -> StatusCode {
        if self.typed.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK }
    }

    pub(in crate::console) fn full(&self) -> bool {
        self.no_plan.is_none() && self.active >= self.most
    }
}

/// Makes the key that the form asks for, for `only` this app where it is given: the key itself, for this once, or the form again
/// with its mistake.
pub(in crate::console) async fn make_key(
    context: &Context,
    visitor: &Visitor,
    form: &Form,
    only: Option<AppId>,
) -> Result<Result<String, Typed>, ApiError> {
    let (name, days, app) = (form.text("name").trim(), form.text("days").trim(), form.text("app"));
    let wanted = wanted(name, days, app, only);
    let error = match &wanted {
        Err(error) => error.clone(),
        Ok(new) => {
            match keys::create(&context.db, visitor.user(), new, &context.plans, visitor.actor()).await {
                Ok(key) => return Ok(Ok(key.reveal().to_owned())),
                Err(KeyRefusal::Db(error)) => return Err(error.into()),
                Err(refusal) => format!("No key was created: {refusal}."),
            }
        }
    };
    let (name, days, app) = (name.to_owned(), days.to_owned(), app.to_owned());
    Ok(Err(Typed { name, days, app, error: Some(error) }))
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
    typed: Typed,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 1] = [("revoked", "Revoked: the next request with that key is refused.")];
    let listed = keys::list(&context.db, visitor.user()).await?;
    let apps = apps::list::names(&context.db, visitor.user(), MAX_CHOICES).await?;
    let mut form = KeyForm::new(context, visitor, &listed, typed);
    form.apps = apps.into_iter().map(|app| (app.id, app.name)).collect();
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
    show_as(form.status(), &Page { frame, tab: Tab::Keys, keys, made, form, action: "/account/keys" })
}

/// GET /account/keys
pub(in crate::console) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    show_page(&context, &visitor, &request, None, Typed::default()).await
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
        Ok(key) => show_page(&context, &visitor, &request, Some(key), Typed::default()).await,
        Err(typed) => show_page(&context, &visitor, &request, None, typed).await,
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
    let key: ApiKeyId = path.parse().map_err(|_| ApiError::not_found("key"))?;
    let revoked = keys::revoke(&context.db, visitor.user(), key, visitor.actor()).await?;
    if revoked { Ok(see_other("/account/keys?done=revoked")) } else { Err(ApiError::not_found("key")) }
}
