//! Bounds the event streams that are open in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Open streams of one gateway. Each holds a connection and some kilobytes: together at most 150 MB.
pub const MAX_STREAMS: usize = 5000;

/// The streams that are open.
#[derive(Clone)]
pub struct OpenStreams {
    open: Arc<AtomicUsize>,
    most: usize,
}

/// The gateway has as many streams as it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyStreams;

/// One open stream. Dropping it closes it.
#[derive(Debug)]
pub struct OpenStream(Arc<AtomicUsize>);

impl Default for OpenStreams {
    fn default() -> Self {
        Self::with_most(MAX_STREAMS)
    }
}

impl OpenStreams {
    fn with_most(most: usize) -> Self {
        Self { open: Arc::default(), most }
    }

    /// Opens a stream, if there is a place for it.
    pub fn open(&self) -> Result<OpenStream, TooManyStreams> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let opened = OpenStream(Arc::clone(&self.open));
        metrics::gauge!("capi_open_streams").increment(1.0);
        if before < self.most { Ok(opened) } else { Err(TooManyStreams) }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("capi_open_streams").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_of_a_gateway_are_bounded() {
        let streams = OpenStreams::with_most(2);
        let (first, _second) = (streams.open().unwrap(), streams.open().unwrap());
        assert!(streams.open().is_err() && streams.open().is_err());
        drop(first);
        let _third = streams.open().unwrap();
        assert_eq!(streams.open().unwrap_err(), TooManyStreams);
    }
}
