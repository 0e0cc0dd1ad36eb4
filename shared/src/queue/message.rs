//! The body of each message: ids and a version, never data. Old versions stay readable.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

const MAX_BYTES: usize = 1024;
/// The longest broadcast that is read. This version writes at most [`MAX_BYTES`]: the former version reads no
/// longer one.
const MAX_BROADCAST_BYTES: usize = 16 * 1024;
const VERSION: u32 = 1;

/// The most that one nudge counts. A user with more work is nudged again when its runs are claimed.
pub(super) const MAX_COUNT: u32 = 1000;
/// Ids of one broadcast, so that it has at most [`MAX_BYTES`].
pub(super) const MAX_IDS: usize = 24;

/// Says that a user or a lane may have work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nudge {
    /// The user's id in a run nudge, the lane's id in a delivery nudge.
    pub id: Uuid,
    /// How many nudges this one stands for, about as many as there are pieces of work. At least 1.
    pub count: u32,
}

/// Why a message is no nudge for this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// A process of the next version reads it, so it goes back to its queue.
    #[error("the message has a newer version")]
    Newer,
    #[error("the message is no nudge of a known version")]
    Undecodable,
}

/// A reader of the former version ignores `n` and takes the nudge for a single one.
#[derive(Serialize, Deserialize)]
struct Wire {
    v: u32,
    id: Uuid,
    /// Absent for 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
}

/// A reader of the former version sees the first id only. It finds the others when it polls.
#[derive(Serialize, Deserialize)]
struct IdsWire {
    v: u32,
    id: Uuid,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more: Vec<Uuid>,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

impl Nudge {
    /// A single nudge.
    #[must_use]
    pub const fn new(id: Uuid) -> Self {
        Self { id, count: 1 }
    }

    /// One nudge for several pieces of work. A count below 1 becomes 1, and the count is capped.
    #[must_use]
    pub fn times(id: Uuid, count: u32) -> Self {
        Self { id, count: count.clamp(1, MAX_COUNT) }
    }

    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let Self { id, count } = Self::times(self.id, self.count);
        let n = (count > 1).then_some(count.into());
        serde_json::to_vec(&Wire { v: VERSION, id, n }).unwrap_or_default()
    }

    /// Ignores unknown fields, which a later version may add.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unread> {
        if bytes.len() > MAX_BYTES {
            return Err(Unread::Undecodable);
        }
        match serde_json::from_slice(bytes) {
            Ok(Wire { v: VERSION, id, n }) => {
                Ok(Self::times(id, u32::try_from(n.unwrap_or(1)).unwrap_or(MAX_COUNT)))
            }
            _ => Err(why_unread(bytes)),
        }
    }
}

fn why_unread(bytes: &[u8]) -> Unread {
    match serde_json::from_slice(bytes) {
        Ok(Version { v }) if v > VERSION => Unread::Newer,
        _ => Unread::Undecodable,
    }
}

/// The body of a broadcast about these ids. `None` without ids.
pub(super) fn encode_ids(ids: &[Uuid]) -> Option<Vec<u8>> {
    let (first, more) = ids.split_first()?;
    serde_json::to_vec(&IdsWire { v: VERSION, id: *first, more: more.to_vec() }).ok()
}

/// The ids of a broadcast; none if only another version can read it.
pub(super) fn decode_ids(bytes: &[u8]) -> Vec<Uuid> {
    if bytes.len() > MAX_BROADCAST_BYTES {
        return Vec::new();
    }
    match serde_json::from_slice(bytes) {
        Ok(IdsWire { v: VERSION, id, mut more }) => {
            more.insert(0, id);
            more
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0197f7a0-0000-7000-8000-000000000000";

    /// How the former version reads a nudge or a broadcast.
    fn read_by_the_former_version(bytes: &[u8]) -> Option<Uuid> {
        #[derive(Deserialize)]
        struct Former {
            v: u8,
            id: Uuid,
        }
        let read: Former = (bytes.len() <= 1024).then(|| serde_json::from_slice(bytes).ok())??;
        (read.v == 1).then_some(read.id)
    }

    #[test]
    fn a_nudge_is_read_by_both_versions() {
        let id = Uuid::now_v7();
        let single = Nudge::new(id).encode();
        assert_eq!(String::from_utf8(single.clone()).unwrap(), format!(r#"{{"v":1,"id":"{id}"}}"#));
        assert_eq!(Nudge::decode(&single), Ok(Nudge { id, count: 1 }), "the former version writes this too");
        let several = Nudge::times(id, 7).encode();
        assert_eq!(Nudge::decode(&several), Ok(Nudge { id, count: 7 }));
        assert_eq!(read_by_the_former_version(&several), Some(id));
        let grown = format!(r#"{{"v":1,"id":"{id}","n":2,"later":true}}"#);
        assert_eq!(Nudge::decode(grown.as_bytes()), Ok(Nudge { id, count: 2 }));
    }

    #[test]
    fn a_count_is_at_least_one_and_capped() {
        let count = |n: &str| {
            let message = format!(r#"{{"v":1,"id":"{ID}","n":{n}}}"#);
            Nudge::decode(message.as_bytes()).map(|nudge| nudge.count)
        };
        assert_eq!((count("0"), count("1000")), (Ok(1), Ok(MAX_COUNT)));
        assert_eq!((count("1001"), count("18446744073709551615")), (Ok(MAX_COUNT), Ok(MAX_COUNT)));
        assert_eq!((count("-1"), count("\"x\"")), (Err(Unread::Undecodable), Err(Unread::Undecodable)));
        let out_of_bounds = Nudge { id: Uuid::nil(), count: 0 };
        assert_eq!(Nudge::decode(&out_of_bounds.encode()).map(|nudge| nudge.count), Ok(1));
    }

    #[test]
    fn a_newer_message_is_told_from_one_that_no_version_reads() {
        for newer in [format!(r#"{{"v":2,"id":"{ID}"}}"#), r#"{"v":300,"ids":[7]}"#.to_owned()] {
            assert_eq!(Nudge::decode(newer.as_bytes()), Err(Unread::Newer), "{newer}");
        }
        let old = format!(r#"{{"v":0,"id":"{ID}"}}"#);
        for bad in ["", "{}", r#"{"v":"2"}"#, r#"{"v":1}"#, &old, &"x".repeat(2000)] {
            assert_eq!(Nudge::decode(bad.as_bytes()), Err(Unread::Undecodable), "{bad}");
        }
    }

    #[test]
    fn a_broadcast_is_read_by_both_versions() {
        let ids: Vec<_> = (0..MAX_IDS).map(|_| Uuid::now_v7()).collect();
        let all = encode_ids(&ids).unwrap();
        assert_eq!((decode_ids(&all), read_by_the_former_version(&all)), (ids.clone(), Some(ids[0])));
        let single = encode_ids(&ids[..1]).unwrap();
        assert_eq!(single, Nudge::new(ids[0]).encode(), "as the former version writes it");
        assert_eq!(decode_ids(&single), ids[..1]);
        assert_eq!(encode_ids(&[]), None);
        let many: Vec<_> = (0..300).map(|_| Uuid::now_v7()).collect();
        assert_eq!(decode_ids(&encode_ids(&many).unwrap()), many, "a later version may write more");
        for bad in ["", "{}", r#"{"v":2,"id":"0197f7a0-0000-7000-8000-000000000000"}"#, &"x".repeat(20_000)] {
            assert!(decode_ids(bad.as_bytes()).is_empty());
        }
    }
}
