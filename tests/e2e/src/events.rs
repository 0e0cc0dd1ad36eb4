//! Reads streams of server-sent events, as clients do.

use serde_json::Value;
use shared::testing::eventually;

use crate::address::Gateway;
use crate::stack::Stack;

/// One message of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub event: String,
    /// The number of the event, if the message has an id.
    pub id: Option<i64>,
    pub data: Value,
}

/// An open stream of a run's events.
pub struct EventReader {
    response: reqwest::Response,
    unread: String,
    /// Everything that is not a message: comments and `retry:` lines.
    pub others: Vec<String>,
}

impl Stack {
    /// Opens the stream at this path, with the account's key. A busy gateway may answer 503 at first.
    pub async fn events(&self, gateway: &impl Gateway, path: &str, last: Option<i64>) -> EventReader {
        let mut request = self.client.get(format!("{}{path}", gateway.url())).bearer_auth(&self.key);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        eventually("an answer other than 503", async || {
            let again = request.try_clone().expect("a request without a body can be cloned");
            let opened = EventReader::try_open(again).await;
            (!matches!(opened, Err(503))).then(|| opened.expect("the stream opens"))
        })
        .await
    }

    /// What a stream of a run's log must hold: its events by number, with their types.
    pub async fn stored_log(&self, run: &str) -> Vec<(i64, String)> {
        let sql = format!(
            "SELECT seq || ' ' || type AS text FROM run_events WHERE run_id = '{run}' ORDER BY run_events.seq"
        );
        let split = |text: String| {
            let (seq, kind) = text.split_once(' ')?;
            Some((seq.parse().ok()?, kind.to_owned()))
        };
        self.texts(&sql).await.into_iter().filter_map(split).collect()
    }
}

impl EventReader {
    /// Sends the request with the right `Accept`.
    pub async fn open(request: reqwest::RequestBuilder) -> Self {
        Self::try_open(request).await.expect("the stream opens")
    }

    /// The same; or the status of a refusal, 0 if the connection breaks.
    pub async fn try_open(request: reqwest::RequestBuilder) -> Result<Self, u16> {
        let response = request.header("accept", "text/event-stream").send().await.map_err(|_| 0_u16)?;
        let status = response.status().as_u16();
        let opened = Self { response, unread: String::new(), others: Vec::new() };
        if status == 200 { Ok(opened) } else { Err(status) }
    }

    #[must_use]
    pub fn headers(&self) -> &reqwest::header::HeaderMap {
        self.response.headers()
    }

    /// The next message. `None` when the stream has ended, or when its connection broke.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.unread.find("\n\n") {
                let block: String = self.unread.drain(..end + 2).collect();
                match parse(&block) {
                    Some(message) => return Some(message),
                    None => self.others.push(block.trim_end().to_owned()),
                }
                continue;
            }
            let bytes = self.response.chunk().await.ok().flatten()?;
            self.unread.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// All messages up to the end.
    pub async fn rest(&mut self) -> Vec<Message> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await {
            all.push(message);
        }
        all
    }
}

fn parse(block: &str) -> Option<Message> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    Some(Message {
        event: field("event: ")?.to_owned(),
        id: field("id: ").and_then(|id| id.parse().ok()),
        data: serde_json::from_str(field("data: ")?).unwrap_or_default(),
    })
}

/// The numbers and types of these messages.
#[must_use]
pub fn log_of(messages: &[Message]) -> Vec<(i64, String)> {
    messages.iter().filter_map(|message| Some((message.id?, message.event.clone()))).collect()
}
