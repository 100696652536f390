//! Whether an area is being emptied: more than half of what the baseline knows, and more than a hundred entries, are missing. That is
//! one piece of news, not one for each file, and most often means that something is not mounted.
//!
//! The walker meets one missing path at a time, so at each that it would tell a few entries are drawn and looked for. Only when many
//! of those are missing too everything is counted, and the counting ends as soon as half is there.

use std::hash::{BuildHasher, RandomState};

use super::{
    ground::{Ground, Tract, join},
    missing::GONE,
    sight::{Base, Glance},
};
use crate::{
    model::{
        clock::Boottime,
        entry::{Entry, EntryId, FileKind},
        escape::escape_name,
    },
    store::{database::Store, door::Db, error::StoreError},
};

/// Entries that must be missing at least, beside being more than half: a small area may well be cleared.
const LEAST: u64 = 100;

/// Entries drawn, and how many of them may be missing without a count: of 32 drawn where half is missing, more than 8 are in 998
/// of 1,000 cases.
const DRAWN: u64 = 32;
const HARMLESS: u64 = 8;

/// Entries of one directory read from the baseline at once.
const PAGE: usize = 4096;

/// Missing paths named in the event.
const EXAMPLES: usize = 5;

/// What is missing of an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    /// Entries that are missing.
    pub(super) missing: u64,
    left: u64,
    /// The topmost of them, with their paths.
    pub(super) topmost: Vec<(EntryId, Vec<u8>)>,
}

impl Loss {
    /// Entries that are known.
    pub(super) const fn known(&self) -> u64 {
        self.missing + self.left
    }

    /// What is missing in `tract`, whose open root is `root`; `None` when that is no more than half or no more than a hundred
    /// entries. Locks the store for one query at a time.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub(super) fn of(db: &Db, ground: &Ground, tract: &Tract, root: &Base) -> Result<Option<Self>, StoreError> {
        db.lock().flush()?;
        let search = Search { db, ground, tract, root };
        if !search.is_suspicious()? {
            return Ok(None);
        }
        Ok(search.count()?.filter(|loss| loss.missing > LEAST && loss.missing > loss.left))
    }

    /// The same, when the area was emptied: when it holds no more than half of what it held. What was only renamed or exchanged is told path
    /// by path. With a time, everything is counted once in a minute at most, because a user can make it be asked for at every removal.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub(super) fn emptied(
        db: &Db,
        ground: &Ground,
        tract: &Tract,
        (root, now): (&Base, Option<Boottime>),
    ) -> Result<Option<Self>, StoreError> {
        db.lock().flush()?;
        let search = Search { db, ground, tract, root };
        if !search.is_suspicious()? || now.is_some_and(|now| !tract.may_count(now)) {
            return Ok(None);
        }
        let loss = search.count()?.filter(|loss| loss.missing > LEAST && loss.missing > loss.left);
        Ok(loss.filter(|loss| !search.holds(loss.known().div_ceil(2))))
    }

    /// What is to be said of it.
    pub(super) fn words(&self, tract: &Tract) -> String {
        let examples: Vec<String> =
            self.topmost.iter().take(EXAMPLES).map(|(_, path)| format!("  {}", escape_name(path))).collect();
        format!(
            "{} of {} entries are missing: is something not mounted? `integrityd init --accept {}` takes what is left as the baseline\n\
             missing are, among others:\n{}",
            self.missing,
            self.known(),
            escape_name(&tract.path),
            examples.join("\n")
        )
    }
}

/// What is looked for, and where.
struct Search<'a> {
    db: &'a Db,
    ground: &'a Ground,
    tract: &'a Tract,
    root: &'a Base,
}

impl Search<'_> {
    /// Whether too many of some entries that are drawn are missing.
    fn is_suspicious(&self) -> Result<bool, StoreError> {
        let chance = RandomState::new();
        let (mut missing, mut there) = (0, 0);
        for draw in 0..DRAWN {
            let drawn = {
                let store = self.db.lock();
                match store.drawn(self.tract.id, chance.hash_one(draw))? {
                    Some(entry) => relative(&store, &entry)?.filter(|_| entry.reported != Some(GONE)),
                    None => return Ok(false),
                }
            };
            let Some(drawn) = drawn else { continue };
            if drawn.is_empty() || self.is_there(&drawn) {
                there += 1;
            } else {
                missing += 1;
            }
            if missing > HARMLESS || there >= DRAWN - HARMLESS {
                break;
            }
        }
        Ok(missing > HARMLESS)
    }

    /// Whether there is something at `path` beneath the root; what must not or cannot be looked at counts as there.
    fn is_there(&self, path: &[u8]) -> bool {
        let whole = join(&self.tract.path, path);
        self.ground.is_barred(&whole)
            || !matches!(self.ground.glance(self.tract, &whole, self.root, path), Glance::Gone)
    }

    /// Counts what is there and what is missing; `None` when at least half is there.
    fn count(&self) -> Result<Option<Loss>, StoreError> {
        let (known, top) = {
            let store = self.db.lock();
            (store.entries_of(self.tract.id)?, store.entry_named(None, &self.tract.path)?)
        };
        let Some(top) = top else { return Ok(None) };
        let mut loss = Loss { missing: 0, left: 1, topmost: Vec::new() };
        let mut ahead = vec![(top.id, Vec::new())];
        while let Some((id, path)) = ahead.pop() {
            let mut after = Vec::new();
            loop {
                let page = self.db.lock().children(id, &after, PAGE)?;
                let is_last = page.len() < PAGE;
                for child in page {
                    child.name.clone_into(&mut after);
                    let path = if path.is_empty() { child.name.clone() } else { join(&path, &child.name) };
                    ahead.extend(self.weigh(path, &child, &mut loss)?);
                }
                if loss.left.saturating_mul(2) >= known {
                    return Ok(None);
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(Some(loss))
    }

    /// Whether the area holds so many names, known or not.
    fn holds(&self, enough: u64) -> bool {
        let mut found: u64 = 1;
        let mut ahead = vec![Vec::new()];
        while let Some(beneath) = ahead.pop() {
            let path = if beneath.is_empty() { self.tract.path.clone() } else { join(&self.tract.path, &beneath) };
            let Ok((_, _, mut listing)) = self.ground.list(self.tract, &path, self.root, &beneath) else { continue };
            while let Ok(names) = listing.next_block(PAGE) {
                for name in &names {
                    let child = join(&path, &name.bytes);
                    if self.ground.leaves_out(self.tract, &child) || self.ground.is_barred(&child) {
                        continue;
                    }
                    found += 1;
                    if name.is_directory {
                        ahead.push(self.tract.beneath(&child).to_vec());
                    }
                }
                if found >= enough {
                    return true;
                }
                if names.len() < PAGE {
                    break;
                }
            }
        }
        false
    }

    /// Counts one entry; gives it when it is to be entered.
    fn weigh(&self, path: Vec<u8>, child: &Entry, loss: &mut Loss) -> Result<Option<(EntryId, Vec<u8>)>, StoreError> {
        let is_directory = child.known.attributes.kind == FileKind::Directory;
        if child.reported == Some(GONE) {
            return Ok(None);
        }
        let below = || if is_directory { self.db.lock().entries_below(child.id) } else { Ok(0) };
        if self.ground.is_barred(&join(&self.tract.path, &path)) {
            loss.left += 1 + below()?;
            return Ok(None);
        }
        if self.is_there(&path) {
            loss.left += 1;
            return Ok(is_directory.then_some((child.id, path)));
        }
        let below = below()?;
        loss.missing += 1 + below;
        loss.topmost.push((child.id, join(&self.tract.path, &path)));
        Ok(None)
    }
}

/// What leads from the root of its area to an entry; `None` when a directory on the way is not in the baseline.
fn relative(store: &Store, entry: &Entry) -> Result<Option<Vec<u8>>, StoreError> {
    let way = store.way_to(entry.id)?;
    Ok(way.map(|way| way.iter().skip(1).map(|(_, name)| name.as_slice()).collect::<Vec<_>>().join(&b'/')))
}
