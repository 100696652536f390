//! What a pass at full speed finds where the baseline has nothing, and of what the baseline has where nothing is.

use super::{
    ground::{LeftOut, is_beneath},
    harvest::{Harvest, Passed, news},
    missing::removal,
    moves::{Origin, changes, moved},
    scan::{Entered, Known, Scan},
    sweep::{Ids, Place},
};
use crate::{
    model::{
        entry::{Entry, EntryId, Observation},
        event::Member,
    },
    store::{
        error::StoreError,
        outcome::{Found, StateChange},
    },
};

impl Scan<'_> {
    /// A path that is not in the baseline.
    pub(super) fn meet(
        &mut self,
        place: &Place,
        name: &[u8],
        path: &[u8],
        seen: Observation,
        harvest: &mut Harvest,
    ) -> Result<Entered, StoreError> {
        let origin = if self.is_learning || !self.tract.accepts_changes() {
            None
        } else {
            self.moves.claim(self.store, self.ground, place.entry.id, &seen)?
        };
        if let Some(origin) = origin {
            return self.meet_again(place, name, path, seen, (&origin, harvest));
        }
        // Without a row of its own nothing is asked about it again.
        let id = self.ids.map_or(Ok(EntryId(-1)), Ids::next)?;
        let judge = self.judge();
        let entry = judge.newcomer(id, Some(place.entry.id), name, seen.clone());
        match (self.is_learning, self.ids) {
            (true, Some(_)) => harvest.learned.push(entry.clone()),
            (true, None) => harvest.unlearned += 1,
            (false, _) => harvest.news.push(news(
                None,
                vec![Found { event: judge.arrival(path, seen), members: Vec::new() }],
                vec![StateChange::Put(Box::new(entry.clone()))],
            )),
        }
        Ok(Entered { entry: Box::new(entry), is_new: true })
    }

    /// A path that is not in the baseline, though what is there was known at another.
    fn meet_again(
        &mut self,
        place: &Place,
        name: &[u8],
        path: &[u8],
        seen: Observation,
        (origin, harvest): (&Origin, &mut Harvest),
    ) -> Result<Entered, StoreError> {
        let tree = self.store.tree(&origin.entry, &origin.path)?;
        let judge = self.judge();
        let entry = judge.newcomer(origin.entry.id, Some(place.entry.id), name, seen.clone());
        let found = moved(judge, origin, path, seen, &tree);
        harvest.news.push(news(Some(&origin.entry), vec![found], changes(origin, entry.clone())));
        Ok(Entered { entry: Box::new(entry), is_new: false })
    }

    /// A path of the baseline that is gone.
    pub(super) fn gone(&mut self, path: &[u8], known: &Entry) -> Result<Harvest, StoreError> {
        let mut members = self.members(known, path)?;
        let moved: Vec<Vec<u8>> = self.moves.paths().into_iter().filter(|from| is_beneath(from, path)).collect();
        members.retain(|member| !moved.iter().any(|from| is_beneath(&member.source, from)));
        let count = u64::try_from(members.len()).unwrap_or(u64::MAX);
        let event = self.judge().departure(known, path, count);
        let event = self.judge().raised(event, members.iter().map(|member| member.source.as_slice()));
        let change = removal(self.tract, known);
        let members = if members.len() > 1 { members } else { Vec::new() };
        Ok(news(Some(known), vec![Found { event, members }], vec![change]).into())
    }

    /// A path that the configuration leaves out: what the baseline has of it goes, with one notice.
    pub(super) fn leave_out(
        &mut self,
        place: &Place,
        (name, path): (&[u8], &[u8]),
        known: Known,
        why: LeftOut,
    ) -> Result<Harvest, StoreError> {
        let known = self.known(place, name, known)?;
        let mut passed = Passed::default();
        // What is ours, or another area's, is no part of this one.
        if matches!(why, LeftOut::Excluded | LeftOut::NotEntered) {
            passed.excluded = 1;
            passed.known = u64::from(known.is_some() && self.ids.is_none());
        }
        let Some(known) = known.filter(|_| self.ids.is_some()) else {
            return Ok(Harvest { passed, ..Harvest::default() });
        };
        let members = self.members(&known, path)?;
        let event = self.judge().exclusion(&known, path, u64::try_from(members.len()).unwrap_or(u64::MAX));
        let members = if members.len() > 1 { members } else { Vec::new() };
        let changes = vec![StateChange::RemoveTree(known.id)];
        Ok(news(Some(&known), vec![Found { event, members }], changes).into())
    }

    pub(super) fn members(&mut self, known: &Entry, path: &[u8]) -> Result<Vec<Member>, StoreError> {
        self.store.tree(known, path)
    }
}
