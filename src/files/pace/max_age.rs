//! Promised ages (`areamaxage`): the pace that keeps them, and whose turn it is. Decides only; touches nothing.
//!
//! Every area with a promise has an account. Time fills it with as many looks as its entries need, a recheck empties it by one, and
//! a stop of the walk by a part, because the walk does not know who has waited longest. So what other areas hold never delays it.

use std::time::Duration;

use crate::{
    config::{schema::units::to_float, settings::config::Rates},
    model::{clock::Boottime, file::entry::AreaId},
    store::events::{max_age_rate::Demand, path_status::Workload},
};

/// How much of a recheck a stop of the walk is worth: what lies between 1.05 looks an entry and the half of 1.5 that are rechecks.
const WORTH_OF_STOP: f64 = 0.4;

/// Rechecks an entry is given within its age: a little more than one, so that what is new or late finds room.
const RECHECKS: f64 = 1.05;

/// Most looks that an account holds; more would only tell of a pace that cannot be kept.
const MOST_OWED: f64 = 1000.0;

/// An area with a promise.
#[derive(Debug, Clone)]
struct Account {
    area: AreaId,
    demand: Demand,
    /// Rechecks per second.
    rate: f64,
    /// Rechecks that are due.
    owed: f64,
}

/// All promises.
#[derive(Debug, Clone, Default)]
pub struct MaxAgeSchedule {
    accounts: Vec<Account>,
    /// Which parts of all entries and of all bytes nothing was promised of, 0 to 1.
    rest: Demand,
    /// Up to when the accounts are filled.
    filled: Boottime,
}

impl MaxAgeSchedule {
    /// Takes what the areas hold now, with what was promised of each. What is owed stays.
    pub fn weigh(&mut self, loads: &[(AreaId, Option<Duration>, Workload)], now: Boottime) {
        self.fill(now);
        let sum = |is_wanted: fn(Option<Duration>) -> bool| {
            let wanted = loads.iter().filter(|(_, span, _)| is_wanted(*span));
            wanted.fold((0.0, 0.0), |(looks, bytes), (_, _, load)| {
                (looks + to_float(load.entries), bytes + to_float(load.bytes))
            })
        };
        let (all, free) = (sum(|_| true), sum(|span| span.is_none()));
        let part = |free: f64, all: f64| if all > 0.0 { free / all } else { 1.0 };
        self.rest = Demand { looks: part(free.0, all.0), bytes: part(free.1, all.1) };
        let before = std::mem::take(&mut self.accounts);
        self.accounts = loads
            .iter()
            .filter_map(|(area, span, load)| {
                let (area, span) = (*area, (*span)?);
                let owed = before.iter().find(|account| account.area == area).map_or(0.0, |account| account.owed);
                let rate = to_float(load.entries) * RECHECKS / span.as_secs_f64().max(1.0);
                Some(Account { area, demand: Demand::of(*load, span), rate, owed })
            })
            .collect();
    }

    /// What all promises together need.
    pub fn demand(&self) -> Demand {
        self.accounts.iter().fold(Demand::default(), |sum, account| Demand {
            looks: sum.looks + account.demand.looks,
            bytes: sum.bytes + account.demand.bytes,
        })
    }

    /// The pace: what the promises need, beside what the other areas get as usual; at least the usual one, and raised to no more than
    /// the ceilings.
    pub fn pace(&self, rates: &Rates) -> Demand {
        if self.accounts.is_empty() {
            return Demand { looks: rates.files, bytes: rates.bytes };
        }
        let needed = self.demand();
        let raised = |needed: f64, usual: f64, rest: f64, most: f64| (needed + usual * rest).min(most).max(usual);
        Demand {
            looks: raised(needed.looks, rates.files, self.rest.looks, rates.max_files),
            bytes: raised(needed.bytes, rates.bytes, self.rest.bytes, rates.max_bytes),
        }
    }

    /// Lets the time up to `now` fill the accounts.
    pub fn fill(&mut self, now: Boottime) {
        let span = now.since(self.filled).as_secs_f64();
        self.filled = now;
        for account in &mut self.accounts {
            account.owed = (account.owed + account.rate * span).min(MOST_OWED);
        }
    }

    /// The area whose recheck is overdue for longest; `None` when none is due.
    pub fn next(&self) -> Option<AreaId> {
        let due = self.accounts.iter().filter(|account| account.owed >= 1.0);
        let overdue = |account: &&Account| account.owed / account.rate;
        due.max_by(|one, other| overdue(one).total_cmp(&overdue(other))).map(|account| account.area)
    }

    /// Notes a recheck of an entry of `area`.
    pub fn rechecked(&mut self, area: AreaId) {
        self.pay(area, 1.0);
    }

    /// Notes a stop of the walk in `area`.
    pub fn stopped(&mut self, area: AreaId) {
        self.pay(area, WORTH_OF_STOP);
    }

    fn pay(&mut self, area: AreaId, amount: f64) {
        if let Some(account) = self.accounts.iter_mut().find(|account| account.area == area) {
            account.owed = (account.owed - amount).max(-1.0);
        }
    }
}

/// An entry looked at less than this ago is not rechecked.
pub(in crate::files) const LEAST_AGE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::config::settings::config::Config;

    const DAY: Duration = Duration::from_hours(24);

    fn rates() -> Rates {
        Config::embedded(Vec::new(), PathBuf::from("/x")).rates
    }

    fn load(entries: u64, bytes: u64) -> Workload {
        Workload { entries, bytes }
    }

    fn max_age(loads: &[(AreaId, Option<Duration>, Workload)]) -> MaxAgeSchedule {
        let mut max_age = MaxAgeSchedule::default();
        max_age.weigh(loads, Boottime::default());
        max_age
    }

    #[test]
    fn without_a_promise_the_pace_is_the_usual_one() {
        let rates = rates();
        let usual = Demand { looks: rates.files, bytes: rates.bytes };
        assert_eq!(MaxAgeSchedule::default().pace(&rates), usual);
        assert_eq!(max_age(&[(AreaId(1), None, load(1_000_000, u64::MAX))]).pace(&rates), usual);
        assert_eq!(max_age(&[(AreaId(1), Some(DAY), load(10, 10))]).pace(&rates), usual, "nor is it ever lower");
    }

    #[test]
    fn what_others_hold_does_not_count_and_they_lose_nothing() {
        let rates = rates();
        let mine = (AreaId(1), Some(DAY), load(86_400, 0));
        assert!((max_age(&[mine]).pace(&rates).looks - 1.5).abs() < 1e-9);
        let both = max_age(&[mine, (AreaId(2), None, load(86_400 * 9, 0))]);
        assert!((both.pace(&rates).looks - 2.4).abs() < 1e-9, "{both:?}");
    }

    #[test]
    fn accounts_take_turns_by_how_long_they_wait() {
        let hour = Duration::from_hours(1);
        let mut both = max_age(&[(AreaId(1), Some(hour), load(3600, 0)), (AreaId(2), Some(DAY), load(8640, 0))]);
        let mut turns = [0_u32; 3];
        for second in 1..=1000_u64 {
            both.fill(Boottime::default().after(Duration::from_secs(second)));
            while let Some(area) = both.next() {
                both.rechecked(area);
                turns[usize::try_from(area.0).unwrap()] += 1;
            }
        }
        assert!((1049..=1050).contains(&turns[1]) && (104..=105).contains(&turns[2]), "{turns:?}");
    }

    proptest! {
        #[test]
        fn no_promise_leads_above_a_ceiling(
            entries in 0_u64..1 << 40,
            bytes in 0_u64..1 << 60,
            span in 60_u64..1 << 32,
            others in 0_u64..1 << 40,
        ) {
            let rates = rates();
            let held = [
                (AreaId(1), Some(Duration::from_secs(span)), load(entries, bytes)),
                (AreaId(2), None, load(others, bytes)),
            ];
            let pace = max_age(&held).pace(&rates);
            prop_assert!((rates.files..=rates.max_files).contains(&pace.looks), "{:?}", pace);
            prop_assert!((rates.bytes..=rates.max_bytes).contains(&pace.bytes), "{:?}", pace);
        }
    }
}
