//! A child process that is asked and answers in frames, without ever holding who asks: neither its silence, nor an answer without end,
//! nor a child that cannot even be killed.
//!
//! A frame is its length (u32, big-endian) and so many bytes. One question is out at a time. Both ends of the pipes are ours without
//! blocking; time is waited in `poll(2)` only.

use std::{
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::AsFd,
    process::Command,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    time::{ClockId, clock_gettime},
};

use crate::sys::process::child::{ChildHandle, ChildStdio, nowhere, start};

/// Longest frame, in bytes: more than the longest block of names.
pub const LONGEST: usize = 8 << 20;

/// A child that is asked.
#[derive(Debug)]
pub struct FramedChild {
    life: ChildHandle,
    to: PipeWriter,
    from: PipeReader,
    unsent: Vec<u8>,
    got: Vec<u8>,
    /// When the question was put that is not answered yet, on the monotonic clock.
    asked: Option<Duration>,
}

impl FramedChild {
    /// Starts `command`, in a process group and a directory that hold nothing.
    ///
    /// # Errors
    /// The error of starting it.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let ((input, to), (from, output)) = (io::pipe()?, io::pipe()?);
        command.current_dir("/");
        let life = start(command, ChildStdio { input: input.into(), output: output.into(), error: nowhere()? })?;
        for end in [to.as_fd(), from.as_fd()] {
            fcntl_setfl(end, fcntl_getfl(end)? | OFlags::NONBLOCK)?;
        }
        Ok(Self { life, to, from, unsent: Vec::new(), got: Vec::new(), asked: None })
    }

    /// Puts a question, which must not be done while another is out.
    pub fn ask(&mut self, question: &[u8]) {
        let length = u32::try_from(question.len()).unwrap_or(u32::MAX);
        self.unsent = [&length.to_be_bytes(), question].concat();
        self.asked = Some(now());
    }

    /// For how long a question has been out; `None` when none is.
    pub fn waiting(&self) -> Option<Duration> {
        self.asked.map(|asked| now().saturating_sub(asked))
    }

    /// Waits for the answer, but not longer than `most`; `None` when it has not come yet.
    ///
    /// # Errors
    /// When the child is gone or does not keep to the form; nothing more will come from it.
    pub fn recv(&mut self, most: Duration) -> io::Result<Option<Vec<u8>>> {
        let begun = now();
        loop {
            self.send()?;
            if let Some(answer) = self.take()? {
                self.asked = None;
                return Ok(Some(answer));
            }
            let left = most.saturating_sub(now().saturating_sub(begun));
            if left.is_zero() {
                return Ok(None);
            }
            self.wait(left)?;
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.to.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What is there of the answer, as far as it goes; the answer when it is whole.
    fn take(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = vec![0; 64 * 1024];
        loop {
            let wanted = match self.got.first_chunk::<4>() {
                Some(length) => 4 + usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX - 4),
                None => 4,
            };
            if wanted > LONGEST + 4 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer without end"));
            }
            if wanted > 4 && self.got.len() >= wanted {
                return Ok(Some(std::mem::take(&mut self.got).split_off(4)));
            }
            // Never more than belongs to this answer.
            let most = (wanted - self.got.len()).clamp(1, piece.len());
            match self.from.read(piece.get_mut(..most).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.got.extend_from_slice(piece.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn wait(&self, most: Duration) -> io::Result<()> {
        let mut fds = vec![PollFd::new(&self.from, PollFlags::IN)];
        if !self.unsent.is_empty() {
            fds.push(PollFd::new(&self.to, PollFlags::OUT));
        }
        let seconds = i64::try_from(most.as_secs()).unwrap_or(i64::MAX);
        let most = Timespec { tv_sec: seconds, tv_nsec: i64::from(most.subsec_nanos()) };
        match poll(&mut fds, Some(&most)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Ends the child without waiting for it: in an uninterruptible sleep it lives on. To be given to [`reap`] from time to time.
    pub fn end(self) -> ChildHandle {
        if let Err(error) = self.life.kill() {
            tracing::warn!(%error, "a process group cannot be ended");
        }
        self.life
    }
}

/// Forgets those of `children` that are gone.
pub fn reap(children: &mut Vec<ChildHandle>) {
    children.retain_mut(|life| matches!(life.try_wait(), Ok(None)));
}

/// Reads one frame, waiting for it; `None` at the end of the input.
///
/// # Errors
/// The error of reading, and `InvalidData` for a frame that is too long.
pub fn read_frame(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    input.read_exact(&mut frame)?;
    Ok(Some(frame))
}

/// Writes one frame.
///
/// # Errors
/// The error of writing, and `InvalidData` for a frame that is too long.
pub fn write_frame(output: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= LONGEST);
    let length = length.ok_or(io::ErrorKind::InvalidData)?;
    output.write_all(&[&length.to_be_bytes(), frame].concat())?;
    output.flush()
}

/// The monotonic clock, which nobody sets.
pub fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> FramedChild {
        FramedChild::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_question_comes_back_from_an_echo_however_long_it_is() {
        let mut line = shell("exec cat");
        for length in [1, 70_000, 3_000_000] {
            let question = vec![7; length];
            line.ask(&question);
            assert_eq!(line.recv(PATIENCE).unwrap().unwrap(), question);
            assert_eq!(line.waiting(), None);
        }
        let mut dead = vec![line.end()];
        while !dead.is_empty() {
            reap(&mut dead);
        }
    }

    #[test]
    fn silence_is_no_answer_and_the_end_is_an_error() {
        let mut line = shell("sleep 60");
        line.ask(b"x");
        assert!(line.recv(Duration::from_millis(20)).unwrap().is_none());
        assert!(line.waiting().unwrap() >= Duration::from_millis(20));
        let mut line = shell("exit 0");
        line.ask(b"x");
        line.recv(PATIENCE).unwrap_err();
    }

    #[test]
    fn an_answer_without_end_is_refused_before_it_is_held() {
        let mut line = shell("printf '\\000\\200\\000\\001'; exec cat /dev/zero");
        line.ask(b"x");
        assert_eq!(line.recv(PATIENCE).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(line.got.len() <= 4);
    }
}
