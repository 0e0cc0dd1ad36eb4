//! A chunk: at most 1 MiB of a file, at a place in a pack.

use std::io;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use shared::storage::PackId;

/// Larger chunks make a small change of a large file expensive, smaller ones make manifests large.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// The fastest level: commands wait for snapshots.
const LEVEL: i32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) sha256: [u8; 32],
    /// Of the worker's [`Tagger`].
    pub(super) tag: Tag,
    /// Bytes of the file.
    pub(super) size: u32,
    pub(super) pack: PackId,
    /// The compressed bytes in the pack.
    pub(super) offset: u32,
    pub(super) stored: u32,
}

pub(super) type Tag = [u8; 16];

/// Tells whether a chunk changed, three times as fast as SHA-256: a snapshot reads a large file as a whole
/// after each change. The tag is a GMAC (AES-GCM over no text) under a key that only this worker has, so a
/// program cannot make two chunks with the same tag. Tags stay in memory. What is stored has SHA-256.
pub(in crate::workspace) struct Tagger(LessSafeKey);

impl Tagger {
    pub(in crate::workspace) fn new() -> io::Result<Self> {
        let mut key = [0; 16];
        let failed = |_| io::Error::other("failed to make a key");
        aws_lc_rs::rand::fill(&mut key).map_err(failed)?;
        Ok(Self(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).map_err(failed)?)))
    }

    pub(super) fn tag(&self, bytes: &[u8]) -> io::Result<Tag> {
        // One nonce for all tags would help to forge only if the attacker saw tags. They stay in memory.
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let sealed = self.0.seal_in_place_separate_tag(nonce, Aad::from(bytes), &mut []);
        let sealed = sealed.map_err(|_| io::Error::other("failed to tag a chunk"))?;
        sealed.as_ref().try_into().map_err(io::Error::other)
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

pub(super) fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, LEVEL)
}

/// The chunk's bytes, checked by their hash. `pack` is the whole pack.
pub(super) fn extract(chunk: &Chunk, pack: &[u8]) -> Option<Vec<u8>> {
    let (from, size) = (chunk.offset as usize, chunk.size as usize);
    let stored = pack.get(from..from.checked_add(chunk.stored as usize)?)?;
    let bytes = zstd::bulk::decompress(stored, size.min(CHUNK_BYTES)).ok()?;
    (bytes.len() == size && sha256(&bytes) == chunk.sha256).then_some(bytes)
}
