//! Who waits with something urgent, and when reports told of something urgent of the same one before: what urgent mails back off by.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use rusqlite::{Connection, params};

use crate::{
    model::{
        clock::{Moment, Timestamp},
        event::Channel,
        originator::{CROWD, UrgentKey},
    },
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// How long it counts that somebody's urgent events were mailed.
const MEMORY: Duration = Duration::from_hours(6);

/// The first urgent event that waits, of those who were told of at the same times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrgentEvent {
    /// When it was found.
    pub found: Moment,
    /// When reports of the last six hours told of urgent events of the same originator, oldest first.
    pub told: Vec<Timestamp>,
}

/// When was told of whom: within a scope, by detail.
type UrgentTold = HashMap<i64, BTreeMap<i64, BTreeSet<i64>>>;

impl Store {
    /// The urgent events that wait in `channel`, the first of all that were told of at the same times. Of more in one scope than count
    /// by themselves the whole scope counts. Cost: what has come since it was asked last, and what was told in six hours.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn urgent_waiting(&mut self, channel: Channel, now: Timestamp) -> Result<Vec<UrgentEvent>, StoreError> {
        self.scan_urgent(channel)?;
        let Some(scan) = self.urgent.get(&channel).filter(|scan| !scan.first.is_empty()) else { return Ok(Vec::new()) };
        let told = told_since(&self.db, channel, now)?;
        let mut scopes: HashMap<i64, Vec<(UrgentKey, u64)>> = HashMap::new();
        for (key, seq) in &scan.first {
            scopes.entry(key.scope).or_default().push((*key, *seq));
        }
        let none = BTreeMap::new();
        let mut first: BTreeMap<Vec<i64>, u64> = BTreeMap::new();
        let mut take = |times: BTreeSet<i64>, seq: u64| {
            let earliest = first.entry(times.into_iter().collect()).or_insert(seq);
            *earliest = (*earliest).min(seq);
        };
        for (scope, keys) in scopes {
            let told = told.get(&scope).unwrap_or(&none);
            let fresh = keys.iter().filter(|(key, _)| !told.contains_key(&key.detail)).count();
            let is_crowd = keys.iter().any(|(key, _)| told.len() + fresh > key.most) || told.contains_key(&CROWD);
            if !is_crowd {
                for (key, seq) in keys {
                    take(told.get(&key.detail).cloned().unwrap_or_default(), seq);
                }
            } else if let Some(seq) = keys.iter().map(|(_, seq)| *seq).min() {
                take(told.values().flatten().copied().collect(), seq);
            }
        }
        let mut urgent = Vec::new();
        for (told, seq) in first {
            let Some(stored) = self.event(seq)? else { continue };
            let told = told.into_iter().map(Timestamp::from_nanos).collect();
            urgent.push(UrgentEvent { found: self.in_this_boot(stored.event.found)?, told });
        }
        Ok(urgent)
    }

    /// Takes in what has come since the last time.
    pub(in crate::store) fn scan_urgent(&mut self, channel: Channel) -> Result<(), StoreError> {
        let batched = self.batched_up_to(channel)?;
        let scan = self.urgent.entry(channel).or_default();
        scan.begin_behind(batched);
        let mut statement = self
            .db
            .prepare_cached(
                "SELECT seq, kind = 'file', category, area, coalesce(originator, -2), coalesce(part, 0), source
                 FROM event INDEXED BY event_urgent WHERE channel = ?1 AND seq > ?2 AND severity >= 70 ORDER BY seq",
            )
            .trying("prepare to look for what is urgent")?;
        let mut rows =
            statement.query(params![channel.name(), scan.seen.cast_signed()]).trying("look for what is urgent")?;
        while let Some(row) = rows.next().trying("look for what is urgent")? {
            let read = || -> rusqlite::Result<(u64, UrgentKey)> {
                let area = row.get_ref(3)?.as_blob()?;
                let key = UrgentKey::new(
                    (row.get(1)?, row.get(2)?),
                    area,
                    (row.get(4)?, row.get(5)?),
                    row.get_ref(6)?.as_blob()?,
                );
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), key))
            };
            let (seq, key) = read().trying("look for what is urgent")?;
            scan.seen = seq;
            scan.first.entry(key).or_insert(seq);
        }
        Ok(())
    }
}

fn told_since(db: &Connection, channel: Channel, now: Timestamp) -> Result<UrgentTold, StoreError> {
    let mut told = UrgentTold::new();
    let mut statement = db
        .prepare_cached("SELECT scope, detail, at FROM urgent_told WHERE channel = ?1 AND at BETWEEN ?2 AND ?3")
        .trying("prepare to look what urgent was told")?;
    let mut rows = statement
        .query(params![channel.name(), now.before(MEMORY).as_nanos(), now.as_nanos()])
        .trying("look what urgent was told")?;
    while let Some(row) = rows.next().trying("look what urgent was told")? {
        let read = || -> rusqlite::Result<(i64, i64, i64)> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
        let (scope, detail, at) = read().trying("look what urgent was told")?;
        told.entry(scope).or_default().entry(detail).or_default().insert(at);
    }
    Ok(told)
}

/// Notes that a report of `now` tells of these: each by itself, or its scope where there are too many.
pub(in crate::store) fn note_told(
    tx: &Connection,
    channel: Channel,
    keys: impl Iterator<Item = UrgentKey>,
    now: Moment,
) -> Result<(), StoreError> {
    let mut scopes: HashMap<i64, (usize, BTreeSet<i64>)> = HashMap::new();
    for UrgentKey { scope, detail, most } in keys {
        let (_, details) = scopes.entry(scope).or_insert((most, BTreeSet::new()));
        if details.len() <= most {
            details.insert(detail);
        }
    }
    let at = now.wall;
    tx.prepare_cached("DELETE FROM urgent_told WHERE at < ?1 OR at > ?2")
        .and_then(|mut statement| statement.execute([at.before(MEMORY).as_nanos(), at.as_nanos()]))
        .trying("forget what urgent was told")?;
    let mut statement = tx
        .prepare_cached("INSERT OR IGNORE INTO urgent_told (channel, scope, detail, at) VALUES (?1, ?2, ?3, ?4)")
        .trying("prepare to note what urgent was told")?;
    for (scope, (most, details)) in scopes {
        let details = if details.len() > most { BTreeSet::from([CROWD]) } else { details };
        for detail in details {
            statement
                .execute(params![channel.name(), scope, detail, at.as_nanos()])
                .trying("note what urgent was told")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            event::{Category, Event, Severity},
            file::entry::{Attributes, Digests, HashState, Observation},
        },
        store::{
            events::outcome::Outcome,
            test_support::{now, scratch},
        },
    };

    fn high(uid: u32, path: &str) -> Event {
        let mut event = Event::new(Category::Added, Severity::High, now(), path.as_bytes().to_vec());
        event.area = b"/srv".to_vec();
        let mut seen = Attributes::sample(now().wall);
        seen.uid = uid;
        event.new = Some(Observation { attributes: seen, hash_state: HashState::Off, digests: Digests::default() });
        event
    }

    fn violation(text: &str) -> Event {
        let event = Event::new(Category::Violation, Severity::High, now(), b"/log/auth".to_vec());
        event.with_note(format!("Nov 21 14:02:11 web3 {text}"))
    }

    struct UrgentBench {
        _directory: tempfile::TempDir,
        store: Store,
    }

    impl UrgentBench {
        fn new() -> Self {
            let (directory, path) = scratch();
            Self { store: Store::open(&path, now()).unwrap(), _directory: directory }
        }

        /// Stores these and gives how often those that wait were told of before, least first.
        fn found(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<usize> {
            let mut channel = Channel::Files;
            for event in events {
                channel = event.category.channel();
                self.store.commit(&Outcome::tell(event)).unwrap();
            }
            let waiting = self.store.urgent_waiting(channel, now().wall).unwrap();
            let mut told: Vec<usize> = waiting.iter().map(|urgent| urgent.told.len()).collect();
            told.sort_unstable();
            told
        }

        fn report(&mut self, channel: Channel, seconds: u64) {
            let mut at = now();
            at.wall = at.wall.before(Duration::from_secs(seconds));
            let last = self.store.head().unwrap().seq;
            self.store.scan_urgent(channel).unwrap();
            let keys: Vec<UrgentKey> = self.store.urgent[&channel].first.keys().copied().collect();
            note_told(&self.store.db, channel, keys.into_iter(), at).unwrap();
            self.store.batch(channel, last, at, &[]).unwrap();
        }
    }

    #[test]
    fn who_was_urgent_before_is_known_by_owner_program_and_path_of_root() {
        let mut bench = UrgentBench::new();
        assert_eq!(bench.found([high(1000, "/srv/a/1"), high(0, "/srv/c/1")]), [0]);
        bench.report(Channel::Files, 60);
        // Whatever the directory.
        assert_eq!(bench.found([high(1000, "/srv/b/1")]), [1]);
        bench.report(Channel::Files, 30);
        assert_eq!(bench.found([high(1000, "/srv/b/1"), high(0, "/srv/c/2")]), [0, 2], "another path of root");
        assert_eq!(bench.found([high(0, "/srv/c/1"), high(1001, "/srv/d/1")]), [0, 1, 2]);
        assert_eq!(bench.found([violation("sudo: x"), violation("su: z")]), [0]);
        bench.report(Channel::Logs, 10);
        let mut attack = violation("sudo: y");
        assert_eq!(bench.found([attack.clone()]), [1]);
        attack.category = Category::Cracking;
        assert_eq!(bench.found([attack]), [0, 1], "another class");
    }

    #[test]
    fn names_and_users_without_end_are_one() {
        let mut bench = UrgentBench::new();
        bench.found((0..20).map(|number| violation(&format!("p{number}: x"))));
        bench.report(Channel::Logs, 100);
        assert_eq!(bench.found([violation("another: x")]), [1]);
        bench.found((0..20).map(|number| high(100_000 + number, "/srv/x")));
        bench.report(Channel::Files, 100);
        assert_eq!(bench.found([high(200_000, "/srv/x")]), [1]);
        assert_eq!(bench.found([high(0, "/srv/x")]), [0, 1], "root is none of them");
    }

    #[test]
    fn what_was_told_is_forgotten_after_hours() {
        let mut bench = UrgentBench::new();
        bench.found([high(1000, "/srv/a/1")]);
        bench.report(Channel::Files, 6 * 3600 + 1);
        assert_eq!(bench.found([high(1000, "/srv/a/1")]), [0]);
    }
}
