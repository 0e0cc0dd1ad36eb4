//! What a value violates, in a sentence for app authors, API clients and models. Pure.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::types::JsonType;
use serde_json::Value;

/// Bytes of a value or a place that a sentence repeats: both may be long.
const MAX_BYTES: usize = 200;

/// The violation with its place.
pub(super) fn sentence(error: &ValidationError<'_>) -> String {
    let place = cut(error.instance_path().to_string());
    let place = if place.is_empty() { "the value" } else { place.as_str() };
    format!(
        "{place} {}",
        what(error.kind()).unwrap_or_else(|| format!("is wrong: {}", cut(error.to_string())))
    )
}

/// What is wrong, in words that follow the place. `None` for rare keywords.
fn what(kind: &Kind) -> Option<String> {
    let names =
        |names: &[String]| cut(names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "));
    Some(match kind {
        Kind::Required { property } => format!("lacks the member {}", cut(property.to_string())),
        Kind::Type { kind: TypeKind::Single(expected) } => format!("must be {}", with_article(*expected)),
        Kind::Type { kind: TypeKind::Multiple(expected) } => {
            let kinds: Vec<_> = expected.iter().map(with_article).collect();
            format!("must be {}", kinds.join(" or "))
        }
        Kind::Enum { options } => match options.as_array() {
            Some(options) => format!("must be one of: {}", listed(options)),
            None => return None,
        },
        Kind::Constant { expected_value } => format!("must be {}", cut(expected_value.to_string())),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("has members that the schema does not know: {}", names(unexpected))
        }
        Kind::AdditionalItems { limit } => format!("may have {limit} items at most"),
        Kind::Minimum { limit } => format!("must be {limit} or more"),
        Kind::Maximum { limit } => format!("must be {limit} or less"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have {limit} characters or more"),
        Kind::MaxLength { limit } => format!("must have {limit} characters or fewer"),
        Kind::MinItems { limit } => format!("must have {limit} items or more"),
        Kind::MaxItems { limit } => format!("must have {limit} items or fewer"),
        Kind::MinProperties { limit } => format!("must have {limit} members or more"),
        Kind::MaxProperties { limit } => format!("must have {limit} members or fewer"),
        Kind::UniqueItems => "must not have an item twice".to_owned(),
        Kind::Pattern { pattern } => format!("must match the pattern {}", cut(pattern.clone())),
        Kind::Format { format } => format!("must have the format {}", cut(format.clone())),
        Kind::Contains => "lacks an item that the schema asks for".to_owned(),
        Kind::AnyOf { .. } => "matches none of the schemas in anyOf".to_owned(),
        Kind::OneOfNotValid { .. } => "matches none of the schemas in oneOf".to_owned(),
        Kind::OneOfMultipleValid { .. } => "matches more than one of the schemas in oneOf".to_owned(),
        Kind::Not { .. } => "matches the schema in not, which it must not".to_owned(),
        Kind::FalseSchema => "is not allowed".to_owned(),
        _ => return None,
    })
}

const fn with_article(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a string",
        JsonType::Array => "an array",
        JsonType::Object => "an object",
    }
}

fn listed(options: &[Value]) -> String {
    cut(options.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_BYTES));
    text
}
