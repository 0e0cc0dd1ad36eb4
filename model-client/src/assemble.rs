//! Assembles an answer from the parts that a provider reads in the server's events. Pure.

use serde_json::{Map, Value};
use shared::text::{CleanText, check_json};

use super::calls::{Calls, MAX_CALLS, Piece};
use super::finish::{self, CONTENT_FILTER, Finish, LENGTH, OVERSIZED, REPETITION, WINDOW_FULL};
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
    /// The same of thoughts.
    checked_thoughts: usize,
    /// Bytes of text before the item that arrives.
    item_begin: usize,
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
            checked_thoughts: 0,
            item_begin: 0,
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
        let kept = self.reasoning.entry(name).or_insert_with(|| Value::String(String::new()));
        let Value::String(kept) = kept else { return };
        kept.push_str(text);
        if kept.len() >= self.checked_thoughts + CHECK_REPETITION_EVERY {
            self.checked_thoughts = kept.len();
            if repetition::passage(kept, self.max_repeated_bytes).is_some() {
                REPETITION.clone_into(&mut self.finish_reason);
            }
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
        // PostgreSQL cannot store NUL.
        let text = CleanText::new(text, MAX_ANSWER_BYTES);
        self.bytes += text.len();
        match part.get_mut(member) {
            Some(Value::String(kept)) => kept.push_str(&text),
            _ => drop(part.insert(member.to_owned(), text.into_string().into())),
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

    /// Marks the place where the next item of the answer begins.
    pub(crate) const fn begin_item(&mut self) {
        self.item_begin = self.text.len();
    }

    /// Whether the item has text.
    pub(crate) const fn has_item_text(&self) -> bool {
        self.text.len() > self.item_begin
    }

    /// Whether the server said that the answer is whole.
    pub(crate) fn is_whole(&self) -> bool {
        !self.finish_reason.is_empty() && finish::meaning(&self.finish_reason) == Finish::Whole
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
            return Err(ModelError::Unusable(format!(
                "the answer requests more than {MAX_CALLS} tool calls"
            )));
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
        Finish::CutAtWindow => Ok(WINDOW_FULL.to_owned()),
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
mod tests;
