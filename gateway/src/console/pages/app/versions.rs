//! /apps/{appId}/versions: lists, compares and restores versions. A version never changes: restoring stores
//! its definition as a new version.

use std::fmt::Write as _;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use gateway_domain::apps::store;
use gateway_domain::apps::versions::{self, Version};
use gateway_domain::{FieldError, Refusal};
use serde_json::Value;
use shared::apps::AppDefinition;
use shared::config::Plan;
use similar::{ChangeTag, TextDiff};

use super::{Header, Tab};
use crate::console::app_refusal::store_refusal;
use crate::console::form::SignedForm;
use crate::console::format::{Timestamp, bytes, count};
use crate::console::owned::OwnApp;
use crate::console::page::{Frame, block, see_other, show};
use crate::console::shown::json_text;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

/// After this time the comparison becomes coarser.
const DIFF_DEADLINE: Duration = Duration::from_millis(100);
/// Lines of a version that is compared.
const MAX_LINES: u16 = 5000;
/// Bytes of the changes in the page.
const DIFF_BYTES: u32 = 128 << 10;
/// Unchanged lines around a change.
const CONTEXT_LINES: usize = 3;

struct Line {
    kind: &'static str,
    sign: char,
    text: String,
}

/// What differs between two versions.
#[derive(Default)]
struct Diff {
    lines: Vec<Line>,
    /// Why not all of it is shown.
    note: Option<String>,
}

#[derive(Template)]
#[template(path = "app/versions.html")]
struct Page {
    frame: Frame,
    app: Header,
    versions: Vec<(i32, Timestamp, bool)>,
    from: i32,
    to: i32,
    diff: Diff,
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
    let diff = block(move || {
        let text = |number: i32| {
            let version = compared.iter().find(|one| one.version == number);
            version.map(|one| as_text(&one.definition)).ok_or(ApiError::not_found("version"))
        };
        Ok(diff(&text(from)?, &text(to)?))
    });
    let diff = diff.await?;
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
            other => json_text(other),
        };
        let _ = writeln!(text, "{name}:");
        for line in shown.trim_end().lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn diff(old: &str, new: &str) -> Diff {
    if old == new {
        return Diff::default();
    }
    if [old, new].iter().any(|text| text.lines().nth(MAX_LINES.into()).is_some()) {
        let note =
            format!("The versions have more than {} lines. They are not compared.", count(MAX_LINES.into()));
        return Diff { lines: Vec::new(), note: Some(note) };
    }
    let compared = TextDiff::configure().timeout(DIFF_DEADLINE).diff_lines(old, new);
    let (mut lines, mut left) = (Vec::new(), DIFF_BYTES as usize);
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
            let text = change.value().trim_end_matches('\n');
            let shown = &text[..text.floor_char_boundary(left)];
            lines.push(Line { kind, sign, text: shown.to_owned() });
            if shown.len() < text.len() {
                let note = format!("The changes are cut after {}.", bytes(DIFF_BYTES.into()));
                return Diff { lines, note: Some(note) };
            }
            left -= shown.len();
        }
    }
    Diff { lines, note: None }
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
    if let Some(missing) = context.search.missing_for(definition) {
        return Err(Refusal::SearchMissing(missing).into());
    }
    let base = form.text("base").parse().unwrap_or(app.version);
    let quotas = &context.plans.quotas(&visitor.session.plan);
    store::save(&context.db, (user, quotas), (id, Some(&[base])), definition, by)
        .await
        .map_err(store_refusal)?;
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
        let lines = diff(&definition("one\ntwo\n", 3), &definition("one\nthree\n", 3)).lines;
        let shown: Vec<_> = lines.iter().map(|line| format!("{}{}", line.sign, line.text)).collect();
        assert_eq!(shown, ["   A", " prompt:", "   one", "−  two", "+  three"]);
        let same = diff("a\n", "a\n");
        assert!(same.lines.is_empty() && same.note.is_none());
    }

    #[test]
    fn a_comparison_has_an_end() {
        let size = |diff: &Diff| diff.lines.iter().map(|line| line.text.len() + 60).sum::<usize>();
        let deep = |leaf: u32| {
            let values = json!([vec![0; 31_000], leaf]);
            as_text(&json!({"output": (0..56).fold(values, |inner, _| json!([inner]))}))
        };
        let whole = diff(&deep(0), &deep(1));
        assert!(whole.note.is_none() && size(&whole) < 2 * 63 * 1024, "{}", size(&whole));
        let cut = diff(&"a".repeat(100_000), &"b".repeat(100_000));
        assert_eq!(cut.note.as_deref(), Some("The changes are cut after 128.0 KiB."));
        assert!(size(&cut) < DIFF_BYTES as usize + 200, "{}", size(&cut));
        let many = diff(&"a\n".repeat(MAX_LINES.into()), &"b\n".repeat(usize::from(MAX_LINES) + 1));
        assert_eq!(many.note.unwrap(), "The versions have more than 5,000 lines. They are not compared.");
    }
}
