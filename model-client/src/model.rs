//! A model of CAPI_MODELS: one on a server, or the demo model.

use std::sync::Arc;

use serde_json::Value;
use shared::config::{Model, ModelSettings};

use super::client::ServerClient;
use super::demo::Demo;
use super::{Answer, ModelError, Request, Words};

pub struct ModelClient(Kind);

enum Kind {
    Server(Box<ServerClient>),
    Demo(Demo),
}

impl ModelClient {
    /// Creates the client and reads the server's key.
    pub fn new(model: &Model) -> anyhow::Result<Self> {
        Ok(Self(if model.is_demo() {
            Kind::Demo(Demo::new(model))
        } else {
            Kind::Server(Box::new(ServerClient::new(model)?))
        }))
    }

    /// Includes the corrections that the client learned from refusals.
    #[must_use]
    pub fn settings(&self) -> Arc<ModelSettings> {
        match &self.0 {
            Kind::Server(client) => client.settings(),
            Kind::Demo(demo) => demo.settings(),
        }
    }

    /// The settings that refusals of the server corrected, as lines of the models file.
    #[must_use]
    pub fn learned(&self) -> Vec<String> {
        match &self.0 {
            Kind::Server(client) => client.learned(),
            Kind::Demo(_) => Vec::new(),
        }
    }

    /// The most tokens of a conversation: the operator's number, or the server's if that is lower.
    #[must_use]
    pub fn window(&self) -> Option<u32> {
        match &self.0 {
            Kind::Server(client) => client.window(),
            Kind::Demo(_) => None,
        }
    }

    /// Asks for one answer. Dropping the future ends the request. `words` gets the text as it arrives.
    pub async fn ask(&self, request: Request<'_>, words: Words<'_>) -> Result<Answer, ModelError> {
        match &self.0 {
            Kind::Server(client) => client.ask(request, words).await,
            Kind::Demo(_) => Ok(Demo::ask(request, words).await),
        }
    }

    /// Sends one request with other settings. The client learns nothing from a refusal.
    pub(crate) async fn try_under(
        &self,
        settings: &ModelSettings,
        request: Request<'_>,
        words: Words<'_>,
    ) -> Result<Answer, ModelError> {
        match &self.0 {
            Kind::Server(client) => client.try_under(settings, request, words).await,
            Kind::Demo(_) => Ok(Demo::ask(request, words).await),
        }
    }

    /// The body of a request; null for the demo model, which sends no request.
    #[must_use]
    pub fn body(&self, request: Request<'_>) -> Value {
        match &self.0 {
            Kind::Server(client) => client.body(request),
            Kind::Demo(_) => Value::Null,
        }
    }
}
