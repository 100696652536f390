//! Opening a directory of the baseline, so that its names become stops.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::{
    ground::join,
    itinerary::{Ahead, Open, Place},
    visit::Visitor,
};
use crate::{
    model::entry::HashState,
    store::error::StoreError,
    sys::{
        dir::Listing,
        file::{Handle, attributes_of, open_directory_beneath, open_root},
    },
};

/// Opens a directory of the baseline from the root of its area; `None` when it cannot be listed, which its entry then says.
pub(super) fn open_directory(visitor: &Visitor, ahead: Ahead) -> Result<Option<Open>, StoreError> {
    let (entry, way, since) = {
        let store = visitor.db.lock();
        // One that was moved to another area meanwhile is met there.
        let area = visitor.ground.tracts.get(ahead.area).map(|tract| tract.id);
        let Some(entry) = store.entry(ahead.entry)?.filter(|entry| Some(entry.area) == area) else {
            return Ok(None);
        };
        let Some(way) = store.way_to(ahead.entry)? else {
            return Ok(None);
        };
        (entry, way, store.last_visit() + 1)
    };
    let Some(tract) = visitor.ground.tracts.get(ahead.area) else {
        return Ok(None);
    };
    let Some(root) = tract.root() else {
        if let Err(errno) = open_root(&tract.real()).and_then(|handle| handle.open_directory())
            && errno != Errno::NOENT
        {
            let state = HashState::Unreadable(errno.raw_os_error());
            visitor.set_hash_state(&mut visitor.db.lock(), ahead.area, &entry, state)?;
        }
        return Ok(None);
    };
    let relative = way.iter().skip(1).map(|(_, name)| name.as_slice()).collect::<Vec<_>>().join(&b'/');
    match list(&root, &relative) {
        Ok((directory, listing)) => {
            if matches!(entry.known.hash_state, HashState::Unreadable(_)) {
                visitor.set_hash_state(&mut visitor.db.lock(), ahead.area, &entry, HashState::Off)?;
            }
            let path = if relative.is_empty() { tract.path.clone() } else { join(&tract.path, &relative) };
            let inode = attributes_of(directory.as_fd()).map_or(0, |seen| seen.inode);
            let place = Place { area: ahead.area, entry: ahead.entry, path, directory, inode, since };
            Ok(Some(Open::new(place, listing)))
        }
        // Gone or exchanged since it was looked at: its next look will tell.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => {
            visitor.set_hash_state(
                &mut visitor.db.lock(),
                ahead.area,
                &entry,
                HashState::Unreadable(errno.raw_os_error()),
            )?;
            Ok(None)
        }
    }
}

fn list(root: &OwnedFd, relative: &[u8]) -> Result<(OwnedFd, Listing), Errno> {
    let handle: Handle = open_directory_beneath(root.as_fd(), relative)?;
    let listing = Listing::new(handle.open_directory()?)?;
    Ok((handle.into_descriptor(), listing))
}
