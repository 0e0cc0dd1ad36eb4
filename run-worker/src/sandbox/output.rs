//! What a command prints: its beginning and its end for the model, the whole in a file, all of it bounded.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// Bytes that are shown of the beginning, and as many of the end: errors stand at either.
const SHOWN: usize = 8 << 10;

/// See the module.
#[derive(Debug)]
pub struct Printed {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
    path: PathBuf,
    file: Option<File>,
}

impl Printed {
    /// Nothing yet. The file is made when the output is longer than what is shown.
    pub(super) fn new(path: &Path) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), total: 0, path: path.to_owned(), file: None }
    }

    /// Takes more.
    pub(super) async fn take(&mut self, bytes: &[u8]) -> std::io::Result<()> {
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

    /// Everything is written.
    pub(super) async fn finish(&mut self) -> std::io::Result<()> {
        match &mut self.file {
            Some(file) => file.flush().await,
            None => Ok(()),
        }
    }

    /// Bytes that were printed.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The file with all of it, where that is longer than what [`Self::shown`] shows.
    #[must_use]
    pub fn whole(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }

    /// The output; of a long one the beginning and the end, with `between` in the middle.
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
    async fn a_long_output_is_shown_at_both_ends_and_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("printed");
        for (length, step) in
            [(10, 3), (SHOWN * 2, 1000), (SHOWN * 2 + 1, 7), (100_000, 65_536), (100_000, 999)]
        {
            let whole: Vec<u8> = (0..length).map(|at| b"abcdefghij"[at % 10]).collect();
            let _ = std::fs::remove_file(&path);
            let mut printed = Printed::new(&path);
            for part in whole.chunks(step) {
                printed.take(part).await.unwrap();
            }
            printed.finish().await.unwrap();
            assert_eq!(printed.total(), length as u64);
            if length <= SHOWN * 2 {
                assert_eq!(printed.shown("-").as_bytes(), whole);
                assert!(printed.whole().is_none() && !path.exists());
            } else {
                let (head, tail) = (&whole[..SHOWN], &whole[length - SHOWN..]);
                assert_eq!(printed.shown("-").as_bytes(), [head, b"\n-\n", tail].concat(), "{length} {step}");
                assert_eq!(std::fs::read(printed.whole().unwrap()).unwrap(), whole, "{length} {step}");
            }
        }
    }
}
