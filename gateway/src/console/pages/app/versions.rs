//! /apps/{appId}/versions: lists, compares and restores versions. A version never changes: restoring stores
//! its definition as a new version.

use std::fmt::Write as _;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::FieldError;
use gateway_domain::apps::store;
use gateway_domain::apps::versions::{self, Version};
use serde_json::Value;
use shared::apps::AppDefinition;
use shared::config::Plan;
use similar::{ChangeTag, TextDiff};

use super::{Header, Tab};
use crate::console::app_refusal::store_refusal;
use crate::console::form::SignedForm;
use crate::console::format::{Timestamp, count};
use crate::console::owned::OwnApp;
use crate::console::page::{Frame, block, see_other, show};
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

/// After this time the comparison becomes coarser.
const DIFF_DEADLINE: Duration = Duration::from_millis(300);
/// Unchanged lines around a change.
const CONTEXT_LINES: usize = 3;

struct Line {
    kind: &'static str,
    sign: char,
    text: String,
}

#[derive(Template)]
#[template(path = "app/versions.html")]
struct Page {
    frame: Frame,
    app: Header,
    versions: Vec<(i32, Timestamp, bool)>,
    from: i32,
    to: i32,
    diff: Vec<Line>,
}

/// GET /apps/{appId}/versions
pub(crate) async fn page(
    OwnApp { visitor, app }: OwnApp,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::without_empty(&request)?;
    let to = query.value("to", "a version's number").unwrap_or(app.version);
    let from = query.value("from", "a version's number").unwrap_or(to.saturating_sub(1).max(1));
    query.end()?;
    let (user, id) = (visitor.user(), app.id);
    let listed = versions::list(&context.db, user, id).await?;
    let compared = versions::load(&context.db, user, id, &[from, to]).await?;
    let text =
        |number: i32| compared.iter().find(|one| one.version == number).map(|one| as_text(&one.definition));
    let (Some(old), Some(new)) = (text(from), text(to)) else { return Err(ApiError::not_found("version")) };
    let diff = block(move || Ok(diff(&old, &new))).await?;
    let header = Header::new(&app, Tab::Edit);
    let versions = listed
        .iter()
        .map(|row| (row.version, Timestamp(row.created_at), row.version == app.version))
        .collect();
    show(&Page { frame: header.frame(&visitor), app: header, versions, from, to, diff })
}

/// A definition as lines that a person can compare: texts as they are, other values as JSON.
fn as_text(definition: &Value) -> String {
    let mut text = String::new();
    for (name, value) in definition.as_object().into_iter().flatten() {
        let shown = match value {
            Value::String(words) => words.clone(),
            other => serde_json::to_string_pretty(other).unwrap_or_default(),
        };
        let _ = writeln!(text, "{name}:");
        for line in shown.trim_end().lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn diff(old: &str, new: &str) -> Vec<Line> {
    let compared = TextDiff::configure().timeout(DIFF_DEADLINE).diff_lines(old, new);
    let mut lines = Vec::new();
    for (at, group) in compared.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        if at > 0 {
            lines.push(Line { kind: "gap", sign: '⋯', text: String::new() });
        }
        for change in group.iter().flat_map(|op| compared.iter_changes(op)) {
            let (kind, sign) = match change.tag() {
                ChangeTag::Delete => ("del", '−'),
                ChangeTag::Insert => ("ins", '+'),
                ChangeTag::Equal => ("same", ' '),
            };
            lines.push(Line { kind, sign, text: change.value().trim_end_matches('\n').to_owned() });
        }
    }
    lines
}

/// POST /apps/{appId}/versions/restore
pub(crate) async fn restore(
    SignedForm { sender: OwnApp { visitor, app }, form }: SignedForm<OwnApp>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let wanted: i32 = form.text("version").parse().map_err(|_| ApiError::not_found("version"))?;
    let (user, by, id) = (visitor.user(), visitor.actor(), app.id);
    let Version { definition, .. } = versions::load(&context.db, user, id, &[wanted])
        .await?
        .pop()
        .ok_or(ApiError::not_found("version"))?;
    let definition: &AppDefinition =
        &serde_json::from_value(definition).map_err(|error| ApiError::fault(&error))?;
    if let Some(message) = above_the_plan(wanted, definition, context.plans.get(&visitor.session.plan)) {
        return Err(ApiError::invalid(FieldError::part("version", "limit", message)));
    }
    let base = form.text("base").parse().unwrap_or(app.version);
    let quotas = &context.plans.quotas(&visitor.session.plan);
    store::save(&context.db, (user, quotas), (id, base), definition, by).await.map_err(store_refusal)?;
    Ok(see_other(&format!("/apps/{id}/edit?done=saved")))
}

/// Why the version cannot be restored under this plan.
fn above_the_plan(version: i32, definition: &AppDefinition, plan: Option<&Plan>) -> Option<String> {
    let (limit, ceiling) = definition.limits.above(plan?).next()?;
    let wanted = count((limit.get)(&definition.limits).into());
    let (name, ceiling) = (limit.label, count(ceiling.into()));
    Some(format!(
        "Version {version} allows {wanted} {}, and your plan allows {ceiling}. Open Edit, and set {name} to \
         {ceiling} or less.",
        name.to_lowercase()
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::config::Plans;

    use super::*;

    #[test]
    fn a_version_above_the_plan_is_refused_in_words_of_the_console() {
        let app = json!({"name": "A", "prompt": "p", "limits": {"steps": 200}});
        let (app, plans) = (serde_json::from_value(app).unwrap(), Plans::built_in());
        let said = above_the_plan(3, &app, plans.get("free")).unwrap();
        assert_eq!(
            said,
            "Version 3 allows 200 steps, and your plan allows 50. Open Edit, and set Steps to 50 or less."
        );
        assert_eq!(above_the_plan(3, &app, plans.get("pro")), None);
    }

    #[test]
    fn a_comparison_shows_changes_and_some_lines_around() {
        let definition = |prompt: &str, steps: u32| {
            as_text(&json!({"name": "A", "prompt": prompt, "limits": {"steps": steps}}))
        };
        let lines = diff(&definition("one\ntwo\n", 3), &definition("one\nthree\n", 3));
        let shown: Vec<_> = lines.iter().map(|line| format!("{}{}", line.sign, line.text)).collect();
        assert_eq!(shown, ["   A", " prompt:", "   one", "−  two", "+  three"]);
        assert!(diff("a\n", "a\n").is_empty());
    }
}
