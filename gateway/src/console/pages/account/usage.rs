//! GET /account/usage: the limits of the plan, what the account uses of its quotas, and the runs and tokens
//! of the last 30 days.

use actix_web::{HttpResponse, web};
use askama::Template;
use gateway_domain::accounts::quotas::{AccountUse, account_use};
use gateway_domain::accounts::usage::{self, Day};
use gateway_domain::apps::room;
use shared::config::Quotas;
use shared::limits::{Limit, Limits};

use super::Tab;
use crate::console::format::{bytes, count, counted};
use crate::console::page::{Frame, show};
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;

/// Units of the chart. The page stretches it to its own width.
const HEIGHT: i64 = 120;
const DAY_WIDTH: usize = 20;

/// A bar of a chart.
struct Bar {
    x: usize,
    y: i64,
    height: i64,
    label: String,
}

struct Chart {
    name: &'static str,
    total: String,
    bars: Vec<Bar>,
    width: usize,
    height: i64,
    first: String,
    last: String,
}

impl Chart {
    fn new(name: &'static str, days: &[Day], value: impl Fn(&Day) -> i64) -> Self {
        let most = days.iter().map(&value).max().unwrap_or(0).max(1);
        let bar = |(at, day): (usize, &Day)| {
            let amount = value(day);
            // A day with a run has a visible bar.
            let height = if amount == 0 { 0 } else { (amount.saturating_mul(HEIGHT) / most).max(2) };
            Bar {
                x: at * DAY_WIDTH,
                y: HEIGHT - height,
                height,
                label: format!("{}: {} {name}", day.day, count(amount)),
            }
        };
        Self {
            name,
            total: count(days.iter().map(&value).sum()),
            bars: days.iter().enumerate().map(bar).collect(),
            width: days.len() * DAY_WIDTH,
            height: HEIGHT,
            first: days.first().map(|day| day.day.to_string()).unwrap_or_default(),
            last: days.last().map(|day| day.day.to_string()).unwrap_or_default(),
        }
    }
}

/// What the account uses of one quota.
struct Meter {
    id: &'static str,
    name: &'static str,
    used: String,
    limit: Option<String>,
    /// In percent. `None` without a limit.
    share: Option<i64>,
}

impl Meter {
    fn new(
        (id, name): (&'static str, &'static str),
        used: i64,
        limit: Option<u64>,
        show: fn(i64) -> String,
    ) -> Self {
        let limit = limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        Self {
            id,
            name,
            used: show(used),
            limit: limit.map(show),
            share: limit.map(|limit| (used.saturating_mul(100) / limit.max(1)).min(100)),
        }
    }
}

/// The request bytes and tokens of a day are counted only if the plan limits them.
fn meters(quotas: &Quotas, used: AccountUse, app_bytes: Option<i64>) -> Vec<Meter> {
    let mut meters = vec![
        Meter::new(
            ("pending-runs", "Waiting runs"),
            used.pending_runs,
            quotas.max_pending_runs.map(u64::from),
            count,
        ),
        Meter::new(("stored-bytes", "Storage for files"), used.stored_bytes, quotas.max_stored_bytes, bytes),
    ];
    if let Some(used) = app_bytes {
        meters.push(Meter::new(("app-bytes", "Versions of apps"), used, quotas.max_stored_bytes, bytes));
    }
    if let most @ Some(_) = quotas.max_request_bytes_per_day {
        meters.push(Meter::new(("request-bytes", "Sent today"), used.request_bytes, most, bytes));
    }
    if let most @ Some(_) = quotas.max_tokens_per_day {
        meters.push(Meter::new(("tokens", "Tokens today"), used.tokens, most, count));
    }
    meters
}

#[derive(Template)]
#[template(path = "account/usage.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    plan: String,
    facts: Vec<(String, String)>,
    meters: Vec<Meter>,
    /// The days that runs are kept, if they are not kept for ever.
    retention: Option<String>,
    charts: [Chart; 2],
    empty: bool,
}

pub(crate) async fn page(visitor: Visitor, context: web::Data<Context>) -> Result<HttpResponse, ApiError> {
    let report = context.reports.begin(visitor.user())?;
    let days = usage::days(report.db(), visitor.user()).await?;
    let used = account_use(report.db(), visitor.user()).await?;
    // An account whose plan is gone has quotas too.
    let quotas = context.plans.quotas(&visitor.session.plan);
    let app_bytes = room::used(report.db(), visitor.user(), &quotas).await?;
    drop(report);
    let plan = context.plans.get(&visitor.session.plan);
    let most =
        |limit: Option<u32>| limit.map_or_else(|| "Set by the app".to_owned(), |limit| count(limit.into()));
    let facts = plan.map_or_else(Vec::new, |plan| {
        let mut facts = vec![
            ("API".to_owned(), if plan.api { "included".to_owned() } else { "not included".to_owned() }),
            ("API requests per minute".to_owned(), count(plan.requests_per_minute.into())),
            ("Active API keys".to_owned(), count(plan.api_keys.into())),
            ("Runs at once".to_owned(), count(plan.running_runs.into())),
        ];
        let ceiling =
            |limit: &Limit| (format!("{} per run", limit.label), most((limit.ceiling)(&plan.ceilings)));
        facts.extend(Limits::ALL.iter().map(ceiling));
        facts
    });
    show(&Page {
        frame: Tab::Usage.frame(&visitor),
        tab: Tab::Usage,
        plan: visitor.session.plan.clone(),
        facts,
        meters: meters(&quotas, used, app_bytes),
        retention: plan.and_then(|plan| plan.retention_days).map(|days| counted(days as usize, "day")),
        empty: days.iter().all(|day| day.runs == 0),
        charts: [Chart::new("runs", &days, |day| day.runs), Chart::new("tokens", &days, |day| day.tokens)],
    })
}
