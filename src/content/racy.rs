//! Files that were written a moment before they were read: what was read may be half of a write.
//!
//! A write sets the times when it begins (`write(2)`, `file_update_time` of the kernel) and may go on for a while, so that a reading
//! within it finds the same times before and after; and before Linux 6.13 two changes within one tick have the same time. A file whose
//! ctime is that young is read again before its digest is believed.

use std::{thread, time::Duration};

use crate::model::{clock::Timestamp, file::entry::Attributes};

/// How long a write may take, and longer than a tick (10 ms at 100 Hz).
const YOUNG: Duration = Duration::from_millis(20);

/// Waits as long as a write may go on: for the workers of a full-speed pass, which have a thread of their own.
pub(crate) fn wait_out() {
    thread::sleep(YOUNG);
}

/// Whether a file that is `seen` like this changed so shortly before its reading `began` that the change may have gone on.
pub(crate) fn is_racy(seen: &Attributes, began: Timestamp) -> bool {
    seen.ctime.after(YOUNG) > began && began.after(YOUNG) > seen.ctime
}
