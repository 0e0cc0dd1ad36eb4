//! A client that uses little processor time, so that the gateway gets the rest. It sends bytes over one
//! connection, one request at a time.

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MAX_RESPONSE: usize = 64 * 1024;

pub(crate) struct Connection {
    stream: TcpStream,
    response: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, response: Vec::with_capacity(MAX_RESPONSE) })
    }

    /// Sends a whole request, reads the whole response and returns its status.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        self.response.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.response).await? > 0, "the gateway closed the connection");
            ensure!(self.response.len() < MAX_RESPONSE, "the response is longer than {MAX_RESPONSE} bytes");
            let Some(head) = self.response.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&self.response[..head])?;
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.context("the response has no content-length")?.parse()?;
            if self.response.len() >= head + 4 + length {
                return Ok(text.get(9..12).context("the response has no status")?.parse()?);
            }
        }
    }
}
