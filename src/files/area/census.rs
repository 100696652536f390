//! What the areas hold, counted by listing alone.

use crate::{
    files::{
        area::watched_areas::{WatchedArea, WatchedAreas, join},
        remote::lookup::{DirHandle, FileHandle, Lookup},
    },
    model::file::entry::{AreaId, Attributes, FileKind},
};

/// How many entries the first round will meet, counted without looking at any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// Entries, at most 300,000.
    pub entries: usize,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Whether there are more.
    pub is_cut: bool,
    /// Entries of each area that was counted to its end.
    areas: Vec<(AreaId, u64)>,
}

impl Census {
    /// The entries of an area; `None` when it was not counted to its end.
    pub fn of_area(&self, id: AreaId) -> Option<u64> {
        self.areas.iter().find(|(area, _)| *area == id).map(|(_, entries)| *entries)
    }
}

/// What is met where only names and sizes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeenKind {
    /// A regular file of so many bytes.
    File(u64),
    /// Something else.
    Other,
    /// A directory that was met already and cannot be listed.
    Closed,
}

pub(in crate::files) fn met(seen: &Attributes) -> SeenKind {
    if seen.kind == FileKind::Regular { SeenKind::File(seen.size) } else { SeenKind::Other }
}

/// Counts what the areas with these rows hold, by listing alone what the walk would enter. Cost: one look at each entry, without its
/// content. What lies on slow file systems is not counted: it would have to be waited for.
pub fn count(areas: &WatchedAreas, ids: &[AreaId]) -> Census {
    let mut census = Census::default();
    for watched in areas.all.iter().filter(|watched| ids.contains(&watched.id)) {
        let before = census.entries;
        areas.roam(watched, &mut |_, met| {
            if met != SeenKind::Closed {
                census.entries += 1;
            }
            if let SeenKind::File(size) = met {
                census.bytes = census.bytes.saturating_add(size);
            }
            census.is_cut = census.entries >= MOST_COUNTED;
            !census.is_cut
        });
        // The area itself, where it cannot be seen.
        census.entries = census.entries.max(before + 1);
        if census.is_cut {
            break;
        }
        census.areas.push((watched.id, u64::try_from(census.entries - before).unwrap_or(u64::MAX)));
    }
    census
}

impl WatchedAreas {
    /// Goes over what the walk would enter of an area and tells `each` of it, its root first, until that says no. What can hang is not
    /// opened. Mounts that are not entered must have been surveyed.
    pub fn roam(&self, watched: &WatchedArea, each: &mut dyn FnMut(&[u8], SeenKind) -> bool) {
        let root = match self.lookup_at_root(watched) {
            Lookup::There(FileHandle::Near(handle), seen) => (handle, seen),
            _ => return,
        };
        if !each(&watched.path, met(&root.1)) || root.1.kind != FileKind::Directory {
            return;
        }
        let root = DirHandle::Near(root.0.into_descriptor());
        let mut ahead = vec![watched.path.clone()];
        while let Some(directory) = ahead.pop() {
            let Ok((base, _, mut listing)) = self.list(watched, &directory, &root, watched.beneath(&directory)) else {
                if self.is_barred(&directory)
                    || self.far(watched, &directory).is_some()
                    || each(&directory, SeenKind::Closed)
                {
                    continue;
                }
                return;
            };
            while let Ok(names) = listing.next_block(BLOCK) {
                let is_last = names.len() < BLOCK;
                for name in names {
                    let path = join(&directory, &name.bytes);
                    if self.leaves_out(watched, &path) || self.is_barred(&path) || self.far(watched, &path).is_some() {
                        continue;
                    }
                    let Lookup::There(_, seen) = self.lookup(watched, &path, &base, &name.bytes) else { continue };
                    if !each(&path, met(&seen)) {
                        return;
                    }
                    if seen.kind == FileKind::Directory {
                        ahead.push(path);
                    }
                }
                if is_last {
                    break;
                }
            }
        }
    }
}

/// Most entries counted before the first round; beyond, the estimate says "more than".
pub(in crate::files) const MOST_COUNTED: usize = 300_000;

/// Names of a directory taken at once.
pub(in crate::files) const BLOCK: usize = 1024;
