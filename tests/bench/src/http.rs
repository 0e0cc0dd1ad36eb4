//! A client that costs next to nothing, so that the machine is the gateway's: one connection, one request after the other,
//! written and read as bytes.

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MAX_ANSWER: usize = 64 * 1024;

pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(MAX_ANSWER) })
    }

    /// Sends a whole request; the status of its answer, which is read to its end.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the gateway hung up");
            ensure!(self.answer.len() < MAX_ANSWER, "a longer answer than expected");
            let Some(head) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&self.answer[..head])?;
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.context("an answer without content-length")?.parse()?;
            if self.answer.len() >= head + 4 + length {
                return Ok(text.get(9..12).context("no status")?.parse()?);
            }
        }
    }
}
