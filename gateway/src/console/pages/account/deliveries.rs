//! /account/webhooks/deliveries: the webhooks that were sent, with each try; sending one again; testing a
//! receiver.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use chrono::{Days, NaiveDate, NaiveTime};
use gateway_domain::Refusal;
use gateway_domain::accounts::users;
use gateway_domain::deliveries::list::list;
use gateway_domain::deliveries::redeliver::redeliver;
use gateway_domain::deliveries::test_ping::test_ping;
use gateway_domain::deliveries::{DeliveryRef, Filters};
use gateway_domain::page::Page as Listed;
use shared::deliveries::DeliveryStatus;
use shared::ids::RunId;

use super::Tab;
use super::delivery_row::{Row, Try};
use crate::console::error_page::refusal_sentence;
use crate::console::form::SignedForm;
use crate::console::page::{Frame, see_other, show_as};
use crate::console::session::Visitor;
use crate::console::shown::{IN_API, Room, TEXT_BYTES};
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, read_delivery_statuses, read_page};

const PATH: &str = "/account/webhooks/deliveries";
/// Deliveries of a page. Each shows 20 tries at most, and all answers share the room of one text.
const PER_PAGE: u32 = 20;

#[derive(Template)]
#[template(path = "account/deliveries.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    deliveries: Vec<Row>,
    next: Option<String>,
    statuses: Vec<(&'static str, bool)>,
    run: String,
    /// Days, as a date field has them.
    from: String,
    to: String,
    filtered: bool,
    tested_url: String,
    wrong_url: Option<String>,
    tested: Option<Try>,
}

/// GET /account/webhooks/deliveries
pub(crate) async fn page(
    visitor: Visitor,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    const NOTICES: [(&str, &str); 2] = [
        ("resent", "The webhook is being sent again. Reload the page in a moment to see the result."),
        ("open", "The delivery is not over, so it was not sent again. Its next try is shown below."),
    ];
    let mut query = Query::without_empty(&request)?;
    query.text("done");
    let filters = read_filters(&mut query);
    let mut listed = read_page(&mut query, PER_PAGE, filters);
    listed.limit = PER_PAGE;
    query.end()?;
    let frame = Tab::Webhooks.frame(&visitor).with_notice(&request, &NOTICES);
    let page = load(&context, &visitor, frame, &listed).await?;
    show_as(StatusCode::OK, &page)
}

/// POST /account/webhooks/deliveries/{deliveryId}/resend
pub(crate) async fn resend(
    SignedForm { sender: visitor, .. }: SignedForm,
    path: web::Path<String>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let delivery = path.parse().map_err(|_| ApiError::not_found("delivery"))?;
    let of = DeliveryRef { delivery, app: None };
    match redeliver(&context.db, context.publisher(), visitor.user(), of).await {
        Ok(delivery) => Ok(see_other(&format!("{PATH}?runId={}&done=resent", delivery.run_id))),
        // A form that is sent twice.
        Err(Refusal::DeliveryNotFinished { .. }) => Ok(see_other(&format!("{PATH}?done=open"))),
        Err(refusal) => Err(refusal.into()),
    }
}

/// POST /account/webhooks/test: shows the result at once. Sent twice, it tests twice, which does no harm.
pub(crate) async fn test(
    SignedForm { sender: visitor, form }: SignedForm,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let text = form.text("url").trim();
    let plan = users::plan(&context.db, visitor.user()).await?;
    let tested = match context.webhook_url(&plan, "url", text) {
        Ok(url) => {
            let stopping = context.lifecycle.stopping();
            Ok(test_ping(&context.db, context.publisher(), stopping, visitor.user(), &url).await?)
        }
        Err(refusal) => Err(refusal_sentence(&refusal)),
    };
    let status = if tested.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let listed = Listed { limit: PER_PAGE, after: None, filters: Filters::default() };
    let mut page = load(&context, &visitor, Tab::Webhooks.frame(&visitor), &listed).await?;
    text.clone_into(&mut page.tested_url);
    match tested {
        Ok(result) => page.tested = Some(Try::of_ping(result)),
        Err(why) => page.wrong_url = Some(why),
    }
    show_as(status, &page)
}

async fn load(
    context: &Context,
    visitor: &Visitor,
    frame: Frame,
    listed: &Listed<Filters>,
) -> Result<Page, ApiError> {
    let (found, next) = list(&context.db, visitor.user(), None, listed, true).await?;
    let filters = &listed.filters;
    let mut room = Room::new(TEXT_BYTES, IN_API);
    let one_run = filters.run.is_some();
    let deliveries = found.into_iter().map(|delivery| Row::of(delivery, one_run, &mut room)).collect();
    let day = |at: Option<NaiveDate>| at.map(|day| day.to_string()).unwrap_or_default();
    Ok(Page {
        frame,
        tab: Tab::Webhooks,
        deliveries,
        next,
        statuses: DeliveryStatus::ALL
            .map(|status| (status.as_str(), filters.status.contains(&status)))
            .to_vec(),
        run: filters.run.map(|run| run.to_string()).unwrap_or_default(),
        from: day(filters.after.map(|at| at.date_naive())),
        to: day(filters.before.and_then(|at| at.date_naive().checked_sub_days(Days::new(1)))),
        filtered: filters.are_set(),
        tested_url: String::new(),
        wrong_url: None,
        tested: None,
    })
}

/// `from` and `to` are days in UTC, and `to` is part of the range.
fn read_filters(query: &mut Query) -> Filters {
    let mut day = |name: &str, more: u64| {
        let date = query.value::<NaiveDate>(name, "a day like 2026-11-24")?;
        Some(date.checked_add_days(Days::new(more))?.and_time(NaiveTime::MIN).and_utc())
    };
    let (after, before) = (day("from", 0), day("to", 1));
    Filters {
        run: query.value::<RunId>("runId", "a run's id"),
        status: read_delivery_statuses(query),
        after,
        before,
    }
}
