//! POST /apps/{appId}/preview: renders the prompt over sample inputs.

use actix_web::{HttpResponse, web};
use askama::Template;
use gateway_domain::{Refusal, json_value};
use serde_json::Value;
use shared::definition_checker::{CheckError, DefinitionChecker};
use shared::ids::UserId;
use shared::text::{CleanText, check_json};

use crate::console::error_page::refusal_sentence;
use crate::console::form::SignedForm;
use crate::console::owned::OwnApp;
use crate::console::page::show;
use crate::console::shown::{Room, Shown, TEXT_BYTES};
use crate::context::Context;
use crate::http::ApiError;

/// Bytes of the sample inputs. They are in memory while the preview waits for the account's turn.
const MAX_SAMPLES: usize = 64 << 10;

#[derive(Template)]
#[template(
    source = r#"{% match shown %}
{%- when Ok(prompt) -%}{{ prompt|safe }}
{%- when Err(why) -%}<p class="field-error">{{ why }}</p>
{%- endmatch %}"#,
    ext = "html"
)]
struct Preview {
    shown: Result<Shown<'static>, String>,
}

pub(crate) async fn handle(
    SignedForm { sender, form }: SignedForm<OwnApp>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let (prompt, account) = (form.text("prompt"), sender.visitor.user());
    let shown = match samples(form.text("samples")) {
        Err(why) => Err(why),
        Ok(inputs) => match rendered(&context.checker, account, prompt, &inputs).await {
            Ok(text) => Ok(shown(text.into_string())),
            Err(CheckError::Refused(why)) => Err(format!("The prompt {why}")),
            Err(CheckError::Busy) => Err(refusal_sentence(&Refusal::TooManyChecks)),
            Err(error) => return Err(Refusal::from(error).into()),
        },
    };
    show(&Preview { shown })
}

fn shown(prompt: String) -> Shown<'static> {
    Room::new(TEXT_BYTES, "A run gets all of it.").show(prompt)
}

fn samples(text: &str) -> Result<Value, String> {
    if text.len() > MAX_SAMPLES {
        return Err(format!("The sample inputs have more than {MAX_SAMPLES} bytes. Make them shorter."));
    }
    let text = if text.trim().is_empty() { "{}" } else { text };
    let (inputs, _) =
        json_value(text.as_bytes()).map_err(|error| format!("The sample inputs are not JSON: {error}"))?;
    check_json(&inputs).map_err(|refusal| format!("The sample inputs cannot be used: {refusal}"))?;
    if inputs.is_object() {
        Ok(inputs)
    } else {
        Err("The sample inputs must be a JSON object like {\"text\": \"…\"}".to_owned())
    }
}

async fn rendered(
    checker: &DefinitionChecker,
    account: UserId,
    prompt: &str,
    inputs: &Value,
) -> Result<CleanText, CheckError> {
    let names: Vec<_> = inputs.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    checker.check_prompt(account, prompt, &names).await?;
    checker.render_prompt(account, prompt, inputs).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_prompt_is_rendered_or_its_error_shown() {
        let checker = DefinitionChecker::start().unwrap();
        let shown = async |prompt, text| {
            rendered(&checker, UserId::generate(), prompt, &samples(text).unwrap()).await
        };
        assert_eq!(&*shown("Say {{ a }}", r#"{"a": "<b>"}"#).await.unwrap(), "Say <b>");
        assert!(shown("{{ b }}", "{\"a\": 1}").await.unwrap_err().to_string().contains("\"b\""));
        assert!(samples("[").unwrap_err().contains("not JSON"));
        assert!(samples("[]").unwrap_err().contains("object"));
        let nested = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(samples(&nested(126)).unwrap_err().contains("64 levels"), "a checker process cannot read it");
        assert!(samples(&format!("[{}]", "[],".repeat(MAX_SAMPLES / 3))).unwrap_err().contains("bytes"));
        let shown = Preview { shown: Ok(super::shown("<script>".to_owned())) }.render().unwrap();
        assert_eq!(shown, r#"<pre tabindex="0">&#60;script&#62;</pre>"#);
    }
}
