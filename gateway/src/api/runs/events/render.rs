//! Renders recorded events as the API shows them: pure. An event has at most [`MAX_EVENT_BYTES`] as JSON.

use gateway_domain::runs::reasoning_text;
use serde::Serialize;
use serde_json::value::RawValue;
use shared::runs::events::{
    Event as Recorded, EventData, FoundSource, LoggedAnswer, LoggedMessage, RequestedCall,
};
use shared::time::Time;

use super::shown::{
    AnswerData, ArtifactData, FailureData, MessageData, NoData, NoteData, RequestedCallData, RunCreatedData,
    RunFailedData, RunTakenOverData, ShownData, ShownEvent, SourceData, StepUsageData, TextData,
    ToolCallData, ToolResultData,
};

/// Bytes of one event as JSON. Many HTTP clients and proxies read a line of a stream into a buffer of 64 KiB.
pub(super) const MAX_EVENT_BYTES: usize = 64 << 10;
/// The bytes to which each text of a longer event is cut, from the first that suffices.
const CUTS: [usize; 8] = [60 << 10, 48 << 10, 32 << 10, 16 << 10, 8 << 10, 2 << 10, 512, 64];
/// Tool calls that an answer keeps if its texts alone do not make it short enough.
const KEPT_CALLS: usize = 100;
/// Contacted hosts that a result keeps. A run contacts at most 100.
const KEPT_HOSTS: usize = 100;

/// An event of a type that only a later version knows, or one that cannot be read.
#[derive(Debug, Serialize)]
struct OtherEvent<'e> {
    seq: i64,
    at: Time,
    attempt: i32,
    r#type: &'e str,
    data: NoData,
}

/// The event as JSON, on one line.
pub(super) fn render(event: &Recorded) -> serde_json::Result<Box<RawValue>> {
    let Some(data) = event.read().ok().flatten() else {
        let Recorded { seq, r#type, at, attempt, .. } = event;
        return serde_json::value::to_raw_value(&OtherEvent {
            seq: *seq,
            at: Time(*at),
            attempt: *attempt,
            r#type,
            data: NoData {},
        });
    };
    let mut shown =
        ShownEvent { seq: event.seq, at: Time(event.at), attempt: event.attempt, data: shown_data(data) };
    let mut json = serde_json::value::to_raw_value(&shown)?;
    for most in CUTS {
        if json.get().len() <= MAX_EVENT_BYTES {
            break;
        }
        cut(&mut shown.data, most);
        json = serde_json::value::to_raw_value(&shown)?;
    }
    Ok(json)
}

fn shown_data(data: EventData) -> ShownData {
    match data {
        EventData::RunCreated(created) => ShownData::RunCreated(RunCreatedData { source: created.source }),
        EventData::RunStarted(_) => ShownData::RunStarted(NoData {}),
        EventData::RunTakenOver(taken) => ShownData::RunTakenOver(RunTakenOverData { losses: taken.losses }),
        EventData::Message(message) => ShownData::Message(shown_message(message)),
        EventData::ToolCall(call) => ShownData::ToolCall(ToolCallData {
            call_id: call.call_id,
            name: call.name,
            arguments: call.arguments,
            step: call.step,
            truncated: call.truncated,
        }),
        EventData::ToolResult(result) => ShownData::ToolResult(ToolResultData {
            call_id: result.call_id,
            name: result.name,
            content: result.content,
            is_error: result.is_error,
            contacted_hosts: result.contacted_hosts,
            sources: result.sources.into_iter().map(shown_source).collect(),
            truncated: false,
        }),
        EventData::Artifact(artifact) => ShownData::Artifact(ArtifactData {
            id: artifact.id,
            r#type: artifact.media_type,
            title: artifact.title,
            size: artifact.size,
            sha256: artifact.sha256,
        }),
        EventData::Note(note) => ShownData::Note(NoteData {
            kind: note.kind.as_str().to_owned(),
            text: note.text,
            truncated: false,
        }),
        EventData::RunCompleted {} => ShownData::RunCompleted(NoData {}),
        EventData::RunFailed(failed) => ShownData::RunFailed(RunFailedData {
            error: FailureData {
                code: failed.error.code,
                message: failed.error.message,
                step: failed.error.step,
                retryable: failed.error.retryable,
            },
        }),
        EventData::RunCancelled {} => ShownData::RunCancelled(NoData {}),
    }
}

fn shown_message(message: LoggedMessage) -> MessageData {
    match message {
        LoggedMessage::System { content } => MessageData::System(TextData { content, truncated: false }),
        LoggedMessage::User { content, .. } => MessageData::User(TextData { content, truncated: false }),
        LoggedMessage::Assistant(LoggedAnswer { content, finish_reason, usage, tool_calls, reasoning }) => {
            MessageData::Assistant(AnswerData {
                content,
                reasoning: reasoning.as_ref().and_then(reasoning_text),
                tool_calls: tool_calls.into_iter().map(shown_call).collect(),
                finish_reason,
                usage: StepUsageData {
                    input_tokens: usage.input_tokens,
                    output_tokens: usage.output_tokens,
                    cached_input_tokens: usage.cached_input_tokens,
                    reasoning_tokens: usage.reasoning_tokens,
                    estimated: usage.estimated,
                },
                truncated: false,
            })
        }
    }
}

fn shown_call(call: RequestedCall) -> RequestedCallData {
    RequestedCallData { id: call.id, name: call.name, arguments: call.arguments }
}

fn shown_source(found: FoundSource) -> SourceData {
    let FoundSource { id, url, title, how, snippet, date } = found;
    SourceData { id, url, title, how, snippet, date }
}

/// Cuts each text to `most` bytes of JSON.
fn cut(data: &mut ShownData, most: usize) {
    match data {
        ShownData::Message(MessageData::System(text) | MessageData::User(text)) => {
            text.truncated |= cut_text(&mut text.content, most);
        }
        ShownData::Message(MessageData::Assistant(answer)) => {
            answer.truncated = true;
            answer.tool_calls.truncate(KEPT_CALLS);
            let calls = answer.tool_calls.iter_mut().flat_map(|call| [&mut call.name, &mut call.arguments]);
            for text in calls.chain([&mut answer.content]).chain(&mut answer.reasoning) {
                cut_text(text, most);
            }
        }
        ShownData::ToolCall(call) => {
            let texts = [&mut call.name, &mut call.arguments];
            call.truncated |= texts.map(|text| cut_text(text, most)).contains(&true);
        }
        ShownData::ToolResult(result) => {
            result.contacted_hosts.truncate(KEPT_HOSTS);
            result.truncated |= cut_sources(&mut result.sources, most);
            let texts = [&mut result.name, &mut result.content];
            result.truncated |= texts.map(|text| cut_text(text, most)).contains(&true);
        }
        ShownData::Note(note) => note.truncated |= cut_text(&mut note.text, most),
        ShownData::RunFailed(failed) => {
            cut_text(&mut failed.error.message, most);
        }
        ShownData::RunCreated(_)
        | ShownData::RunStarted(_)
        | ShownData::RunTakenOver(_)
        | ShownData::Artifact(_)
        | ShownData::RunCompleted(_)
        | ShownData::RunCancelled(_) => {}
    }
}

/// Cuts the text so that it has at most `most` bytes as JSON. Returns whether something was cut.
fn cut_text(text: &mut String, most: usize) -> bool {
    let mut bytes = 0;
    let end = text.char_indices().find_map(|(at, char)| {
        bytes += json_bytes(char);
        (bytes > most).then_some(at)
    });
    end.map(|end| text.truncate(end)).is_some()
}

/// Leaves out the last sources, so that the others have at most `most` bytes as JSON. Returns whether one was
/// left out. A part of a URL would be another one.
fn cut_sources(sources: &mut Vec<SourceData>, most: usize) -> bool {
    let mut bytes = 0;
    let end = sources.iter().position(|source| {
        bytes += serde_json::to_string(source).map_or(most, |json| json.len() + 1);
        bytes > most
    });
    end.map(|end| sources.truncate(end)).is_some()
}

/// The bytes of a character in a JSON string.
const fn json_bytes(char: char) -> usize {
    match char {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        char => char.len_utf8(),
    }
}

#[cfg(test)]
mod tests;
