//! Moments of another boot: at a start, what something waits for is counted anew in the boot that runs.
//!
//! Only the wall clock leads across a reboot, and it may have gone back meanwhile: asked again and again, it would keep everything
//! waiting until it has caught up. So it is asked once, how much of each wait is left, and from then on the boot clock counts.

use rusqlite::{Connection, params};

use crate::{
    model::clock::Moment,
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// Since when is counted: what the wall clock says, but nothing later than `now`.
const SINCE: [&str; 2] = [
    "UPDATE channel SET batched_boottime = ?2 - max(?1 - batched_wall, 0), batched_wall = min(batched_wall, ?1),
         batched_boot = ?3 WHERE batched_boot <> ?3",
    "UPDATE recurring SET boottime = ?2 - max(?1 - wall, 0), wall = min(wall, ?1), boot = ?3 WHERE boot <> ?3",
];

/// When something is due: what the wall clock says, but no later than its whole wait from `now` on.
const DUE: &str = "UPDATE delivery SET due_boottime = ?2 + max(min(due_wall - ?1, nominal), 0),
         due_wall = ?1 + max(min(due_wall - ?1, nominal), 0), due_boot = ?3 WHERE due_boot <> ?3 AND state IN (1, 3)";

/// The first start in a boot, by which is counted what cannot be written anew: events. Another start of the boot begins no wait anew.
const FIRST: &str = "INSERT INTO recurring (name, number, wall, boottime, boot) VALUES ('boot', 1, ?1, ?2, ?3)
     ON CONFLICT (name) DO UPDATE SET number = number + 1, wall = ?1, boottime = ?2, boot = ?3 WHERE boot <> ?3";

/// Counts all waits of other boots in the boot of `now`.
pub(super) fn count_anew(tx: &Connection, now: Moment) -> Result<(), StoreError> {
    for statement in [FIRST, DUE].into_iter().chain(SINCE) {
        tx.execute(statement, params![now.wall.as_nanos(), now.boottime.as_nanos(), now.boot.0])
            .trying("count the waits of another boot anew")?;
    }
    Ok(())
}

impl Store {
    /// `found` as it counts in the boot that runs, as far as a daemon has begun in it.
    pub(in crate::store) fn in_this_boot(&self, found: Moment) -> Result<Moment, StoreError> {
        Ok(self.recurring("boot")?.map_or(found, |first| found.in_boot_of(first.due)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        model::{
            clock::{BootId, Boottime, Deadline},
            event::{Category, Channel, Event, Severity},
        },
        report::task::pool::{Decision, PendingReport, Pool},
        store::{
            events::{append::Range, outcome::Outcome},
            outbox::{
                failures::DeliveryFailure,
                periodic::{Last, Marks, ScheduledRun},
                reports::{NewReport, ReportId},
            },
            test_support::{now, scratch},
        },
    };

    const HOUR: Duration = Duration::from_hours(1);

    /// A store in which everything waits an hour, at [`now`].
    fn waiting(store: &mut Store) {
        store.mark_start(now()).unwrap();
        let event = || Event::new(Category::Changed, Severity::Normal, now(), b"/etc/f".to_vec());
        let last = store.commit(&Outcome::tell(event())).unwrap();
        let report = NewReport {
            id: ReportId(1),
            message_id: "<1@x>".to_owned(),
            severity: Severity::Normal,
            subject: "x".to_owned(),
            bytes: b"x".to_vec(),
            recipients: vec!["a@x".to_owned()],
            range: Range { channel: Channel::Files, first: last, last, areas: None },
        };
        store.batch(Channel::Files, last, now(), &[report]).unwrap();
        store.commit(&Outcome::tell(event())).unwrap();
        let delivery = store.due_deliveries(now()).unwrap().0.remove(0);
        let retry = Some(Deadline::after(now(), HOUR));
        let failure = DeliveryFailure { reply: "451 no".to_owned(), is_refusal: false, is_trouble: false, retry };
        store.mark_failed(&delivery, &failure, now()).unwrap();
        let next = Last { number: 1, due: now() };
        store.skip_turn(&ScheduledRun { name: "heartbeat", next, now: now(), marks: &Marks::new() }).unwrap();
    }

    /// How long a report, a retry and a heartbeat still wait.
    fn left(store: &Store, at: Moment) -> [Duration; 3] {
        let waiting = store.waiting(Channel::Files).unwrap().unwrap();
        let pending = PendingReport {
            first: Some(waiting.first),
            urgent: Vec::new(),
            last_batch: store.last_batch(Channel::Files).unwrap(),
        };
        let mut pool =
            Pool::of(Channel::Files, &crate::config::settings::config::Config::embedded(Vec::new(), "x".into()).report);
        (pool.ordinary.report_time, pool.ordinary.hold_off) = (HOUR, HOUR);
        let report = match pool.decide(&pending, at) {
            Decision::Wait(wait) => wait,
            Decision::Send | Decision::Rest => Duration::ZERO,
        };
        let retry = store.due_deliveries(at).unwrap().1.unwrap_or_default();
        let beat = Deadline::after(store.recurring("heartbeat").unwrap().unwrap().due, HOUR).remaining(at);
        [report, retry, beat]
    }

    #[test]
    fn after_a_reboot_every_wait_ends_within_its_length_whatever_the_wall_clock_says() {
        let minutes = Duration::from_mins;
        for (ahead, wanted) in [(-87_600 * 60, 60), (0, 60), (20, 40), (600, 0)] {
            let (_directory, path) = scratch();
            let mut store = Store::open(&path, now()).unwrap();
            waiting(&mut store);
            let wall = now().wall.as_nanos() + ahead * 60_000_000_000;
            let begun = Moment {
                wall: crate::model::clock::Timestamp::from_nanos(wall),
                boottime: Boottime::from_nanos(12),
                boot: BootId([8; 16]),
            };
            store.mark_start(begun).unwrap();
            for passed in [0, 10, 39, 59, 60] {
                let wanted = minutes(u64::saturating_sub(wanted, passed));
                assert_eq!(
                    left(&store, begun.after(minutes(passed))),
                    [wanted; 3],
                    "{ahead} min ahead, {passed} min later"
                );
            }
            // Another start of the same boot begins nothing anew.
            store.mark_start(begun.after(minutes(30))).unwrap();
            let wanted = minutes(u64::saturating_sub(wanted, 30));
            assert_eq!(left(&store, begun.after(minutes(30))), [wanted; 3], "{ahead} min ahead, after a restart");
        }
    }
}
