//! Which areas a round has entered and seen whole, and when one that is watched has its next turn while others are new. Decides only.

use std::{collections::HashMap, time::Duration};

use crate::model::{clock::Boottime, file::entry::AreaId};

/// How long an area that is watched rests while others are new: so many times what its walk took, and at least so long. It costs them a
/// tenth of their pace.
const REST: u32 = 9;
const LEAST_REST: Duration = Duration::from_secs(5);

/// The walk through one area.
#[derive(Debug, Clone, Copy)]
struct AreaWalk {
    /// Which of the configured areas it is.
    area: usize,
    began: Boottime,
    /// When the last of its entries was seen.
    ended: Option<Boottime>,
    /// Whether the round over it was counted.
    is_counted: bool,
}

/// The walks of one round, by the rows of their areas.
#[derive(Debug, Default)]
pub(in crate::files) struct AreaTurns {
    walks: HashMap<AreaId, AreaWalk>,
}

impl AreaTurns {
    /// Notes that the root of an area was entered; that its round was counted stays.
    pub(in crate::files) fn enter(&mut self, id: AreaId, area: usize, now: Boottime) {
        let is_counted = self.walks.get(&id).is_some_and(|walk| walk.is_counted);
        self.walks.insert(id, AreaWalk { area, began: now, ended: None, is_counted });
    }

    /// The areas that were entered.
    pub(in crate::files) fn entered(&self) -> impl Iterator<Item = AreaId> {
        self.walks.keys().copied()
    }

    /// Those of them whose round was not counted yet.
    pub(in crate::files) fn uncounted(&self) -> impl Iterator<Item = AreaId> {
        self.walks.iter().filter(|(_, walk)| !walk.is_counted).map(|(id, _)| *id)
    }

    /// Notes that nothing of an area is ahead any more; gives whether its round is to be counted: it was entered, `is_whole` says that
    /// everything was seen, and it was not counted before.
    pub(in crate::files) fn end(&mut self, id: AreaId, is_whole: bool, now: Boottime) -> bool {
        let Some(walk) = self.walks.get_mut(&id) else { return false };
        walk.ended.get_or_insert(now);
        let is_due = is_whole && !walk.is_counted;
        walk.is_counted |= is_due;
        is_due
    }

    /// The areas whose turn has come again, each once: what cannot be entered then waits for who looks after missing roots.
    pub(in crate::files) fn take_rested(&mut self, now: Boottime) -> Vec<usize> {
        let is_rested = |walk: &&mut AreaWalk| {
            walk.ended.is_some_and(|ended| now.since(ended) >= LEAST_REST.max(ended.since(walk.began) * REST))
        };
        let rested = self.walks.values_mut().filter(is_rested);
        rested
            .map(|walk| {
                (walk.began, walk.ended) = (now, None);
                walk.area
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_rests_nine_times_its_walk_and_is_given_out_once() {
        let at = |seconds| Boottime::default().after(Duration::from_secs(seconds));
        let (small, large) = (AreaId(1), AreaId(2));
        let mut turns = AreaTurns::default();
        turns.enter(small, 0, at(100));
        turns.enter(large, 1, at(100));
        // Of a slow mount that was silent the walk ends, but not the round.
        assert!(!turns.end(small, false, at(100)));
        assert!(turns.end(small, true, at(100)) && !turns.end(small, true, at(101)));
        assert_eq!(turns.uncounted().collect::<Vec<_>>(), [large]);
        assert_eq!(turns.take_rested(at(104)), [0; 0]);
        assert_eq!(turns.take_rested(at(105)), [0]);
        // Its root is missing: nobody enters it, and nobody tries at each stop.
        assert_eq!(turns.take_rested(at(1000)), [0; 0]);
        turns.enter(small, 0, at(1000));
        assert!(!turns.end(small, true, at(1010)));
        assert_eq!(turns.take_rested(at(1099)), [0; 0]);
        assert_eq!(turns.take_rested(at(1100)), [0]);
        assert!(!turns.end(AreaId(3), true, at(1100)), "it was not entered");
    }
}
