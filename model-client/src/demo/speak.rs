//! Says a text word by word, as a language model does.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Words;

/// Before the first word. Without it, a viewer could not follow the steps of a run.
const BEFORE: Duration = Duration::from_millis(250);
/// Between two words.
const PAUSE: Duration = Duration::from_millis(20);
/// A long text is said faster, so that no answer takes longer.
const LONGEST: Duration = Duration::from_secs(2);

pub(super) async fn say(text: &str, mut words: Words<'_>) {
    sleep(BEFORE).await;
    let pieces: Vec<_> = text.split_inclusive(char::is_whitespace).collect();
    let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX).max(1);
    let pause = PAUSE.min(LONGEST / count);
    let begun = Instant::now();
    for piece in pieces {
        words.hear(piece);
        if words.due().is_some_and(|due| due <= Instant::now()) {
            words.send();
        }
        // A timer of the runtime waits a millisecond at least.
        if begun.elapsed() < LONGEST {
            sleep(pause).await;
        }
    }
}
