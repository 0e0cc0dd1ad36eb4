use gateway_domain::deliveries::test_ping::MAX_PER_MINUTE;
use gateway_domain::runs::DEFAULT_QUEUE_TIMEOUT;
use gateway_domain::runs::open_waits::MAX_OPEN_WAITS;
use gateway_domain::runs::request::{MAX_METADATA_KEY_CHARS, MAX_METADATA_PAIRS, MAX_METADATA_VALUE_CHARS};
use shared::config::Plans;
use shared::limits::Limits;

use super::*;
use crate::http::extract::MAX_BODY;
use crate::http::multipart::{MAX_ALL_BYTES, MAX_FILE_BYTES, MAX_FILES};

/// A summary is one line of the index.
const MAX_SUMMARY_CHARS: usize = 120;

fn guide(name: &str) -> &'static Guide {
    all().iter().find(|guide| guide.name == name).unwrap()
}

#[test]
fn every_file_of_the_guides_is_served() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guides");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let mut files: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
    let mut served: Vec<_> = all().iter().map(|guide| format!("{}.md", guide.name)).collect();
    files.sort();
    served.sort();
    assert_eq!(files, served);
}

#[test]
fn every_guide_has_a_title_and_a_short_summary() {
    for guide in all() {
        let Rendered { title, summary, html, .. } = &guide.rendered;
        assert!(guide.source.starts_with(&format!("# {title}\n\n")), "{}", guide.name);
        assert!((20..=MAX_SUMMARY_CHARS).contains(&summary.chars().count()), "{}: {summary}", guide.name);
        assert!(!html.contains("<!--"), "{}: a list is missing", guide.name);
    }
}

#[test]
fn every_code_is_listed() {
    let listed = guide("error-codes");
    for problem in Problem::ALL {
        assert!(listed.source.contains(&format!("[`{}`]", problem.code())), "{}", problem.code());
        assert!(listed.rendered.html.contains(&format!("\"/docs/problems/{}\"", problem.code())));
    }
    for code in ErrorCode::ALL {
        let retryable = if code.retryable() { " (retryable)" } else { "" };
        let item = format!("\n- `{}`{retryable}: {}", code.as_str(), code.meaning());
        assert!(listed.source.contains(&item), "{item}");
    }
    let errors = guide("errors");
    let is_repeated =
        |problem: &&Problem| problem.status() >= 500 || [408, 409, 429].contains(&problem.status());
    for problem in Problem::ALL.iter().filter(is_repeated) {
        let status = problem.status().to_string();
        let rows = errors.source.lines().filter(|line| line.starts_with("| ") && line.contains(" | "));
        let named = rows.filter_map(|row| row.split(" | ").next()).any(|cell| cell.contains(&status));
        assert!(named, "the table of errors.md lacks the status {status}");
    }
}

#[test]
fn the_numbers_are_those_of_the_code() {
    let limits = &guide("limits").source;
    let has = |row: &str| assert!(limits.contains(row), "docs/guides/limits.md lacks: {row}");
    for limit in Limits::ALL {
        has(&format!("| {} | {} | {} | {} |", limit.api_name, limit.meaning, limit.default, limit.highest));
    }
    let plans = Plans::built_in();
    for name in plans.names() {
        let plan = plans.get(name).unwrap();
        let api = if plan.api { "yes" } else { "no" };
        let pending = plan.max_pending_runs.map_or("no limit".to_owned(), |most| most.to_string());
        has(&format!("| `{name}` | {api} | {} | {pending} |", plan.running_runs));
        if plan.api {
            has(&format!("| requests in any 60 seconds, plan `{name}` | {} |", plan.requests_per_minute));
            has(&format!("| active API keys | {} |", plan.api_keys));
        }
    }
    has(&format!("| open waits and streams of an account | {MAX_OPEN_WAITS} |"));
    has(&format!("| tests of a receiver in a minute | {MAX_PER_MINUTE} |"));
    has(&format!("| JSON body | {} MiB,", MAX_BODY >> 20));
    has(&format!("| files of a run | {MAX_FILES} |"));
    has(&format!("| one file | {} MiB |", MAX_FILE_BYTES >> 20));
    has(&format!("| all files of a run | {} MiB |", MAX_ALL_BYTES >> 20));
    has(&format!(
        "| {MAX_METADATA_PAIRS} pairs, keys of {MAX_METADATA_KEY_CHARS} and values of \
         {MAX_METADATA_VALUE_CHARS} characters |"
    ));
    has(&format!("by default {DEFAULT_QUEUE_TIMEOUT} (a day)"));
}
