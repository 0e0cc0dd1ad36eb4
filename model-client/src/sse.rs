//! Decodes server-sent events (WHATWG HTML 9.2) of model servers. Only the field `data` matters. Chunks may
//! end anywhere, lines end in LF, CR or CRLF, and the size of an event is bounded. Some servers send JSON
//! without events, whatever content type they announce. The decoder keeps it apart.

use serde_json::Value;

use super::json;

/// The most bytes of one event, or of an answer without events.
const MAX_EVENT_BYTES: usize = 4 << 20;
/// The fields of an event, and a comment.
const FIELDS: [&[u8]; 5] = [b"data", b"event", b"id", b"retry", b""];

/// The event is larger than [`MAX_EVENT_BYTES`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {MAX_EVENT_BYTES} bytes")]
pub(super) struct EventTooLarge;

#[derive(Default)]
pub(super) struct Decoder {
    line: Vec<u8>,
    data: Vec<u8>,
    /// Lines that belong to no event.
    plain: Vec<u8>,
    after_cr: bool,
}

const fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

impl Decoder {
    /// Adds the next bytes. Returns the data of the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, EventTooLarge> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|byte| is_end(*byte)) {
            // The second byte of CRLF.
            if std::mem::take(&mut self.after_cr) && part == b"\n" {
                continue;
            }
            self.line.extend_from_slice(part);
            if self.line.len() + self.data.len() + self.plain.len() > MAX_EVENT_BYTES {
                return Err(EventTooLarge);
            }
            self.after_cr = part.ends_with(b"\r");
            if self.line.last().is_some_and(|byte| is_end(*byte)) {
                events.extend(self.end_of_line());
            }
        }
        Ok(events)
    }

    fn end_of_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        let end = line.strip_suffix(b"\n").or_else(|| line.strip_suffix(b"\r")).unwrap_or(&line);
        let text = end.strip_prefix("\u{feff}".as_bytes()).unwrap_or(end);
        if text.is_empty() {
            return (!self.data.is_empty()).then(|| std::mem::take(&mut self.data));
        }
        let mut parts = text.splitn(2, |byte| *byte == b':');
        let (field, value) = (parts.next().unwrap_or_default(), parts.next());
        if field == b"data" {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            let value = value.unwrap_or_default();
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        } else if !FIELDS.contains(&field) {
            self.plain.extend_from_slice(&line);
        }
        None
    }

    /// The data of an event that the server did not end.
    pub(super) fn last_event(&mut self) -> Option<Vec<u8>> {
        if !self.line.is_empty() {
            self.end_of_line();
        }
        (!self.data.is_empty()).then(|| std::mem::take(&mut self.data))
    }

    /// Whether JSON outside of events has begun.
    pub(super) fn begins_json(&self) -> bool {
        self.plain.trim_ascii_start().first().is_some_and(|first| matches!(first, b'{' | b'['))
    }

    /// The JSON outside of events: one value, or one in each line. Empty if there is anything else.
    pub(super) fn plain(&mut self) -> Vec<Value> {
        let plain = std::mem::take(&mut self.plain);
        if let Ok(value) = json::decode(&plain) {
            return vec![value];
        }
        let values = serde_json::Deserializer::from_slice(&plain).into_iter::<Value>();
        values.collect::<Result<_, _>>().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_whole_however_the_bytes_are_cut() {
        let stream = "\u{feff}: hello\r\ndata: {\"a\":\"é\"}\r\n\r\nevent: x\rdata:1\rdata: 2\r\r\n\ndata: \
                      last\n\ndata: open"
            .as_bytes();
        let expected = vec!["{\"a\":\"é\"}".as_bytes().to_vec(), b"1\n2".to_vec(), b"last".to_vec()];
        for size in 1..stream.len() {
            let mut decoder = Decoder::default();
            let events: Vec<_> = stream.chunks(size).flat_map(|part| decoder.push(part).unwrap()).collect();
            assert_eq!(events, expected, "in chunks of {size}");
            assert_eq!(decoder.last_event().as_deref(), Some(&b"open"[..]));
            assert!(decoder.plain().is_empty());
        }
    }

    #[test]
    fn json_without_events_is_kept_apart() {
        let plain = |body: &str| {
            let mut decoder = Decoder::default();
            assert!(decoder.push(body.as_bytes()).unwrap().is_empty());
            assert_eq!(decoder.last_event(), None);
            decoder.plain()
        };
        assert_eq!(plain("{\n \"a\": 1\n}"), [json!({"a": 1})]);
        assert_eq!(plain("{\"a\": 1}\n{\"a\": 2}\n"), [json!({"a": 1}), json!({"a": 2})]);
        assert!(plain("<html>\n<p>{}</p>").is_empty());
    }

    #[test]
    fn an_endless_event_is_an_error() {
        let mut decoder = Decoder::default();
        let part = vec![b'x'; 1 << 20];
        assert!((0..5).any(|_| decoder.push(&part) == Err(EventTooLarge)));
    }
}
