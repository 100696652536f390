//! Items that our own code has stumbled over: left alone for a while that doubles each time, so that none of them becomes a hot loop and
//! none is forgotten.

use std::{collections::HashMap, hash::Hash, time::Duration};

use crate::model::clock::Boottime;

/// The first and the longest time for which an item is left alone.
const REST: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(24));

/// Most items that are known; beyond that the one that is free soonest goes.
const MOST: usize = 1000;

/// The items.
#[derive(Debug, Clone)]
pub struct BackoffSet<Item> {
    items: HashMap<Item, Aside>,
}

#[derive(Debug, Clone, Copy)]
struct Aside {
    until: Boottime,
    rest: Duration,
}

impl<Item> Default for BackoffSet<Item> {
    fn default() -> Self {
        Self { items: HashMap::new() }
    }
}

impl<Item: Eq + Hash + Clone> BackoffSet<Item> {
    /// Whether the item is to be left alone at `now`.
    pub fn holds<Key: Eq + Hash + ?Sized>(&self, item: &Key, now: Boottime) -> bool
    where
        Item: std::borrow::Borrow<Key>,
    {
        self.items.get(item).is_some_and(|aside| now < aside.until)
    }

    /// Sets an item aside: for five minutes the first time, for twice as long as last time when it was here before, at most a day.
    pub fn set_aside(&mut self, item: Item, now: Boottime) {
        if self.items.len() >= MOST && !self.items.contains_key(&item) {
            let soonest = self.items.iter().min_by_key(|(_, aside)| aside.until).map(|(item, _)| item.clone());
            soonest.map(|soonest| self.items.remove(&soonest));
        }
        let rest = self.items.get(&item).map_or(REST.0, |aside| (aside.rest * 2).min(REST.1));
        self.items.insert(item, Aside { until: now.after(rest), rest });
    }

    /// Forgets an item that went well.
    pub fn release<Key: Eq + Hash + ?Sized>(&mut self, item: &Key)
    where
        Item: std::borrow::Borrow<Key>,
    {
        if !self.items.is_empty() {
            self.items.remove(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Boottime {
        Boottime::from_nanos(minutes * 60_000_000_000)
    }

    #[test]
    fn an_item_is_left_alone_twice_as_long_each_time() {
        let mut quarantine = BackoffSet::<Vec<u8>>::default();
        quarantine.set_aside(b"/x".to_vec(), at(0));
        assert!(quarantine.holds(&b"/x"[..], at(4)) && !quarantine.holds(&b"/x"[..], at(5)));
        quarantine.set_aside(b"/x".to_vec(), at(5));
        assert!(quarantine.holds(&b"/x"[..], at(14)) && !quarantine.holds(&b"/x"[..], at(15)));
        (0..20).for_each(|_| quarantine.set_aside(b"/x".to_vec(), at(20)));
        assert!(quarantine.holds(&b"/x"[..], at(20 + 1439)) && !quarantine.holds(&b"/x"[..], at(20 + 1440)));
        quarantine.release(&b"/x"[..]);
        quarantine.set_aside(b"/x".to_vec(), at(5000));
        assert!(!quarantine.holds(&b"/x"[..], at(5005)), "one that went well begins anew");
    }

    #[test]
    fn a_flood_of_items_is_bounded() {
        let mut quarantine = BackoffSet::<i64>::default();
        (0..2000).for_each(|item| quarantine.set_aside(item, at(item)));
        assert_eq!(quarantine.items.len(), MOST);
        assert!(quarantine.holds(&1999, at(1999)));
    }
}
