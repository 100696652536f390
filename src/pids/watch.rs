//! One watched PID file or unit: where its number comes from, and what was seen of it last.

use std::{
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::{
    config::settings::config::{ProcessSource, ProcessWatch},
    model::{
        clock::{Boottime, Moment, Timestamp},
        process::{FileFault, Liveness, Process, ProcessId, WatchName, WatchState},
    },
    pids::{
        inspect::{Container, ProcessInspector},
        liveness::{Doubt, ProcessSight},
        units,
    },
    sys::process::pidfile::{self, PidFileStamp},
};

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchTarget {
    /// The process that a PID file names.
    File(PathBuf),
    /// The same of a container.
    Inside(PathBuf, Container),
    /// The processes of a systemd unit.
    Unit(String),
}

/// A watched process.
#[derive(Debug)]
pub struct PidFileWatch {
    /// Its name in the store and in events.
    pub name: WatchName,
    /// What is watched.
    pub target: WatchTarget,
    /// What is known.
    pub state: WatchState,
    /// What may become news.
    pub doubt: Option<Doubt>,
    /// When it was last looked at.
    pub looked: Option<Timestamp>,
    /// When it is to be looked at before the next round.
    pub due: Option<Boottime>,
    /// Which process tells by itself when it ends.
    pub notice: Option<ProcessId>,
    /// The number that was read, and from which file.
    read: Option<(PidFileStamp, u32)>,
    /// The control group of a unit.
    group: Option<PathBuf>,
}

/// The name of a watched process in the store and in events.
pub fn name_of(watch: &ProcessWatch) -> WatchName {
    let source = match &watch.source {
        ProcessSource::PidFile(path) => path.as_os_str().as_bytes().to_vec(),
        ProcessSource::Unit(unit) => unit.as_bytes().to_vec(),
    };
    WatchName { source, container: watch.container.as_deref().unwrap_or_default().as_bytes().to_vec() }
}

impl PidFileWatch {
    /// A watch by its settings, that goes on from `state`.
    pub fn new(settings: &ProcessWatch, state: WatchState) -> Self {
        let container = settings.container.as_deref().map(Container::parse);
        let target = match (&settings.source, container) {
            (ProcessSource::PidFile(path), Some(container)) => WatchTarget::Inside(path.clone(), container),
            (ProcessSource::PidFile(path), None) => WatchTarget::File(path.clone()),
            (ProcessSource::Unit(unit), _) => WatchTarget::Unit(unit.clone()),
        };
        let name = name_of(settings);
        Self { name, target, state, doubt: None, looked: None, due: None, notice: None, read: None, group: None }
    }

    /// Whether there is nothing to see: its file is as it was read, and its process tells by itself when it ends. Cost: one system
    /// call.
    pub fn is_quiet(&self) -> bool {
        let WatchTarget::File(path) = &self.target else { return false };
        let is_sure = self.doubt.is_none() && self.state.liveness == Liveness::Running && self.state.fault.is_none();
        let will_tell = self.notice.is_some() && self.notice == self.state.process.as_ref().map(|process| process.id);
        is_sure && will_tell && self.read.is_some_and(|(stamp, _)| pidfile::stamp(path) == Some(stamp))
    }

    /// Looks at it.
    pub fn look(&mut self, eyes: &ProcessInspector<'_>, now: Moment, is_thorough: bool) -> ProcessSight {
        let known = self.state.process.clone();
        let known = known.as_ref();
        let seen = match self.target.clone() {
            WatchTarget::File(path) => match self.number(&path, now) {
                Ok(number) => host(eyes, number, known, is_thorough),
                Err(fault) => faulty(eyes, fault, known),
            },
            WatchTarget::Inside(path, container) => match inside(eyes, &path, &container, known) {
                Ok(number) => contained(eyes, &container, number, known, is_thorough),
                Err(fault) => faulty(eyes, fault, known),
            },
            WatchTarget::Unit(unit) => self.unit(eyes, &unit, known, is_thorough),
        };
        seen.unwrap_or(ProcessSight::Hidden)
    }

    /// The number in a PID file of the host, which is read only when it was written since.
    fn number(&mut self, path: &Path, now: Moment) -> Result<u32, FileFault> {
        let stamp = pidfile::stamp(path);
        if let Some((known, number)) = self.read
            && stamp == Some(known)
        {
            return Ok(number);
        }
        // No process that others watch is the first one, and many a broken script writes its number.
        let read =
            pidfile::read(path, None).and_then(|number| if number > 1 { Ok(number) } else { Err(FileFault::Content) });
        // A file that was written just now may be written again within the same tick of its clock.
        let settled = stamp.filter(|stamp| stamp.is_settled(now.wall));
        self.read = settled.zip(read.ok());
        read
    }

    fn unit(
        &mut self,
        eyes: &ProcessInspector<'_>,
        unit: &str,
        known: Option<&Process>,
        is_thorough: bool,
    ) -> io::Result<ProcessSight> {
        if self.group.as_ref().is_none_or(|group| !group.is_dir()) {
            self.group = units::find(eyes.root(), unit);
        }
        let pids = self.group.as_deref().map(units::processes).unwrap_or_default();
        match eyes.main_of(&pids, known)? {
            Some(main) => host(eyes, main, known, is_thorough),
            None => Ok(ProcessSight::Empty),
        }
    }
}

/// The number in a PID file of a container: in its own file system where the directory is there, else in that of the host.
fn inside(
    eyes: &ProcessInspector<'_>,
    path: &Path,
    container: &Container,
    known: Option<&Process>,
) -> Result<u32, FileFault> {
    let living = known.filter(|known| eyes.fares(known).is_ok_and(|liveness| liveness == Liveness::Running));
    let member = living.map(|known| known.id.pid).or_else(|| eyes.member(container));
    let own = member.map(|pid| eyes.root().join(format!("proc/{pid}/root")));
    let own = own.filter(|own| pidfile::is_place_in(own, path));
    pidfile::read(path, own.as_deref())
}

fn faulty(eyes: &ProcessInspector<'_>, fault: FileFault, known: Option<&Process>) -> io::Result<ProcessSight> {
    Ok(ProcessSight::Fault { fault, known: fares(eyes, known)? })
}

fn fares(eyes: &ProcessInspector<'_>, known: Option<&Process>) -> io::Result<Liveness> {
    known.map_or(Ok(Liveness::Gone), |known| eyes.fares(known))
}

fn host(
    eyes: &ProcessInspector<'_>,
    number: u32,
    known: Option<&Process>,
    is_thorough: bool,
) -> io::Result<ProcessSight> {
    let named = eyes.see(number, known, is_thorough)?;
    let is_known = named.as_ref().map(|seen| seen.process.id) == known.map(|known| known.id);
    let known = if is_known { Liveness::Running } else { fares(eyes, known)? };
    Ok(ProcessSight::Number { number, named, known })
}

fn contained(
    eyes: &ProcessInspector<'_>,
    container: &Container,
    number: u32,
    known: Option<&Process>,
    is_thorough: bool,
) -> io::Result<ProcessSight> {
    let same = known.filter(|known| known.number() == number);
    let pid = match same {
        Some(same) if eyes.fares(same)? != Liveness::Gone => Some(same.id.pid),
        _ => eyes.host_number(container, number),
    };
    let mut named = match pid {
        Some(pid) => eyes.see(pid, known, is_thorough)?,
        None => None,
    };
    if let Some(seen) = &mut named {
        seen.process.inner = Some(number);
    }
    let is_known = named.as_ref().map(|seen| seen.process.id) == known.map(|known| known.id);
    let known = if is_known { Liveness::Running } else { fares(eyes, known)? };
    Ok(ProcessSight::Number { number, named, known })
}
