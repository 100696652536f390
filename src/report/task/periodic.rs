//! The task that gives signs of life: heartbeats and reports of finished rounds, each in its own time.
//!
//! When the next one is due is counted from when the last one was due, so neither a restart nor a late one shifts the others; after a
//! longer absence one comes, not all that were missed. Who has not got the last one gets no further one: a mail server that is away for
//! a month finds one sign of life in the queue, not thirty.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::config::ReportSettings,
    model::{
        clock::{Clock, Deadline, Moment, Timestamp},
        event::{Category, Channel, Event, Severity},
        file::entry::AreaId,
        keepalive::Keepalive,
    },
    report::{
        render::{batch::BatchTally, sections::periodic::Figures},
        task::composer::{self as mail, Audience, BatchError, ReportComposer},
    },
    store::{
        db::Db,
        events::append::Range,
        health::{
            diagnose::diagnose,
            facts::{FactTerms, Facts},
        },
        outbox::periodic::{Last, Marks, ScheduledRun},
        sqlite::{
            connection::Store,
            error::{StoreError, with_causes},
        },
    },
    sys::users::Names,
};

/// The longest rest: tokio's timers stand still while the machine is suspended.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// How soon one that could not be made, or for which the last one is waited for, is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What recurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeriodicMail {
    Heartbeat,
    Rounds,
}

impl PeriodicMail {
    const ALL: [Self; 2] = [Self::Heartbeat, Self::Rounds];

    /// Its name in the database.
    const fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Rounds => "cyclereport",
        }
    }

    const fn category(self) -> Category {
        match self {
            Self::Heartbeat => Category::Heartbeat,
            Self::Rounds => Category::RoundFinished,
        }
    }

    const fn period(self, settings: &ReportSettings) -> Option<Duration> {
        match self {
            Self::Heartbeat => settings.heartbeat,
            Self::Rounds => settings.cycle_report,
        }
    }
}

/// The task that gives signs of life.
#[derive(Debug)]
pub struct Recurrence {
    /// How often each is given.
    pub settings: ReportSettings,
    /// The store.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Since when the daemon runs.
    pub began: Timestamp,
    /// What was promised of the areas.
    pub terms: FactTerms,
    /// What makes the mails.
    pub composer: Arc<ReportComposer>,
    /// Wakes the delivery.
    pub delivery: Arc<Notify>,
    /// Beats as it goes on.
    pub pulse: Keepalive,
    /// When to end.
    pub stop: CancellationToken,
}

/// When one is due, by the last one.
struct DueMail {
    turn: Last,
    before: Moment,
    next: Moment,
}

impl DueMail {
    /// The turn that is due at `now`, or how long there is to wait for it.
    fn at(last: Last, period: Duration, now: Moment) -> Result<Self, Duration> {
        let left = Deadline::after(last.due, period).remaining(now);
        if !left.is_zero() {
            return Err(left);
        }
        // Those that were missed are passed over, so that the others stay where they were.
        let periods = now.since(last.due).as_nanos().checked_div(period.as_nanos()).unwrap_or(1).max(1);
        let length = period.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX));
        let due = if now.boot == last.due.boot {
            last.due.after(length)
        } else {
            let late = now.wall.since(last.due.wall.after(length));
            Moment { wall: now.wall.before(late), boottime: now.boottime.before(late), boot: now.boot }
        };
        let turn = Last { number: last.number.saturating_add(1), due };
        Ok(Self { turn, before: last.due, next: due.after(period) })
    }
}

impl Recurrence {
    /// Gives signs of life until told to stop.
    pub async fn run(self) {
        loop {
            self.pulse.beat();
            let mut rest = LONGEST_REST;
            for sign in PeriodicMail::ALL {
                let Some(period) = sign.period(&self.settings) else { continue };
                match self.step(sign, period).await {
                    Ok(wait) => rest = rest.min(wait),
                    Err(error) => {
                        tracing::error!(error = %with_causes(&error), "a sign of life could not be given; it is tried again");
                        rest = rest.min(RETRY);
                    }
                }
            }
            if self.stop.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                return;
            }
        }
    }

    /// Gives the signs of life that are due, once.
    ///
    /// # Errors
    /// [`BatchError`] when one cannot be made or stored; it is due again the next time.
    pub async fn give_due(&self) -> Result<(), BatchError> {
        for sign in PeriodicMail::ALL {
            if let Some(period) = sign.period(&self.settings) {
                self.step(sign, period).await?;
            }
        }
        Ok(())
    }

    /// Gives a sign when it is due; gives how long to rest.
    async fn step(&self, sign: PeriodicMail, period: Duration) -> Result<Duration, BatchError> {
        let (composer, now, began) = (Arc::clone(&self.composer), self.clock.now(), self.began);
        let terms = self.terms.clone();
        let step = move |store: &mut Store| {
            give(store, sign, period, &PeriodicOccasion { composer: &composer, terms: &terms, now, began })
        };
        let (has_sent, rest) = self.db.call(step).await?;
        if has_sent {
            self.delivery.notify_one();
        }
        Ok(rest)
    }
}

/// Who gives a sign, and when.
struct PeriodicOccasion<'a> {
    composer: &'a ReportComposer,
    terms: &'a FactTerms,
    now: Moment,
    began: Timestamp,
}

/// Gives a sign when it is due: whether a mail was stored, and how long to wait for the next.
fn give(
    store: &mut Store,
    sign: PeriodicMail,
    period: Duration,
    occasion: &PeriodicOccasion<'_>,
) -> Result<(bool, Duration), BatchError> {
    let now = occasion.now;
    let Some(last) = store.recurring(sign.name())? else {
        let marks = marks(store)?;
        store.skip_turn(&ScheduledRun { name: sign.name(), next: Last { number: 0, due: now }, now, marks: &marks })?;
        return Ok((false, period));
    };
    let due = match DueMail::at(last, period, now) {
        Ok(due) => due,
        Err(left) => return Ok((false, left)),
    };
    let rest = Deadline { due: due.next, nominal: period }.remaining(now);
    let everybody = occasion.composer.readerships.iter().filter(|readership| readership.areas.is_none());
    let everybody: Vec<String> = everybody.flat_map(|readership| readership.recipients.clone()).collect();
    let recipients = store.without_waiting(sign.category(), &everybody)?;
    if recipients.is_empty() {
        return Ok((false, RETRY));
    }
    store.flush()?;
    let (before, counted) = (store.marks(sign.name())?, marks(store)?);
    let turn = ScheduledRun { name: sign.name(), next: due.turn, now, marks: &counted };
    let has_rounds = counted
        .iter()
        .any(|(name, value)| name.starts_with("rounds ") && *value > before.get(name).copied().unwrap_or(0));
    let is_empty = match sign {
        PeriodicMail::Heartbeat => false,
        PeriodicMail::Rounds => !has_rounds,
    };
    if is_empty {
        let next = Last { number: last.number, ..due.turn };
        store.skip_turn(&ScheduledRun { next, ..turn })?;
        return Ok((false, rest));
    }
    tell(store, sign, occasion, &due, &turn, (&before, recipients))?;
    Ok((true, rest))
}

/// Writes the mail, and stores it with its event.
fn tell(
    store: &mut Store,
    sign: PeriodicMail,
    occasion: &PeriodicOccasion<'_>,
    due: &DueMail,
    turn: &ScheduledRun<'_>,
    (before, recipients): (&Marks, Vec<String>),
) -> Result<(), BatchError> {
    let PeriodicOccasion { composer, terms, now, began } = *occasion;
    let first = before.get("seq").copied().unwrap_or(0).saturating_add(1);
    let last = store.head()?.seq;
    let id = store.next_report()?;
    let instance = store.uuid();
    let facts = Facts::read(store, terms, now)?;
    let health = diagnose(&facts);
    let figures = Figures {
        host: &composer.host,
        now,
        zone: &composer.zone,
        program: &composer.program,
        began,
        turn: due.turn,
        before: due.before.wall,
        next: due.next.wall,
        marks: (before, turn.marks),
        tally: &tally(store, first, last, None)?,
        areas: &tallies(store, &facts, first, last)?,
        facts: &facts,
        health: &health,
    };
    let mut event = Event::new(sign.category(), Severity::Count, now, Vec::new()).with_note(format!(
        "number {}, the next one is due {}",
        due.turn.number,
        due.next.wall.as_nanos()
    ));
    event.count = due.turn.number;
    let previous = store.last_report_to(&recipients)?;
    store.recur(turn, event, |head| {
        let rendered = match sign {
            PeriodicMail::Heartbeat => figures.heartbeat(head),
            PeriodicMail::Rounds => figures.finished_rounds(head),
        };
        let readership = Audience { recipients, areas: None };
        let range = Range { channel: Channel::Life, first: head.seq, last: head.seq, areas: None };
        let occasion = mail::ReportOccasion {
            readership: &readership,
            previous: previous.as_deref(),
            id,
            now,
            names: &Names::default(),
            notices: &[],
        };
        Ok::<_, BatchError>(vec![composer.message(instance, &range, rendered, &occasion, None)?])
    })
}

/// What is counted now.
fn marks(store: &Store) -> Result<Marks, StoreError> {
    let counters = store.counters()?;
    let mut marks: Marks =
        store.areas()?.into_iter().map(|area| (format!("rounds {}", area.id.0), area.rounds)).collect();
    marks.insert("looks".to_owned(), counters.looks);
    marks.insert("bytes".to_owned(), counters.bytes);
    marks.insert("lines".to_owned(), store.lines_read()?);
    marks.insert("seq".to_owned(), store.head()?.seq);
    Ok(marks)
}

/// The events between two numbers, signs of life aside.
fn tally(store: &Store, first: u64, last: u64, area: Option<&[u8]>) -> Result<BatchTally, StoreError> {
    let mut tally = BatchTally::default();
    for channel in Channel::ALL {
        let range = Range { channel, first, last, areas: area.map(|area| vec![area.to_vec()]) };
        for count in store.count_in(&range)? {
            tally.add_counted(count.category, count.severity, count.events);
        }
    }
    Ok(tally)
}

/// The events of each area that is looked at.
fn tallies(store: &Store, facts: &Facts, first: u64, last: u64) -> Result<Vec<(AreaId, BatchTally)>, StoreError> {
    facts.active().map(|area| Ok((area.id, tally(store, first, last, Some(&area.raw))?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::{BootId, Boottime};

    fn at(seconds: i64, boot: u8) -> Moment {
        let nanos = seconds * 1_000_000_000;
        let boottime = if boot == 1 { nanos } else { 5_000_000_000 };
        Moment {
            wall: Timestamp::from_nanos(1_795_000_000_000_000_000 + nanos),
            boottime: Boottime::from_nanos(boottime),
            boot: BootId([boot; 16]),
        }
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_late_one_does_not_shift_the_next() {
        let last = Last { number: 7, due: at(0, 1) };
        assert_eq!(DueMail::at(last, HOUR, at(3000, 1)).err(), Some(Duration::from_mins(10)));
        let due = DueMail::at(last, HOUR, at(3900, 1)).ok().unwrap();
        assert_eq!((due.turn, due.next), (Last { number: 8, due: at(3600, 1) }, at(7200, 1)));
    }

    #[test]
    fn after_an_absence_one_comes_and_the_others_stay_where_they_were() {
        let last = Last { number: 7, due: at(0, 1) };
        let due = DueMail::at(last, HOUR, at(3600 * 5 + 60, 1)).ok().unwrap();
        assert_eq!((due.turn.number, due.next), (8, at(3600 * 6, 1)));
        let due = DueMail::at(last, HOUR, at(3600 * 5 + 60, 2)).ok().unwrap();
        assert_eq!((due.turn.number, due.next.wall), (8, at(3600 * 6, 1).wall));
        assert_eq!(due.next.since(at(3600 * 5 + 60, 2)), Duration::from_mins(59));
    }
}
