//! What is asked for: the settings of the models file, and the corrections after a refusal.

mod corrections;
mod settings;
mod shapes;

use serde_json::Value;

use super::case::Seen;
use super::harness;

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_what_the_settings_say() {
    let schemas = [settings::of_schemas(), settings::of_tools_and_schemas()];
    let cases = [settings::cases(), shapes::cases()].into_iter().chain(schemas);
    harness::run(cases.flatten().collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_parameter_is_left_out() {
    let cases = [corrections::of_limits(), corrections::of_parameters(), corrections::of_roles()];
    let more = [corrections::of_other_providers(), corrections::without_an_end()];
    harness::run(cases.into_iter().chain(more).flatten().collect()).await;
}

/// The last request has this value at this JSON pointer. `Null` stands for none.
fn sent(pointer: &'static str, value: impl Into<Value>) -> impl Fn(&Seen) {
    let value = value.into();
    move |seen| {
        let sent = seen.last().pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(sent, value, "{pointer}");
    }
}

/// The last request has nothing at this JSON pointer.
fn not_sent(pointer: &'static str) -> impl Fn(&Seen) {
    sent(pointer, Value::Null)
}
