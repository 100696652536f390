//! Paths that are longer than `PATH_MAX` are not entered. A user makes a chain of directories a hundred times as deep within a second, and
//! whatever names each level by its path costs the square of that.
//!
//! What is not entered is a fact about the directory it lies in: that is told once, stands in the row of the directory until nothing in
//! it is too long any more, and is counted with what cannot be read. Rows of the baseline that lie beyond (a directory was moved to
//! where its paths became too long, or an older version has looked there) leave it with one notice.

use crate::{
    model::file::entry::{Entry, HashState, LONGEST_PATH},
    store::events::outcome::StateChange,
};

/// Bytes of a name that no file system exceeds by much; directories with room for it are asked nothing.
const LONG_NAME: usize = 1024;

/// Most bytes of a name in `directory` that is looked at.
pub(in crate::files) fn room(directory: &[u8]) -> usize {
    LONGEST_PATH.saturating_sub(directory.len() + usize::from(!directory.ends_with(b"/")))
}

/// Whether a name in `directory` may be too long.
pub(in crate::files) fn is_near(directory: &[u8]) -> bool {
    room(directory) < LONG_NAME
}

/// What is stored of a directory whose verdict tells of names beyond; `beyond` entries of the baseline lie there.
pub(in crate::files) fn changes(path: &[u8], next: Entry, beyond: u64) -> Vec<StateChange> {
    let removal = (beyond > 0).then(|| StateChange::RemoveLonger(next.id, room(path)));
    removal.into_iter().chain([StateChange::Put(Box::new(next))]).collect()
}

/// The hash state of a directory that was listed, of which it is known whether names in it are too long.
pub(in crate::files) fn state_of(is_beyond: bool) -> HashState {
    if is_beyond { HashState::PATHS_TOO_LONG } else { HashState::Off }
}
