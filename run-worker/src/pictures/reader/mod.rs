//! The program `picture-reader`. It reads one picture from its standard input and answers on its standard
//! output. The same picture always gets the same answer: what the model was sent before must not change when
//! another worker takes the run over.

mod decode;
mod encode;
mod metadata;

use std::io::{self, Read, Write};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, nice, setrlimit};

use super::protocol::{Answer, Format, Refusal};
use super::{EDGE, MAX_INPUT_BYTES};
use decode::Decoded;

/// Address space of the process. 50 million pixels with 8 bytes each fit.
const MEMORY_BYTES: u64 = 512 << 20;
/// Processor time of one picture.
const CPU_SECONDS: u64 = 10;
/// The three standard streams, and one for the loader.
const OPEN_FILES: u64 = 4;
/// Services go first, as they do before commands in the sandbox.
const NICE: i32 = 15;
/// A picture that is not larger, and needs no other change, is sent as it came.
const UNCHANGED_BYTES: usize = 3 << 19;

/// A picture that a model can be shown.
struct Ready {
    format: Format,
    bytes: Vec<u8>,
}

/// Sets the limits of this process, and makes the picture ready.
pub fn run() -> anyhow::Result<()> {
    bound()?;
    let mut picture = Vec::new();
    io::stdin().lock().take(MAX_INPUT_BYTES + 1).read_to_end(&mut picture)?;
    anyhow::ensure!(
        picture.len() as u64 <= MAX_INPUT_BYTES,
        "a picture of more than {MAX_INPUT_BYTES} bytes"
    );
    let (answer, bytes) = match make_ready(picture) {
        Ok(ready) => (Answer::Ready(ready.format), ready.bytes),
        Err(refusal) => (Answer::Refused(refusal), Vec::new()),
    };
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &answer)?;
    output.write_all(b"\n")?;
    output.write_all(&bytes)?;
    output.flush()?;
    Ok(())
}

fn bound() -> anyhow::Result<()> {
    for (resource, current, maximum) in [
        (Resource::Core, 0, 0),
        (Resource::Fsize, 0, 0),
        (Resource::Nofile, OPEN_FILES, OPEN_FILES),
        (Resource::As, MEMORY_BYTES, MEMORY_BYTES),
        // At the first limit comes SIGXCPU, which the worker can tell from a kill from outside.
        (Resource::Cpu, CPU_SECONDS, CPU_SECONDS + 1),
    ] {
        let limit = Rlimit { current: Some(current), maximum: Some(maximum) };
        setrlimit(resource, limit).with_context(|| format!("{resource:?}"))?;
    }
    // The kernel may refuse it, and no protection depends on it.
    let _ = nice(NICE);
    Ok(())
}

/// The picture within the limits of model servers: unchanged if it is, else made smaller.
fn make_ready(bytes: Vec<u8>) -> Result<Ready, Refusal> {
    let Decoded { picture, turn, sendable_as } = decode::decode(&bytes)?;
    let is_small = bytes.len() <= UNCHANGED_BYTES && picture.width().max(picture.height()) <= EDGE;
    match sendable_as.filter(|_| is_small) {
        Some(format) => Ok(Ready { format, bytes }),
        None => encode::encode(encode::shrink(picture, turn)),
    }
}

#[cfg(test)]
mod tests;
