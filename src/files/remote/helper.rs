//! The helper process: looks, lists and reads on one mount for a daemon that must not touch it, because whoever does may never come
//! back. It ends with its input.
//!
//! Between two questions nothing on the mount is held open but what is being listed or read, so that it can be unmounted.

use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;

use crate::{
    content::{
        hasher::WantedDigests,
        reader::{FileContent, FileReader, NearLookup, complete, judge, lookup},
    },
    files::remote::protocol::{ELSEWHERE, MountRequest, Response, bare},
    model::file::entry::Attributes,
    sys::{
        fs::{
            dir::DirListing,
            handle::{attributes_of, open_directory_beneath, open_root},
        },
        process::{
            broker::{AllowedCommand, ArgPattern, SHOWN},
            framed::{LONGEST, now, read_frame, write_frame},
        },
    },
};

/// Files and directories held open at once; beyond, the eldest is let go, for who has asked for it may have given up.
const MOST_HELD: usize = 80;

/// A slice of reading ends after this, so that who waits for it hears something.
const SLICE_TIME: Duration = Duration::from_millis(400);

const LOST: Errno = Errno::from_raw_os_error(ELSEWHERE);

/// Bytes read between two looks at the clock.
const SIP: usize = 64 * 1024;

/// Serves questions about the mount with number `id` at `point` until `input` ends.
///
/// # Errors
/// The error of reading or writing; questions that cannot be understood are one too.
pub fn serve(point: &OsStr, id: u64, input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut scout = MountHelper { point: PathBuf::from(point), id, next: 0, held: Vec::new() };
    while let Some(frame) = read_frame(input)? {
        let question = MountRequest::decode(&frame).ok_or(io::ErrorKind::InvalidData)?;
        let answer = scout.answer(question).unwrap_or_else(|errno| Response::Refused(errno.raw_os_error()));
        write_frame(output, &answer.encode())?;
    }
    Ok(())
}

struct MountHelper {
    point: PathBuf,
    id: u64,
    next: u64,
    held: Vec<(u64, Held)>,
}

enum Held {
    Reading(Box<FileReader>),
    Listing(DirListing),
}

impl MountHelper {
    fn answer(&mut self, question: MountRequest) -> Result<Response, Errno> {
        Ok(match question {
            MountRequest::Look(path) => match self.look(&path)? {
                NearLookup::There(_, seen) => Response::There(Box::new(bare(&seen))),
                NearLookup::Gone => Response::Gone,
                NearLookup::Refused(errno) => Response::Refused(errno.raw_os_error()),
            },
            MountRequest::Read(path, wanted, seen) => self.read(&path, wanted, &seen)?,
            MountRequest::Advance(id, most) => self.advance(id, most)?,
            MountRequest::Finish(id) => match self.take(id)? {
                Held::Reading(reading) => match reading.finish(None).0 {
                    FileContent::Stable(whole) => Response::Whole(whole),
                    FileContent::Torn => Response::Torn,
                    FileContent::Unreadable(errno) => Response::Refused(errno),
                },
                Held::Listing(_) => return Err(LOST),
            },
            MountRequest::List(path) => {
                let root = self.root()?;
                let handle = open_directory_beneath(root.as_fd(), &path)?;
                let directory = handle.open_directory()?;
                let inode = attributes_of(directory.as_fd())?.inode;
                Response::Begun(self.hold(Held::Listing(DirListing::new(directory)?)), inode)
            }
            MountRequest::Names(id, most) => self.names(id, most)?,
        })
    }

    /// The root of the mount. What lies at its point when it is gone, or has another over it, is none of our business.
    fn root(&self) -> Result<OwnedFd, Errno> {
        let root = open_root(&self.point)?;
        // Where nobody tells the number it is taken for what the daemon has found in the table of mounts.
        let is_here = root.mount()?.is_none_or(|id| id == self.id);
        if is_here { Ok(root.into_descriptor()) } else { Err(LOST) }
    }

    fn look(&self, path: &[u8]) -> Result<NearLookup, Errno> {
        let root = self.root()?;
        let mut seen = if path.is_empty() { judge(Ok(root.into())) } else { lookup(root.as_fd(), path) };
        if let NearLookup::There(object, seen) = &mut seen {
            complete(object, seen);
        }
        Ok(seen)
    }

    fn read(&mut self, path: &[u8], wanted: WantedDigests, seen: &Attributes) -> Result<Response, Errno> {
        let NearLookup::There(object, mut now) = self.look(path)? else { return Ok(Response::Torn) };
        // Of the device they have a number of their own.
        if (Attributes { dev: now.dev, ..seen.clone() }) != now {
            return Ok(Response::Torn);
        }
        match FileReader::begin(object, &mut now, wanted, Vec::new()) {
            Ok(reading) => Ok(Response::Begun(self.hold(Held::Reading(Box::new(reading.in_sips(SIP)))), 0)),
            Err(errno) => Ok(Response::Refused(errno)),
        }
    }

    fn advance(&mut self, id: u64, most: u64) -> Result<Response, Errno> {
        let Held::Reading(mut reading) = self.take(id)? else { return Err(LOST) };
        let begun = now();
        let mut got = 0;
        loop {
            match reading.advance(1) {
                Ok((count, is_end)) => {
                    got += count;
                    if is_end || got >= most || now().saturating_sub(begun) >= SLICE_TIME {
                        self.held.push((id, Held::Reading(reading)));
                        return Ok(Response::Advanced(got, is_end));
                    }
                }
                Err(errno) => return Ok(Response::Refused(errno)),
            }
        }
    }

    fn names(&mut self, id: u64, most: u64) -> Result<Response, Errno> {
        let Held::Listing(mut listing) = self.take(id)? else { return Err(LOST) };
        // Names of a block fit into one frame, however long they are.
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(LONGEST / 2048);
        let names = listing.next_block(most)?;
        if names.len() == most {
            self.held.push((id, Held::Listing(listing)));
        }
        Ok(Response::Names(names))
    }

    fn hold(&mut self, what: Held) -> u64 {
        if self.held.len() >= MOST_HELD {
            self.held.remove(0);
        }
        self.next += 1;
        self.held.push((self.next, what));
        self.next
    }

    fn take(&mut self, id: u64) -> Result<Held, Errno> {
        let at = self.held.iter().position(|(held, _)| *held == id).ok_or(LOST)?;
        Ok(self.held.remove(at).1)
    }
}

/// How the program is called to be a helper for the mount with number `id` at `point`.
pub(in crate::files) fn command(program: &Path, point: &[u8], id: u64) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.arg0(SHOWN).arg(WORD).arg(id.to_string()).arg(OsStr::from_bytes(point));
    command
}

/// What a broker may run: this program, as a helper for some mount.
pub fn permit(program: &Path) -> AllowedCommand {
    AllowedCommand {
        program: program.as_os_str().to_os_string(),
        arguments: vec![ArgPattern::Is(WORD.into()), ArgPattern::NoOption, ArgPattern::Any],
        environment: Vec::new(),
        is_free: false,
    }
}

/// The hidden command of the helper.
pub const WORD: &str = "scout";
