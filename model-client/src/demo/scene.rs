//! What a script reads of a conversation. Pure.

use serde_json::Value;

use crate::{Message, Request, ToolChoice};

/// The folder of the caller's files.
const INPUTS: &str = "inputs/";

pub(super) struct Scene<'r> {
    request: &'r Request<'r>,
    instructions: &'r str,
    pub(super) prompt: &'r str,
    /// The paths of the caller's files.
    files: Vec<&'r str>,
    pub(super) turns: Vec<Turn<'r>>,
}

/// A call, and its result.
pub(super) struct Turn<'r> {
    id: &'r str,
    pub(super) tool: &'r str,
    pub(super) arguments: &'r str,
    /// Empty if there is none yet.
    pub(super) result: &'r str,
}

impl<'r> Scene<'r> {
    pub(super) fn of(request: &'r Request<'r>) -> Self {
        let mut scene = Self { request, instructions: "", prompt: "", files: Vec::new(), turns: Vec::new() };
        for message in request.messages {
            match message {
                Message::System(text) => scene.instructions = text,
                Message::User { text, .. } if scene.prompt.is_empty() => scene.prompt = text,
                // A note of capi may list the caller's files.
                Message::User { text, .. } => scene.files.extend(text.lines().filter_map(listed)),
                Message::Assistant { calls, .. } => scene.turns.extend(calls.iter().map(|call| Turn {
                    id: &call.id,
                    tool: &call.name,
                    arguments: &call.arguments,
                    result: "",
                })),
                Message::Tool { call, content } => {
                    if let Some(turn) = scene.turns.iter_mut().rfind(|turn| turn.id == call) {
                        turn.result = content;
                    }
                }
            }
        }
        scene
    }

    /// The calls so far.
    pub(super) const fn calls(&self) -> usize {
        self.turns.len()
    }

    /// Whether all these tools may be called.
    pub(super) fn offers(&self, tools: &[&str]) -> bool {
        tools.iter().all(|tool| self.request.tools.iter().any(|offered| offered.name == *tool))
    }

    /// False on the last step of a run.
    pub(super) fn may_call(&self) -> bool {
        self.request.tool_choice == ToolChoice::Auto
    }

    pub(super) const fn has_no_tools(&self) -> bool {
        self.request.tools.is_empty()
    }

    /// Whether the instructions or the prompt hold this word, in lower case.
    pub(super) fn mentions(&self, word: &str) -> bool {
        [self.instructions, self.prompt].iter().any(|text| text.to_lowercase().contains(word))
    }

    /// Whether the answer is to have all these members.
    pub(super) fn wants(&self, members: &[&str]) -> bool {
        let properties = self.request.schema.and_then(|schema| schema["properties"].as_object());
        properties.is_some_and(|properties| members.iter().all(|member| properties.contains_key(*member)))
    }

    pub(super) const fn has_schema(&self) -> bool {
        self.request.schema.is_some()
    }

    /// The caller's files whose names end so.
    pub(super) fn files_with<'s>(&'s self, endings: &'s [&str]) -> impl Iterator<Item = &'r str> + 's {
        let ends = |path: &&str| {
            let lower = path.to_lowercase();
            endings.iter().any(|ending| lower.ends_with(ending))
        };
        self.files.iter().copied().filter(ends)
    }

    /// The results of the calls of this tool.
    pub(super) fn results<'s>(&'s self, tool: &'s str) -> impl DoubleEndedIterator<Item = &'r str> + 's {
        self.turns.iter().filter(move |turn| turn.tool == tool).map(|turn| turn.result)
    }

    pub(super) fn has_called(&self, tool: &str) -> bool {
        self.turns.iter().any(|turn| turn.tool == tool)
    }

    /// What follows this label in the prompt, up to the end of the line.
    pub(super) fn labelled(&self, label: &str) -> &'r str {
        let found = self.prompt.lines().find_map(|line| line.trim().strip_prefix(label));
        found.unwrap_or_default().trim()
    }

    /// The prompt after its first paragraph: the text that the sample apps put there.
    pub(super) fn text(&self) -> &'r str {
        self.prompt.trim().split_once("\n\n").map_or("", |(_, text)| text.trim())
    }
}

impl Turn<'_> {
    /// An argument of the call.
    pub(super) fn argument(&self, name: &str) -> Option<String> {
        let arguments: Value = serde_json::from_str(self.arguments).ok()?;
        arguments.get(name)?.as_str().map(str::to_owned)
    }
}

/// The path in a line like `- inputs/sales.csv (text/csv, 120 bytes)`.
fn listed(line: &str) -> Option<&str> {
    let (path, _) = line.strip_prefix("- ")?.rsplit_once(" (")?;
    path.starts_with(INPUTS).then_some(path)
}
