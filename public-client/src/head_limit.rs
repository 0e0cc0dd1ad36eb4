//! Bounds what a server may send before its answer begins. Interim answers (1xx) have no bound of their own:
//! a server that sends them without end would keep a thread busy.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that gives a bounded number of bytes, until the bound is lifted. Then reading is an error.
pub(crate) struct HeadLimit<S> {
    inner: S,
    left: Arc<AtomicUsize>,
}

/// The error of reading beyond the bound.
#[derive(Debug, thiserror::Error)]
#[error("the head of the answer is too long")]
pub(crate) struct TooLong;

/// Sets and lifts the bound of a [`HeadLimit`].
pub(crate) struct Limit(Arc<AtomicUsize>);

impl<S> HeadLimit<S> {
    /// A stream without a bound at first.
    pub(crate) fn new(inner: S) -> (Self, Limit) {
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        (Self { inner, left: Arc::clone(&left) }, Limit(left))
    }
}

impl Limit {
    /// The number of bytes that may be read from now on.
    pub(crate) fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn lift(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, TooLong)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(task, buf))?;
        let read = buf.filled().len() - before;
        // The other side may lift the bound meanwhile.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left != usize::MAX).then(|| left.saturating_sub(read))
        });
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadLimit<S> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(task)
    }
}
