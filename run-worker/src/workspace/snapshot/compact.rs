//! Rewrites packs that hold little, so that a run's objects stay few and small. A pack is rewritten if less
//! than half of it is in use: then the store holds at most twice the workspace, and rewriting costs no more
//! than the changes that made the rest unused. Small packs are merged when there are many.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use shared::storage::PackId;

use super::super::WorkspaceError;
use super::super::root_dir::RootDir;
use super::chunk::{CHUNK_BYTES, Chunk, Tagger};
use super::packs::{PACK_BYTES, Packs};
use super::{Content, changed};

/// A pack below this size is small.
const SMALL_PACK: u64 = (PACK_BYTES / 4) as u64;
/// More small packs than this are merged.
const MAX_SMALL_PACKS: usize = 64;

/// Writes the chunks of such packs again, from the files.
pub(super) fn compact(
    workspace: &Path,
    content: &mut Content,
    tagger: &Tagger,
    packs: &mut Packs<'_>,
) -> Result<(), WorkspaceError> {
    let rewritten = to_rewrite(content);
    if rewritten.is_empty() {
        return Ok(());
    }
    packs.forget_old_packs_except(|pack| content.packs.contains_key(pack) && !rewritten.contains(pack));
    let (root, mut buffer) = (RootDir::open(workspace)?, Vec::new());
    for (path, file) in &mut content.files {
        let mut open = None;
        for (at, chunk) in file.chunks.iter_mut().enumerate() {
            if !rewritten.contains(&chunk.pack) {
                continue;
            }
            let source = match &mut open {
                Some(source) => source,
                open => open.insert(root.read(path)?),
            };
            source.seek(SeekFrom::Start((at * CHUNK_BYTES) as u64))?;
            buffer.clear();
            source.by_ref().take(chunk.size.into()).read_to_end(&mut buffer)?;
            if tagger.tag(&buffer)? != chunk.tag {
                return Err(changed("a file changed while it was read").into());
            }
            *chunk = packs.add(&buffer, chunk.tag)?;
        }
    }
    Ok(())
}

/// The old packs that are worth it.
fn to_rewrite(content: &Content) -> BTreeSet<PackId> {
    let mut used: BTreeMap<PackId, HashMap<u32, u32>> = BTreeMap::new();
    let chunks = content.files.values().flat_map(|file| &file.chunks);
    for Chunk { pack, offset, stored, .. } in chunks {
        used.entry(*pack).or_default().insert(*offset, *stored);
    }
    let in_use = |pack: &PackId| -> u64 {
        used.get(pack).into_iter().flat_map(HashMap::values).copied().map(u64::from).sum()
    };
    let wasteful = content.packs.iter().filter(|(pack, size)| in_use(pack) * 2 < **size);
    let mut rewritten: BTreeSet<PackId> = wasteful.map(|(pack, _)| *pack).collect();
    let small = content.packs.iter().filter(|(_, size)| **size < SMALL_PACK).map(|(pack, _)| *pack);
    let small: Vec<PackId> = small.collect();
    if small.len() > MAX_SMALL_PACKS {
        rewritten.extend(small);
    }
    rewritten
}
