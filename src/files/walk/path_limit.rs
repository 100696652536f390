//! Directories whose names are too long to be entered: what their entry then says.

use crate::{
    files::{
        area::{
            path_limit::{changes, room, state_of},
            watched_areas::{Tract, join},
        },
        compare::verdict::Verdict,
        walk::{
            entry_check::{Visited, Visitor},
            target::Target,
        },
    },
    model::file::entry::{EntryId, HashState, LONGEST_PATH},
    store::{
        events::outcome::{Found, Outcome, Piece},
        sqlite::error::StoreError,
    },
};

impl Visitor {
    /// Notes whether names in a directory are too long, or with `None` only what the baseline has there. Gives whether that was news.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub(in crate::files) fn mind_limit(
        &self,
        area: usize,
        id: EntryId,
        is_beyond: Option<bool>,
    ) -> Result<bool, StoreError> {
        let Some(tract) = self.ground.tracts.get(area) else { return Ok(false) };
        let mut store = self.db.lock();
        let (Some(entry), Some(way)) = (store.entry(id)?, store.way_to(id)?) else { return Ok(false) };
        let path = way.iter().skip(1).fold(tract.path.clone(), |path, (_, name)| join(&path, name));
        let beyond = store.entries_longer(id, room(&path))?;
        let is_marked = entry.known.hash_state == HashState::PATHS_TOO_LONG;
        let state = match is_beyond {
            Some(is_beyond) if is_beyond != is_marked => state_of(is_beyond),
            _ => entry.known.hash_state,
        };
        let Verdict { next, events } = self.judge(tract, self.clock.now()).limited(&path, &entry, state, beyond);
        if events.is_empty() {
            return Ok(false);
        }
        let events = events.into_iter().map(Found::from).collect();
        let outcome = Outcome { changes: changes(&path, next, beyond), events };
        let piece = Piece { basis: Some(Box::new(entry)), outcome };
        Ok(store.commit_fresh(&[piece], |_fresh| Outcome::default())?.contains(&true))
    }

    /// A path of the baseline that is too long goes with all that lie beside it.
    pub(in crate::files) fn leave_beyond(&self, tract: &Tract, target: &Target) -> Result<Visited, StoreError> {
        let way = match target.parent {
            Some(parent) => self.db.lock().way_to(parent)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let mut length = tract.path.len();
        let mut above = None;
        for (step, (id, name)) in way.iter().enumerate() {
            length += if step == 0 { 0 } else { name.len() + 1 };
            if length > LONGEST_PATH {
                break;
            }
            above = Some(*id);
        }
        let is_changed = above.map_or(Ok(false), |id| self.mind_limit(target.area, id, None))?;
        Ok(self.over(&target.path, &mut self.db.lock(), is_changed))
    }
}
