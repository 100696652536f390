//! Looking at processes: by their number on the host, or within a container.
//!
//! One pair of eyes lasts for one round: what it has learned of containers is shared by all that are watched, and forgotten
//! afterwards.

use std::{cell::RefCell, collections::HashMap, io, path::Path};

use crate::{
    model::{
        clock::Moment,
        process::{Liveness, Process, ProcessId},
    },
    pids::liveness::Seen,
    sys::process::{
        containers::{belongs, id_of},
        stat::{self, Stat},
    },
};

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Container {
    /// That of this process, by its number on the host.
    Of(u32),
    /// That with this name, id or number.
    Named(String),
}

impl Container {
    /// The container that a `pidct` line names.
    pub fn parse(text: &str) -> Self {
        let number = text.strip_prefix("pid:").and_then(|number| number.parse().ok());
        number.map_or_else(|| Self::Named(text.to_owned()), Self::Of)
    }
}

/// Eyes for one round.
#[derive(Debug)]
pub struct ProcessInspector<'a> {
    root: &'a Path,
    now: Moment,
    members: RefCell<HashMap<Container, Vec<u32>>>,
}

impl<'a> ProcessInspector<'a> {
    /// Eyes that look at `/proc` below `root`.
    pub fn new(root: &'a Path, now: Moment) -> Self {
        Self { root, now, members: RefCell::default() }
    }

    /// Where `/proc` is looked for.
    pub fn root(&self) -> &Path {
        self.root
    }

    /// How the process fares.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn fares(&self, known: &Process) -> io::Result<Liveness> {
        if known.id.boot != self.now.boot {
            return Ok(Liveness::Gone);
        }
        let stat = stat::stat(self.root, known.id.pid)?;
        Ok(stat.filter(|stat| stat.started == known.id.started).map_or(Liveness::Gone, |stat| liveness(&stat)))
    }

    /// The process with this number on the host; of one that is known its program is only looked at anew when it has another name
    /// or `is_thorough`.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn see(&self, pid: u32, known: Option<&Process>, is_thorough: bool) -> io::Result<Option<Seen>> {
        let Some(stat) = stat::stat(self.root, pid)? else { return Ok(None) };
        let liveness = liveness(&stat);
        if liveness == Liveness::Gone {
            return Ok(None);
        }
        let id = ProcessId { pid, started: stat.started, boot: self.now.boot };
        let known = known.filter(|known| known.id == id);
        let exe = match known {
            Some(known) if known.comm == stat.comm && !is_thorough => known.exe.clone(),
            // That of one that has ended cannot be had any more.
            known => stat::executable(self.root, pid).or_else(|| known.and_then(|known| known.exe.clone())),
        };
        let since = self.now.wall.before(self.now.boottime.since(stat.started));
        let comm = stat.comm;
        Ok(Some(Seen { process: Process { id, inner: None, since, comm, exe }, liveness }))
    }

    /// The number on the host of the process that has `number` within `container`.
    pub fn host_number(&self, container: &Container, number: u32) -> Option<u32> {
        self.members(container).into_iter().find(|pid| {
            let place = stat::place(self.root, *pid);
            match place.environment {
                Some(environment) if environment > 0 => place.inner == Some(number),
                _ => place.numbers.last() == Some(&number),
            }
        })
    }

    /// A process of `container`; `None` when it has none.
    pub fn member(&self, container: &Container) -> Option<u32> {
        self.members(container).first().copied()
    }

    /// The process of a unit that all others came from: the oldest whose parent is none of them. One that was known before stays it.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn main_of(&self, pids: &[u32], known: Option<&Process>) -> io::Result<Option<u32>> {
        let is_there = |known: &&Process| pids.contains(&known.id.pid);
        if let Some(known) = known.filter(is_there)
            && matches!(self.fares(known)?, Liveness::Running | Liveness::Headless)
        {
            return Ok(Some(known.id.pid));
        }
        let mut found = Vec::new();
        for pid in pids {
            if let Some(stat) = stat::stat(self.root, *pid)?.filter(|stat| liveness(stat) != Liveness::Gone) {
                found.push((pids.contains(&stat.parent), liveness(&stat) == Liveness::Zombie, stat.started, *pid));
            }
        }
        Ok(found.into_iter().min().map(|(_, _, _, pid)| pid))
    }

    fn members(&self, container: &Container) -> Vec<u32> {
        if let Some(known) = self.members.borrow().get(container) {
            return known.clone();
        }
        let found = self.search(container);
        self.members.borrow_mut().insert(container.clone(), found.clone());
        found
    }

    fn search(&self, container: &Container) -> Vec<u32> {
        let mut all = stat::all(self.root).unwrap_or_default();
        all.sort_unstable();
        let within = |space: &[u8]| {
            let is_in = |pid: &&u32| stat::namespace(self.root, **pid).as_deref() == Some(space);
            all.iter().filter(is_in).copied().collect::<Vec<u32>>()
        };
        let name = match container {
            Container::Of(pid) => {
                return stat::namespace(self.root, *pid).map(|space| within(&space)).unwrap_or_default();
            }
            Container::Named(name) => name,
        };
        let named = self.named(&all, name);
        // What a manager runs beside the container, or for all of it, may count as the host does.
        let host = stat::namespace(self.root, 1);
        let mut spaces = named.iter().filter_map(|pid| stat::namespace(self.root, *pid));
        let own = spaces.find(|space| Some(space) != host.as_ref());
        own.map_or(named, |space| within(&space))
    }

    /// The processes that the container's manager, or OpenVZ, says to be in it.
    fn named(&self, all: &[u32], name: &str) -> Vec<u32> {
        let by = |wanted: &str| -> Vec<u32> {
            all.iter().copied().filter(|pid| belongs(&stat::cgroups(self.root, *pid), wanted)).collect()
        };
        let found = by(name);
        if !found.is_empty() {
            return found;
        }
        if let Some(found) = id_of(self.root, name).map(|id| by(&id)) {
            return found;
        }
        let Ok(number) = name.parse::<u32>() else { return found };
        all.iter().copied().filter(|pid| stat::place(self.root, *pid).environment == Some(number)).collect()
    }
}

/// How a process fares by its state (`proc_pid_stat(5)`): `X` and `x` are on their way out.
fn liveness(stat: &Stat) -> Liveness {
    match stat.state {
        b'Z' if stat.threads > 1 => Liveness::Headless,
        b'Z' => Liveness::Zombie,
        b'X' | b'x' => Liveness::Gone,
        _ => Liveness::Running,
    }
}
