//! The output of a command. The model sees its beginning and its end; a long output goes to a file as a
//! whole.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// Bytes shown of the beginning, and as many of the end: errors stand at either.
const SHOWN: usize = 8 << 10;

/// Standard output and standard error, in the order in which they came.
#[derive(Debug)]
pub struct CommandOutput {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
    path: PathBuf,
    file: Option<File>,
}

impl CommandOutput {
    /// The file is made only if the output is longer than what is shown.
    pub(super) fn new(path: &Path) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), total: 0, path: path.to_owned(), file: None }
    }

    /// A short output that is complete.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        let mut output = Self::new(Path::new(""));
        output.head.extend_from_slice(text.as_bytes());
        output.total = text.len() as u64;
        output
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let room = SHOWN - self.head.len();
        let (to_head, to_tail) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(to_head);
        if self.tail.len() + to_tail.len() > SHOWN && self.file.is_none() {
            let mut file = File::create_new(&self.path).await?;
            file.write_all(&self.head[..self.head.len() - to_head.len()]).await?;
            let (front, back) = self.tail.as_slices();
            file.write_all(front).await?;
            file.write_all(back).await?;
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            file.write_all(bytes).await?;
        }
        let kept = &to_tail[to_tail.len().saturating_sub(SHOWN)..];
        let surplus = (self.tail.len() + kept.len()).saturating_sub(SHOWN);
        self.tail.drain(..surplus);
        self.tail.extend(kept);
        self.total += bytes.len() as u64;
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.file {
            Some(file) => file.flush().await,
            None => Ok(()),
        }
    }

    /// The number of bytes printed.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The file with the whole output, if [`Self::shown`] leaves something out.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }

    /// The output. Of a long one, the beginning and the end, with `between` in the middle.
    #[must_use]
    pub fn shown(&self, between: &str) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.file.is_none() {
            let whole = [&self.head[..], &tail].concat();
            return String::from_utf8_lossy(&whole).into_owned();
        }
        format!("{}\n{between}\n{}", String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_output_is_shown_at_both_ends_and_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("output");
        for (length, step) in
            [(10, 3), (SHOWN * 2, 1000), (SHOWN * 2 + 1, 7), (100_000, 65_536), (100_000, 999)]
        {
            let whole: Vec<u8> = (0..length).map(|at| b"abcdefghij"[at % 10]).collect();
            let _ = std::fs::remove_file(&path);
            let mut output = CommandOutput::new(&path);
            for part in whole.chunks(step) {
                output.write(part).await.unwrap();
            }
            output.flush().await.unwrap();
            assert_eq!(output.total(), length as u64);
            if length <= SHOWN * 2 {
                assert_eq!(output.shown("-").as_bytes(), whole);
                assert!(output.file().is_none() && !path.exists());
            } else {
                let (head, tail) = (&whole[..SHOWN], &whole[length - SHOWN..]);
                assert_eq!(output.shown("-").as_bytes(), [head, b"\n-\n", tail].concat(), "{length} {step}");
                assert_eq!(std::fs::read(output.file().unwrap()).unwrap(), whole, "{length} {step}");
            }
        }
    }
}
