//! Prompt templates. The gateway checks them when an app is saved, and the worker renders them. `check` and
//! `render` may use much time, memory and stack, so only the program `definition-checker` calls them.

mod scan;

use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

use crate::text::CleanText;

/// Bounds the instructions of one rendering, so that no template loops for ever.
const FUEL: u64 = 100_000;
/// Bytes of a rendered prompt.
pub(crate) const MAX_PROMPT_BYTES: usize = 1 << 20;

pub use scan::scan;

/// Why a template does not parse or render. The text names the line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PromptError(String);

impl PromptError {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl From<minijinja::Error> for PromptError {
    fn from(error: minijinja::Error) -> Self {
        Self(error.to_string())
    }
}

/// Checks the syntax, and that every variable is an input field.
pub(crate) fn check(template: &str, inputs: &[&str]) -> Result<(), PromptError> {
    let environment = environment();
    let parsed = environment.template_from_str(template)?;
    let mut unknown: Vec<_> = parsed
        .undeclared_variables(false)
        .into_iter()
        .filter(|name| !inputs.contains(&name.as_str()))
        .collect();
    unknown.retain(|name| !environment.globals().any(|(global, _)| global == name));
    unknown.sort();
    match unknown.first() {
        None => Ok(()),
        Some(name) => Err(PromptError(format!("uses {name:?}, which is not an input field"))),
    }
}

/// Renders the template with the inputs of a run (an object).
pub(crate) fn render(template: &str, inputs: &Value) -> Result<CleanText, PromptError> {
    let rendered = environment().render_str(template, minijinja::value::Serde(inputs))?;
    if rendered.len() > MAX_PROMPT_BYTES {
        return Err(PromptError(format!("renders to more than {MAX_PROMPT_BYTES} bytes")));
    }
    Ok(CleanText::new(&rendered, MAX_PROMPT_BYTES))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_render_over_inputs_only() {
        check("Say {{ text | upper }} {% if n %}{{ n }}{% endif %}", &["text", "n"]).unwrap();
        assert!(check("{{ other }}", &["text"]).unwrap_err().to_string().contains("other"));
        assert!(check("{{ text", &["text"]).is_err());
        assert_eq!(&*render("a {{ text }}", &json!({"text": "<b>"})).unwrap(), "a <b>");
    }

    #[test]
    fn templates_that_grow_exponentially_are_rejected() {
        let doubling =
            "{% set ns = namespace(s='x') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
        assert!(render(doubling, &json!({})).is_err());
        assert!(render("{{ 'x' * 4000000000 }}", &json!({})).is_err());
        let by_hand = format!("{{% set s = 'xxxxxxxx' %}}{}", "{% set s = s ~ s %}".repeat(33));
        assert!(render(&by_hand, &json!({})).is_err());
    }

    #[test]
    fn endless_templates_end() {
        let endless = "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
        assert!(render(endless, &json!({})).is_err());
    }
}
