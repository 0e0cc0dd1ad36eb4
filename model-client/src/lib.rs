//! The client of model servers, and the conversation that it sends. A [`Request`] asks for one answer. The
//! [`Answer`] has the same form for all protocols and servers.

mod answer;
mod assemble;
mod calls;
pub mod check;
mod client;
mod conversation;
mod correction;
mod credentials;
mod demo;
mod error;
mod failure;
mod finish;
mod json;
mod learned;
mod model;
mod overflow;
#[cfg(test)]
mod property;
mod provider;
mod read;
mod refusal;
mod repetition;
mod replay;
mod request;
mod retry;
mod sse;
mod text_calls;
mod thinking;
mod usage;
mod words;

use std::collections::HashMap;

use shared::config::ModelsFile;

pub use answer::{Answer, Counted, MAX_ANSWER_BYTES};
pub use conversation::{Call, Message, Picture, estimated_tokens};
pub use error::ModelError;
pub use finish::{CONTENT_FILTER, LENGTH, OVERSIZED, REPETITION, WINDOW_FULL};
pub use model::ModelClient;
pub use repetition::passage;
pub use replay::replay;
pub use request::{Offered, Request, ToolChoice, UNUSED_PARAMETER, overhead};
pub use retry::wait_before_next;
pub use text_calls::{Written, body as call_body, find as find_written_calls};
pub use words::{Outlet, Words};

/// The models of CAPI_MODELS by id.
pub struct ModelClients(HashMap<String, ModelClient>);

impl ModelClients {
    /// Reads the keys of all models.
    pub fn new(models: &ModelsFile) -> anyhow::Result<Self> {
        let build = |model: &shared::config::Model| Ok((model.id.clone(), ModelClient::new(model)?));
        models.all().iter().map(build).collect::<anyhow::Result<_>>().map(Self)
    }

    #[must_use]
    pub fn get(&self, id: &str) -> Option<&ModelClient> {
        self.0.get(id)
    }
}
