//! The form that creates an API key. The page of keys has it, and the tab API of each app.

use actix_web::http::StatusCode;
use gateway_domain::accounts::Scopes;
use gateway_domain::accounts::keys::{self, KeyRefusal, ListedKey, MAX_DAYS, NewKey};
use shared::ids::AppId;

use crate::console::form::Form;
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;

/// The choices of scopes, with their labels.
const SCOPES: [(&str, &str); 3] = [
    ("runs", "create and read runs"),
    ("apps:write", "change apps"),
    ("runs,apps:write", "create and read runs, change apps"),
];

/// The text in the form's fields, and what is wrong with it.
#[derive(Default)]
pub(crate) struct Typed {
    pub(crate) name: String,
    pub(crate) days: String,
    /// The id of the one app that the key may access. Empty: all apps.
    pub(crate) app: String,
    /// The names of its scopes, with commas. Empty: the default.
    pub(crate) scopes: String,
    pub(crate) error: Option<String>,
}

pub(crate) struct KeyForm {
    pub(crate) typed: Typed,
    /// The apps to choose from. Empty on the page of one app.
    pub(crate) apps: Vec<(AppId, String)>,
    pub(crate) active: usize,
    pub(crate) max_active: usize,
    /// The account's plan, if it does not include API keys.
    pub(crate) plan_without_api: Option<String>,
}

impl KeyForm {
    pub(crate) fn new(context: &Context, visitor: &Visitor, listed: &[ListedKey], typed: Typed) -> Self {
        let plan = context.plans.get(&visitor.session.plan).filter(|plan| plan.api);
        Self {
            typed,
            apps: Vec::new(),
            active: listed.iter().filter(|key| key.state == "active").count(),
            max_active: plan.map_or(0, |plan| plan.api_keys as usize),
            plan_without_api: plan.is_none().then(|| visitor.session.plan.clone()),
        }
    }

    /// The form on an app's page, for keys that may access only that app.
    pub(crate) async fn for_app(
        context: &Context,
        visitor: &Visitor,
        typed: Typed,
    ) -> Result<Self, ApiError> {
        let listed = keys::list(&context.db, visitor.user()).await?;
        Ok(Self::new(context, visitor, &listed, typed))
    }

    /// The status of the page that shows this form.
    pub(crate) fn status(&self) -> StatusCode {
        if self.typed.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK }
    }

    #[expect(clippy::unused_self, reason = "templates call methods of their values")]
    pub(crate) const fn scopes(&self) -> [(&'static str, &'static str); 3] {
        SCOPES
    }

    pub(crate) fn is_full(&self) -> bool {
        self.plan_without_api.is_none() && self.active >= self.max_active
    }
}

/// Creates the key that the form describes, for the app `only` if it is given. Returns the key, which nothing
/// can show again, or the form's text with its error.
pub(crate) async fn create_key(
    context: &Context,
    visitor: &Visitor,
    form: &Form,
    only: Option<AppId>,
) -> Result<Result<String, Typed>, ApiError> {
    let (name, days, app) = (form.text("name").trim(), form.text("days").trim(), form.text("app"));
    let scopes = form.text("scopes");
    let error = match parse(name, days, (app, only), scopes) {
        Err(error) => error,
        Ok(new) => {
            match keys::create(&context.db, visitor.user(), &new, &context.plans, visitor.actor()).await {
                Ok(key) => return Ok(Ok(key.reveal().to_owned())),
                Err(KeyRefusal::Db(error)) => return Err(error.into()),
                Err(refusal) => why_refused(&refusal),
            }
        }
    };
    let (name, days, app) = (name.to_owned(), days.to_owned(), app.to_owned());
    Ok(Err(Typed { name, days, app, scopes: scopes.to_owned(), error: Some(error) }))
}

fn parse(name: &str, days: &str, (app, only): (&str, Option<AppId>), scopes: &str) -> Result<NewKey, String> {
    if let Some(wrong) = keys::wrong_name(name) {
        return Err(format!("Name {wrong}."));
    }
    let days = match days {
        "" => None,
        days => Some(
            days.parse::<i32>()
                .ok()
                .filter(|days| (1..=MAX_DAYS).contains(days))
                .ok_or(format!("Expires in days must be a whole number from 1 to {MAX_DAYS}, or empty."))?,
        ),
    };
    let app = match (only, app) {
        (Some(only), _) => Some(only),
        (None, "") => None,
        (None, app) => Some(app.parse().map_err(|_| NO_APP.to_owned())?),
    };
    let scopes = match scopes {
        "" => Scopes::DEFAULT,
        scopes => scopes
            .split(',')
            .map(|name| name.parse().map_err(|_| "May: choose one of the entries.".to_owned()))
            .collect::<Result<_, _>>()?,
    };
    Ok(NewKey { name: name.to_owned(), app, days, scopes })
}

const NO_APP: &str = "Access: this app does not exist any more. Choose another one.";

fn why_refused(refusal: &KeyRefusal) -> String {
    match refusal {
        KeyRefusal::Plan(plan) => format!("No key was created: the plan {plan} does not include API keys."),
        KeyRefusal::Full(active) => format!(
            "No key was created: {active} keys are active, the most that your plan allows. Revoke one first."
        ),
        KeyRefusal::NoApp => NO_APP.to_owned(),
        KeyRefusal::Db(_) => "No key was created. Try again.".to_owned(),
    }
}
