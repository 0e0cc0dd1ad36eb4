//! A case: the settings of the model, the app, what the server answers, and how the run must end.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::server::{Reply, Request, Serve};

/// Each model has this key.
pub(super) const KEY: &str = "key-7f3a91c0";

pub(super) struct Case {
    /// Also the id of the model and the prefix of its path.
    pub(super) name: String,
    /// TOML lines of the models file.
    pub(super) settings: String,
    /// Instead of the odd server's.
    pub(super) base_url: Option<String>,
    pub(super) app: Map<String, Value>,
    /// Runs one after another.
    pub(super) runs: usize,
    pub(super) serve: Serve,
    pub(super) expected: Expected,
    /// How many requests the server must get.
    pub(super) asked: Option<usize>,
    pub(super) checks: Vec<Check>,
}

pub(super) type Check = Box<dyn Fn(&Seen)>;

#[derive(Debug, Clone)]
pub(super) enum Expected {
    Text(String),
    Data(Value),
    Failed {
        /// One of these codes, with `|` between them.
        codes: &'static str,
        retryable: Option<bool>,
        /// A part of the message, in any case of letters.
        words: &'static str,
    },
    /// Completed, or failed with one of these codes.
    Either(&'static str),
}

/// What happened.
pub(super) struct Seen {
    pub(super) requests: Vec<Request>,
    pub(super) runs: Vec<Ended>,
}

/// A run that is over.
pub(super) struct Ended {
    pub(super) status: String,
    pub(super) code: String,
    pub(super) error: Value,
    pub(super) result: Value,
    pub(super) input_tokens: i64,
    pub(super) output_tokens: i64,
    /// `{"type": …, "data": …}`
    pub(super) events: Vec<Value>,
}

impl Seen {
    /// The body of the n-th request.
    pub(super) fn body(&self, number: usize) -> &Value {
        &self.requests[number].body
    }

    pub(super) fn last(&self) -> &Value {
        &self.requests.last().unwrap().body
    }

    pub(super) fn run(&self) -> &Ended {
        self.runs.last().unwrap()
    }

    fn events<'s>(&'s self, of: &'s str) -> impl Iterator<Item = &'s Value> {
        self.run().events.iter().filter(move |event| event["type"] == of).map(|event| &event["data"])
    }

    /// The results of tools, in the last run.
    pub(super) fn results(&self) -> Vec<&Value> {
        self.events("tool.result").collect()
    }

    /// The kinds of the notes to the model, in the last run.
    pub(super) fn notes(&self) -> Vec<&str> {
        self.events("note").filter_map(|note| note["kind"].as_str()).collect()
    }

    /// The answers of the model, in the last run.
    pub(super) fn answers(&self) -> Vec<&Value> {
        self.events("message").filter(|message| message["role"] == "assistant").collect()
    }

    pub(super) fn artifacts(&self) -> usize {
        self.events("artifact").count()
    }
}

fn case(name: impl Into<String>, provider: &str) -> Case {
    Case {
        name: name.into(),
        settings: format!("provider = \"{provider}\"\n"),
        base_url: None,
        app: Map::from_iter([("name".to_owned(), json!("a")), ("prompt".to_owned(), json!("Go."))]),
        runs: 1,
        serve: Arc::new(|_: &Request| Reply::none(super::server::End::Cut)),
        expected: Expected::Text("Done.".to_owned()),
        asked: None,
        checks: Vec::new(),
    }
}

/// A server of chat completions. Its run must end with the text `Done.` unless the case says otherwise.
pub(super) fn openai(name: impl Into<String>) -> Case {
    case(name, "openai")
}

/// A server of the Responses API.
pub(super) fn responses(name: impl Into<String>) -> Case {
    case(name, "openai-responses")
}

/// A server of Anthropic's messages.
pub(super) fn anthropic(name: impl Into<String>) -> Case {
    case(name, "anthropic")
}

impl Case {
    /// Adds a line to the model in the models file.
    pub(super) fn set(mut self, line: &str) -> Self {
        self.settings.push_str(line);
        self.settings.push('\n');
        self
    }

    pub(super) fn at(mut self, base_url: String) -> Self {
        self.base_url = Some(base_url);
        self
    }

    /// Sets a member of the app's definition.
    pub(super) fn app(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.app.insert(member.to_owned(), value.into());
        self
    }

    pub(super) fn tools(self, names: &[&str]) -> Self {
        self.app("tools", names)
    }

    /// Asks for an object with the integer `n`.
    pub(super) fn wants_n(self) -> Self {
        let properties = json!({"n": {"type": "integer"}});
        let schema = json!({"type": "object", "properties": properties, "required": ["n"]});
        self.app("output", json!({"schema": schema}))
    }

    /// Answers the n-th request with the n-th reply, and the requests behind the last one with the last one.
    pub(super) fn replies(self, replies: impl Into<Vec<Reply>>) -> Self {
        let replies = replies.into();
        self.serve(move |request| replies[request.number.min(replies.len() - 1)].clone())
    }

    pub(super) fn serve(mut self, serve: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        self.serve = Arc::new(serve);
        self
    }

    /// Refuses the requests for which `refused` is true, and answers the others with `answer`.
    pub(super) fn refuses(
        self,
        refused: impl Fn(&Value) -> bool + Send + Sync + 'static,
        refusal: Reply,
        answer: Reply,
    ) -> Self {
        self.serve(move |request| if refused(&request.body) { refusal.clone() } else { answer.clone() })
    }

    pub(super) fn completes(mut self, text: &str) -> Self {
        self.expected = Expected::Text(text.to_owned());
        self
    }

    pub(super) fn gives(mut self, data: Value) -> Self {
        self.expected = Expected::Data(data);
        self
    }

    pub(super) fn fails(mut self, codes: &'static str, retryable: bool, words: &'static str) -> Self {
        self.expected = Expected::Failed { codes, retryable: Some(retryable), words };
        self
    }

    /// Fails with one of these codes and these words.
    pub(super) fn fails_with(mut self, codes: &'static str, words: &'static str) -> Self {
        self.expected = Expected::Failed { codes, retryable: None, words };
        self
    }

    pub(super) fn completes_or_fails(mut self, codes: &'static str) -> Self {
        self.expected = Expected::Either(codes);
        self
    }

    pub(super) fn asked(mut self, requests: usize) -> Self {
        self.asked = Some(requests);
        self
    }

    pub(super) fn asked_at_most(self, requests: usize) -> Self {
        let case = Self { asked: None, ..self };
        case.check(move |seen| assert!(seen.requests.len() <= requests, "{}", seen.requests.len()))
    }

    /// A second run follows the first one.
    pub(super) fn twice(mut self) -> Self {
        self.runs = 2;
        self
    }

    pub(super) fn check(mut self, check: impl Fn(&Seen) + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }
}
