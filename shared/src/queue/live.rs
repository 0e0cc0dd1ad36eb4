//! Messages for streams. Gateways tell workers which runs are watched. Workers send the words of a model that
//! answers a watched run. Both are broadcasts that hold data. They may be lost, and no state depends on them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::RunId;

/// Runs of one message. A message then has at most 16 KiB, one frame.
pub const WATCHED_AT_ONCE: usize = 200;
/// Bytes of the words in one message, before JSON escapes them.
pub const MAX_WORDS_BYTES: usize = 4 << 10;
/// The longest message that is read: words of which each byte is escaped.
const MAX_BYTES: usize = 32 << 10;
const VERSION: u8 = 1;

/// Runs whose streams are open at a gateway. Workers forget them after a while, so gateways repeat it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchedRuns {
    /// The streams show the events of these runs.
    pub events: Vec<RunId>,
    /// The streams also show the words of these runs' models.
    pub words: Vec<RunId>,
}

/// Words of a model's answer, as they arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelWords {
    pub run: RunId,
    /// Which request to the model they answer. Words of an earlier one are out of date.
    pub request: ModelRequest,
    /// The step that the answer will be.
    pub step: i32,
    pub text: String,
}

/// A request to a model. A later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelRequest {
    /// The number that the event with the answer will have.
    pub seq: i64,
    pub attempt: i32,
    /// Counts the requests for this answer within the attempt: a request whose stream breaks is repeated.
    pub tries: u32,
}

#[derive(Serialize, Deserialize)]
struct WatchedWire {
    v: u8,
    #[serde(default)]
    events: Vec<Uuid>,
    #[serde(default)]
    words: Vec<Uuid>,
}

#[derive(Serialize, Deserialize)]
struct WordsWire {
    v: u8,
    run: Uuid,
    seq: i64,
    attempt: i32,
    tries: u32,
    step: i32,
    text: String,
}

impl WatchedRuns {
    /// Each run, and whether a stream shows the words of its model.
    pub fn all(&self) -> impl Iterator<Item = (RunId, bool)> {
        let events = self.events.iter().map(|run| (*run, false));
        events.chain(self.words.iter().map(|run| (*run, true)))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let ids = |runs: &[RunId]| runs.iter().map(|run| run.uuid()).collect();
        let wire = WatchedWire { v: VERSION, events: ids(&self.events), words: ids(&self.words) };
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Ignores unknown fields, which a later version may add.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let wire: WatchedWire = decode(bytes)?;
        let runs = |ids: Vec<Uuid>| ids.into_iter().map(RunId::from).collect();
        (wire.v == VERSION).then(|| Self { events: runs(wire.events), words: runs(wire.words) })
    }
}

impl ModelWords {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { run, request: ModelRequest { seq, attempt, tries }, step, text } = self.clone();
        let wire = WordsWire { v: VERSION, run: run.uuid(), seq, attempt, tries, step, text };
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Ignores unknown fields, which a later version may add.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let WordsWire { v, run, seq, attempt, tries, step, text } = decode(bytes)?;
        let request = ModelRequest { seq, attempt, tries };
        (v == VERSION).then(|| Self { run: run.into(), request, step, text })
    }
}

fn decode<'de, Wire: Deserialize<'de>>(bytes: &'de [u8]) -> Option<Wire> {
    if bytes.len() > MAX_BYTES {
        return None;
    }
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_this_version_are_read_and_others_ignored() {
        let watched = WatchedRuns {
            events: (0..WATCHED_AT_ONCE).map(|_| RunId::generate()).collect(),
            words: vec![RunId::generate()],
        };
        let encoded = watched.encode();
        assert!(encoded.len() <= 16 << 10, "{}", encoded.len());
        assert_eq!(WatchedRuns::decode(&encoded), Some(watched));
        let words = ModelWords {
            run: RunId::generate(),
            request: ModelRequest { seq: 7, attempt: 2, tries: 1 },
            step: 3,
            text: "\u{1}".repeat(MAX_WORDS_BYTES),
        };
        let encoded = words.encode();
        assert_eq!(ModelWords::decode(&encoded), Some(words));
        let text = String::from_utf8(encoded).unwrap();
        assert!(ModelWords::decode(text.replace("\"v\":1", "\"v\":1,\"later\":true").as_bytes()).is_some());
        for bad in ["", "{}", &text.replace("\"v\":1", "\"v\":2"), &"x".repeat(MAX_BYTES + 1)] {
            assert_eq!(
                (ModelWords::decode(bad.as_bytes()), WatchedRuns::decode(bad.as_bytes())),
                (None, None)
            );
        }
        assert_eq!(
            WatchedRuns::decode(br#"{"v":1}"#),
            Some(WatchedRuns::default()),
            "every list may be absent"
        );
    }

    #[test]
    fn a_later_request_to_the_model_is_greater() {
        let request = |seq, attempt, tries| ModelRequest { seq, attempt, tries };
        let ordered = [request(3, 1, 0), request(3, 1, 1), request(3, 2, 0), request(5, 2, 0)];
        assert!(ordered.is_sorted() && ordered[0] < ordered[3]);
    }
}
