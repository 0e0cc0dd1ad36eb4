//! What a model was told about a call.

use serde_json::Value;

/// The result of a call, as the model got it.
#[derive(Debug, Clone)]
pub(super) struct Told(pub(super) String);

impl Told {
    /// The results in a request of chat completions.
    pub(super) fn all(request: &Value) -> Vec<Self> {
        let messages = request["messages"].as_array().unwrap();
        let results = messages.iter().filter(|message| message["role"] == "tool");
        results.map(|message| Self(text_of(&message["content"]))).collect()
    }

    /// It has each of these texts, in upper or lower case.
    #[track_caller]
    pub(super) fn has(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.plain().contains(&text.to_lowercase()), "{text:?} is not in: {}", self.0);
        }
    }

    /// It has one of these texts, in upper or lower case.
    #[track_caller]
    pub(super) fn has_one_of(&self, texts: &[&str]) {
        let plain = self.plain();
        let found = texts.iter().any(|text| plain.contains(&text.to_lowercase()));
        assert!(found, "none of {texts:?} is in: {}", self.0);
    }

    /// It has none of these texts, in upper or lower case.
    #[track_caller]
    pub(super) fn lacks(&self, texts: &[&str]) {
        for text in texts {
            assert!(!self.plain().contains(&text.to_lowercase()), "{text:?} is in: {}", self.0);
        }
    }

    /// In lower case, and with numbers as digits alone.
    fn plain(&self) -> String {
        let all: Vec<char> = self.0.to_lowercase().chars().collect();
        let digit = |at: Option<usize>| at.and_then(|at| all.get(at)).is_some_and(char::is_ascii_digit);
        let separates = |at: usize| {
            [',', '_', '\u{a0}', '\u{202f}'].contains(&all[at])
                && digit(at.checked_sub(1))
                && digit(Some(at + 1))
        };
        all.iter().enumerate().filter(|(at, _)| !separates(*at)).map(|(_, letter)| letter).collect()
    }
}

/// A text, or the texts of content parts.
fn text_of(content: &Value) -> String {
    let parts = content.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    content.as_str().map_or_else(|| parts.collect(), str::to_owned)
}
