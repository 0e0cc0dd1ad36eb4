//! Requests that tests send to a gateway.

use std::time::Duration;

use serde_json::{Value, json};
use shared::testing::{WAIT_LIMIT, eventually_within};
use uuid::Uuid;

use crate::address::Gateway;
use crate::answer::{Answer, patiently};
use crate::stack::Stack;

impl Stack {
    /// GET with the account's key. A request that a busy gateway answers 503 is sent again.
    pub async fn get(&self, gateway: &impl Gateway, path: &str) -> Answer {
        patiently(async || self.get_once(gateway, path).await).await
    }

    /// The same, sent once: where a 503 is expected, and where requests are counted or timed.
    pub async fn get_once(&self, gateway: &impl Gateway, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", gateway.url())).bearer_auth(&self.key)).await
    }

    /// POST with the account's key.
    pub async fn post(&self, gateway: &impl Gateway, path: &str, body: &Value) -> Answer {
        self.send(self.client.post(format!("{}{path}", gateway.url())).bearer_auth(&self.key).json(body))
            .await
    }

    /// Sends a request.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the gateway answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("the body comes");
        Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    /// The client, for requests that no other function builds.
    #[must_use]
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Creates a run with the input `text`; its id.
    pub async fn create_run(&self, gateway: &impl Gateway, text: &str, webhook_url: Option<&str>) -> String {
        let body = json!({"appId": self.app, "inputs": {"text": text}, "webhookUrl": webhook_url});
        self.create_run_of(gateway, &body).await
    }

    /// Creates the run that this body asks for; its id. A create that a busy gateway refuses is sent again,
    /// with the same idempotency key.
    pub async fn create_run_of(&self, gateway: &impl Gateway, body: &Value) -> String {
        self.create_run_at(gateway, "/api/v1/runs", &self.key, body).await
    }

    /// The same at another path and with another key.
    pub async fn create_run_at(&self, gateway: &impl Gateway, path: &str, key: &str, body: &Value) -> String {
        let (url, once) = (format!("{}{path}", gateway.url()), Uuid::now_v7().to_string());
        let answer = patiently(async || {
            let create = self.client.post(&url).bearer_auth(key).header("idempotency-key", &once);
            self.send(create.json(body)).await
        })
        .await;
        id_of(&answer)
    }

    /// Creates a run with the input `text` where the gateway must accept each create at once. Sends no
    /// idempotency key, which would cost a statement more. Returns its id.
    pub async fn create_run_once(&self, gateway: &impl Gateway, text: &str) -> String {
        let body = json!({"appId": self.app, "inputs": {"text": text}});
        id_of(&self.post(gateway, "/api/v1/runs", &body).await)
    }

    /// Cancels a run. A cancel that a busy gateway answers 503 is sent again.
    pub async fn cancel_run(&self, gateway: &impl Gateway, id: &str) -> Answer {
        let path = format!("/api/v1/runs/{id}/cancel");
        patiently(async || self.post(gateway, &path, &json!({})).await).await
    }

    /// Waits for the run's end; the run.
    pub async fn ended(&self, gateway: &impl Gateway, id: &str) -> Value {
        self.ended_within(WAIT_LIMIT, gateway, id).await
    }

    /// The same with another limit, for a run whose commands may take minutes on a busy machine.
    pub async fn ended_within(&self, limit: Duration, gateway: &impl Gateway, id: &str) -> Value {
        eventually_within(limit, &format!("run {id} is over"), async || {
            let run = self.get_once(gateway, &format!("/api/v1/runs/{id}")).await.body;
            run["completedAt"].is_string().then_some(run)
        })
        .await
    }

    /// Creates a run of an app with the input `text` and the other fields `more`, and waits for its end; the
    /// run.
    pub async fn run_app(&self, gateway: &impl Gateway, app: &str, text: &str, more: &Value) -> Value {
        let mut body = json!({"appId": app, "inputs": {"text": text}});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let id = self.create_run_of(gateway, &body).await;
        self.ended(gateway, &id).await
    }
}

pub(crate) fn id_of(created: &Answer) -> String {
    assert_eq!(created.status, 202, "{created:?}");
    created.body["id"].as_str().expect("an id").to_owned()
}
