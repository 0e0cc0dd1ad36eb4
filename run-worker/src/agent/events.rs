//! Makes the events that the agent records, and the messages of recorded events. Pure.

use model_client::{Answer, Call, Message, estimated_tokens};
use shared::runs::events::{
    EventData, LoggedAnswer, LoggedMessage, LoggedPicture, Note, NoteKind, RequestedCall, StepUsage,
    StoredPicture, ToolCall, ToolResult,
};
use uuid::Uuid;

/// Bytes of the arguments in a `tool.call` event; the message has them whole.
const MAX_SHOWN_ARGUMENTS: usize = 4 * 1024;

pub(super) fn system(content: String) -> EventData {
    EventData::Message(LoggedMessage::System { content })
}

pub(super) fn user(content: String, pictures: Vec<LoggedPicture>) -> EventData {
    EventData::Message(LoggedMessage::User { content, pictures })
}

pub(super) fn note(kind: NoteKind, text: String) -> EventData {
    EventData::Note(Note { kind, text })
}

/// What was sent for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) bytes: usize,
    /// An estimate.
    pub(super) tokens: i64,
    pub(super) max_tokens: Option<u32>,
    /// False if the request is the one that was refused before, which is not sent again.
    pub(super) is_new: bool,
}

/// Gives each call an id. Where the server did not count tokens, the usage is an estimate.
pub(super) fn answer(answer: &Answer, sent: Sent) -> EventData {
    EventData::Message(LoggedMessage::Assistant(LoggedAnswer {
        content: answer.text.to_string(),
        finish_reason: answer.finish_reason.clone(),
        usage: usage(answer, sent),
        tool_calls: requested(&answer.calls),
        reasoning: answer.reasoning.clone(),
    }))
}

fn usage(answer: &Answer, sent: Sent) -> StepUsage {
    let request_bytes = i64::try_from(sent.bytes).ok();
    if let Some(counted) = answer.usage {
        return StepUsage {
            input_tokens: counted.input,
            output_tokens: counted.output,
            cached_input_tokens: counted.cached_input,
            reasoning_tokens: counted.reasoning,
            estimated: false,
            request_bytes,
        };
    }
    let reasoning = answer.reasoning.as_ref().map_or(0, |reasoning| reasoning.to_string().len());
    let arguments: usize = answer.calls.iter().map(|call| call.arguments.len()).sum();
    StepUsage {
        input_tokens: sent.tokens,
        output_tokens: estimated_tokens(answer.text.len() + reasoning + arguments),
        estimated: true,
        request_bytes,
        ..StepUsage::default()
    }
}

/// The digits of an id that capi gives a call. Mistral takes only ids of this length.
const OWN_ID_DIGITS: usize = 9;

/// An id of capi, from the random end of the call's.
fn own_id(id: Uuid) -> String {
    let digits = id.simple().to_string();
    digits[digits.len() - OWN_ID_DIGITS..].to_owned()
}

/// Whether capi gave the call its id for the server.
pub(super) fn has_own_id(call: &RequestedCall) -> bool {
    call.provider_id == own_id(call.id)
}

/// Gives each call an id. A server's id is replaced if it is empty, or if servers may refuse it. It is also
/// replaced if it is repeated, because it must be unique within its message.
fn requested(calls: &[Call]) -> Vec<RequestedCall> {
    let mut taken: Vec<&str> = Vec::new();
    let mut requested = Vec::new();
    for Call { id: provider_id, name, arguments, extra } in calls {
        let id = Uuid::now_v7();
        let is_plain = !provider_id.is_empty() && provider_id.bytes().all(|byte| byte.is_ascii_graphic());
        let usable = is_plain && !taken.contains(&provider_id.as_str());
        taken.push(provider_id);
        requested.push(RequestedCall {
            id,
            provider_id: if usable { provider_id.clone() } else { own_id(id) },
            name: name.clone(),
            arguments: arguments.clone(),
            extra: extra.clone(),
        });
    }
    requested
}

pub(super) fn tool_call(call: &RequestedCall, step: i32) -> EventData {
    let shown = &call.arguments[..call.arguments.floor_char_boundary(MAX_SHOWN_ARGUMENTS)];
    EventData::ToolCall(ToolCall {
        call_id: call.id,
        name: call.name.clone(),
        arguments: shown.to_owned(),
        step,
        truncated: shown.len() < call.arguments.len(),
    })
}

pub(super) fn tool_result(call: &RequestedCall, content: String, is_error: bool) -> ToolResult {
    ToolResult {
        call_id: call.id,
        name: call.name.clone(),
        content,
        is_error,
        picture: None,
        workspace: None,
        contacted_hosts: Vec::new(),
        over_quota: false,
        sources: Vec::new(),
    }
}

/// The message that shows the picture of a result. Few servers take pictures in the result itself. The
/// transcript adds the picture.
pub(super) fn shown_picture(picture: &StoredPicture) -> Message {
    Message::user(format!("Picture: {}", picture.name))
}

/// The message that is sent to the model for a recorded one.
pub(super) fn message(logged: &LoggedMessage) -> Message {
    match logged {
        LoggedMessage::System { content } => Message::System(content.clone()),
        // The transcript adds the pictures when they are loaded.
        LoggedMessage::User { content, .. } => Message::user(content.clone()),
        LoggedMessage::Assistant(answer) => Message::Assistant {
            text: answer.content.clone(),
            reasoning: answer.reasoning.clone(),
            calls: answer.tool_calls.iter().map(sent_call).collect(),
        },
    }
}

fn sent_call(call: &RequestedCall) -> Call {
    Call {
        id: call.provider_id.clone(),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
        extra: call.extra.clone(),
    }
}
