//! Counts the subschemas of a schema when each reference is replaced by what it names. Compiling and applying
//! a schema costs about as much.

use std::collections::HashMap;

use serde_json::Value;

/// Members that hold schemas only for references. They count where a reference names them.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// Members that hold data. What looks like a schema there is none.
const DATA: [&str; 5] = ["const", "enum", "default", "examples", "$comment"];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// The deepest nesting that is followed, through references too. It bounds the stack.
const MAX_DEPTH: usize = 400;

/// Returns the number of subschemas, or `u64::MAX` if they nest too deeply. A reference to a schema around
/// itself counts as one: its depth follows the value. A reference that names nothing here counts as one too,
/// because it does not compile.
pub(super) fn count(root: &Value) -> u64 {
    let mut names = HashMap::new();
    collect_names(root, &mut names);
    Counter { root, names, counted: HashMap::new() }.of(root, 0)
}

/// The subschemas that a reference can name by `$anchor`, `$dynamicAnchor` or `$id`.
fn collect_names<'a>(schema: &'a Value, names: &mut HashMap<&'a str, &'a Value>) {
    match schema {
        Value::Object(members) => {
            for (key, member) in members {
                if let ("$anchor" | "$dynamicAnchor" | "$id" | "id", Some(name)) =
                    (key.as_str(), member.as_str())
                {
                    names.insert(name.trim_start_matches('#'), schema);
                }
                collect_names(member, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        _ => {}
    }
}

struct Counter<'a> {
    root: &'a Value,
    names: HashMap<&'a str, &'a Value>,
    /// By the address of the subschema. `None` while it is being counted.
    counted: HashMap<*const Value, Option<u64>>,
}

impl<'a> Counter<'a> {
    fn of(&mut self, schema: &'a Value, depth: usize) -> u64 {
        if depth > MAX_DEPTH {
            return u64::MAX;
        }
        match self.counted.get(&std::ptr::from_ref(schema)) {
            Some(Some(known)) => return *known,
            Some(None) => return 1,
            None => {}
        }
        let count = match schema {
            Value::Object(members) => {
                self.counted.insert(schema, None);
                let own = members.iter().map(|(key, member)| self.of_member(key, member, depth + 1));
                own.fold(1, u64::saturating_add)
            }
            Value::Array(items) => {
                items.iter().map(|item| self.of(item, depth + 1)).fold(0, u64::saturating_add)
            }
            _ => 0,
        };
        self.counted.insert(schema, Some(count));
        count
    }

    fn of_member(&mut self, key: &str, member: &'a Value, depth: usize) -> u64 {
        if DEFINITIONS.contains(&key) || DATA.contains(&key) {
            return 0;
        }
        match member.as_str().filter(|_| REFERENCES.contains(&key)) {
            Some(reference) => self.resolve(reference).map_or(1, |target| self.of(target, depth)),
            None => self.of(member, depth),
        }
    }

    fn resolve(&self, reference: &str) -> Option<&'a Value> {
        let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let base = if base.is_empty() { Some(self.root) } else { self.names.get(base).copied() }?;
        let fragment = percent_decoded(fragment);
        if fragment.is_empty() {
            return Some(base);
        }
        base.pointer(&fragment).or_else(|| self.names.get(fragment.as_str()).copied())
    }
}

fn percent_decoded(fragment: &str) -> String {
    let parsed = url::form_urlencoded::parse(fragment.as_bytes()).next();
    parsed.filter(|_| fragment.contains('%')).map_or_else(|| fragment.to_owned(), |(key, _)| key.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `levels` definitions, each of which names the next one twice.
    fn doubled(levels: usize, keyword: &str) -> Value {
        let level = |n: usize| {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            (format!("d{n}"), json!({keyword: [next, next]}))
        };
        let mut defs: serde_json::Map<String, Value> = (0..levels).map(level).collect();
        defs.insert(format!("d{levels}"), json!({"type": "string"}));
        json!({"$defs": defs, "$ref": "#/$defs/d0"})
    }

    #[test]
    fn shared_references_multiply() {
        assert!(count(&doubled(3, "anyOf")) < 100);
        for keyword in ["anyOf", "allOf", "oneOf", "prefixItems"] {
            assert!(count(&doubled(14, keyword)) > 10_000, "{keyword}");
            assert!(count(&doubled(100, keyword)) > 10_000, "no overflow: {keyword}");
        }
    }

    #[test]
    fn a_reference_counts_by_whatever_name() {
        let leaf = json!({"$anchor": "leaf", "properties": {"a": true, "b": {}, "c": {}}});
        let by = |reference: &str| {
            count(&json!({"$defs": {"a b": leaf}, "allOf": [{"$ref": reference}, {"$ref": reference}]}))
        };
        let plain = by("#/$defs/a b");
        assert!(plain > by("#/nowhere"));
        assert_eq!((by("#leaf"), by("#/$defs/a%20b")), (plain, plain));
    }

    /// A hundred references between deep schemas: without a bound they overflow the stack.
    #[test]
    fn nesting_through_references_is_bounded() {
        let deep = |inner: Value| (0..100).fold(inner, |inner, _| json!({"items": inner}));
        let chained = |n: usize| (format!("d{n}"), deep(json!({"$ref": format!("#/$defs/d{}", n + 1)})));
        let defs: serde_json::Map<String, Value> = (0..90).map(chained).collect();
        assert_eq!(count(&json!({"$defs": defs, "$ref": "#/$defs/d0"})), u64::MAX);
    }

    #[test]
    fn recursion_and_data_count_once() {
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        assert!(count(&tree) < 10);
        assert_eq!(count(&json!({"const": {"a": {"b": {}}}, "enum": [{}, {}]})), 1);
    }
}
