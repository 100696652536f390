//! What a look at a watched process means: what was known, what is seen and the time give what is known next and what is told.
//!
//! Pure. A death is told at once where the PID file still names the dead: nobody is about to replace it in good order. Where the file
//! is missing or wrong somebody may be rewriting it, so that has a grace; whoever comes back within it was restarted, which is
//! one piece of news and not three. A process that has just ended is a zombie until its parent has asked how, so a zombie is one
//! only after a moment.

use std::time::Duration;

use crate::model::{
    clock::{Moment, Timestamp},
    process::{FileFault, Liveness, PidChange, Process, Storm, WatchState},
};

/// How long an ended process may wait for its parent before it is told: init and its like ask within milliseconds.
pub const CONFIRM: Duration = Duration::from_millis(100);

/// How often such a process is looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(20);

/// How often a process without a good PID file is looked at during its grace, at most.
const GRACE_LOOK: Duration = Duration::from_secs(1);

/// How long a unit may be without a process: what systemd restarts is there again sooner, as a rule.
const UNIT_GRACE: Duration = Duration::from_secs(5);

/// So many restarts that follow one another closely are told one by one.
const ALONE: u64 = 3;

/// After so long without a restart those of a row are told that were not told yet.
const QUIET: Duration = Duration::from_secs(10);

/// After so long without a restart a row of them is over, and the next one is told alone again.
const CALM: Duration = Duration::from_mins(1);

/// How often a row of restarts is told that does not end.
const STORM_NAG: Duration = Duration::from_mins(10);

/// A process and how it fares; never [`Liveness::Gone`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The process.
    pub process: Process,
    /// How it fares.
    pub liveness: Liveness,
}

/// What a look has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessSight {
    /// Nothing: the kernel does not tell.
    Hidden,
    /// A number.
    Number {
        /// The number, as it stands in the file.
        number: u32,
        /// Who has it.
        named: Option<Seen>,
        /// How the process fares that was known before.
        known: Liveness,
    },
    /// No number.
    Fault {
        /// What is wrong with the file.
        fault: FileFault,
        /// How the process fares that was known before.
        known: Liveness,
    },
    /// A unit without any process.
    Empty,
}

/// Something that is told only if it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// What.
    kind: DoubtKind,
    /// Since when.
    since: Moment,
    /// Whether it was found at the first look after a time without any.
    is_from_absence: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DoubtKind {
    /// There is no process that is named well.
    Unnamed,
    /// It has ended, but is still listed.
    Ended,
}

/// Under which circumstances is looked.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// The time.
    pub now: Moment,
    /// How long a PID file may be missing or wrong: two looks.
    pub grace: Duration,
    /// Whether it is the first look after a time in which nobody looked.
    pub is_first: bool,
}

/// What a look leads to.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivenessStep {
    /// What is known now.
    pub state: WatchState,
    /// What may become news.
    pub doubt: Option<Doubt>,
    /// What is news, in its order.
    pub changes: Vec<PidChange>,
    /// Whether it happened while nobody looked.
    pub is_from_absence: bool,
    /// After what time to look again, if not at the next round.
    pub again: Option<Duration>,
}

struct Machine {
    at: Circumstances,
    before: Option<Doubt>,
    step: LivenessStep,
}

/// What `sight` means after `state` and `doubt`.
pub fn step(state: &WatchState, doubt: Option<Doubt>, sight: &ProcessSight, at: Circumstances) -> LivenessStep {
    if *sight == ProcessSight::Hidden {
        return LivenessStep { state: state.clone(), doubt, changes: Vec::new(), is_from_absence: false, again: None };
    }
    let is_from_absence = at.is_first || doubt.is_some_and(|doubt| doubt.is_from_absence);
    let step = LivenessStep { state: state.clone(), doubt: None, changes: Vec::new(), is_from_absence, again: None };
    let mut machine = Machine { at, before: doubt, step };
    match sight {
        ProcessSight::Hidden => {}
        ProcessSight::Number { named: Some(seen), known, .. } => machine.named(seen, *known),
        ProcessSight::Number { number, named: None, .. } => machine.unnamed(*number),
        ProcessSight::Fault { fault, known } => machine.faulty(*fault, *known),
        ProcessSight::Empty => machine.empty(),
    }
    machine.calm_down();
    let mut step = machine.step;
    let standing = |state: &WatchState| (state.liveness, state.fault, state.process.as_ref().map(|it| it.id));
    if standing(&step.state) != standing(state) {
        step.state.since = at.now.wall;
    }
    step
}

impl Machine {
    /// The file names a process that is there.
    fn named(&mut self, seen: &Seen, known: Liveness) {
        let was_faulty = self.step.state.fault.take().is_some();
        let new = &seen.process;
        match self.step.state.process.take() {
            Some(old) if old.id == new.id => {
                if was_faulty {
                    self.tell(PidChange::Back);
                }
                let since = old.since;
                if !old.runs_same_file(new) {
                    self.tell(PidChange::Exec(old));
                }
                self.step.state.process = Some(Process { since, ..new.clone() });
            }
            old => self.other(old, new, known, was_faulty),
        }
        self.fares(seen.liveness);
    }

    /// The process is another one than the one that was known.
    fn other(&mut self, old: Option<Process>, new: &Process, known: Liveness, was_faulty: bool) {
        let was_told_gone = self.step.state.liveness == Liveness::Gone;
        let has_booted = old.as_ref().is_some_and(|old| old.id.boot != new.id.boot);
        self.step.state.process = Some(new.clone());
        self.step.state.liveness = Liveness::Running;
        match old {
            // First sight, or a boot: that they run is as it should be.
            None if !was_told_gone => {
                if was_faulty {
                    self.tell(PidChange::Back);
                }
            }
            Some(_) if has_booted && !was_told_gone => {}
            Some(old) if old.number() == new.number() && !old.is_same_program(new) => {
                self.tell(PidChange::Replaced(old));
            }
            old => {
                let is_old_running = old.is_some() && known == Liveness::Running;
                self.restarted(PidChange::Restarted { old, is_old_running });
            }
        }
    }

    fn restarted(&mut self, change: PidChange) {
        let now = self.at.now.wall;
        let is_over = is_calm(&self.step.state.storm, now);
        let storm = &mut self.step.state.storm;
        if is_over {
            if storm.untold > 0 {
                let told = PidChange::Storm(*storm);
                *storm = Storm::default();
                self.step.changes.push(told);
            }
            self.step.state.storm = Storm { first: now, ..Storm::default() };
        }
        let storm = &mut self.step.state.storm;
        storm.last = now;
        storm.restarts = storm.restarts.saturating_add(1);
        if storm.restarts <= ALONE {
            self.tell(change);
            return;
        }
        if storm.untold == 0 {
            storm.untold_since = now;
        }
        storm.untold = storm.untold.saturating_add(1);
    }

    /// The process that is named fares so.
    fn fares(&mut self, liveness: Liveness) {
        let told = self.step.state.liveness;
        match liveness {
            Liveness::Zombie | Liveness::Headless if told != liveness => {
                if self.lasts(DoubtKind::Ended, CONFIRM) {
                    self.step.state.liveness = liveness;
                    let is_zombie = liveness == Liveness::Zombie;
                    self.tell(if is_zombie { PidChange::Zombie } else { PidChange::Headless });
                } else {
                    self.look_again(GLANCE);
                }
            }
            Liveness::Running => self.step.state.liveness = Liveness::Running,
            Liveness::Zombie | Liveness::Headless | Liveness::Gone => {}
        }
    }

    /// The file names a number that nobody has.
    fn unnamed(&mut self, number: u32) {
        let state = &mut self.step.state;
        state.fault = None;
        if state.liveness == Liveness::Gone {
            return;
        }
        let is_the_known = state
            .process
            .as_ref()
            .is_some_and(|process| process.number() == number && process.id.boot == self.at.now.boot);
        if is_the_known && state.liveness == Liveness::Zombie {
            state.liveness = Liveness::Gone;
            self.tell(PidChange::Reaped);
        } else if is_the_known && !self.is_storm() {
            self.die(PidChange::Died(None));
        } else if self.lasts(DoubtKind::Unnamed, self.at.grace) {
            self.die(if is_the_known { PidChange::Died(None) } else { PidChange::Stale(number) });
        } else {
            self.look_again(GRACE_LOOK);
        }
    }

    /// The file names nobody.
    fn faulty(&mut self, fault: FileFault, known: Liveness) {
        let state = &self.step.state;
        let is_alive = state.process.is_some() && known != Liveness::Gone;
        let has_died = state.process.is_some() && !is_alive && state.liveness != Liveness::Gone;
        if !has_died && state.fault == Some(fault) {
            if is_alive {
                self.fares(known);
            }
            return;
        }
        if has_died && state.liveness == Liveness::Zombie {
            self.step.state.liveness = Liveness::Gone;
            self.tell(PidChange::Reaped);
            return;
        }
        if !self.lasts(DoubtKind::Unnamed, self.at.grace) {
            self.look_again(GRACE_LOOK);
            return;
        }
        let was_told_gone = self.step.state.liveness == Liveness::Gone;
        self.step.state.fault = Some(fault);
        if has_died {
            self.die(PidChange::Died(Some(fault)));
        } else if !was_told_gone {
            self.tell(PidChange::Fault(fault));
        }
    }

    /// A unit has no process.
    fn empty(&mut self) {
        if self.step.state.liveness == Liveness::Gone {
            return;
        }
        if self.lasts(DoubtKind::Unnamed, self.at.grace.min(UNIT_GRACE)) {
            self.die(PidChange::Died(None));
        } else {
            self.look_again(GRACE_LOOK);
        }
    }

    fn die(&mut self, change: PidChange) {
        if self.step.state.storm.untold > 0 {
            self.tell_storm();
        }
        self.step.state.liveness = Liveness::Gone;
        self.tell(change);
    }

    fn tell(&mut self, change: PidChange) {
        self.step.changes.push(change);
    }

    /// Whether it is so for at least `span`; until then it is doubted.
    fn lasts(&mut self, kind: DoubtKind, span: Duration) -> bool {
        let doubt = self.before.filter(|doubt| doubt.kind == kind).unwrap_or(Doubt {
            kind,
            since: self.at.now,
            is_from_absence: self.at.is_first,
        });
        let has_lasted = self.at.now.since(doubt.since) >= span;
        if !has_lasted {
            self.step.doubt = Some(doubt);
            let left = span.saturating_sub(self.at.now.since(doubt.since));
            self.look_again(left.max(Duration::from_millis(1)));
        }
        has_lasted
    }

    fn look_again(&mut self, span: Duration) {
        self.step.again = Some(self.step.again.map_or(span, |known| known.min(span)));
    }

    fn is_storm(&self) -> bool {
        let storm = &self.step.state.storm;
        storm.restarts >= ALONE && !is_calm(storm, self.at.now.wall)
    }

    fn tell_storm(&mut self) {
        let storm = &mut self.step.state.storm;
        let told = *storm;
        storm.untold = 0;
        self.tell(PidChange::Storm(told));
    }

    /// Tells a row of restarts that is over, or goes on for long.
    fn calm_down(&mut self) {
        let storm = self.step.state.storm;
        if storm.untold == 0 {
            return;
        }
        let now = self.at.now.wall;
        let is_quiet = now < storm.last || now.since(storm.last) >= QUIET;
        if is_quiet || now.since(storm.untold_since) >= STORM_NAG {
            self.tell_storm();
        } else {
            self.look_again(QUIET.saturating_sub(now.since(storm.last)).max(GLANCE));
        }
    }
}

/// Whether a row of restarts is over; a clock that was set back ends it, too.
fn is_calm(storm: &Storm, now: Timestamp) -> bool {
    now < storm.last || now.since(storm.last) >= CALM
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        clock::{BootId, Boottime},
        process::ProcessId,
    };

    const BOOT: BootId = BootId([1; 16]);
    const GRACE: Duration = Duration::from_mins(1);

    fn process(pid: u32, started: i64, comm: &str) -> Process {
        Process {
            id: ProcessId { pid, started: Boottime::from_nanos(started), boot: BOOT },
            inner: None,
            since: Timestamp::from_nanos(started),
            comm: comm.as_bytes().to_vec(),
            exe: Some(format!("/usr/sbin/{comm}").into_bytes()),
        }
    }

    fn runs(process: &Process) -> ProcessSight {
        sight(process, Liveness::Running, Liveness::Gone)
    }

    fn sight(process: &Process, liveness: Liveness, known: Liveness) -> ProcessSight {
        let named = Some(Seen { process: process.clone(), liveness });
        ProcessSight::Number { number: process.number(), named, known }
    }

    fn nobody(number: u32) -> ProcessSight {
        ProcessSight::Number { number, named: None, known: Liveness::Gone }
    }

    fn missing(known: Liveness) -> ProcessSight {
        ProcessSight::Fault { fault: FileFault::Missing, known }
    }

    /// A watch in virtual time.
    struct Watched {
        now: Moment,
        state: WatchState,
        doubt: Option<Doubt>,
        told: Vec<PidChange>,
        again: Option<Duration>,
        is_first: bool,
        absences: usize,
    }

    impl Watched {
        fn new() -> Self {
            let now = Moment {
                wall: Timestamp::from_nanos(1_795_000_000_000_000_000),
                boottime: Boottime::from_nanos(1_000_000_000_000),
                boot: BOOT,
            };
            let state = WatchState::unknown(now.wall);
            Self { now, state, doubt: None, told: Vec::new(), again: None, is_first: false, absences: 0 }
        }

        /// One that was seen running.
        fn of(process: &Process) -> Self {
            let mut watched = Self::new();
            assert_eq!(watched.look(0, &runs(process)), []);
            watched
        }

        /// Looks after so many milliseconds; gives what is news.
        fn look(&mut self, after: u64, sight: &ProcessSight) -> Vec<PidChange> {
            self.now = self.now.after(Duration::from_millis(after));
            let at = Circumstances { now: self.now, grace: GRACE, is_first: self.is_first };
            let step = step(&self.state, self.doubt, sight, at);
            self.is_first = false;
            (self.state, self.doubt, self.again) = (step.state, step.doubt, step.again);
            self.absences += usize::from(step.is_from_absence && !step.changes.is_empty());
            self.told.extend(step.changes.iter().cloned());
            step.changes
        }
    }

    #[test]
    fn a_death_is_told_at_once_and_once() {
        let mut watched = Watched::of(&process(812, 5, "apache2"));
        assert_eq!(watched.look(10, &nobody(812)), [PidChange::Died(None)]);
        assert_eq!(watched.look(30_000, &nobody(812)), []);
        assert_eq!(watched.look(30_000, &missing(Liveness::Gone)), []);
        assert_eq!(watched.look(90_000, &missing(Liveness::Gone)), []);
        assert_eq!(watched.state.liveness, Liveness::Gone);
    }

    #[test]
    fn a_process_that_comes_back_was_restarted() {
        let (old, new) = (process(812, 5, "apache2"), process(9021, 9, "apache2"));
        let mut watched = Watched::of(&old);
        let _died = watched.look(10, &nobody(812));
        let restarted = PidChange::Restarted { old: Some(old), is_old_running: false };
        assert_eq!(watched.look(1000, &runs(&new)), [restarted]);
        assert_eq!(watched.look(30_000, &runs(&new)), []);
    }

    #[test]
    fn a_restart_with_the_file_missing_for_a_while_is_one_piece_of_news() {
        let (old, new) = (process(812, 5, "apache2"), process(9021, 9, "apache2"));
        let mut watched = Watched::of(&old);
        assert_eq!(watched.look(10, &missing(Liveness::Gone)), []);
        assert_eq!(watched.again, Some(Duration::from_secs(1)));
        assert_eq!(watched.look(1000, &ProcessSight::Fault { fault: FileFault::Empty, known: Liveness::Gone }), []);
        let restarted = PidChange::Restarted { old: Some(old), is_old_running: false };
        assert_eq!(watched.look(1000, &runs(&new)), [restarted]);
    }

    #[test]
    fn a_service_that_was_stopped_and_stays_away_is_told_after_the_grace() {
        let mut watched = Watched::of(&process(812, 5, "apache2"));
        let _nothing = watched.look(10, &missing(Liveness::Gone));
        assert_eq!(watched.look(59_999, &missing(Liveness::Gone)), []);
        assert_eq!(watched.look(1, &missing(Liveness::Gone)), [PidChange::Died(Some(FileFault::Missing))]);
    }

    #[test]
    fn a_missing_file_of_a_living_process_has_a_grace_of_two_looks_and_comes_back() {
        let process = process(812, 5, "apache2");
        let mut watched = Watched::of(&process);
        assert_eq!(watched.look(10, &missing(Liveness::Running)), []);
        assert_eq!(watched.look(30_000, &missing(Liveness::Running)), []);
        assert_eq!(watched.look(30_000, &missing(Liveness::Running)), [PidChange::Fault(FileFault::Missing)]);
        assert_eq!(watched.look(90_000, &missing(Liveness::Running)), []);
        assert_eq!(watched.look(10, &runs(&process)), [PidChange::Back]);
        assert_eq!(watched.look(10, &runs(&process)), []);
    }

    #[test]
    fn an_ended_process_is_a_zombie_only_when_its_parent_waits() {
        let process = process(812, 5, "apache2");
        let zombie = sight(&process, Liveness::Zombie, Liveness::Zombie);
        let mut watched = Watched::of(&process);
        assert_eq!((watched.look(10, &zombie), watched.again), (vec![], Some(GLANCE)));
        assert_eq!(watched.look(20, &nobody(812)), [PidChange::Died(None)]);
        let mut watched = Watched::of(&process);
        let _nothing = watched.look(10, &zombie);
        assert_eq!(watched.look(99, &zombie), []);
        assert_eq!(watched.look(1, &zombie), [PidChange::Zombie]);
        assert_eq!(watched.look(30_000, &zombie), []);
        assert_eq!(watched.look(10, &nobody(812)), [PidChange::Reaped]);
    }

    #[test]
    fn a_first_thread_that_ended_is_no_death() {
        let process = process(812, 5, "apache2");
        let headless = sight(&process, Liveness::Headless, Liveness::Headless);
        let mut watched = Watched::of(&process);
        let _nothing = watched.look(10, &headless);
        assert_eq!(watched.look(100, &headless), [PidChange::Headless]);
        assert_eq!(watched.look(10, &nobody(812)), [PidChange::Died(None)]);
    }

    #[test]
    fn the_same_number_of_a_later_process_is_a_restart_or_another_program() {
        let old = process(812, 5, "apache2");
        let mut watched = Watched::of(&old);
        let restarted = PidChange::Restarted { old: Some(old.clone()), is_old_running: false };
        assert_eq!(watched.look(10, &runs(&process(812, 6, "apache2"))), [restarted]);
        let mut watched = Watched::of(&old);
        assert_eq!(watched.look(10, &runs(&process(812, 6, "sshd"))), [PidChange::Replaced(old.clone())]);
        // Within one tick of the clock: not started anew, as far as anybody can tell.
        let mut watched = Watched::of(&old);
        assert_eq!(watched.look(10, &runs(&process(812, 5, "sshd"))), [PidChange::Exec(old)]);
    }

    #[test]
    fn the_old_process_may_run_on() {
        let (old, new) = (process(812, 5, "nginx"), process(9021, 9, "nginx"));
        let mut watched = Watched::of(&old);
        let told = watched.look(10, &sight(&new, Liveness::Running, Liveness::Running));
        assert_eq!(told, [PidChange::Restarted { old: Some(old), is_old_running: true }]);
    }

    #[test]
    fn a_boot_is_no_restart_but_who_does_not_come_back_is_told() {
        let mut old = process(812, 5, "apache2");
        old.id.boot = BootId([9; 16]);
        let mut watched = Watched::new();
        watched.state.process = Some(old);
        let mut after_boot = Watched { state: watched.state.clone(), is_first: true, ..Watched::new() };
        assert_eq!(after_boot.look(10, &runs(&process(700, 9, "apache2"))), []);
        assert_eq!(watched.look(10, &nobody(812)), []);
        assert_eq!(watched.look(60_000, &nobody(812)), [PidChange::Stale(812)]);
    }

    #[test]
    fn what_never_ran_is_told_after_the_grace() {
        let mut watched = Watched::new();
        assert_eq!(watched.look(0, &nobody(77)), []);
        assert_eq!(watched.look(60_000, &nobody(77)), [PidChange::Stale(77)]);
        let mut watched = Watched::new();
        assert_eq!(watched.look(0, &missing(Liveness::Gone)), []);
        assert_eq!(watched.look(60_000, &missing(Liveness::Gone)), [PidChange::Fault(FileFault::Missing)]);
        assert_eq!(watched.look(10, &runs(&process(78, 3, "late"))), [PidChange::Back]);
    }

    #[test]
    fn a_death_while_nobody_looked_is_told_as_such() {
        let mut watched = Watched::of(&process(812, 5, "apache2"));
        watched.is_first = true;
        assert_eq!(watched.look(10, &nobody(812)), [PidChange::Died(None)]);
        assert_eq!(watched.absences, 1);
        let mut watched = Watched::of(&process(812, 5, "apache2"));
        watched.is_first = true;
        let _grace = watched.look(10, &missing(Liveness::Gone));
        assert_eq!(watched.look(60_000, &missing(Liveness::Gone)).len(), 1);
        assert_eq!(watched.absences, 1);
    }

    #[test]
    fn twenty_restarts_in_twenty_seconds_are_few_pieces_of_news_with_their_number() {
        let mut watched = Watched::of(&process(100, 1, "flaky"));
        for number in 1..=20_u32 {
            let _dead = watched.look(500, &nobody(99 + number));
            let _back = watched.look(500, &runs(&process(100 + number, i64::from(number) * 10, "flaky")));
        }
        let _quiet = watched.look(10_000, &runs(&process(120, 200, "flaky")));
        assert_eq!(watched.told.len(), 7, "{:?}", watched.told);
        let single = watched.told.iter().filter(|told| matches!(told, PidChange::Restarted { .. })).count();
        let Some(PidChange::Storm(storm)) = watched.told.last() else { panic!("{:?}", watched.told) };
        assert_eq!((single, storm.untold, storm.restarts), (3, 17, 20));
        assert_eq!(watched.look(60_000, &runs(&process(120, 200, "flaky"))), []);
        assert_eq!(watched.look(500, &nobody(120)), [PidChange::Died(None)]);
    }

    #[test]
    fn a_service_that_is_restarted_every_half_minute_is_not_told_dead_each_time() {
        let mut watched = Watched::of(&process(100, 1, "flaky"));
        for number in 1..=20_u32 {
            let _dead = watched.look(500, &nobody(99 + number));
            let _back = watched.look(500, &runs(&process(100 + number, i64::from(number) * 10, "flaky")));
            let _runs = watched.look(29_000, &runs(&process(100 + number, i64::from(number) * 10, "flaky")));
        }
        let died = watched.told.iter().filter(|told| matches!(told, PidChange::Died(_))).count();
        assert_eq!(died, 3, "{:?}", watched.told);
    }

    #[test]
    fn who_stays_dead_after_many_restarts_is_told_with_their_number() {
        let mut watched = Watched::of(&process(100, 1, "flaky"));
        for number in 1..=5_u32 {
            let _back = watched.look(900, &runs(&process(100 + number, i64::from(number) * 10, "flaky")));
        }
        assert_eq!(watched.look(500, &nobody(105)), []);
        let told = watched.look(60_000, &nobody(105));
        assert!(matches!(told[..], [PidChange::Storm(Storm { untold: 2, .. }), PidChange::Died(None)]), "{told:?}");
    }

    #[test]
    fn a_row_of_restarts_that_does_not_end_is_told_every_ten_minutes() {
        let mut watched = Watched::of(&process(100, 1, "flaky"));
        for number in 1..=1500_u32 {
            let _back = watched.look(1000, &runs(&process(100 + number, i64::from(number) * 10, "flaky")));
        }
        let storms = watched.told.iter().filter(|told| matches!(told, PidChange::Storm(_))).count();
        assert_eq!((storms, watched.told.len()), (2, 5));
    }

    #[test]
    fn a_unit_without_a_process_has_a_short_grace() {
        let (old, new) = (process(812, 5, "nginx"), process(900, 9, "nginx"));
        let mut watched = Watched::of(&old);
        assert_eq!(watched.look(10, &ProcessSight::Empty), []);
        assert_eq!(watched.look(4000, &runs(&new)).len(), 1);
        assert_eq!(watched.look(10, &ProcessSight::Empty), []);
        assert_eq!(watched.look(5000, &ProcessSight::Empty), [PidChange::Died(None)]);
        assert_eq!(watched.look(5000, &ProcessSight::Empty), []);
    }

    #[test]
    fn nothing_is_concluded_from_seeing_nothing() {
        let mut watched = Watched::of(&process(812, 5, "apache2"));
        let before = watched.state.clone();
        assert_eq!(watched.look(1_000_000, &ProcessSight::Hidden), []);
        assert_eq!(watched.state, before);
    }
}
