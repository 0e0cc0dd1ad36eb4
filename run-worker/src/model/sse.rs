//! Decodes server-sent events (WHATWG HTML 9.2) of model servers. Only the field `data` matters. Chunks may
//! end anywhere, lines end in LF or CRLF, and the size of an event is bounded.

/// The most bytes of one event.
const MAX_EVENT_BYTES: usize = 4 << 20;

/// The event is larger than [`MAX_EVENT_BYTES`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {MAX_EVENT_BYTES} bytes")]
pub(super) struct EventTooLarge;

#[derive(Default)]
pub(super) struct Decoder {
    line: Vec<u8>,
    data: Vec<u8>,
}

impl Decoder {
    /// Adds the next bytes. Returns the data of the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, EventTooLarge> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
                return Err(EventTooLarge);
            }
            if self.line.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.line);
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                events.extend(self.end_of_line(line));
            }
        }
        Ok(events)
    }

    fn end_of_line(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        if line.is_empty() {
            return (!self.data.is_empty()).then(|| std::mem::take(&mut self.data));
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_the_bytes_are_cut() {
        let stream = ": hello\r\ndata: {\"a\":\"é\"}\r\n\r\nevent: x\ndata:1\ndata: 2\n\n\n\ndata: last\n\n"
            .as_bytes();
        let expected = vec!["{\"a\":\"é\"}".as_bytes().to_vec(), b"1\n2".to_vec(), b"last".to_vec()];
        for size in 1..stream.len() {
            let mut decoder = Decoder::default();
            let events: Vec<_> = stream.chunks(size).flat_map(|part| decoder.push(part).unwrap()).collect();
            assert_eq!(events, expected, "in chunks of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_an_error() {
        let mut decoder = Decoder::default();
        let part = vec![b'x'; 1 << 20];
        assert!((0..5).any(|_| decoder.push(&part) == Err(EventTooLarge)));
    }
}
