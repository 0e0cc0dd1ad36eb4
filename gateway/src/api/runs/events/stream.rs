//! The log of a run as a stream of JSON for programs.

use gateway_domain::accounts::keys;
use gateway_domain::runs::Followed;
use shared::db::DbError;
use shared::ids::ApiKeyId;

use super::render::render;
use super::shown::Delta;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::event_stream::{Face, message};

/// The stream of a client with a key.
pub(super) struct ApiStream {
    pub(super) key: ApiKeyId,
}

impl Face for ApiStream {
    const NAME: &'static str = "api";

    async fn render(&mut self, _: &Context, followed: Followed) -> Result<String, ApiError> {
        let fault = |error: serde_json::Error| ApiError::fault(&error);
        let mut messages = String::new();
        match followed {
            Followed::Events(events) => {
                for event in &events {
                    let shown = render(event).map_err(fault)?;
                    messages.push_str(&message(&event.r#type, Some(event.seq), shown.get()));
                }
            }
            Followed::Words { step, text, restart } => {
                let delta = serde_json::to_string(&Delta { step, text, restart }).map_err(fault)?;
                // Without an id: a client that connects again names the last event.
                messages = message("delta", None, &delta);
            }
            Followed::UpToDate | Followed::Over | Followed::Deleted | Followed::Waited => {}
        }
        Ok(messages)
    }

    /// Whether the key is neither revoked nor expired, and its account's plan still includes the API.
    async fn is_allowed(&self, context: &Context) -> Result<bool, DbError> {
        let plan = keys::plan_of_active(&context.db, self.key).await?;
        Ok(plan.is_some_and(|plan| context.rates.get(&plan).is_some_and(serde_json::Value::is_number)))
    }

    /// A client that connects again gets the reason.
    fn farewell(&self) -> String {
        ": the key may no longer see the run\n\n".to_owned()
    }
}
