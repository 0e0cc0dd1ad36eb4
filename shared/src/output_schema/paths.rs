//! Counts the subschemas of a schema when each reference is replaced by what it names. Compiling and applying
//! a schema costs about as much.

use std::collections::HashMap;

use serde_json::Value;

/// Members that hold schemas only for references. They count where a reference names them.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// Members that hold data. What looks like a schema there is none.
const DATA: [&str; 5] = ["const", "enum", "default", "examples", "$comment"];
/// Members that hold schemas by any name, so a name there is no keyword.
const NAMED: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "dependencies"];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// The deepest nesting that is followed, through references too. It bounds the stack.
const MAX_DEPTH: usize = 400;

/// Returns the number of subschemas, or `u64::MAX` if they nest too deeply. A reference to a schema around
/// itself counts as one: its depth follows the value. A reference that names nothing here counts as one too,
/// because it does not compile. A reference that may name several counts as the largest of them.
pub(super) fn count(root: &Value) -> u64 {
    let mut names = Names { root, resources: Vec::new(), anchors: HashMap::new() };
    names.collect(root);
    Counter { names, counted: HashMap::new() }.of(root, 0)
}

/// What references can name.
struct Names<'a> {
    root: &'a Value,
    /// The schemas with an id.
    resources: Vec<(&'a str, &'a Value)>,
    anchors: HashMap<&'a str, Vec<&'a Value>>,
}

impl<'a> Names<'a> {
    fn collect(&mut self, schema: &'a Value) {
        match schema {
            Value::Object(members) => {
                for (key, member) in members {
                    match (key.as_str(), member.as_str()) {
                        ("$anchor" | "$dynamicAnchor", Some(name)) => self.add_anchor(name, schema),
                        ("$id" | "id", Some(id)) => {
                            self.resources.push((id, schema));
                            self.add_anchor(id.trim_start_matches('#'), schema);
                        }
                        _ => {}
                    }
                    self.collect(member);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            _ => {}
        }
    }

    fn add_anchor(&mut self, name: &'a str, schema: &'a Value) {
        self.anchors.entry(name).or_default().push(schema);
    }

    /// The schemas that the reference may name. Which one it is depends on the ids around it, which are not
    /// resolved here.
    fn of(&self, reference: &str) -> Vec<&'a Value> {
        let (base, raw) = reference.rsplit_once('#').unwrap_or((reference, ""));
        let fragment = percent_decoded(raw);
        let resources = self.resources.iter().filter(|(id, _)| base.is_empty() || may_name(base, id));
        let resources = std::iter::once(self.root).chain(resources.map(|(_, schema)| *schema));
        let pointed = resources.filter_map(|schema| schema.pointer(&fragment));
        let anchored = [raw, &fragment].into_iter().filter_map(|name| self.anchors.get(name));
        pointed.chain(anchored.flatten().copied()).collect()
    }
}

/// Whether a reference may name the schema with this id. Both may be relative to other ids.
fn may_name(reference: &str, id: &str) -> bool {
    match (last_segment(reference), last_segment(id)) {
        (Some(named), Some(own)) => named.eq_ignore_ascii_case(own),
        _ => true,
    }
}

/// The last segment of a URI's path, if the URI keeps it when it is resolved.
fn last_segment(uri: &str) -> Option<&str> {
    let last = uri.rsplit('/').next()?;
    let is_plain = last.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    (is_plain && !["", ".", ".."].contains(&last)).then_some(last)
}

struct Counter<'a> {
    names: Names<'a>,
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
            Value::Array(items) => self.of_all(items.iter(), depth + 1),
            _ => 0,
        };
        self.counted.insert(schema, Some(count));
        count
    }

    fn of_all(&mut self, schemas: impl Iterator<Item = &'a Value>, depth: usize) -> u64 {
        schemas.map(|schema| self.of(schema, depth)).fold(0, u64::saturating_add)
    }

    fn of_member(&mut self, key: &str, member: &'a Value, depth: usize) -> u64 {
        if DEFINITIONS.contains(&key) || DATA.contains(&key) {
            return 0;
        }
        match member {
            Value::Object(named) if NAMED.contains(&key) => {
                self.of_all(named.values(), depth + 1).saturating_add(1)
            }
            Value::String(reference) if REFERENCES.contains(&key) => {
                let named = self.names.of(reference);
                named.into_iter().map(|schema| self.of(schema, depth)).max().unwrap_or(1)
            }
            _ => self.of(member, depth),
        }
    }
}

/// The fragment without percent signs. In a form, the other three signs have a meaning of their own.
fn percent_decoded(fragment: &str) -> String {
    if !fragment.contains('%') {
        return fragment.to_owned();
    }
    let escaped = fragment.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    let parsed = url::form_urlencoded::parse(escaped.as_bytes()).next();
    parsed.map(|(key, _)| key.into_owned()).unwrap_or_default()
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

    #[test]
    fn names_of_members_are_no_keywords() {
        let leaf = json!({"properties": {"a": true, "b": {}, "c": {}}});
        let twice = json!({"allOf": [{"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/leaf"}]});
        let named = |map: &str, name: &str| count(&json!({"$defs": {"leaf": leaf}, map: {name: twice}}));
        for map in NAMED {
            for name in DATA.into_iter().chain(DEFINITIONS) {
                assert_eq!(named(map, name), named("properties", "x"), "{map} {name}");
            }
        }
        assert!(named("properties", "x") > named("const", "x") + 6);
    }

    #[test]
    fn references_count_what_they_may_name() {
        let large = json!({"properties": {"a": {}, "b": {}, "c": {}, "d": {}, "e": {}}});
        let by = |id: &str, reference: &str| {
            let inner = json!({"$id": id, "$defs": {"d&1": large}, "$ref": "#/$defs/d&1", "allOf": [large]});
            let small = json!({});
            count(&json!({
                "$id": "http://h/root.json",
                "$defs": {"inner": inner, "small": {"$id": "a.json"}, "d&1": small},
                "allOf": [{"$ref": reference}],
            }))
        };
        for (id, reference) in [
            ("http://h/a.json", "a.json"),
            ("http://h/a.json", "/x/../a.json"),
            ("http://h/a.json", "%61.json"),
            ("http://h/b/", "b/x/.."),
            ("http://h/a.json", "a.json#/$defs/d%261"),
            ("urn:a:b", "urn:a:b"),
        ] {
            assert!(by(id, reference) > 6, "{id} {reference}");
        }
        assert!(by("http://h/a.json", "a.json") > 12, "its own definition counts, not the one of the root");
        assert!(by("http://h/a.json", "other.json") < 6);
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
