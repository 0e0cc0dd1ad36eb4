//! Assembles an answer from the parts that a provider reads in the server's events. Pure.

use serde_json::{Map, Value};
use shared::text::{CleanText, check_json};

use super::calls::{Calls, Piece};
use super::finish::{self, CONTENT_FILTER, Finish, LENGTH, OVERSIZED, REPETITION};
pub(crate) use super::usage::Usage;
use super::{Answer, MAX_ANSWER_BYTES, ModelError, repetition, thinking};

/// The text is checked for repetition each time it has grown by this many bytes.
const CHECK_REPETITION_EVERY: usize = 1 << 10;
const MAX_FINISH_REASON_BYTES: usize = 64;
/// The member of `reasoning` with the thinking that was in the text.
pub(crate) const THINK: &str = "think";

/// The part of an answer that has arrived.
#[derive(Debug)]
pub(crate) struct Assembly {
    text: String,
    refusal: String,
    /// Fields that only the provider knows.
    reasoning: Map<String, Value>,
    calls: Calls,
    too_many_calls: bool,
    finish_reason: String,
    usage: Usage,
    is_done: bool,
    /// The bytes of all these parts.
    bytes: usize,
    max_repeated_bytes: usize,
    /// The length of the text at its last check for repetition.
    checked: usize,
}

impl Default for Assembly {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Assembly {
    /// An answer is over if its last `max_repeated_bytes` repeat one passage.
    pub(crate) fn new(max_repeated_bytes: usize) -> Self {
        Self {
            text: String::new(),
            refusal: String::new(),
            reasoning: Map::new(),
            calls: Calls::default(),
            too_many_calls: false,
            finish_reason: String::new(),
            usage: Usage::default(),
            is_done: false,
            bytes: 0,
            max_repeated_bytes,
            checked: 0,
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes += text.len();
        self.text.push_str(text);
        if self.text.len() >= self.checked + CHECK_REPETITION_EVERY {
            self.checked = self.text.len();
            if repetition::passage(&self.text, self.max_repeated_bytes).is_some() {
                REPETITION.clone_into(&mut self.finish_reason);
            }
        }
    }

    /// Adds to the text of a model that refuses to answer.
    pub(crate) fn refusal(&mut self, text: &str) {
        self.bytes += text.len();
        self.refusal.push_str(text);
    }

    /// Appends to a text field of the provider. An empty `text` creates the field.
    pub(crate) fn keep_text(&mut self, name: &'static str, text: &str) {
        self.bytes += text.len();
        match self.reasoning.get_mut(name) {
            Some(Value::String(kept)) => kept.push_str(text),
            _ => drop(self.reasoning.insert(name.to_owned(), text.into())),
        }
    }

    /// Adds an item to a list field of the provider.
    pub(crate) fn keep_item(&mut self, name: &'static str, item: Value) {
        if check_json(&item).is_err() {
            return;
        }
        self.bytes += item.to_string().len();
        match self.reasoning.get_mut(name) {
            Some(Value::Array(kept)) => kept.push(item),
            _ => drop(self.reasoning.insert(name.to_owned(), vec![item].into())),
        }
    }

    /// Appends to a text in the newest item of the list `name`. The item has an object `part`, and `member`
    /// of that object is the text. Without such an item, nothing changes.
    pub(crate) fn extend_item(&mut self, name: &'static str, part: &str, member: &str, text: &str) {
        let newest =
            self.reasoning.get_mut(name).and_then(Value::as_array_mut).and_then(|items| items.last_mut());
        let Some(Value::Object(part)) = newest.and_then(|item| item.get_mut(part)) else { return };
        // PostgreSQL cannot store it.
        if text.contains('\0') {
            return;
        }
        self.bytes += text.len();
        match part.get_mut(member) {
            Some(Value::String(kept)) => kept.push_str(text),
            _ => drop(part.insert(member.to_owned(), text.into())),
        }
    }

    /// Sets a field of the provider.
    pub(crate) fn keep(&mut self, name: &'static str, value: Value) {
        if check_json(&value).is_ok() {
            self.bytes += value.to_string().len();
            self.reasoning.insert(name.to_owned(), value);
        }
    }

    pub(crate) fn call(&mut self, piece: Piece) {
        match self.calls.add(piece) {
            Ok(bytes) => self.bytes += bytes,
            Err(_) => self.too_many_calls = true,
        }
    }

    /// The number of calls so far, plus 1 if there is text.
    pub(crate) fn position(&self) -> usize {
        usize::from(!self.text.trim().is_empty()) + self.calls.len()
    }

    pub(crate) const fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    pub(crate) const fn has_refusal(&self) -> bool {
        !self.refusal.is_empty()
    }

    /// Whether no event held a part of an answer.
    pub(crate) fn is_untouched(&self) -> bool {
        let nothing_said = self.bytes == 0 && self.finish_reason.is_empty() && !self.is_done;
        nothing_said && self.calls.is_empty() && self.reasoning.is_empty() && self.usage == Usage::default()
    }

    pub(crate) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Sets why the answer ends, in the server's word.
    pub(crate) fn finish(&mut self, reason: &str) {
        if !reason.is_empty() && !self.is_over() {
            self.finish_reason = CleanText::new(reason, MAX_FINISH_REASON_BYTES).into_string();
        }
    }

    pub(crate) fn usage(&mut self, usage: Usage) {
        self.usage.update(usage);
    }

    /// Records that the server's end marker arrived.
    pub(crate) const fn done(&mut self) {
        self.is_done = true;
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether reading must stop: the answer is too long, or repeats itself.
    pub(crate) fn is_over(&self) -> bool {
        self.too_many_calls || self.bytes > MAX_ANSWER_BYTES || self.finish_reason == REPETITION
    }

    pub(crate) fn text_so_far(&self) -> &str {
        &self.text
    }

    /// The answer when reading has stopped. `ended` is true if the server marked the end.
    pub(crate) fn answer(mut self, ended: bool) -> Result<Answer, ModelError> {
        if self.too_many_calls {
            return Err(ModelError::Unusable("the answer requests too many tool calls at once".to_owned()));
        }
        if self.bytes > MAX_ANSWER_BYTES {
            OVERSIZED.clone_into(&mut self.finish_reason);
        } else if !ended && !self.is_done && self.finish_reason.is_empty() {
            return Err(ModelError::unavailable("its stream ended in the middle of an answer"));
        }
        if !self.refusal.trim().is_empty() {
            return Err(ModelError::Refused(self.refusal));
        }
        let (thought, text) = thinking::split(&self.text);
        if let Some(thought) = thought {
            let thought = CleanText::new(thought, MAX_ANSWER_BYTES).into_string();
            self.reasoning.insert(THINK.to_owned(), thought.into());
        }
        let text = CleanText::new(text, MAX_ANSWER_BYTES);
        let finish_reason =
            finish_reason(&self.finish_reason, text.trim().is_empty() && self.calls.is_empty())?;
        Ok(Answer {
            text,
            reasoning: (!self.reasoning.is_empty()).then(|| cleaned(self.reasoning)),
            calls: self.calls.finish(),
            finish_reason,
            usage: self.usage.counted(),
        })
    }
}

/// The finish reason as it is recorded. The error is that of an answer that must not be used.
fn finish_reason(reason: &str, is_empty: bool) -> Result<String, ModelError> {
    if [OVERSIZED, REPETITION].contains(&reason) {
        return Ok(reason.to_owned());
    }
    match finish::meaning(reason) {
        Finish::Whole => Ok(reason.to_owned()),
        // An answer that was cut before its first word is returned: its finish reason names the limit.
        Finish::CutAtLength => Ok(LENGTH.to_owned()),
        Finish::Filtered if is_empty => {
            Err(ModelError::Refused(format!("a content filter stopped the answer ({reason})")))
        }
        Finish::Filtered => Ok(CONTENT_FILTER.to_owned()),
        Finish::ServerTrouble => {
            Err(ModelError::unavailable(&format!("it ended its answer with the finish reason {reason:?}")))
        }
        Finish::Unknown => Err(ModelError::Unusable(format!(
            "the finish reason {reason:?} does not say that the answer is whole"
        ))),
    }
}

/// Replaces in the server's texts what PostgreSQL cannot store.
fn cleaned(mut reasoning: Map<String, Value>) -> Value {
    for kept in reasoning.values_mut() {
        if let Value::String(text) = kept {
            *text = CleanText::new(text, MAX_ANSWER_BYTES).into_string();
        }
    }
    Value::Object(reasoning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counted;
    use serde_json::json;

    fn of(fill: impl FnOnce(&mut Assembly), ended: bool) -> Result<Answer, ModelError> {
        let mut assembly = Assembly::default();
        fill(&mut assembly);
        assembly.answer(ended)
    }

    #[test]
    fn an_answer_has_what_was_added() {
        let answer = of(
            |assembly| {
                assembly.text("<think>Hm</think>He");
                assembly.text("y");
                assembly.keep_text("reasoning_content", "");
                assembly.keep_item("reasoning_details", json!({"signature": "s"}));
                assembly.keep_item("reasoning_details", json!({"bad": "\0"}));
                assembly.finish("stop");
                assembly.usage(Usage { input: Some(3), ..Usage::default() });
                assembly.usage(Usage { output: Some(2), ..Usage::default() });
            },
            true,
        );
        let reasoning = json!({
            "reasoning_content": "", "reasoning_details": [{"signature": "s"}], "think": "<think>Hm</think>",
        });
        let expected = Answer {
            text: CleanText::new("Hey", 9),
            reasoning: Some(reasoning),
            calls: vec![],
            finish_reason: "stop".to_owned(),
            usage: Some(Counted { input: 3, output: 2, cached_input: None, reasoning: None }),
        };
        assert_eq!(answer.expect("an answer"), expected);
    }

    #[test]
    fn each_missing_answer_has_its_code() {
        let code = |text: &str, reason: &str, ended| {
            let fill = |assembly: &mut Assembly| {
                assembly.text(text);
                assembly.finish(reason);
            };
            of(fill, ended).map_or_else(|error| error.code().as_str(), |_| "answered")
        };
        assert_eq!(code("He", "", false), "model_unavailable");
        assert_eq!(code("He", "", true), "answered");
        assert_eq!(code("He", "stop", false), "answered");
        assert_eq!(code("", "content_filter", true), "model_refused");
        assert_eq!(code("He", "insufficient_system_resource", true), "model_unavailable");
        assert_eq!(code("He", "whatever", true), "model_error");
        let refused = of(|assembly| assembly.refusal("I will not."), true);
        assert_eq!(refused.expect_err("no answer").code().as_str(), "model_refused");
        let half = of(
            |assembly| {
                assembly.text("He");
                assembly.finish("model_length");
            },
            true,
        );
        assert_eq!(half.expect("a cut answer").finish_reason, LENGTH);
    }

    #[test]
    fn an_endless_answer_is_cut_and_kept() {
        let mut assembly = Assembly::new(8 << 10);
        while !assembly.is_over() {
            let more = (0..99).map(|n| format!("{n} {}", assembly.bytes)).collect::<Vec<_>>().concat();
            assembly.text(&more);
        }
        let answer = assembly.answer(false).expect("a cut answer");
        assert_eq!((answer.text.len(), answer.finish_reason.as_str()), (MAX_ANSWER_BYTES, OVERSIZED));
        let mut assembly = Assembly::new(8 << 10);
        while !assembly.is_over() {
            assembly.text("I am a model. ");
        }
        assembly.finish("stop");
        let answer = assembly.answer(false).expect("a cut answer");
        assert!(answer.text.len() < 10 << 10 && answer.finish_reason == REPETITION);
    }
}
