//! Streams of hostile model servers: they end in an answer or an error, in the same one however the bytes are
//! cut, and in bounded time.

use std::time::{Duration, Instant};

use shared::testing::property::{check_inputs, repeated};

use super::assemble::Assembly;
use super::sse::Decoder;
use super::{Answer, MAX_ANSWER_BYTES, ModelError, wire};

/// For a build without optimisation on a busy machine.
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
    "data: {\"choices\":[null,{\"delta\":null}]}\n\n",
];

fn answer_of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Answer, ModelError> {
    let (mut decoder, mut assembly) = (Decoder::default(), Assembly::default());
    for piece in pieces {
        for event in decoder.push(piece).map_err(|error| ModelError::Unusable(error.to_string()))? {
            if event.trim_ascii() == b"[DONE]" {
                return assembly.answer(true);
            }
            let parsed = wire::decode(&event);
            let chunk = parsed.map_err(|error| ModelError::Unusable(error.to_string()))?;
            if chunk.failure().is_some() {
                return Err(ModelError::Unusable("the server's error".to_owned()));
            }
            if !assembly.add(chunk)? {
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
        let (whole, cut) = (answer_of(std::iter::once(bytes)), answer_of(bytes.chunks(997)));
        if begun.elapsed() > PATIENCE {
            return Err(format!("it took {:?}", begun.elapsed()));
        }
        if whole.as_ref().is_ok_and(|answer| answer.text.len() > MAX_ANSWER_BYTES) {
            return Err("the answer is too long".to_owned());
        }
        let (whole, cut) = (format!("{whole:?}"), format!("{cut:?}"));
        if whole == cut { Ok(()) } else { Err(format!("in pieces: {cut:.200}, whole: {whole:.200}")) }
    });
}
