//! A program of ours that is listened to until it ends, with bounds on everything: how long, how much, and what it leaves behind.
//!
//! Waiting is one poll(2) over its outputs and its pidfd, so neither a program that closes its outputs and stays nor one that ends and
//! leaves a child with the outputs open can hold us.

use std::{
    io,
    ops::ControlFlow,
    os::fd::AsFd,
    process::{Command, ExitStatus},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    time::{ClockId, clock_gettime},
};

use crate::sys::process::child::{ChildHandle, ChildStdio, nothing, start};

/// How long a killed program may take to go; longer only in uninterruptible sleep.
const DYING: Duration = Duration::from_secs(2);

/// Bytes of its standard error that are kept; the rest is read and forgotten.
const MOST_SAID: usize = 4096;

/// How listening came to its end.
#[derive(Debug)]
pub enum ChildEnding {
    /// It ended by itself.
    Ended(ExitStatus),
    /// Its reader had enough; it was killed with all it had started.
    Enough,
    /// Its time was over; it was killed with all it had started.
    Overdue,
}

/// A program that was listened to.
#[derive(Debug)]
pub struct CapturedOutput {
    /// How it ended.
    pub ending: ChildEnding,
    /// The beginning of its standard error.
    pub said: Vec<u8>,
    /// A program that was killed and has not gone yet, to be waited for later.
    pub undead: Option<ChildHandle>,
}

struct OutputReader {
    out: Option<io::PipeReader>,
    err: Option<io::PipeReader>,
    life: ChildHandle,
    has_ended: bool,
}

/// Runs `command` in a process group of its own, with nothing on its standard input, and hands what it writes to `take` until that
/// says to stop. Waits for at most `deadline` and two seconds more.
///
/// # Errors
/// The error of starting it or of poll(2); then nothing of it runs any more.
pub fn listen(
    command: &mut Command,
    deadline: Duration,
    take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<CapturedOutput> {
    let ((out, output), (err, error)) = (io::pipe()?, io::pipe()?);
    let life = start(command, ChildStdio { input: nothing()?, output: output.into(), error: error.into() })?;
    let mut said = Vec::new();
    let mut ears = OutputReader { out: Some(out), err: Some(err), life, has_ended: false };
    let heard = ears.hear(deadline, &mut said, take)?;
    // What it has started ends with it.
    ears.life.kill()?;
    let is_gone = ears.has_ended || wait_for(&ears.life, DYING)?;
    let status = if is_gone { ears.life.try_wait()? } else { None };
    let ending = match (heard, status) {
        (Hearing::Whole, Some(status)) => ChildEnding::Ended(status),
        (Hearing::Stopped, _) => ChildEnding::Enough,
        _ => ChildEnding::Overdue,
    };
    Ok(CapturedOutput { ending, said, undead: status.is_none().then_some(ears.life) })
}

#[derive(Debug, Clone, Copy)]
enum Hearing {
    Whole,
    Stopped,
    Overdue,
}

impl OutputReader {
    fn hear(
        &mut self,
        deadline: Duration,
        said: &mut Vec<u8>,
        take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> io::Result<Hearing> {
        let begun = monotonic();
        let mut piece = vec![0; 64 * 1024];
        loop {
            let left = deadline.saturating_sub(monotonic().saturating_sub(begun));
            if left.is_zero() {
                return Ok(Hearing::Overdue);
            }
            // A child of it may hold an output open: what is in the pipe after its end is all there is.
            let ready = self.wait(if self.has_ended { Duration::ZERO } else { left })?;
            if ready.out && read(&mut self.out, &mut piece, &mut |bytes| take(bytes))?.is_break() {
                return Ok(Hearing::Stopped);
            }
            if ready.err {
                let mut keep = |bytes: &[u8]| {
                    said.extend(bytes.iter().take(MOST_SAID.saturating_sub(said.len())));
                    ControlFlow::Continue(())
                };
                let _goes_on = read(&mut self.err, &mut piece, &mut keep)?;
            }
            if self.has_ended && !ready.out && !ready.err {
                return Ok(Hearing::Whole);
            }
            self.has_ended |= ready.end;
        }
    }

    fn wait(&self, most: Duration) -> io::Result<Ready> {
        let sources = [self.out.as_ref().map(AsFd::as_fd), self.err.as_ref().map(AsFd::as_fd)];
        let end = (!self.has_ended).then(|| self.life.as_fd());
        let [out, err] = sources;
        let present = [out, err, end];
        let mut fds: Vec<PollFd<'_>> =
            present.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        poll_for(&mut fds, most)?;
        let mut answers = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut answer = |source: bool| source && answers.next().unwrap_or_default();
        Ok(Ready { out: answer(out.is_some()), err: answer(err.is_some()), end: answer(end.is_some()) })
    }
}

#[derive(Debug, Clone, Copy)]
struct Ready {
    out: bool,
    err: bool,
    end: bool,
}

/// Reads once from a source that is ready; one that is at its end is closed.
fn read<R: io::Read>(
    source: &mut Option<R>,
    piece: &mut [u8],
    take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let Some(open) = source else { return Ok(ControlFlow::Continue(())) };
    let length = match open.read(piece) {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(ControlFlow::Continue(())),
        Err(error) => return Err(error),
    };
    if length == 0 {
        *source = None;
        return Ok(ControlFlow::Continue(()));
    }
    Ok(take(piece.get(..length).unwrap_or_default()))
}

fn wait_for(life: &ChildHandle, most: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(life, PollFlags::IN)];
    poll_for(&mut fds, most)?;
    Ok(fds.iter().any(|fd| !fd.revents().is_empty()))
}

/// Waits until one of `fds` is ready or the time is over; a signal may end it early.
fn poll_for(fds: &mut [PollFd<'_>], most: Duration) -> io::Result<()> {
    let most =
        Timespec { tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(most.subsec_nanos()) };
    match poll(fds, Some(&most)) {
        Ok(_) => Ok(()),
        Err(Errno::INTR) => {
            for fd in fds {
                fd.clear_revents();
            }
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn run(script: &str, deadline: Duration, most: usize) -> (CapturedOutput, Vec<u8>) {
        let mut got = Vec::new();
        let heard = listen(Command::new("sh").args(["-c", script]), deadline, &mut |bytes| {
            got.extend_from_slice(bytes);
            if got.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (heard.unwrap(), got)
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn what_it_writes_and_how_it_ends_is_heard() {
        let (heard, got) = run("cat; echo out; echo err >&2; exit 3", PATIENCE, 100);
        assert_eq!((got.as_slice(), heard.said.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert!(matches!(heard.ending, ChildEnding::Ended(status) if status.code() == Some(3)));
        let (heard, got) = run("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2", PATIENCE, usize::MAX);
        assert_eq!((got.len(), heard.said.len()), (3_000_000, MOST_SAID));
    }

    #[test]
    fn nothing_it_does_can_hold_us() {
        let begun = Instant::now();
        let short = Duration::from_millis(300);
        for script in ["sleep 30", "exec >&- 2>&-; sleep 30", "trap '' TERM; sleep 30 & wait", "yes >&2"] {
            assert!(matches!(run(script, short, 100).0.ending, ChildEnding::Overdue), "{script}");
        }
        assert!(matches!(run("yes", PATIENCE, 100).0.ending, ChildEnding::Enough));
        // A child that leaves the group and holds the outputs open.
        let (heard, got) = run("setsid sleep 8 & echo out", PATIENCE, 100);
        assert!(matches!(heard.ending, ChildEnding::Ended(status) if status.success()), "{heard:?}");
        assert_eq!(got, b"out\n");
        assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    }

    #[test]
    fn what_cannot_be_started_is_an_error() {
        let nothing = listen(&mut Command::new("/nonexistent/x"), PATIENCE, &mut |_| ControlFlow::Continue(()));
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
