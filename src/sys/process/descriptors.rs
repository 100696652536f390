//! Descriptors that whoever started us had left open.

use rustix::io::Errno;

/// The first that is no standard stream.
const FIRST: libc::c_uint = 3;

/// Most descriptors that are looked at where the kernel has no call for all of them.
const MOST: libc::c_int = 4096;

/// Makes every descriptor but the first three close at `execve(2)`, so that no program we start gets what our starter had open
/// (`close_range(2)`, Linux 5.11; one by one before it or where a filter refuses it). What we open is made so from the start.
pub fn keep_from_children() {
    if close_range().is_err() {
        (3..MOST).for_each(close_on_exec);
    }
}

fn close_range() -> Result<(), Errno> {
    let (first, last) = (FIRST, libc::c_uint::MAX);
    // SAFETY: the call takes three integers; with this flag it closes nothing now.
    #[expect(unsafe_code, reason = "rustix does not have the call")]
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    if answer == 0 { Ok(()) } else { Err(Errno::NOSYS) }
}

fn close_on_exec(number: libc::c_int) {
    // SAFETY: a number that is no descriptor is answered with EBADF; of one that is, a flag is set that closes nothing now.
    #[expect(unsafe_code, reason = "whose descriptors these are is not known")]
    let _is_open = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
}
