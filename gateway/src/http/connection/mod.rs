//! The bytes of a client's connection, between the kernel and the HTTP library. The library has no bound for
//! what it reads after an early answer, for the time of a later request's head, and for when the interim
//! answer 100 is given. This layer adds them.

mod body;
mod state;

pub use body::{AnswerBody, RequestBody};
pub use state::Client;
pub(super) use state::LINGER;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use state::{Continue, State};

const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

pub struct Connection {
    stream: TcpStream,
    state: Rc<State>,
    timer: Pin<Box<Sleep>>,
    /// The rest of an interim answer that goes out.
    interim: &'static [u8],
}

impl Connection {
    #[must_use]
    pub fn new(stream: TcpStream, keep_alive: Duration) -> Self {
        let timer = Box::pin(sleep_until(Instant::now()));
        Self { stream, state: Rc::new(State::new(keep_alive)), timer, interim: &[] }
    }

    /// The connection, for its requests.
    #[must_use]
    pub fn client(&self) -> Client {
        Client(Rc::clone(&self.state))
    }

    fn is_over(&mut self, task: &mut Context<'_>) -> bool {
        let Some(deadline) = self.state.deadline() else { return false };
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(task).is_ready()
    }

    /// Reads at most so many bytes, which the library discards.
    fn poll_discarded(
        &mut self,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        let most = most.min(bytes.len()).min(buffer.remaining());
        let mut part = ReadBuf::new(&mut bytes[..most]);
        ready!(Pin::new(&mut self.stream).poll_read(task, &mut part))?;
        buffer.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }

    /// Writes the interim answer if it is due.
    fn poll_interim(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.interim.get() == Continue::Due {
            self.state.interim.set(Continue::No);
            self.interim = INTERIM;
        }
        while !self.interim.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(task, self.interim))?;
            self.interim = &self.interim[written..];
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.state.keep(task.waker());
        if this.is_over(task) {
            // Looks like the end of what the client sends. The library then closes the connection.
            this.state.ended.set(true);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = match this.state.readable() {
            None => return Poll::Pending,
            Some(most) if most < buffer.remaining() => this.poll_discarded(task, buffer, most),
            Some(_) => Pin::new(&mut this.stream).poll_read(task, buffer),
        };
        let read = ready!(read);
        match buffer.filled().len() - before {
            0 => this.state.ended.set(true),
            bytes => this.state.received(bytes, Instant::now()),
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.starts_with(INTERIM) && this.state.hold_interim() {
            return Poll::Ready(Ok(INTERIM.len()));
        }
        ready!(this.poll_interim(task))?;
        Pin::new(&mut this.stream).poll_write(task, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_interim(task))?;
        Pin::new(&mut this.stream).poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(task)
    }
}
