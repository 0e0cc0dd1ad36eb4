//! Sends the words of an answer to the streams that show them. Words are collected for a short time, so that
//! a fast model does not cause a message for each word.

use std::time::Duration;

use shared::queue::MAX_WORDS_BYTES;
use shared::text::CleanText;
use tokio::time::Instant;

/// How long words are collected.
const COLLECT_FOR: Duration = Duration::from_millis(50);
/// Bytes that are sent without waiting longer.
const ENOUGH: usize = 1 << 10;

/// Where words go. All functions return at once.
pub trait Outlet: Sync {
    /// Whether a stream shows the words.
    fn is_watched(&self) -> bool;

    fn send(&self, text: String);

    /// Another piece of the text arrived. [`Self::send`] gets several pieces together.
    fn heard(&self) {}
}

/// The words of one request to a model.
pub struct Words<'o> {
    outlet: &'o dyn Outlet,
    collected: String,
    due: Option<Instant>,
}

impl<'o> Words<'o> {
    #[must_use]
    pub fn new(outlet: &'o dyn Outlet) -> Self {
        Self { outlet, collected: String::new(), due: None }
    }

    /// Takes the next words.
    pub(crate) fn hear(&mut self, text: &str) {
        if text.is_empty() || !self.outlet.is_watched() {
            return;
        }
        self.outlet.heard();
        self.collected.push_str(text);
        if self.collected.len() >= ENOUGH {
            self.send();
        } else {
            self.due = self.due.or_else(|| Some(Instant::now() + COLLECT_FOR));
        }
    }

    /// When to call [`Self::send`].
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Sends what was collected.
    pub(crate) fn send(&mut self) {
        self.due = None;
        let collected = std::mem::take(&mut self.collected);
        let mut rest = collected.as_str();
        while !rest.is_empty() {
            let (part, more) = rest.split_at(rest.floor_char_boundary(MAX_WORDS_BYTES));
            self.outlet.send(CleanText::new(part, usize::MAX).into_string());
            rest = more;
        }
    }
}

/// Sends the last words of an answer too, shortly before the event with the answer.
impl Drop for Words<'_> {
    fn drop(&mut self) {
        self.send();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Default)]
    struct Stream {
        open: AtomicBool,
        got: Mutex<Vec<String>>,
    }

    impl Outlet for Stream {
        fn is_watched(&self) -> bool {
            self.open.load(Ordering::Relaxed)
        }

        fn send(&self, text: String) {
            self.got.lock().unwrap().push(text);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn words_are_collected_and_sent_only_to_a_stream() {
        let stream = Stream::default();
        let got = || std::mem::take(&mut *stream.got.lock().unwrap());
        let mut words = Words::new(&stream);
        words.hear("no stream shows this");
        assert_eq!((words.due(), words.collected.capacity()), (None, 0), "it costs nothing");
        stream.open.store(true, Ordering::Relaxed);
        words.hear("Hel");
        words.hear("lo");
        assert_eq!(words.due(), Some(Instant::now() + COLLECT_FOR));
        assert!(got().is_empty());
        words.send();
        assert_eq!((got(), words.due()), (vec!["Hello".to_owned()], None));
        words.hear(&"x".repeat(ENOUGH));
        assert_eq!(got().len(), 1, "enough is sent at once");
        let long = format!("a\0{}", "é".repeat(MAX_WORDS_BYTES));
        words.hear(&long);
        let parts = got();
        assert!(
            parts.len() == 3 && parts.iter().all(|part| part.len() <= MAX_WORDS_BYTES + 2),
            "{}",
            parts.len()
        );
        assert_eq!(parts.concat(), long.replace('\0', "\u{fffd}"));
        words.hear("the end");
        drop(words);
        assert_eq!(got(), ["the end"]);
    }
}
