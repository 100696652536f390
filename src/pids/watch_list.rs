//! All watched processes of a generation: looked at together, and told in one transaction with what is known of them afterwards.

use std::{path::PathBuf, time::Duration};

use crate::{
    config::settings::config::Config,
    model::{
        backoff::BackoffSet,
        clock::{Boottime, Moment, Timestamp},
        process::{Liveness, ProcessId, WatchState},
    },
    pids::{
        events::Telling,
        inspect::ProcessInspector,
        liveness::{Circumstances, LivenessStep, ProcessSight, step},
        watch::{PidFileWatch, name_of},
    },
    store::{
        db::Db,
        events::outcome::{Outcome, StateChange},
        sources::processes::WatchRow,
        sqlite::{connection::Store, error::StoreError},
    },
    sys::{fault_injection, panic::catch_panic},
};

/// So many processes that tell of their end by themselves are looked at in one round all the same: that a first thread has ended and
/// others live, they do not tell.
const THOROUGH: usize = 256;

/// All watched processes.
#[derive(Debug)]
pub struct Roster {
    watches: Vec<PidFileWatch>,
    root: PathBuf,
    grace: Duration,
    /// When the daemon was last there before this start; `None` after the first round.
    away_since: Option<Timestamp>,
    /// Rounds so far.
    rounds: usize,
    /// Those over which our own code has stumbled, and those of them of whom it is still to be told.
    set_aside: BackoffSet<usize>,
    untold: Vec<usize>,
    error_nag: Duration,
}

/// Who is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichWatch {
    /// All.
    All,
    /// These, and who is due before the next round.
    These(Vec<usize>),
}

impl Roster {
    /// The processes of `config` as they were left in `store`; what is no longer watched is forgotten.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn open(
        config: &Config,
        store: &mut Store,
        root: PathBuf,
        away_since: Option<Timestamp>,
        now: Moment,
    ) -> Result<Self, StoreError> {
        let mut watches = Vec::new();
        for settings in &config.processes {
            let state = store.watch_state(&name_of(settings))?;
            watches.push(PidFileWatch::new(settings, state.unwrap_or_else(|| WatchState::unknown(now.wall))));
        }
        let mut outcome = Outcome::default();
        for row in store.watched()? {
            if watches.iter().all(|watch| watch.name != row.name) {
                outcome = outcome.with_change(StateChange::RemoveProcess(row.name));
            }
        }
        if !outcome.changes.is_empty() {
            store.commit(&outcome)?;
        }
        // At once or after two looks: a PID file may be rewritten, and a boot takes its time.
        let grace = config.pid_check_time * 2;
        let (set_aside, untold, error_nag) = (BackoffSet::default(), Vec::new(), config.report.error_nag);
        Ok(Self { watches, root, grace, away_since, rounds: 0, set_aside, untold, error_nag })
    }

    /// Without any grace: for a single round.
    #[must_use]
    pub fn without_grace(self) -> Self {
        Self { grace: Duration::ZERO, ..self }
    }

    /// Looks, and stores what has changed together with its events. When that fails nothing has changed, and it is found again.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn look(&mut self, which: &WhichWatch, db: &Db, now: Moment) -> Result<(), StoreError> {
        let steps = self.steps(which, now);
        let mut outcome = Outcome::default();
        for (number, step) in &steps {
            let Some(watch) = self.watches.get(*number) else { continue };
            if step.state != watch.state {
                let row = WatchRow { name: watch.name.clone(), state: step.state.clone() };
                outcome = outcome.with_change(StateChange::Process(Box::new(row)));
            }
            let telling = Telling {
                name: &watch.name,
                state: &step.state,
                found: now,
                not_before: if step.is_from_absence { self.away_since.or(watch.looked) } else { watch.looked },
                is_from_absence: step.is_from_absence,
            };
            for change in &step.changes {
                outcome = outcome.with_event(telling.event(change));
            }
        }
        for watch in self.untold.iter().filter_map(|number| self.watches.get(*number)) {
            let becomes = "this process is left alone for a while";
            db.lock().tell_fault(&watch.name.source, becomes, now, self.error_nag)?;
        }
        self.untold.clear();
        if outcome != Outcome::default() {
            db.lock().commit(&outcome)?;
        }
        for (number, step) in steps {
            if let Some(watch) = self.watches.get_mut(number) {
                watch.take(step, now);
            }
        }
        if *which == WhichWatch::All {
            self.rounds = self.rounds.wrapping_add(1);
        }
        Ok(())
    }

    fn steps(&mut self, which: &WhichWatch, now: Moment) -> Vec<(usize, LivenessStep)> {
        let turns = self.watches.len().div_ceil(THOROUGH).max(1);
        let eyes = ProcessInspector::new(&self.root, now);
        let mut steps = Vec::new();
        for (number, watch) in self.watches.iter_mut().enumerate() {
            let is_due = watch.due.is_some_and(|due| due <= now.boottime);
            let is_wanted = match which {
                WhichWatch::All => true,
                WhichWatch::These(these) => is_due || these.contains(&number),
            };
            let is_thorough = (number.wrapping_add(self.rounds)).is_multiple_of(turns);
            let is_left_alone = self.set_aside.holds(&number, now.boottime);
            if !is_wanted || is_left_alone || *which == WhichWatch::All && !is_thorough && !is_due && watch.is_quiet() {
                continue;
            }
            let is_first = self.away_since.is_some() && watch.looked.is_none() && watch.state.process.is_some();
            let at = Circumstances { now, grace: self.grace, is_first };
            let looked = catch_panic(|| {
                fault_injection::strike("pid", &watch.name.source);
                let sight: ProcessSight = watch.look(&eyes, now, is_thorough);
                step(&watch.state, watch.doubt, &sight, at)
            });
            match looked {
                Ok(step) => {
                    self.set_aside.release(&number);
                    steps.push((number, step));
                }
                Err(_caught) => {
                    self.set_aside.set_aside(number, now.boottime);
                    self.untold.push(number);
                    // Else it would be due at once, again and again.
                    watch.due = None;
                }
            }
        }
        steps
    }

    /// When somebody is to be looked at before the next round.
    pub fn next_due(&self) -> Option<Boottime> {
        self.watches.iter().filter_map(|watch| watch.due).min()
    }

    /// The processes that run and do not tell by themselves yet when they end.
    pub fn silent(&self) -> Vec<(usize, ProcessId)> {
        let runs = |watch: &PidFileWatch| matches!(watch.state.liveness, Liveness::Running | Liveness::Headless);
        let silent = |(number, watch): (usize, &PidFileWatch)| {
            let id = watch.state.process.as_ref().filter(|_| runs(watch))?.id;
            (watch.notice != Some(id)).then_some((number, id))
        };
        self.watches.iter().enumerate().filter_map(silent).collect()
    }

    /// Nobody tells by himself any more.
    pub fn forget_notices(&mut self) {
        self.watches.iter_mut().for_each(|watch| watch.notice = None);
    }

    /// Notes that this process will tell by itself when it ends, or has told (`None`).
    pub fn note(&mut self, number: usize, notice: Option<ProcessId>) {
        if let Some(watch) = self.watches.get_mut(number) {
            watch.notice = notice;
        }
    }
}

impl PidFileWatch {
    /// Takes over what a look has led to.
    fn take(&mut self, step: LivenessStep, now: Moment) {
        (self.state, self.doubt) = (step.state, step.doubt);
        self.looked = Some(now.wall);
        self.due = step.again.map(|again| now.boottime.after(again));
    }
}
