//! The manifest: JSON in zstd. It lists all files and directories, and the packs with their chunks.

use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::storage::{PackId, hex};

use super::super::WorkspaceError;
use super::super::measure::Quota;
use super::chunk::{CHUNK_BYTES, Chunk};
use super::packs::MAX_PACK_BYTES;
use super::{Content, FileContent, changed, too_many_names};

/// The size of the JSON: the names (a byte may need three characters), 10,000 entries, and the chunks of
/// 1 GiB.
const MAX_BYTES: u64 = 32 << 20;
const LEVEL: i32 = 1;

#[derive(Serialize, Deserialize)]
struct Manifest {
    packs: Vec<ListedPack>,
    dirs: Vec<String>,
    files: Vec<ListedFile>,
}

#[derive(Serialize, Deserialize)]
struct ListedPack {
    #[serde(flatten)]
    id: PackId,
    size: u64,
}

#[derive(Serialize, Deserialize)]
struct ListedFile {
    path: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    executable: bool,
    modified: (i64, u32),
    chunks: Vec<ListedChunk>,
}

#[derive(Serialize, Deserialize)]
struct ListedChunk {
    sha256: String,
    size: u32,
    /// The place in `packs`.
    pack: usize,
    offset: u32,
    stored: u32,
}

pub(in crate::workspace) fn encode(content: &Content) -> Result<Vec<u8>, WorkspaceError> {
    let ids: Vec<PackId> = content.packs().collect();
    let listed = |chunk: &Chunk| {
        let pack = ids.binary_search(&chunk.pack).map_err(|_| changed("a chunk is in no pack"))?;
        let Chunk { sha256, size, offset, stored, .. } = chunk;
        Ok(ListedChunk { sha256: hex(sha256), size: *size, pack, offset: *offset, stored: *stored })
    };
    let files = content.files.iter().map(|(path, file)| {
        Ok(ListedFile {
            path: escape(path),
            executable: file.executable,
            modified: file.modified,
            chunks: file.chunks.iter().map(listed).collect::<io::Result<_>>()?,
        })
    });
    let manifest = Manifest {
        packs: content.packs.iter().map(|(id, size)| ListedPack { id: *id, size: *size }).collect(),
        dirs: content.dirs.iter().map(|path| escape(path)).collect(),
        files: files.collect::<io::Result<_>>()?,
    };
    let json = serde_json::to_vec(&manifest).map_err(io::Error::other)?;
    if json.len() as u64 > MAX_BYTES {
        return Err(too_many_names());
    }
    Ok(zstd::bulk::compress(&json, LEVEL)?)
}

/// Reads a manifest whose hash was checked. The program in the sandbox chose the names, so they are checked
/// too.
pub(in crate::workspace) fn decode(bytes: &[u8], quota: &Quota) -> io::Result<Content> {
    let mut json = Vec::new();
    zstd::Decoder::new(bytes)?.take(MAX_BYTES + 1).read_to_end(&mut json)?;
    if json.len() as u64 > MAX_BYTES {
        return Err(changed("the manifest is too large"));
    }
    let manifest: Manifest = serde_json::from_slice(&json)?;
    let mut content = Content::default();
    for pack in &manifest.packs {
        if pack.size > MAX_PACK_BYTES as u64 {
            return Err(changed("the manifest names a pack that is too large"));
        }
        content.packs.insert(pack.id, pack.size);
    }
    content.dirs = manifest.dirs.iter().map(|path| unescape(path)).collect::<io::Result<_>>()?;
    let mut bytes = 0_u64;
    for file in manifest.files {
        let chunks = file.chunks.iter().map(|chunk| read(chunk, &manifest.packs));
        let chunks = chunks.collect::<Option<Vec<_>>>().ok_or_else(|| changed("a chunk is not valid"))?;
        bytes += chunks.iter().map(|chunk| u64::from(chunk.size)).sum::<u64>();
        let (executable, modified) = (file.executable, file.modified);
        let restored = FileContent { executable, modified, chunks, stamp: None };
        content.files.insert(unescape(&file.path)?, restored);
    }
    if bytes > quota.bytes || (content.files.len() + content.dirs.len()) as u64 > quota.entries {
        return Err(io::Error::other("the snapshot holds more than the workspace may"));
    }
    Ok(content)
}

fn read(listed: &ListedChunk, packs: &[ListedPack]) -> Option<Chunk> {
    let ListedChunk { size, offset, stored, .. } = *listed;
    let pack = packs.get(listed.pack)?.id;
    let mut sha256 = [0; 32];
    if listed.sha256.len() != 64 || size as usize > CHUNK_BYTES {
        return None;
    }
    for (at, byte) in sha256.iter_mut().enumerate() {
        *byte = u8::from_str_radix(listed.sha256.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    // The tag belongs to the key of a worker; the next look at the file computes it.
    Some(Chunk { sha256, tag: [0; 16], size, pack, offset, stored })
}

/// A path as text: bytes that are not UTF-8, and `%`, become `%XX`.
fn escape(path: &Path) -> String {
    let mut text = String::new();
    for part in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&part.valid().replace('%', "%25"));
        for byte in part.invalid() {
            text.push('%');
            text.push_str(&hex(&[*byte]));
        }
    }
    text
}

fn unescape(text: &str) -> io::Result<PathBuf> {
    let wrong = || changed("the snapshot names a path outside the workspace");
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let code = after.get(..2).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(code, 16).map_err(|_| wrong())?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
    let mut parts = path.components();
    let inside = !path.as_os_str().is_empty() && parts.all(|part| matches!(part, Component::Normal(_)));
    if inside && !path.as_os_str().as_bytes().contains(&0) { Ok(path) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_as_text_and_lead_nowhere_else() {
        for path in [&b"a/b"[..], b"100%", "\u{e9}\u{1f600}".as_bytes(), b"\xff\xfe/\n%41", b"x"] {
            let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
            assert_eq!(unescape(&escape(&path)).unwrap(), path);
        }
        for text in ["", "/x", "../x", "a/../../x", "%2e%2e/x", "a%", "a%0", "a%zz", "a%00"] {
            assert!(unescape(text).is_err(), "{text}");
        }
    }
}
