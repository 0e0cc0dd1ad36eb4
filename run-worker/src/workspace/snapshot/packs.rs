//! Writes new chunks into packs. A pack bundles small files, so that ten thousand of them are not ten
//! thousand objects.

use std::collections::HashMap;
use std::io;

use shared::storage::PackId;

use super::chunk::{CHUNK_BYTES, Chunk, Tag, compress, sha256};

/// A pack is full at this size; its last chunk may exceed it. The worker holds up to three packs of a run in
/// memory.
pub(super) const PACK_BYTES: usize = 4 << 20;
/// No pack is larger: bytes that do not compress grow a little.
pub(super) const MAX_PACK_BYTES: usize = PACK_BYTES + CHUNK_BYTES + (64 << 10);

/// The packs of one snapshot.
pub(in crate::workspace) struct Packs<'s> {
    attempt: i32,
    seq: i64,
    /// Takes a whole pack. It may block.
    store: &'s mut dyn FnMut(PackId, Vec<u8>) -> io::Result<()>,
    buffer: Vec<u8>,
    written: Vec<(PackId, u64)>,
    /// Chunks that are stored, by their hash.
    known: HashMap<[u8; 32], Chunk>,
}

impl<'s> Packs<'s> {
    pub(in crate::workspace) fn new(
        attempt: i32,
        seq: i64,
        store: &'s mut dyn FnMut(PackId, Vec<u8>) -> io::Result<()>,
    ) -> Self {
        Self { attempt, seq, store, buffer: Vec::new(), written: Vec::new(), known: HashMap::new() }
    }

    /// Adds chunks that are stored already.
    pub(super) fn know(&mut self, chunks: impl Iterator<Item = Chunk>) {
        self.known.extend(chunks.map(|chunk| (chunk.sha256, chunk)));
    }

    /// Forgets the chunks of all older packs except these: they will be written again.
    pub(super) fn forget_old_packs_except(&mut self, keep: impl Fn(&PackId) -> bool) {
        let own = (self.attempt, self.seq);
        self.known.retain(|_, Chunk { pack, .. }| (pack.attempt, pack.seq) == own || keep(pack));
    }

    /// The place of these bytes. Writes them if they are stored nowhere.
    pub(super) fn add(&mut self, bytes: &[u8], tag: Tag) -> io::Result<Chunk> {
        let sha256 = sha256(bytes);
        if let Some(known) = self.known.get(&sha256) {
            return Ok(Chunk { tag, ..*known });
        }
        let compressed = compress(bytes)?;
        let small = |number: usize| u32::try_from(number).map_err(io::Error::other);
        let chunk = Chunk {
            sha256,
            tag,
            size: small(bytes.len())?,
            pack: self.current(),
            offset: small(self.buffer.len())?,
            stored: small(compressed.len())?,
        };
        self.buffer.extend_from_slice(&compressed);
        self.known.insert(sha256, chunk);
        if self.buffer.len() >= PACK_BYTES {
            self.finish()?;
        }
        Ok(chunk)
    }

    fn current(&self) -> PackId {
        let number = u32::try_from(self.written.len()).unwrap_or(u32::MAX);
        PackId { attempt: self.attempt, seq: self.seq, number }
    }

    /// Hands over the last pack.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let (id, pack) = (self.current(), std::mem::take(&mut self.buffer));
            self.written.push((id, pack.len() as u64));
            (self.store)(id, pack)?;
        }
        Ok(())
    }

    /// The packs that were handed over, with their sizes.
    pub(super) fn written(&self) -> impl Iterator<Item = (PackId, u64)> {
        self.written.iter().copied()
    }
}
