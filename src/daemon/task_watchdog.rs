//! The watch over the tasks: the service manager's watchdog is fed only while every one of them goes on (`sd_watchdog_enabled(3)`).
//!
//! A living process with a dead walker is the one state that must not exist. A task that ends takes the others with it; this one notices the
//! task that does not end and does not go on either. Time counts only as long as this task itself runs, so that a machine that was
//! suspended or a process that was stopped finds nobody late.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    model::{
        clock::{Clock, Moment, Timestamp},
        event::{Category, Event, Severity},
        keepalive::Keepalive,
    },
    store::{
        db::{Db, run_blocking},
        events::outcome::Outcome,
        sqlite::{connection::Store, error::with_causes},
    },
    sys::{
        fault_injection,
        process::broker::{self, Broker},
        sd_notify,
    },
};

/// How often is looked when nobody has to be told.
const LOOK_TIME: Duration = Duration::from_secs(10);

/// What one step of a task may take beyond its longest rest: a disk that answers after all, a long transaction of another task.
const STEP: Duration = Duration::from_mins(5);

/// When the watch itself wakes up so much too late, the process stood still: it was stopped, or the machine was suspended.
const STANDSTILL: Duration = Duration::from_secs(30);

/// The helper process, as an administrator reads it.
pub const HELPER: &str = "the helper process";

const HELPER_GONE: &str = "the helper process of the sandbox has ended: restart integrityd\n\
    until then it sends no mail by a sendmail program, reads no journal and looks at no slow file system, and knows \
    processes by number, start and name only; what waits is kept";

/// A task that is watched.
#[derive(Debug)]
struct WatchedTask {
    name: &'static str,
    pulse: Keepalive,
    /// How long it may be without a beat.
    limit: Duration,
    /// Its beats at the last look, and for how long it has had them.
    beats: u64,
    without: Duration,
    /// Since when it stands still.
    still: Option<Timestamp>,
}

/// What has changed with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TaskNews {
    name: &'static str,
    /// Since when it stands still; `None` when it goes on.
    since: Option<Timestamp>,
}

/// All tasks of a generation.
#[derive(Debug, Default)]
pub(super) struct TaskRegistry(Vec<WatchedTask>);

impl TaskRegistry {
    /// Watches one more task, whose longest rest between two beats is `rest`; gives its pulse.
    pub(super) fn watch(&mut self, name: &'static str, rest: Duration) -> Keepalive {
        let pulse = Keepalive::default();
        let step = fault_injection::patience().map_or(STEP, Duration::from_secs);
        let (limit, without) = (rest.saturating_add(step), Duration::ZERO);
        self.0.push(WatchedTask { name, pulse: pulse.clone(), limit, beats: 0, without, still: None });
        pulse
    }

    /// Looks at all tasks `elapsed` after the last look.
    fn look(&mut self, elapsed: Duration, now: Timestamp) -> Vec<TaskNews> {
        let mut news = Vec::new();
        for task in &mut self.0 {
            let beats = task.pulse.count();
            if beats == task.beats {
                task.without = task.without.saturating_add(elapsed);
            } else {
                (task.beats, task.without) = (beats, Duration::ZERO);
            }
            match task.still {
                None if task.without > task.limit => {
                    task.still = Some(now.before(task.without));
                    news.push(TaskNews { name: task.name, since: task.still });
                }
                Some(_) if task.without.is_zero() => {
                    task.still = None;
                    news.push(TaskNews { name: task.name, since: None });
                }
                _ => {}
            }
        }
        news
    }

    fn goes_on(&self) -> bool {
        self.0.iter().all(|task| task.still.is_none())
    }
}

/// The task that watches the others.
#[derive(Debug)]
pub(super) struct TaskWatch {
    pub(super) roll: TaskRegistry,
    pub(super) db: Db,
    pub(super) clock: Clock,
    pub(super) stop: CancellationToken,
}

impl TaskWatch {
    /// Watches until told to stop.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.db.call(Store::forget_standstills).await {
            tracing::error!(error = %with_causes(&error), "it cannot be stored what stands still");
        }
        let fed = sd_notify::watchdog();
        // Half of the time, as sd_watchdog_enabled(3) recommends.
        let interval = fed.map_or(LOOK_TIME, |limit| (limit / 2).min(LOOK_TIME));
        let (mut looked, mut seen, mut has_helper) = (Instant::now(), self.clock.now(), true);
        loop {
            let (now, moment) = (Instant::now(), self.clock.now());
            let elapsed = now.duration_since(looked);
            if let Some(event) = stop(seen, moment, interval, elapsed) {
                self.store(event);
            }
            let elapsed = elapsed.min(interval * 2);
            (looked, seen) = (now, moment);
            for news in self.roll.look(elapsed, self.clock.now().wall) {
                self.tell(news);
            }
            if has_helper && broker::installed().is_some_and(Broker::is_gone) {
                has_helper = false;
                self.mourn_helper();
            }
            if fed.is_some() && self.roll.goes_on() && has_helper {
                run_blocking(sd_notify::feed).await;
            }
            if self.stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
                return;
            }
        }
    }

    /// Says that the helper process has ended. This process cannot start another one any more; the service manager can, when it
    /// is not fed.
    fn mourn_helper(&self) {
        let now = self.clock.now();
        self.tell(TaskNews { name: HELPER, since: Some(now.wall) });
        if !broker::installed().is_some_and(Broker::is_news_gone) {
            return;
        }
        self.store(Event::new(Category::Notice, Severity::High, now, Vec::new()).with_note(HELPER_GONE));
    }

    /// Stores an event. The store is not waited for: it may be what stands still.
    fn store(&self, event: Event) {
        let db = self.db.clone();
        drop(tokio::spawn(async move {
            if let Err(error) = db.call(move |store| store.commit(&Outcome::tell(event))).await {
                tracing::error!(error = %with_causes(&error), "it cannot be stored what stood still");
            }
        }));
    }

    /// Says what has changed. The store is not waited for: it may be what stands still.
    fn tell(&self, TaskNews { name, since }: TaskNews) {
        if since.is_some() {
            tracing::error!(task = %name, "a task stands still; the watchdog is not fed");
        } else {
            tracing::warn!(task = %name, "a task goes on again");
        }
        let db = self.db.clone();
        drop(tokio::spawn(async move {
            if let Err(error) = db.call(move |store| store.note_standstill(name, since)).await {
                tracing::error!(error = %with_causes(&error), "it cannot be stored what stands still");
            }
        }));
    }
}

/// The event about a time in which this process stood still, from the last wake-up to this one: the watch waits for nothing but its timer,
/// so nothing else keeps it from waking up. `awake` is what the clock counted that stands still while the machine is suspended.
fn stop(before: Moment, now: Moment, interval: Duration, awake: Duration) -> Option<Event> {
    let passed = now.since(before);
    if passed < interval.saturating_add(STANDSTILL) {
        return None;
    }
    let suspended = passed.saturating_sub(awake);
    let (severity, why) = if suspended >= STANDSTILL {
        (Severity::Low, "the machine was suspended")
    } else {
        // As kill -STOP does, whoever sent it.
        (Severity::Normal, "the process was stopped and continued, or the machine gave it no time")
    };
    let mut event = Event::new(Category::NotRunning, severity, now, Vec::new())
        .with_note(format!("not running for {} s: {why}", passed.as_secs()));
    event.not_before = Some(before.wall);
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::{BootId, Boottime};

    const SECOND: Duration = Duration::from_secs(1);

    /// So many looks, one a second.
    fn looks(roll: &mut TaskRegistry, count: i64, from: i64) -> Vec<TaskNews> {
        let at = |second: i64| Timestamp::from_nanos(second * 1_000_000_000);
        (from..from + count).flat_map(|second| roll.look(SECOND, at(second))).collect()
    }

    #[test]
    fn a_time_in_which_the_process_stood_still_is_told_from_when_to_when() {
        let at = |seconds: i64| Moment {
            wall: Timestamp::from_nanos(seconds * 1_000_000_000),
            boottime: Boottime::from_nanos(seconds * 1_000_000_000),
            boot: BootId([1; 16]),
        };
        let told = |passed: i64, awake: u64| {
            stop(at(1000), at(1000 + passed), Duration::from_secs(10), Duration::from_secs(awake)).map(|event| {
                assert_eq!((event.not_before, event.found), (Some(at(1000).wall), at(1000 + passed)));
                (event.severity, String::from_utf8(event.note).unwrap())
            })
        };
        assert_eq!(told(10, 10), None);
        assert_eq!(told(39, 39), None, "a busy machine");
        let (severity, words) = told(300, 300).unwrap();
        assert!(
            severity == Severity::Normal && words.starts_with("not running for 300 s: the process was stopped"),
            "{words}"
        );
        let (severity, words) = told(28_800, 10).unwrap();
        assert!(severity == Severity::Low && words.contains("suspended"), "{words}");
    }

    #[test]
    fn i4_one_task_that_stands_still_is_enough_and_a_beat_frees_it() {
        let mut roll = TaskRegistry::default();
        let (walker, reader) = (roll.watch("the walker", SECOND), roll.watch("the reader", Duration::from_hours(1)));
        walker.beat();
        reader.beat();
        assert_eq!(looks(&mut roll, 302, 0), []);
        assert!(roll.goes_on());
        let news = looks(&mut roll, 1, 302);
        assert_eq!(news, [TaskNews { name: "the walker", since: Some(Timestamp::from_nanos(0)) }]);
        reader.beat();
        assert_eq!(looks(&mut roll, 100, 303), []);
        assert!(!roll.goes_on(), "one is enough");
        walker.beat();
        assert_eq!(looks(&mut roll, 1, 403), [TaskNews { name: "the walker", since: None }]);
        assert!(roll.goes_on());
    }
}
