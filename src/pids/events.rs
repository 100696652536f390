//! What is said of a watched process: each change becomes an event.

use crate::model::{
    clock::{Moment, Timestamp},
    event::{Category, Event, Severity},
    process::{FileFault, PidChange, Process, ProcessNews, WatchName, WatchState},
};

/// Under which circumstances it is told.
#[derive(Debug, Clone, Copy)]
pub struct Telling<'a> {
    /// What is watched.
    pub name: &'a WatchName,
    /// How it stands now.
    pub state: &'a WatchState,
    /// When it was found.
    pub found: Moment,
    /// When it was last looked at before.
    pub not_before: Option<Timestamp>,
    /// Whether it happened while the daemon did not run.
    pub is_from_absence: bool,
}

impl Telling<'_> {
    /// The event of a change.
    pub fn event(&self, change: &PidChange) -> Event {
        let (category, severity, mut words) = self.words(change);
        if self.is_from_absence {
            words.push("while integrityd was not running".to_owned());
        }
        let (old, new) = self.processes(change);
        let mut event =
            Event::new(category, severity, self.found, self.name.source.clone()).with_note(words.join("; "));
        event.not_before = self.not_before;
        if let PidChange::Storm(storm) = change {
            event.count = storm.untold;
            event.not_before = Some(storm.untold_since);
        }
        event.process = Some(Box::new(ProcessNews { container: self.name.container.clone(), old, new }));
        event
    }

    fn processes(&self, change: &PidChange) -> (Option<Process>, Option<Process>) {
        let now = self.state.process.clone();
        match change {
            PidChange::Died(_) | PidChange::Stale(_) | PidChange::Reaped => (now, None),
            PidChange::Restarted { old, .. } => (old.clone(), now),
            PidChange::Replaced(old) | PidChange::Exec(old) => (Some(old.clone()), now),
            PidChange::Zombie | PidChange::Headless | PidChange::Storm(_) | PidChange::Fault(_) | PidChange::Back => {
                (None, now)
            }
        }
    }

    fn words(&self, change: &PidChange) -> (Category, Severity, Vec<String>) {
        let mut words = Vec::new();
        let (category, severity) = match change {
            PidChange::Died(fault) => {
                words.extend(fault.map(|fault| format!("of its PID file: {}", fault.words())));
                if self.name.is_unit() {
                    words.push("no process is left in it".to_owned());
                }
                (Category::ProcessDied, Severity::High)
            }
            PidChange::Stale(number) => {
                words.push(format!("its PID file names {number}, and no process has that number"));
                (Category::ProcessDied, Severity::High)
            }
            PidChange::Zombie => {
                words.push("it has ended, and its parent has not taken notice".to_owned());
                (Category::ProcessZombie, Severity::High)
            }
            PidChange::Reaped => {
                words.push("its parent has taken notice of its end".to_owned());
                (Category::ProcessDied, Severity::Low)
            }
            PidChange::Headless => {
                words.push("its other threads live on".to_owned());
                (Category::ProcessHeadless, Severity::High)
            }
            PidChange::Restarted { is_old_running, .. } => {
                words.extend(is_old_running.then(|| "the old process still runs".to_owned()));
                (Category::ProcessRestarted, Severity::Normal)
            }
            PidChange::Storm(_) => (Category::ProcessRestarted, Severity::Normal),
            PidChange::Replaced(_) => {
                words.push("its number was given to another program".to_owned());
                (Category::ProcessReplaced, Severity::High)
            }
            PidChange::Exec(_) => {
                words.push("without having been started anew".to_owned());
                (Category::ProcessExec, Severity::Normal)
            }
            PidChange::Fault(fault) => {
                words.push(fault.words());
                let is_missing = *fault == FileFault::Missing;
                (if is_missing { Category::PidFileMissing } else { Category::PidFileInvalid }, Severity::Normal)
            }
            PidChange::Back => (Category::PidFileBack, Severity::Low),
        };
        if self.state.process.is_none() && matches!(change, PidChange::Died(_) | PidChange::Stale(_)) {
            words.push("it was never seen running".to_owned());
        }
        (category, severity, words)
    }
}
