//! The roll of a directory: its names on the disk brought together with its part of the baseline.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use rustix::io::Errno;

use crate::{
    files::{
        area::path_limit::room,
        remote::lookup::{AccessError, LookupListing},
        scan::scope::KnownEntry,
    },
    model::{
        escape::escape_name,
        file::entry::{Entry, EntryId},
    },
    store::sqlite::{connection::Store, error::StoreError},
};

/// Names that one worker looks at in one go.
pub(in crate::files) const NAMES: usize = 512;

/// Names read from a directory at once, and entries read from the baseline at once.
const BLOCK: usize = 4096;

/// A name with what the baseline has of it.
#[derive(Debug)]
pub(in crate::files) struct NamedEntry {
    pub(in crate::files) name: Vec<u8>,
    pub(in crate::files) known: KnownEntry,
    /// Whether its directory calls it a regular file.
    pub(in crate::files) is_regular: bool,
}

impl NamedEntry {
    /// An entry of the baseline that the listing did not show.
    fn unlisted(entry: Box<Entry>) -> Self {
        Self { name: entry.name.clone(), known: KnownEntry::Yes(entry), is_regular: false }
    }
}

/// The names of a directory, in pieces for one worker each.
pub(in crate::files) struct MatchedNames {
    pub(in crate::files) pieces: Vec<Vec<NamedEntry>>,
    /// Whether it has names that make paths which are too long, and are not among the others; `None` when that was not seen.
    pub(in crate::files) is_beyond: Option<bool>,
}

/// Brings the names of the directory at `path` together with its part of the baseline; `id` is its row, `None` when the baseline has
/// nothing beneath it.
pub(super) fn match_names(
    store: &Store,
    path: &[u8],
    id: Option<EntryId>,
    mut listing: LookupListing,
) -> Result<MatchedNames, StoreError> {
    let (room, mut is_beyond) = (room(path), false);
    let children = id.map_or(Ok(Vec::new()), |id| store.children(id, b"", BLOCK))?;
    let is_large = children.len() >= BLOCK;
    let mut known: HashMap<Vec<u8>, Box<Entry>> = HashMap::new();
    if !is_large {
        known.extend(children.into_iter().map(|child| (child.name.clone(), Box::new(child))));
    }
    // Of a directory that is too large to be held at once only a number for each name is kept.
    let mut seen = HashSet::new();
    let keys = RandomState::new();
    let mut names = Vec::new();
    loop {
        let block = match listing.next_block(BLOCK) {
            Ok(block) => block,
            Err(trouble) => {
                if let AccessError::Errno(errno) = trouble {
                    let (path, errno) = (escape_name(path), Errno::from_raw_os_error(errno));
                    tracing::warn!(%errno, %path, "a directory could not be listed to its end");
                }
                return Ok(MatchedNames { pieces: in_pieces(names), is_beyond: is_beyond.then_some(true) });
            }
        };
        let is_last = block.len() < BLOCK;
        for name in block {
            if name.bytes.len() > room {
                is_beyond = true;
                continue;
            }
            let known = if is_large {
                seen.insert(keys.hash_one(&name.bytes));
                KnownEntry::Ask
            } else {
                known.remove(&name.bytes).map_or(KnownEntry::No, KnownEntry::Yes)
            };
            names.push(NamedEntry { name: name.bytes, known, is_regular: name.is_regular });
        }
        if is_last {
            break;
        }
    }
    names.extend(known.into_values().map(NamedEntry::unlisted));
    if let Some(id) = id.filter(|_| is_large) {
        names.extend(unseen_of_many(store, id, |name| seen.contains(&keys.hash_one(name)))?);
    }
    names.retain(|entry| entry.name.len() <= room);
    Ok(MatchedNames { pieces: in_pieces(names), is_beyond: Some(is_beyond) })
}

fn in_pieces(mut names: Vec<NamedEntry>) -> Vec<Vec<NamedEntry>> {
    let mut pieces = Vec::new();
    while names.len() > NAMES {
        pieces.push(names.split_off(names.len() - NAMES));
    }
    pieces.push(names);
    pieces
}

/// Entries of a large directory that its listing did not show.
fn unseen_of_many(
    store: &Store,
    directory: EntryId,
    is_seen: impl Fn(&[u8]) -> bool,
) -> Result<Vec<NamedEntry>, StoreError> {
    let mut unseen = Vec::new();
    let mut after = Vec::new();
    loop {
        let page = store.children(directory, &after, BLOCK)?;
        let is_last = page.len() < BLOCK;
        for entry in page {
            entry.name.clone_into(&mut after);
            if !is_seen(&entry.name) {
                unseen.push(NamedEntry::unlisted(Box::new(entry)));
            }
        }
        if is_last {
            return Ok(unseen);
        }
    }
}
