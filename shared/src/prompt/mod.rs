//! Prompt templates. The gateway checks them when an app is saved, and the worker renders them. `check` and
//! `render` may use much time, memory and stack, so only the program `definition-checker` calls them.

mod scan;

use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

use crate::text::CleanText;

/// Bounds the instructions of one rendering, so that no template loops for ever.
const FUEL: u64 = 100_000;
/// Bytes of a rendered prompt.
pub(crate) const MAX_PROMPT_BYTES: usize = 1 << 20;

pub use scan::scan;

/// Why a template does not parse or render. The text begins with a verb and names the line.
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
        let line = error.line();
        if error.kind() == ErrorKind::OutOfFuel {
            let place = line.map(|line| format!(" (line {line})")).unwrap_or_default();
            return Self(format!("does too much work{place}; make it simpler"));
        }
        let place = line.map(|line| format!(" in line {line}")).unwrap_or_default();
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        Self(format!("{}{place}{detail}", fault(error.kind())))
    }
}

/// What a template does wrong. The line and the engine's detail follow.
const fn fault(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::SyntaxError => "has a syntax error",
        ErrorKind::BadEscape => "has a wrong escape in a text",
        ErrorKind::UndefinedError => "uses an undefined value",
        ErrorKind::UnknownFilter => "uses an unknown filter",
        ErrorKind::UnknownTest => "uses an unknown test",
        ErrorKind::UnknownFunction => "calls an unknown function",
        ErrorKind::UnknownMethod => "calls an unknown method",
        ErrorKind::MissingArgument => "leaves out an argument",
        ErrorKind::TooManyArguments => "gives too many arguments",
        ErrorKind::InvalidOperation => "does something that is not possible",
        ErrorKind::NonPrimitive | ErrorKind::NonKey | ErrorKind::CannotUnpack => {
            "uses a value of the wrong type"
        }
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => "uses another template",
        _ => "cannot be rendered",
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
    fn errors_are_sentences_with_their_line() {
        let said = |template: &str| {
            let checked = check(template, &["a"]).and_then(|()| render(template, &json!({"a": 1})));
            checked.map_or_else(|error| format!("The prompt {error}"), CleanText::into_string)
        };
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert_eq!(said(endless), "The prompt does too much work (line 1); make it simpler");
        assert_eq!(said("\n{{ a.b.c }}"), "The prompt uses an undefined value in line 2");
        let syntax = said("{{ a");
        assert!(syntax.starts_with("The prompt has a syntax error in line 1: unexpected end"), "{syntax}");
        let sum = said("{{ a + 'x' }}");
        assert!(
            sum.starts_with("The prompt does something that is not possible in line 1: tried to use +"),
            "{sum}"
        );
        assert_eq!(
            said("{{ a | shout }}"),
            "The prompt uses an unknown filter in line 1: filter shout is unknown"
        );
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
