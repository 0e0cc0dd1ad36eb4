//! JSON values without duplicate keys, of bounded memory: a body of 1 MiB can hold values that take 90 times
//! as much.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Bytes of memory that one value may take, about. A table of 20,000 rows with a few short members fits.
const MAX_MEMORY: usize = 24 << 20;
/// Bytes of a node of an object, which holds up to [`NODE_MEMBERS`] members, half of them if they came in
/// order.
const NODE: usize = 640;
const NODE_MEMBERS: usize = 6;
/// Bytes of an item in an array that grew by doubling.
const ITEM: usize = 2 * size_of::<Value>();
/// Bytes of a string beside its text.
const STRING: usize = 16;

/// Any JSON value, and the bytes of memory that it takes, about. An object with a duplicate key is an error.
pub fn json_value(text: &[u8]) -> serde_json::Result<(Value, usize)> {
    let memory = Cell::new(0);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict(&memory).deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, memory.get()))
}

/// Reads any JSON value and refuses duplicate keys, of which serde_json would silently keep the last.
#[derive(Clone, Copy)]
struct Strict<'m>(&'m Cell<usize>);

impl Strict<'_> {
    fn take<E: serde::de::Error>(self, bytes: usize) -> Result<(), E> {
        self.0.set(self.0.get().saturating_add(bytes));
        if self.0.get() > MAX_MEMORY {
            return Err(E::custom("too many objects and values; send a part of them, or a file"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.take(STRING + value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            self.take(ITEM)?;
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let node = if members.len().is_multiple_of(NODE_MEMBERS) { NODE } else { 0 };
            self.take(node + STRING + key.len())?;
            let value = access.next_value_seed(self)?;
            if members.contains_key(&key) {
                return Err(serde::de::Error::custom(format_args!(
                    "the key {key:?} appears twice in one object"
                )));
            }
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_bounded_memory() {
        let rows = |row: &str, count: usize| format!("[{}0]", format!("{row},").repeat(count));
        let (_, memory) =
            json_value(rows(r#"{"id": 12345, "name": "Ada Lovelace"}"#, 20_000).as_bytes()).unwrap();
        assert!(memory > 20_000 * NODE, "{memory}");
        let objects = [rows(r#"{"":0}"#, 149_000), rows(r#"{"":{"":0}}"#, 90_000)];
        for bomb in objects.into_iter().chain([rows("[[0]]", 170_000), rows("0", 500_000)]) {
            let refused = json_value(bomb.as_bytes()).map(|(_, memory)| memory);
            assert!(refused.is_err_and(|error| error.to_string().contains("too many objects")));
        }
    }
}
