//! Looking again at who has waited longest: of all areas after each stop of the walk, and of one with a promised age when its turn has
//! come.

use std::time::Duration;

use crate::{
    files::{
        pace::{
            coverage::{CoverageTerms, WantedPace, take_stock},
            max_age::LEAST_AGE,
        },
        walk::checker::{Interrupt, PacedChecker},
    },
    model::{
        clock::Boottime,
        file::entry::{AreaId, Entry, EntryId},
    },
    store::{
        events::outcome::{Outcome, StateChange},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// How often it is counted what the areas hold.
const STOCK_TIME: Duration = Duration::from_mins(10);

/// Most rechecks of promised areas after one stop of the walk, so that a pace that is too low does not end the walk.
const MOST_IN_A_ROW: u32 = 16;

/// What was looked at less than so long ago is not rechecked during a fast first round.
const LEAST_AGE_THEN: Duration = Duration::from_mins(15);

/// An entry with the names that lead to it.
type EntryWithWay = (Entry, Vec<(EntryId, Vec<u8>)>);

impl PacedChecker {
    /// Rechecks who has waited longest, unless it was looked at a moment ago.
    pub(in crate::files) async fn recheck(&mut self) -> Result<(), Interrupt> {
        // While everything was looked at a moment ago nobody need be asked who has waited longest.
        let is_rest = self.clock.now().boottime < self.all_young_until && !self.speed.is_on();
        let found = if is_rest { None } else { self.db.call(|store| stalest_with_way(store, None)).await? };
        if !is_rest {
            self.speed.settle(found.as_ref().map(|(entry, _)| entry.visit));
            self.adjust_pace();
        }
        let found = found.filter(|(entry, _)| match self.is_young(entry) {
            Some(rest) => {
                self.all_young_until = self.clock.now().boottime.after(rest.min(LEAST_AGE));
                false
            }
            None => true,
        });
        let mut is_served = false;
        for _turn in 0..MOST_IN_A_ROW {
            self.max_age.fill(self.clock.now().boottime);
            let Some(area) = self.max_age.next() else { break };
            self.max_age.rechecked(area);
            match self.db.call(move |store| stalest_with_way(store, Some(area))).await? {
                Some((entry, _)) if self.is_young(&entry).is_some() => {}
                Some(found) => self.look_again(found).await?,
                None => break,
            }
            is_served = true;
        }
        match found.filter(|_| !is_served) {
            Some(found) => {
                self.max_age.rechecked(found.0.area);
                self.look_again(found).await
            }
            None => Ok(()),
        }
    }

    /// How much longer an entry is not rechecked because it was looked at a moment ago.
    fn is_young(&self, entry: &Entry) -> Option<Duration> {
        let now = self.clock.now().wall;
        let least = if self.is_first_and_fast() { LEAST_AGE_THEN } else { LEAST_AGE };
        // After a jump of the clock backwards everything is eligible.
        (entry.checked <= now).then(|| least.saturating_sub(now.since(entry.checked))).filter(|rest| !rest.is_zero())
    }

    async fn look_again(&mut self, (entry, way): EntryWithWay) -> Result<(), Interrupt> {
        let Some(checker) = self.checker.clone() else {
            return Ok(());
        };
        if let Some(target) = checker.target_of(&entry, &way) {
            self.look(target).await?;
        }
        let (id, visit) = (entry.id, entry.visit);
        Ok(self.db.call(move |store| store.pass_over(id, visit)).await?)
    }

    /// Counts what the areas hold when that is due, goes at the pace that promised ages need, and tells what cannot be kept.
    pub(in crate::files) async fn take_stock(&mut self, is_due: bool) -> Result<(), Interrupt> {
        let now = self.clock.now();
        let Some(checker) = self.checker.clone() else {
            return Ok(());
        };
        let is_time = self.stocked.is_none_or(|at: Boottime| now.boottime.since(at) >= STOCK_TIME);
        let all = &checker.areas.all;
        if !(is_due || is_time) || all.iter().all(|watched| watched.settings.max_age.is_none()) {
            return Ok(());
        }
        self.stocked = Some(now.boottime);
        let wanted: Vec<WantedPace> = all
            .iter()
            .map(|watched| WantedPace {
                area: watched.id,
                path: watched.path.clone(),
                max_age: watched.settings.max_age,
            })
            .collect();
        let terms = CoverageTerms { rates: self.rates, error_nag: self.error_nag };
        let loads = self.db.call(move |store| take_stock(store, &wanted, terms, now)).await?;
        self.max_age.weigh(&loads, now.boottime);
        self.adjust_pace();
        Ok(())
    }
}

/// Who has waited longest in `area`, or in all areas that are looked at.
fn stalest_with_way(store: &mut Store, area: Option<AreaId>) -> Result<Option<EntryWithWay>, StoreError> {
    let mut active = store.active_areas()?;
    active.retain(|id| area.is_none_or(|wanted| *id == wanted));
    let Some(entry) = store.stalest(&active)? else {
        return Ok(None);
    };
    if let Some(way) = store.way_to(entry.id)? {
        return Ok(Some((entry, way)));
    }
    // Cannot happen by our own doing; a row without a directory would be in the way for ever.
    store.commit(&Outcome::default().with_change(StateChange::RemoveTree(entry.id)))?;
    tracing::error!(id = entry.id.0, "a baseline entry without a directory was removed");
    Ok(None)
}
