//! A check may refuse a definition. It must come to an end, and the checker must serve others afterwards.

use proptest::prelude::*;

use super::*;
use crate::testing::property::{check_inputs, repeated};

const TEMPLATE_PARTS: &[&str] = &[
    "{{ ",
    " }}",
    "{% ",
    " %}",
    "{# ",
    " #}",
    "a",
    " + a",
    "(",
    ")",
    "[",
    "]",
    ".a",
    "|upper",
    "[0]",
    "~'x'",
    " not ",
    "-",
    " and a",
    "**2",
    " is odd",
    " if a else b",
    "{% if a %}",
    "{% elif a %}",
    "{% else %}",
    "{% endif %}",
    "{% for b in a %}",
    "{% endfor %}",
    "{% set a = a ~ a %}",
    "{% set a %}",
    "{% endset %}",
    "{% filter upper %}",
    "{% macro m(a) %}",
    "{% call m() %}",
    "{% raw %}",
    "{% endraw %}",
    "{% with %}",
    "{% block b %}",
    "'",
    "\"",
    "\\",
    "{",
    "}",
    "{a: ",
    "range(9999)",
    "\n",
    "é",
    "\u{0}",
];

const SCHEMA_KEYWORDS: &[&str] = &[
    "anyOf",
    "allOf",
    "oneOf",
    "prefixItems",
    "not",
    "items",
    "contains",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
    "unevaluatedItems",
    "additionalProperties",
    "propertyNames",
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
];

fn schema() -> impl Strategy<Value = Value> {
    let reference = (0..8usize).prop_map(|n| json!({"$ref": format!("#/$defs/d{n}")}));
    let leaf = prop_oneof![
        4 => reference,
        1 => Just(json!({"$ref": "#"})),
        1 => Just(json!({"type": "object", "required": ["a"]})),
        1 => Just(json!({"pattern": "^(a+)+$"})),
        1 => Just(json!(false)),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let member = (proptest::sample::select(SCHEMA_KEYWORDS), proptest::collection::vec(inner, 1..4));
        proptest::collection::vec(member, 1..4).prop_map(|members| {
            let pair = |(keyword, parts): (&str, Vec<Value>)| {
                let value = match keyword {
                    "anyOf" | "allOf" | "oneOf" | "prefixItems" => json!(parts),
                    "properties" | "patternProperties" | "dependentSchemas" | "$defs" => {
                        let named = parts.into_iter().enumerate();
                        Value::Object(named.map(|(n, part)| (format!("d{n}"), part)).collect())
                    }
                    _ => parts.into_iter().next().unwrap_or_default(),
                };
                (keyword.to_owned(), value)
            };
            Value::Object(members.into_iter().map(pair).collect())
        })
    })
}

/// A schema whose definitions name each other.
fn document() -> impl Strategy<Value = String> {
    (schema(), proptest::collection::vec(schema(), 8)).prop_map(|(root, definitions)| {
        let named = definitions.into_iter().enumerate();
        let definitions = named.map(|(n, definition)| (format!("d{n}"), definition)).collect();
        json!({"$defs": Value::Object(definitions), "allOf": [root]}).to_string()
    })
}

#[test]
fn property_of_prompts() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let checker = runtime.block_on(async { DefinitionChecker::start().unwrap() });
    check_inputs("prompts", repeated(TEMPLATE_PARTS, 70_000), |template| {
        runtime.block_on(async {
            let inputs = json!({"a": "x", "b": [1, 2]});
            refused(checker.check_prompt(UserId::generate(), template, &["a", "b"])).await;
            refused(checker.render_prompt(UserId::generate(), template, &inputs)).await;
            definitions_of_others_are_served(&checker).await;
        });
        Ok(())
    });
}

#[test]
fn property_of_schemas() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let checker = runtime.block_on(async { DefinitionChecker::start().unwrap() });
    let nested = (0..30).fold(json!({"d0": 1}), |inner, _| json!({"d0": inner, "d1": [1]}));
    check_inputs("schemas", document(), |text| {
        let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        runtime.block_on(async {
            for value in [&json!({"d0": {"d0": []}}), &nested] {
                refused(checker.violations(UserId::generate(), &schema, value)).await;
            }
            definitions_of_others_are_served(&checker).await;
        });
        Ok(())
    });
}
