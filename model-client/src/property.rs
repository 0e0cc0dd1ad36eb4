//! Streams of hostile model servers. Each stream ends in an answer or an error, in bounded time. The outcome
//! does not depend on how the bytes are cut.

use std::time::{Duration, Instant};

use shared::testing::property::{check_inputs, repeated};

use shared::config::Provider;

use super::assemble::Assembly;
use super::sse::Decoder;
use super::{Answer, MAX_ANSWER_BYTES, ModelError, json, provider};

/// Enough for a build without optimisation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST: usize = 200_000;

const PARTS: &[&str] = &[
    "data: ",
    "data:",
    "\n",
    "\r\n",
    "\n\n",
    ": x\n",
    "event: error\n",
    "id: 1\n",
    "[DONE]",
    "{\"choices\":[{\"delta\":{\"content\":\"",
    "\"}}]}",
    "é",
    "\\ud800",
    "\\u0000",
    "[",
    "]",
    "{",
    "}",
    "\"",
    ",",
    "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
    "data: {\"choices\":[]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,",
    "\"function\":{\"arguments\":\"{\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"finish_reason\":\"stop\",\"delta\":{\"content\":[{\"text\":\"x\"}]}}]}\n\n",
    "data: {\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":1e300}}\n\n",
    "data: {\"error\":{\"code\":\"500\"}}\n\n",
    "data: null\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\"}}\n\n",
    "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
    "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"x\"}}\n\n",
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":[]}\n\n",
    "data: {\"type\":\"message_stop\"}\n\n",
    "data: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n",
    "data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"function_call\",\"name\":1}}\n\n",
    "data: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"type\":\"message\"}]}}\n\n",
    "data: {\"choices\":[null,{\"delta\":null}]}\n\n",
];

fn answer_of<'a>(protocol: Provider, pieces: impl Iterator<Item = &'a [u8]>) -> Result<Answer, ModelError> {
    let provider = provider::of(protocol).unwrap();
    let (mut decoder, mut assembly) = (Decoder::default(), Assembly::new(8 << 10));
    for piece in pieces {
        for event in decoder.push(piece).map_err(|error| ModelError::Unusable(error.to_string()))? {
            if event.trim_ascii() == b"[DONE]" {
                return assembly.answer(true);
            }
            let parsed = json::decode(&event);
            let value = parsed.map_err(|error| ModelError::Unusable(error.to_string()))?;
            let added = provider.add(&value, &mut assembly);
            added.map_err(|error| ModelError::Unusable(error.0.to_string()))?;
            if assembly.is_done() || assembly.is_over() {
                return assembly.answer(true);
            }
        }
    }
    assembly.answer(false)
}

#[test]
fn property_of_streams() {
    check_inputs("sse", repeated(PARTS, MOST), |stream| {
        let begun = Instant::now();
        let bytes = stream.as_bytes();
        for protocol in [Provider::Openai, Provider::OpenaiResponses, Provider::Anthropic] {
            let whole = answer_of(protocol, std::iter::once(bytes));
            let cut = answer_of(protocol, bytes.chunks(997));
            if begun.elapsed() > PATIENCE {
                return Err(format!("it took {:?}", begun.elapsed()));
            }
            if whole.as_ref().is_ok_and(|answer| answer.text.len() > MAX_ANSWER_BYTES) {
                return Err("the answer is too long".to_owned());
            }
            let (whole, cut) = (format!("{whole:?}"), format!("{cut:?}"));
            if whole != cut {
                return Err(format!("{protocol:?}: in pieces: {cut:.200}, whole: {whole:.200}"));
            }
        }
        Ok(())
    });
}
