//! Requests that tests send to a gateway.

use serde_json::Value;
use shared::testing::eventually;

use crate::address::Gateway;
use crate::answer::Answer;
use crate::stack::Stack;

impl Stack {
    /// GET with the account's key.
    pub async fn get(&self, gateway: &impl Gateway, path: &str) -> Answer {
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
        let body =
            serde_json::json!({"appId": self.app, "inputs": {"text": text}, "webhookUrl": webhook_url});
        let answer = self.post(gateway, "/api/v1/runs", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.body["id"].as_str().expect("an id").to_owned()
    }

    /// Waits for the run's end; the run.
    pub async fn ended(&self, gateway: &impl Gateway, id: &str) -> Value {
        eventually(&format!("run {id} is over"), async || {
            let run = self.get(gateway, &format!("/api/v1/runs/{id}")).await.body;
            run["completedAt"].is_string().then_some(run)
        })
        .await
    }

    /// Creates a run of an app with the input `text` and the other fields `more`, and waits for its end; the
    /// run.
    pub async fn run_app(&self, gateway: &impl Gateway, app: &str, text: &str, more: &Value) -> Value {
        let mut body = serde_json::json!({"appId": app, "inputs": {"text": text}});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let answer = self.post(gateway, "/api/v1/runs", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        self.ended(gateway, answer.body["id"].as_str().expect("an id")).await
    }
}
