//! What a message says. It carries an id and a version, never data; old versions stay decodable.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Bytes that a message may have at most.
const MAX_BYTES: usize = 1024;
const VERSION: u8 = 1;

/// "This user, or this lane, may have work."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nudge {
    /// A user's id in a run nudge, a lane's in a delivery nudge.
    pub id: Uuid,
}

/// A message that is no nudge of a known version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a nudge of a known version")]
pub struct UndecodableMessage;

#[derive(Serialize, Deserialize)]
struct Wire {
    v: u8,
    id: Uuid,
}

impl Nudge {
    /// As JSON.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        format!(r#"{{"v":{VERSION},"id":"{}"}}"#, self.id).into_bytes()
    }

    /// From JSON; fields that a later build adds are ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, UndecodableMessage> {
        if bytes.len() > MAX_BYTES {
            return Err(UndecodableMessage);
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| UndecodableMessage)?;
        if wire.v == VERSION { Ok(Self { id: wire.id }) } else { Err(UndecodableMessage) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes_and_refuses_the_rest() {
        let nudge = Nudge { id: Uuid::now_v7() };
        assert_eq!(Nudge::decode(&nudge.encode()), Ok(nudge));
        let grown = format!(r#"{{"v":1,"id":"{}","later":true}}"#, nudge.id);
        assert_eq!(Nudge::decode(grown.as_bytes()), Ok(nudge));
        for bad in ["", "{}", r#"{"v":2,"id":"0197f7a0-0000-7000-8000-000000000000"}"#, &"x".repeat(2000)] {
            assert_eq!(Nudge::decode(bad.as_bytes()), Err(UndecodableMessage));
        }
    }
}
