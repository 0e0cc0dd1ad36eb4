//! The messages from capi to the model.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub kind: NoteKind,
    pub text: String,
}

/// Why capi wrote to the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// It lists the caller's files.
    Files,
    /// A limit is near: the model should finish.
    WrapUp,
    /// The answer does not match the app's output schema.
    Repair,
    /// The answer holds a tool call as text.
    ToolForm,
    /// The answer is empty, and the run has something to show.
    Closing,
    /// It is the last step. With this kind and the following ones, calls are switched off, and the next
    /// answer is the last one.
    LastStep,
    NoToolCallsLeft,
    NoTokensLeft,
    NoTimeLeft,
    NoOutputLeft,
    /// The workspace stayed over its limit.
    NoRoomLeft,
    /// A kind that only a later version knows.
    #[serde(untagged)]
    Other(String),
}

impl NoteKind {
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Files => "files",
            Self::WrapUp => "wrap_up",
            Self::Repair => "repair",
            Self::ToolForm => "tool_form",
            Self::Closing => "closing",
            Self::LastStep => "last_step",
            Self::NoToolCallsLeft => "no_tool_calls_left",
            Self::NoTokensLeft => "no_tokens_left",
            Self::NoTimeLeft => "no_time_left",
            Self::NoOutputLeft => "no_output_left",
            Self::NoRoomLeft => "no_room_left",
            Self::Other(kind) => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kind_is_written_as_it_is_shown() {
        let kinds = [
            NoteKind::Files,
            NoteKind::WrapUp,
            NoteKind::Repair,
            NoteKind::ToolForm,
            NoteKind::Closing,
            NoteKind::LastStep,
            NoteKind::NoToolCallsLeft,
            NoteKind::NoTokensLeft,
            NoteKind::NoTimeLeft,
            NoteKind::NoOutputLeft,
            NoteKind::NoRoomLeft,
            NoteKind::Other("later".to_owned()),
        ];
        for kind in kinds {
            assert_eq!(json!(kind), kind.as_str());
            assert_eq!(serde_json::from_value::<NoteKind>(json!(kind)).unwrap(), kind);
        }
    }
}
