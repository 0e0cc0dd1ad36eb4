//! The body of each message: an id and a version, never data. Old versions stay decodable.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

const MAX_BYTES: usize = 1024;
const VERSION: u8 = 1;

/// Says that a user or a lane may have work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nudge {
    /// The user's id in a run nudge, the lane's id in a delivery nudge, the run's id in a broadcast.
    pub id: Uuid,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is no nudge of a known version")]
pub struct UndecodableMessage;

#[derive(Serialize, Deserialize)]
struct Wire {
    v: u8,
    id: Uuid,
}

impl Nudge {
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        format!(r#"{{"v":{VERSION},"id":"{}"}}"#, self.id).into_bytes()
    }

    /// Ignores unknown fields, which a later version may add.
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
    fn decodes_only_nudges_of_this_version() {
        let nudge = Nudge { id: Uuid::now_v7() };
        assert_eq!(Nudge::decode(&nudge.encode()), Ok(nudge));
        let grown = format!(r#"{{"v":1,"id":"{}","later":true}}"#, nudge.id);
        assert_eq!(Nudge::decode(grown.as_bytes()), Ok(nudge));
        for bad in ["", "{}", r#"{"v":2,"id":"0197f7a0-0000-7000-8000-000000000000"}"#, &"x".repeat(2000)] {
            assert_eq!(Nudge::decode(bad.as_bytes()), Err(UndecodableMessage));
        }
    }
}
