//! Files that were written a moment before they were read: what was read may be half of a write, and the times cannot tell.
//!
//! A write sets the times when it begins (`write(2)`, `file_update_time` of the kernel) and may go on for a while, so that a reading
//! within it finds the same times before and after; and before Linux 6.13 two changes within one tick have the same time. A file whose
//! ctime is that young is read again before its digest is believed.

use std::{thread, time::Duration};

use crate::model::{clock::Timestamp, file::entry::Attributes};

/// How long a write may take, and longer than a tick (10 ms at 100 Hz).
const YOUNG: Duration = Duration::from_millis(20);

/// How old a change must be before each later one is sure to get another ctime: file systems without room for fractions (ext2, ext3, ext4
/// with inodes of 128 bytes) count whole seconds, and one call may write for longer than [`YOUNG`] under the time of its begin.
const COARSE: Duration = Duration::from_secs(2);

/// Waits as long as a write may go on: for the workers of a full-speed pass, which have a thread of their own.
pub(crate) fn wait_out() {
    thread::sleep(YOUNG);
}

/// Whether a file that is `seen` like this changed so shortly before its reading `began` that the change may have gone on.
pub(crate) fn is_racy(seen: &Attributes, began: Timestamp) -> bool {
    is_within(seen.ctime, began, YOUNG)
}

/// Whether each change of a file since `at`, when it was `seen` like this, must have moved its ctime.
pub(crate) fn is_settled(seen: &Attributes, at: Timestamp) -> bool {
    !is_within(seen.ctime, at, COARSE)
}

/// Whether two moments lie closer together than `span`, whichever is first.
fn is_within(one: Timestamp, other: Timestamp, span: Duration) -> bool {
    one.after(span) > other && other.after(span) > one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_within_two_seconds_of_its_ctime_may_change_without_a_trace() {
        let changed = Timestamp::from_nanos(10_000_000_000);
        let seen = Attributes::sample(changed);
        for (at, is_sure) in
            [(7_900, true), (8_100, false), (10_000, false), (10_500, false), (11_900, false), (12_100, true)]
        {
            assert_eq!(is_settled(&seen, Timestamp::from_nanos(at * 1_000_000)), is_sure, "{at} ms");
        }
        assert!(is_racy(&seen, changed.after(Duration::from_millis(19))));
        assert!(!is_racy(&seen, changed.after(Duration::from_millis(21))));
    }
}
