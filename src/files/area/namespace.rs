//! Mounts in the mount namespace of this process that the rest of the machine does not have: whoever makes one has entered the namespace
//! to show this process something else than everybody sees.
//!
//! What was there from the beginning is the service manager's. Of what comes later, PID 1 must have the same: a mount that propagates is made
//! in both namespaces in one step. Where the two cannot be compared (PID 1 cannot be read, or has another root), nothing is said.

use std::{collections::BTreeSet, path::Path};

use crate::{
    files::area::overmounts::{identity, with_root},
    model::{
        clock::Moment,
        event::{Category, Event, Severity},
    },
    sys::fs::mounts::{self, Mount},
};

/// Where the service manager mounts what it hands to units, also while they run.
const CREDENTIALS: &[u8] = b"/run/credentials/";

/// The mounts of the namespace that are known.
#[derive(Debug, Default)]
pub(in crate::files) struct Namespace {
    known: Option<BTreeSet<Mount>>,
}

impl Namespace {
    /// Mounts that came since this was asked last and that PID 1 does not have. `read` gives the mounts of a process, `self` or `1`.
    pub(in crate::files) fn intruders(&mut self, read: impl Fn(&str) -> Option<Vec<Mount>>) -> Vec<Mount> {
        let Some(ours) = read("self") else { return Vec::new() };
        let ours: BTreeSet<Mount> = ours.into_iter().collect();
        let Some(known) = self.known.replace(ours.clone()) else { return Vec::new() };
        let new: Vec<Mount> = ours.difference(&known).cloned().collect();
        if new.is_empty() {
            return new;
        }
        // In this order: what goes meanwhile is not there any more, and what comes is not among the new ones.
        let (Some(theirs), Some(still)) = (read("1"), read("self")) else { return Vec::new() };
        if !is_same_root(&ours, &theirs) {
            return Vec::new();
        }
        let is_shared =
            |mount: &Mount| theirs.iter().any(|other| other.point == mount.point && identity(other) == identity(mount));
        new.into_iter()
            .filter(|mount| !mount.point.starts_with(CREDENTIALS) && !is_shared(mount) && still.contains(mount))
            .collect()
    }
}

/// Whether both have the same at `/`, so that their paths mean the same.
fn is_same_root<'a>(ours: impl IntoIterator<Item = &'a Mount>, theirs: &'a [Mount]) -> bool {
    let root = |mount: &&Mount| mount.point == b"/";
    let our_root = ours.into_iter().find(root).map(identity);
    our_root.is_some() && our_root == theirs.iter().find(root).map(identity)
}

/// The mounts of a process, as `/proc` tells them.
pub(in crate::files) fn mounts_of(process: &str) -> Option<Vec<Mount>> {
    mounts::read_of(Path::new("/"), process).ok()
}

/// The event of one that nobody else has.
pub(in crate::files) fn intrusion(mount: &Mount, now: Moment) -> Event {
    let note = format!(
        "{} was mounted here in the mount namespace of this process only: somebody has entered it, and what is checked at this path is not \
         what others see",
        with_root(mount)
    );
    Event::new(Category::Notice, Severity::High, now, mount.point.clone()).with_note(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(id: u64, point: &str, root: &str) -> Mount {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let source = bytes("/dev/a");
        Mount { point: bytes(point), kind: "ext4".to_owned(), source, root: bytes(root), owner: None, id, parent: 1 }
    }

    /// What is told when the namespace had only its root and then has `ours`, and PID 1 has `theirs`.
    fn told(ours: &[Mount], theirs: Option<&[Mount]>) -> Vec<Mount> {
        let mut namespace = Namespace::default();
        assert_eq!(namespace.intruders(|_| Some(vec![mount(1, "/", "/")])), []);
        let read = |process: &str| if process == "1" { theirs.map(<[Mount]>::to_vec) } else { Some(ours.to_vec()) };
        let told = namespace.intruders(read);
        assert_eq!(namespace.intruders(read), [], "once");
        told
    }

    #[test]
    fn a_mount_that_only_this_namespace_has_is_told_once() {
        let (root, copy) = (mount(1, "/", "/"), mount(9, "/etc/passwd", "/tmp/copy"));
        let ours = [root.clone(), copy.clone()];
        assert_eq!(told(&ours, Some(std::slice::from_ref(&root))), std::slice::from_ref(&copy));
        assert_eq!(told(&ours, Some(&[root.clone(), mount(5, "/etc/passwd", "/tmp/other")])), [copy]);
        // The same mount has another number in each namespace.
        assert_eq!(told(&ours, Some(&[root.clone(), mount(5, "/etc/passwd", "/tmp/copy")])), []);
        assert_eq!(told(&ours, None), [], "PID 1 cannot be read");
        assert_eq!(told(&ours, Some(&[mount(1, "/", "/elsewhere")])), [], "PID 1 has another root");
        let credentials = mount(9, "/run/credentials/integrityd.service", "/");
        assert_eq!(told(&[root.clone(), credentials], Some(&[root])), []);
    }

    #[test]
    fn what_was_there_at_the_start_and_what_is_gone_again_is_not_told() {
        let (root, copy) = (mount(1, "/", "/"), mount(9, "/etc/passwd", "/tmp/copy"));
        let mut namespace = Namespace::default();
        let both = |_: &str| Some(vec![root.clone(), copy.clone()]);
        assert_eq!(namespace.intruders(both), []);
        assert_eq!(
            namespace.intruders(|process| if process == "1" { Some(vec![root.clone()]) } else { both(process) }),
            []
        );
        let mut namespace = Namespace::default();
        assert_eq!(namespace.intruders(|_| Some(vec![root.clone()])), []);
        let asked = std::cell::Cell::new(0);
        let gone_at_once = |process: &str| {
            let is_first = process == "self" && asked.replace(asked.get() + 1) == 0;
            if is_first { both(process) } else { Some(vec![root.clone()]) }
        };
        assert_eq!(namespace.intruders(gone_at_once), []);
    }
}
