//! Where a visit leads, and how it gets there.

use std::sync::Arc;

use crate::{
    files::{
        area::watched_areas::{WatchedArea, join},
        remote::lookup::DirHandle,
        walk::frontier::DirInHand,
    },
    model::file::entry::{Entry, EntryId},
};

/// Where a visit leads.
#[derive(Debug, Clone)]
pub struct CheckTarget {
    /// Which of the configured areas.
    pub area: usize,
    /// The row of the directory it lies in; `None` for the root of the area.
    pub parent: Option<EntryId>,
    /// The key of its row: its name, or the whole path of a root.
    pub name: Vec<u8>,
    /// Its whole path.
    pub path: Vec<u8>,
    pub(in crate::files) way: TargetWay,
}

/// How the target is reached.
#[derive(Debug, Clone)]
pub(in crate::files) enum TargetWay {
    /// By the path of the area.
    Root,
    /// From the open root of its area.
    BeneathRoot(Arc<DirHandle>, Vec<u8>),
    /// By its name in a directory in hand.
    InDirectory(Arc<DirInHand>),
}

impl CheckTarget {
    /// The root of an area.
    pub fn root(area: usize, watched: &WatchedArea) -> Self {
        Self { area, parent: None, name: watched.path.clone(), path: watched.path.clone(), way: TargetWay::Root }
    }

    /// A name in a directory in hand.
    pub fn in_directory(place: Arc<DirInHand>, name: Vec<u8>) -> Self {
        Self {
            area: place.area,
            parent: Some(place.entry),
            path: join(&place.path, &name),
            name,
            way: TargetWay::InDirectory(place),
        }
    }

    /// An entry of the baseline, reached from the root of its area; `None` when that root is not open.
    pub fn of_entry(area: usize, watched: &WatchedArea, entry: &Entry, way: &[(EntryId, Vec<u8>)]) -> Option<Self> {
        if entry.parent.is_none() {
            return Some(Self::root(area, watched));
        }
        let relative = way.iter().skip(1).map(|(_, name)| name.as_slice()).collect::<Vec<_>>().join(&b'/');
        Some(Self {
            area,
            parent: entry.parent,
            name: entry.name.clone(),
            path: join(&watched.path, &relative),
            way: TargetWay::BeneathRoot(watched.root()?, relative),
        })
    }
}
