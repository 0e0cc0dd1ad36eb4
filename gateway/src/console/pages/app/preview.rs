//! POST /apps/{appId}/preview: renders the prompt over sample inputs.

use actix_web::HttpResponse;
use askama::Template;
use serde_json::Value;

use crate::console::form::SignedForm;
use crate::console::owned::OwnApp;
use crate::console::page::{block, show};
use crate::http::ApiError;
use crate::http::extract::json_value;

#[derive(Template)]
#[template(
    source = r#"{% match shown %}
{%- when Ok(prompt) -%}<pre tabindex="0">{{ prompt }}</pre>
{%- when Err(why) -%}<p class="field-error">{{ why }}</p>
{%- endmatch %}"#,
    ext = "html"
)]
struct Preview {
    shown: Result<String, String>,
}

pub(crate) async fn handle(SignedForm { form, .. }: SignedForm<OwnApp>) -> Result<HttpResponse, ApiError> {
    // Rendering may use all fuel of a template, so it does not run on a thread that serves other requests.
    let (prompt, samples) = (form.text("prompt").to_owned(), form.text("samples").to_owned());
    let shown = block(move || Ok(preview(&prompt, &samples))).await?;
    show(&Preview { shown })
}

fn preview(prompt: &str, samples: &str) -> Result<String, String> {
    let samples = if samples.trim().is_empty() { "{}" } else { samples };
    let inputs =
        json_value(samples.as_bytes()).map_err(|error| format!("The sample inputs are not JSON: {error}"))?;
    let Value::Object(members) = &inputs else {
        return Err("The sample inputs must be a JSON object like {\"text\": \"…\"}".to_owned());
    };
    let names: Vec<_> = members.keys().map(String::as_str).collect();
    shared::prompt::check(prompt, &names)
        .and_then(|()| shared::prompt::render(prompt, &inputs))
        .map(shared::text::CleanText::into_string)
        .map_err(|error| format!("The prompt {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_rendered_or_its_error_shown() {
        assert_eq!(preview("Say {{ a }}", r#"{"a": "<b>"}"#).unwrap(), "Say <b>");
        assert!(preview("{{ b }}", "{\"a\": 1}").unwrap_err().contains("\"b\""));
        assert!(preview("x", "[").unwrap_err().contains("not JSON"));
        assert!(preview("x", "[]").unwrap_err().contains("object"));
        let shown = Preview { shown: Ok("<script>".to_owned()) }.render().unwrap();
        assert_eq!(shown, r#"<pre tabindex="0">&#60;script&#62;</pre>"#);
    }
}
