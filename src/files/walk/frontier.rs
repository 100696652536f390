//! The stops still ahead, in an order nobody can foresee.
//!
//! Up to 64 directories are in hand at once and the next name is drawn from all names in hand, so neither names nor inodes nor
//! directories come in a block. Directories are drawn at even odds while few are in hand, so that the draw soon spans the whole
//! tree. Only directories wait here (as numbers of their rows); names come from the disk in bounded blocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rand::{RngExt, rngs::StdRng};

use crate::{
    files::{
        area::path_limit::{is_near, room},
        remote::lookup::{AccessError, DirHandle, LookupListing},
    },
    model::file::entry::EntryId,
    sys::{fs::dir::EntryName, rlimit::open_files},
};

/// Most directories in hand at once.
const MOST_OPEN: usize = 64;

/// The part of the files that may be open (`RLIMIT_NOFILE`) which directories in hand take; fewer than two would block the way down.
const PART: u64 = 8;
const LEAST_OPEN: usize = 2;

/// Most names of one directory in hand at once.
const BLOCK: usize = 4096;

/// When so many names are in hand, further blocks are small.
const MANY_NAMES: usize = 32_768;

/// The size of a block then.
const SMALL_BLOCK: usize = 256;

/// A directory that is still to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingDir {
    /// Which of the configured areas it lies in.
    pub area: usize,
    /// Its row.
    pub entry: EntryId,
}

/// Where a directory in hand is.
#[derive(Debug)]
pub struct DirInHand {
    /// Which of the configured areas it lies in.
    pub area: usize,
    /// Its row.
    pub entry: EntryId,
    /// Its whole path.
    pub path: Vec<u8>,
    /// Itself, as it was opened.
    pub directory: DirHandle,
    /// Its inode.
    pub inode: u64,
    /// The visit number when it was opened: what is not seen again from then on has left it.
    pub since: i64,
}

/// A directory in hand.
#[derive(Debug)]
pub struct OpenDir {
    /// Where it is.
    pub place: Arc<DirInHand>,
    directories: Vec<Vec<u8>>,
    others: Vec<Vec<u8>>,
    rest: Option<LookupListing>,
    /// The last name that the listing did not show and that became a stop.
    unseen_until: Vec<u8>,
    /// Most bytes of a name that makes no path that is too long.
    room: usize,
    /// Whether there are longer ones, and whether that was asked for.
    is_beyond: bool,
    is_asked: bool,
}

impl OpenDir {
    /// A directory whose names come from `listing`.
    pub fn new(place: DirInHand, listing: LookupListing) -> Self {
        Self {
            room: room(&place.path),
            is_beyond: false,
            is_asked: !is_near(&place.path),
            place: Arc::new(place),
            directories: Vec::new(),
            others: Vec::new(),
            rest: Some(listing),
            unseen_until: Vec::new(),
        }
    }

    /// Whether names are still to be read from the disk.
    pub const fn has_more(&self) -> bool {
        self.rest.is_some()
    }

    /// Reads the next block of at most `most` names.
    ///
    /// # Errors
    /// Why the rest cannot be had; then the listing counts as ended.
    pub fn read_block(&mut self, most: usize) -> Result<(), AccessError> {
        let Some(mut listing) = self.rest.take() else {
            return Ok(());
        };
        let block = listing.next_block(most)?;
        if block.len() == most {
            self.rest = Some(listing);
        }
        for EntryName { bytes, is_directory, .. } in block {
            if bytes.len() > self.room {
                self.is_beyond = true;
            } else if is_directory {
                self.directories.push(bytes);
            } else {
                self.others.push(bytes);
            }
        }
        Ok(())
    }

    /// Whether paths in it are too long, once that is known and may be news.
    pub fn limit(&mut self) -> Option<bool> {
        if self.is_asked || !self.is_beyond && self.has_more() {
            return None;
        }
        self.is_asked = true;
        Some(self.is_beyond)
    }

    /// Up to which name it was asked what the listing did not show.
    pub fn unseen_until(&self) -> &[u8] {
        &self.unseen_until
    }

    /// Adds names, in order, that the baseline has but the listing did not show; gives whether there were any.
    pub fn add_unseen(&mut self, names: Vec<Vec<u8>>) -> bool {
        let Some(last) = names.last() else { return false };
        self.unseen_until.clone_from(last);
        self.others.extend(names);
        true
    }

    fn names(&self) -> usize {
        self.directories.len() + self.others.len()
    }
}

/// What the walker does next.
#[derive(Debug)]
pub enum NextStep {
    /// Open this directory and hand it back with [`Frontier::take_up`].
    Open(PendingDir),
    /// Read the next block of so many names and hand the directory back with [`Frontier::take_up`].
    Refill(OpenDir, usize),
    /// All names of this directory that are in hand have been stops.
    Finished(OpenDir),
    /// Stop at this name.
    Stop(Arc<DirInHand>, Vec<u8>),
    /// The round is complete.
    End,
}

/// The stops still ahead.
#[derive(Debug)]
pub struct Frontier {
    /// Directories to be opened, by area.
    ahead: BTreeMap<usize, Vec<PendingDir>>,
    open: Vec<OpenDir>,
    most_open: usize,
    /// How many areas take turns; 0 = names are drawn from all of them alike.
    turns: usize,
}

impl Default for Frontier {
    fn default() -> Self {
        Self { ahead: BTreeMap::new(), open: Vec::new(), most_open: most_open(open_files()), turns: 0 }
    }
}

/// How many directories are in hand at most where so many files may be open.
fn most_open(files: Option<u64>) -> usize {
    files.map_or(MOST_OPEN, |files| usize::try_from(files / PART).unwrap_or(MOST_OPEN).clamp(LEAST_OPEN, MOST_OPEN))
}

impl Frontier {
    /// Adds a directory.
    pub fn add(&mut self, directory: PendingDir) {
        self.ahead.entry(directory.area).or_default().push(directory);
    }

    /// From now on `areas` areas take turns, each with its part of the directories in hand, so that a small one need not wait for a large
    /// one; with 0 names are drawn from all alike.
    pub fn take_turns(&mut self, areas: usize) {
        self.turns = areas;
    }

    /// Whether stops in an area are ahead, those of a directory that was handed out left out.
    pub fn has_area(&self, area: usize) -> bool {
        self.ahead.contains_key(&area) || self.open.iter().any(|open| open.place.area == area)
    }

    /// Takes a directory (back) in hand.
    pub fn take_up(&mut self, directory: OpenDir) {
        self.open.push(directory);
    }

    /// Forgets all stops in an area.
    pub fn drop_area(&mut self, area: usize) {
        self.ahead.remove(&area);
        self.open.retain(|open| open.place.area != area);
    }

    /// The next thing to do.
    pub fn next(&mut self, chance: &mut StdRng) -> NextStep {
        if let Some(empty) = self.open.iter().position(|open| open.names() == 0) {
            let open = self.open.swap_remove(empty);
            return if open.has_more() {
                let in_hand: usize = self.open.iter().map(OpenDir::names).sum();
                NextStep::Refill(open, if in_hand < MANY_NAMES { BLOCK } else { SMALL_BLOCK })
            } else {
                NextStep::Finished(open)
            };
        }
        if let Some(ahead) = self.draw_ahead(chance) {
            return NextStep::Open(ahead);
        }
        match self.draw(chance) {
            Some((place, name)) => NextStep::Stop(place, name),
            None => NextStep::End,
        }
    }

    /// Draws one of the directories that are to be opened and may be, each with the same chance.
    fn draw_ahead(&mut self, chance: &mut StdRng) -> Option<PendingDir> {
        if self.open.len() >= self.most_open {
            return None;
        }
        let part = self.most_open.checked_div(self.turns).map_or(self.most_open, |part| part.max(1));
        let open = &self.open;
        let has_room = |area: usize| open.iter().filter(|open| open.place.area == area).count() < part;
        let weights: Vec<(usize, usize)> =
            self.ahead.iter().filter(|(area, _)| has_room(**area)).map(|(area, ahead)| (*area, ahead.len())).collect();
        let total: usize = weights.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return None;
        }
        let mut pick = chance.random_range(0..total);
        for (area, weight) in weights {
            if pick < weight {
                let ahead = self.ahead.get_mut(&area)?;
                let drawn = ahead.swap_remove(pick);
                if ahead.is_empty() {
                    self.ahead.remove(&area);
                }
                return Some(drawn);
            }
            pick -= weight;
        }
        None
    }

    /// Draws one of all names in hand, or one of all directories, each with the same chance; where areas take turns, of one of them.
    fn draw(&mut self, chance: &mut StdRng) -> Option<(Arc<DirInHand>, Vec<u8>)> {
        let turn = if self.turns > 1 {
            let areas: BTreeSet<usize> = self.open.iter().map(|open| open.place.area).collect();
            areas.iter().nth(chance.random_range(0..areas.len().max(1))).copied()
        } else {
            None
        };
        let is_its = |open: &OpenDir| turn.is_none_or(|area| open.place.area == area);
        let directories: usize = self.open.iter().filter(|open| is_its(open)).map(|open| open.directories.len()).sum();
        let wants_directory = directories > 0 && self.open.len() < self.most_open && chance.random();
        let weight = |open: &OpenDir| match wants_directory {
            _ if !is_its(open) => 0,
            true => open.directories.len(),
            false => open.names(),
        };
        let total: usize = self.open.iter().map(weight).sum();
        if total == 0 {
            return None;
        }
        let mut pick = chance.random_range(0..total);
        for open in &mut self.open {
            let here = weight(open);
            if pick < here {
                let name = if pick < open.directories.len() {
                    open.directories.swap_remove(pick)
                } else {
                    open.others.swap_remove(pick - open.directories.len())
                };
                return Some((Arc::clone(&open.place), name));
            }
            pick -= here;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_in_hand_take_a_part_of_the_files_that_may_be_open() {
        assert_eq!([None, Some(1 << 20), Some(1024), Some(64), Some(0)].map(most_open), [64, 64, 64, 8, 2]);
    }
}
