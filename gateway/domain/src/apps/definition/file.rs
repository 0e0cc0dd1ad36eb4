//! Reads a definition from TOML or JSON. Pure. The caller reads it outside the async threads: a file of
//! 1 MiB takes some milliseconds.

use serde::de::Deserializer;
use serde_json::{Map, Value};
use serde_path_to_error::{Segment, Track};
use shared::apps::{AppDefinition, Output};
use toml_parser::lexer::TokenKind;

use self::form::Form;
use super::DefinitionFieldError;
use crate::{MAX_FIELD_ERRORS, json_value, quoted};

mod form;

/// Bytes of an app file. A stored definition has fewer, and each can be written as such a file.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// Keys, tables and arrays of an app file outside of its texts. Each takes up to [`NODE_BYTES`].
const MAX_NODES: usize = 10_000;
/// Bytes of memory of a node of a TOML document and of the value that is made of it, about.
const NODE_BYTES: usize = 2048;
/// Bytes of a schema that is written as text, with its spaces. A parsed value takes up to 90 times its text.
const MAX_SCHEMA_TEXT_BYTES: usize = 256 * 1024;
/// Characters of a parser's message, which may repeat the file.
const MAX_MESSAGE_CHARS: usize = 300;

/// What is read as an app.
pub enum DefinitionFile {
    Toml(String),
    /// An object of bounded memory without duplicate keys.
    Json(Map<String, Value>),
}

/// A definition, and its errors so far: members that no app has, and a schema that is no JSON.
pub(super) struct Parsed {
    pub(super) definition: AppDefinition,
    pub(super) errors: Vec<DefinitionFieldError>,
}

/// Bytes of memory that reading this TOML text takes, about.
#[must_use]
pub fn memory_of_toml(text: &str) -> usize {
    3 * text.len() + NODE_BYTES * nodes(text).min(MAX_NODES)
}

/// The tokens that make a key, a table or an array.
fn nodes(text: &str) -> usize {
    use TokenKind::{Comma, Dot, Equals, LeftCurlyBracket, LeftSquareBracket};
    let makes = |kind| matches!(kind, Comma | Dot | Equals | LeftCurlyBracket | LeftSquareBracket);
    toml_parser::Source::new(text).lex().filter(|token| makes(token.kind())).count()
}

pub(super) fn parse(file: DefinitionFile) -> Result<Parsed, DefinitionFieldError> {
    let mut parsed = match file {
        DefinitionFile::Toml(text) => parse_toml(&text)?,
        DefinitionFile::Json(members) => deserialize(Value::Object(members))
            .map_err(|(error, path)| wrong_type(&path, &error.to_string(), None))?,
    };
    if let Some(output) = &mut parsed.definition.output {
        parsed.errors.extend(read_schema(output));
    }
    Ok(parsed)
}

/// A schema may be written as JSON in a string: most schemas exist as JSON.
fn read_schema(output: &mut Output) -> Option<DefinitionFieldError> {
    let text = output.schema.as_str()?;
    let wrong = |message: String| DefinitionFieldError::naming("output.schema", message);
    if text.len() > MAX_SCHEMA_TEXT_BYTES {
        let message = format!("output.schema is longer than {MAX_SCHEMA_TEXT_BYTES} bytes");
        return Some(wrong(message).with_code("too_large"));
    }
    match json_value(text.as_bytes()) {
        Ok((schema, _)) => {
            output.schema = schema;
            None
        }
        Err(error) if error.is_data() => Some(wrong(format!("output.schema cannot be taken: {error}"))),
        Err(error) => Some(wrong(format!("output.schema is not JSON: {error}"))),
    }
}

fn parse_toml(text: &str) -> Result<Parsed, DefinitionFieldError> {
    let too_much = |message| Err(DefinitionFieldError::naming("", message).with_code("too_large"));
    if text.len() > MAX_TEXT_BYTES {
        return too_much(format!("the file is longer than {MAX_TEXT_BYTES} bytes"));
    }
    if nodes(text) > MAX_NODES {
        return too_much(format!(
            "the file has more than {MAX_NODES} keys and values; write a large schema as JSON in a string"
        ));
    }
    let line = |error: &toml::de::Error| error.span().map(|span| line_of(text, span.start));
    let source = toml::Deserializer::parse(text).map_err(|error| {
        let (message, line) = (cut(error.message()), line(&error).unwrap_or_default());
        DefinitionFieldError::naming("", format!("{line}: {message}")).with_code("syntax")
    })?;
    deserialize(source).map_err(|(error, path)| wrong_type(&path, error.message(), line(&error)))
}

/// `line 2, column 10`
fn line_of(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let (line, column) = before.rsplit_once('\n').map_or((1, before), |(_, last)| {
        let lines = before.matches('\n').count() + 1;
        (lines, last)
    });
    format!("line {line}, column {}", column.chars().count() + 1)
}

fn cut(message: &str) -> String {
    message.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// A step from a value to one of its members.
enum Step {
    Key(String),
    Index(usize),
}

fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Parsed, (D::Error, Vec<Step>)> {
    let (mut errors, mut track) = (Vec::new(), Track::new());
    let tracked = serde_path_to_error::Deserializer::new(source, &mut track);
    let read: Result<Form, D::Error> = serde_ignored::deserialize(tracked, |path| {
        if errors.len() < MAX_FIELD_ERRORS {
            errors.push(unknown_member(&steps(&path)));
        }
    });
    match read {
        Ok(form) => Ok(Parsed { definition: form.into(), errors }),
        Err(error) => {
            let path = track.path();
            let step = |segment: &Segment| match segment {
                Segment::Seq { index } => Some(Step::Index(*index)),
                Segment::Map { key } => Some(Step::Key(key.clone())),
                Segment::Enum { .. } | Segment::Unknown => None,
            };
            Err((error, path.iter().filter_map(step).collect()))
        }
    }
}

fn steps(path: &serde_ignored::Path<'_>) -> Vec<Step> {
    use serde_ignored::Path;
    match path {
        Path::Root => Vec::new(),
        Path::Seq { parent, index } => with(steps(parent), Step::Index(*index)),
        Path::Map { parent, key } => with(steps(parent), Step::Key(key.clone())),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            steps(parent)
        }
    }
}

fn with(mut steps: Vec<Step>, last: Step) -> Vec<Step> {
    steps.push(last);
    steps
}

/// `inputs[0].name`
fn shown(path: &[Step]) -> String {
    let text: Vec<_> = path
        .iter()
        .map(|step| match step {
            Step::Index(index) => format!("[{index}]"),
            Step::Key(key) => format!(".{}", quoted(key)),
        })
        .collect();
    text.concat().trim_start_matches('.').to_owned()
}

/// `/inputs/0/name`
fn pointer(path: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Index(index) => format!("/{index}"),
        Step::Key(key) => format!("/{}", quoted(key).replace('~', "~0").replace('/', "~1")),
    };
    path.iter().map(step).collect::<Vec<_>>().concat()
}

fn unknown_member(path: &[Step]) -> DefinitionFieldError {
    let at = shown(path);
    let message = format!("{at} is unknown; leave it out");
    DefinitionFieldError::naming(&at, message).with_code("unknown").with_pointer(pointer(path))
}

/// The error of a value that has the wrong type, or lacks a member. serde has only its message.
fn wrong_type(path: &[Step], message: &str, line: Option<String>) -> DefinitionFieldError {
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    if let Some(name) = missing {
        let within = shown(path);
        let at = if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
        let message = format!("{at} is missing");
        let pointer = format!("{}/{name}", pointer(path));
        return DefinitionFieldError::naming(&at, message).with_code("required").with_pointer(pointer);
    }
    let at = shown(path);
    let line = line.map_or(String::new(), |line| format!("{line}: "));
    let named = if at.is_empty() { String::new() } else { format!("{at}: ") };
    let message = format!("{line}{named}{}", cut(message));
    DefinitionFieldError::naming(&at, message).with_code("type").with_pointer(pointer(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(file: DefinitionFile) -> (String, &'static str, String) {
        let error = parse(file).map(|parsed| parsed.definition).unwrap_err();
        (error.pointer.clone(), error.code, error.to_string())
    }

    fn of_toml(text: &str) -> (String, &'static str, String) {
        error_of(DefinitionFile::Toml(text.to_owned()))
    }

    #[test]
    fn an_error_names_its_line_and_its_field() {
        let (pointer, code, message) = of_toml("name = 'a'\nprompt = 'b\n");
        assert_eq!((pointer.as_str(), code), ("", "syntax"));
        assert!(message.starts_with("line 2, column "), "{message}");
        let (pointer, code, message) = of_toml("name = 'é'\nprompt = 3\n");
        assert_eq!((pointer.as_str(), code), ("/prompt", "type"));
        assert!(message.starts_with("line 2, column 10: prompt: invalid type: integer"), "{message}");
        let (pointer, code, message) = of_toml("name = 'a'\nprompt = 'b'\n[[inputs]]\nname = 'x'");
        assert_eq!(
            (pointer.as_str(), code, message.as_str()),
            ("/inputs/0/type", "required", "inputs[0].type is missing")
        );
        let (pointer, ..) = of_toml("name = 'a'\nprompt = 'b'\n[[inputs]]\nname = 'x'\ntype = 'colour'");
        assert_eq!(pointer, "/inputs/0/type");
        let json = serde_json::json!({"name": "a", "prompt": "b", "limits": {"steps": "many"}});
        let Value::Object(members) = json else { return };
        let (pointer, code, message) = error_of(DefinitionFile::Json(members));
        assert_eq!((pointer.as_str(), code), ("/limits/steps", "type"));
        assert!(message.starts_with("limits.steps: invalid type: string \"many\""), "{message}");
    }

    #[test]
    fn unknown_members_are_pointed_at_and_few_are_listed() {
        let text = "name = 'a'\nprompt = 'b'\n'a/b' = 1\n[[inputs]]\nname = 'x'\ntype = 'text'\nhint = 'h'";
        let unknown = parse(DefinitionFile::Toml(text.to_owned())).unwrap().errors;
        let pointers: Vec<_> = unknown.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/a~1b", "/inputs/0/hint"]);
        let many = (0..1000).map(|number| format!("k{number} = 1\n")).collect::<Vec<_>>().concat();
        let text = format!("name = 'a'\nprompt = 'b'\n{many}");
        assert_eq!(parse(DefinitionFile::Toml(text)).unwrap().errors.len(), MAX_FIELD_ERRORS);
    }

    /// Each would take much memory or a deep stack.
    #[test]
    fn hostile_files_are_refused_and_texts_may_have_any_signs() {
        let head = "name = 'a'\nprompt = 'b'\n";
        for (part, times) in
            [("{a=1},", 40_000), ("[],", 100_000), ("{a={a={a=", 30_000), ("a.a.a.a.a.a.a.a.", 20_000)]
        {
            let text = format!("{head}output.schema = [{}]", part.repeat(times));
            assert_eq!(of_toml(&text).1, "too_large", "{part}");
        }
        let (_, code, _) = of_toml(&format!("{head}{}.b = 1", vec!["a"; 3000].join(".")));
        assert_eq!(code, "syntax", "too deep");
        assert_eq!(of_toml(&"#".repeat(MAX_TEXT_BYTES + 1)).1, "too_large");
        let text = format!("name = 'a'\nprompt = '''{}'''", "{.=,[".repeat(20_000));
        assert!(parse(DefinitionFile::Toml(text.clone())).is_ok());
        assert!(memory_of_toml(&text) < 2 << 20, "{}", memory_of_toml(&text));
    }
}
