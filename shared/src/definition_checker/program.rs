//! The loop of the program `definition-checker`. It reads tasks from its standard input until that closes.

use std::io::{self, Read, Write};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::Value;

use super::protocol::{Answer, MAX_MESSAGE_BYTES, Task};
use crate::output_schema::OutputSchema;
use crate::prompt;

/// The stack of the thread that works. The bounds of the scans keep recursion far below it.
const STACK_BYTES: usize = 16 << 20;
/// Anonymous memory of the process, the stack included (bar H1: 64 MB).
const MEMORY_BYTES: u64 = 60 << 20;
/// Bytes of a task that needs no more memory than that.
pub(super) const LARGE_TASK_BYTES: usize = 64 * 1024;
/// More memory for each further byte while a task is parsed: JSON of many small objects needs so much.
const MEMORY_FOR_A_BYTE: u64 = 128;
/// The most for any task. Four processes must fit beside a worker.
const MAX_MEMORY_BYTES: u64 = 256 << 20;
/// The exit code after a panic. Other codes are no fault of the task.
pub(super) const PANICKED: i32 = 101;
/// A last bound for a process whose service died. The service ends a slow task much earlier.
const CPU_SECONDS: u64 = 60;
/// The three standard streams, and one for the loader.
const OPEN_FILES: u64 = 4;

/// Sets the limits of this process and works until the service closes the pipe.
pub fn run() -> anyhow::Result<()> {
    for (resource, max) in [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Cpu, CPU_SECONDS),
    ] {
        let limit = Rlimit { current: Some(max), maximum: Some(max) };
        setrlimit(resource, limit).with_context(|| format!("{resource:?}"))?;
    }
    bound_memory(MEMORY_BYTES)?;
    let working = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(serve)?;
    working.join().unwrap_or_else(|_| std::process::exit(PANICKED))
}

fn bound_memory(bytes: u64) -> anyhow::Result<()> {
    let limit = Rlimit { current: Some(bytes.min(MAX_MEMORY_BYTES)), maximum: Some(MAX_MEMORY_BYTES) };
    setrlimit(Resource::Data, limit).context("Data")
}

/// The memory of this process that its limit counts, in bytes.
fn memory_in_use() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).context("no VmData")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()?.saturating_mul(1024))
}

fn serve() -> anyhow::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut compiled = None;
    while let Some(message) = read(&mut input)? {
        let answer = match parse(message)? {
            Ok(task) => work(task, &mut compiled),
            Err(error) => Answer::Refused(format!("has inputs that cannot be read: {error}")),
        };
        let answer = serde_json::to_vec(&answer)?;
        output.write_all(&u32::try_from(answer.len())?.to_le_bytes())?;
        output.write_all(&answer)?;
        output.flush()?;
    }
    Ok(())
}

/// Reads one message. `None` at the end of the input.
fn read(input: &mut impl Read) -> anyhow::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length) as usize;
    anyhow::ensure!(length <= MAX_MESSAGE_BYTES, "a message of {length} bytes");
    let mut message = vec![0; length];
    input.read_exact(&mut message)?;
    Ok(Some(message))
}

/// Parses a message. A long one may take more memory for that. The work gets no more than with a short one:
/// otherwise a long value would buy memory for a template.
fn parse(message: Vec<u8>) -> anyhow::Result<serde_json::Result<Task<'static>>> {
    let more = message.len().saturating_sub(LARGE_TASK_BYTES);
    if more == 0 {
        return Ok(serde_json::from_slice(&message));
    }
    let before = memory_in_use()?;
    bound_memory(MEMORY_BYTES.saturating_add(u64::try_from(more)?.saturating_mul(MEMORY_FOR_A_BYTE)))?;
    let task = serde_json::from_slice(&message);
    drop(message);
    bound_memory(MEMORY_BYTES.saturating_add(memory_in_use()?.saturating_sub(before)))?;
    Ok(task)
}

/// The schema that the last task compiled: a run checks its schema first and its answer later.
type Compiled = Option<(Value, OutputSchema)>;

fn work(task: Task<'_>, compiled: &mut Compiled) -> Answer {
    match task {
        Task::CheckPrompt { template, inputs } => {
            let inputs: Vec<&str> = inputs.iter().map(AsRef::as_ref).collect();
            prompt::check(&template, &inputs)
                .map_or_else(|error| Answer::Refused(error.to_string()), |()| Answer::Accepted)
        }
        Task::RenderPrompt { template, inputs } => match prompt::render(&template, &inputs) {
            Ok(text) => Answer::Rendered(text.into_string()),
            Err(error) => Answer::Refused(error.to_string()),
        },
        Task::CheckSchema { schema } => match compile(schema.into_owned(), compiled) {
            Ok(_) => Answer::Accepted,
            Err(why) => Answer::Refused(why),
        },
        Task::Violations { schema, value } => match compile(schema.into_owned(), compiled) {
            Ok(schema) => Answer::Violations(schema.violations(&value)),
            Err(why) => Answer::Refused(why),
        },
    }
}

fn compile(schema: Value, compiled: &mut Compiled) -> Result<&OutputSchema, String> {
    if compiled.as_ref().is_none_or(|(last, _)| *last != schema) {
        *compiled = None;
        let fresh = OutputSchema::compile(&schema).map_err(|refusal| refusal.to_string())?;
        return Ok(&compiled.insert((schema, fresh)).1);
    }
    compiled.as_ref().map(|(_, schema)| schema).ok_or_else(|| "the schema is missing".to_owned())
}
