//! The bytes of one file from any place, plain or unpacked, never more than were asked for.
//!
//! gzip is unpacked here, in memory of fixed size; a decoder stays open between two chunks, because going back means beginning anew.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
};

use flate2::bufread::MultiGzDecoder;
use rustix::fs::SeekFrom as Whence;

use crate::model::log::position::{Anchor, HEAD, MARKER};

/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;

type StreamDecoder = BufReader<MultiGzDecoder<BufReader<File>>>;

/// An open file as a stream of text.
#[derive(Debug)]
pub enum LogStream {
    /// As it is.
    Plain(File),
    /// Unpacked by gzip.
    Gzip(Box<Unpacking>),
}

/// A gzip file being unpacked.
#[derive(Debug)]
pub struct Unpacking {
    file: File,
    decoder: StreamDecoder,
    at: u64,
}

/// What a stream looks like, to be compared with anchors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch {
    /// Its length, or as much of it as can be read.
    pub size: u64,
    /// Its first bytes, at most [`HEAD`].
    pub head: Vec<u8>,
    /// For each offset that was asked for the bytes before it, at most [`MARKER`]; `None` beyond the end.
    pub markers: Vec<Option<Vec<u8>>>,
    /// The last bytes, at most [`MARKER`].
    pub tail: Vec<u8>,
    /// Whether there is more than was allowed to be unpacked.
    pub is_cut: bool,
    /// Why it cannot be read beyond `size`.
    pub fault: Option<io::ErrorKind>,
}

fn decoder(file: &File) -> io::Result<StreamDecoder> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(BufReader::with_capacity(PIECE, MultiGzDecoder::new(BufReader::with_capacity(PIECE, file))))
}

/// Up to `length` bytes of a plain file from `at`.
fn read_at(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, at.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX))) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The last bytes of a plain file before `offset`, at most [`MARKER`].
///
/// # Errors
/// Those of `pread(2)`.
pub fn marker_before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let from = offset.saturating_sub(u64::try_from(MARKER).unwrap_or(0));
    read_at(file, from, usize::try_from(offset - from).unwrap_or(MARKER))
}

/// The first bytes of a plain file before `offset`, at most [`HEAD`].
///
/// # Errors
/// Those of `pread(2)`.
pub fn head_before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    read_at(file, 0, usize::try_from(offset).map_or(HEAD, |offset| offset.min(HEAD)))
}

/// An anchor at `offset` of a plain file, which has to be so long.
///
/// # Errors
/// Those of `pread(2)`.
pub fn anchor_at(file: &File, offset: u64, like: &Anchor) -> io::Result<Anchor> {
    Ok(Anchor {
        offset,
        taken: offset,
        head: head_before(file, offset)?,
        marker: marker_before(file, offset)?,
        ..like.clone()
    })
}

/// Whether a plain file still says what it said when `anchor` was made; its length has to be looked at apart.
///
/// # Errors
/// Those of `pread(2)`.
pub fn agrees(file: &File, anchor: &Anchor) -> io::Result<bool> {
    let head = read_at(file, 0, anchor.head.len())?;
    Ok(head == anchor.head && marker_before(file, anchor.taken)?.ends_with(&anchor.marker))
}

impl LogStream {
    /// A stream over `file`, unpacked when `is_gzip`.
    ///
    /// # Errors
    /// Those of `dup(2)` and `lseek(2)`.
    pub fn new(file: File, is_gzip: bool) -> io::Result<Self> {
        if !is_gzip {
            return Ok(Self::Plain(file));
        }
        let decoder = decoder(&file)?;
        Ok(Self::Gzip(Box::new(Unpacking { file, decoder, at: 0 })))
    }

    /// The next bytes at `at`, at most 64 KiB and none at or beyond `end`; empty at the end of the stream.
    /// Unpacks everything before `at` when the last bytes taken lie elsewhere.
    ///
    /// # Errors
    /// Those of reading; `UnexpectedEof` and `InvalidData` for a broken gzip file.
    pub fn fill(&mut self, at: u64, end: u64) -> io::Result<Vec<u8>> {
        let most = usize::try_from(end.saturating_sub(at)).map_or(PIECE, |left| left.min(PIECE));
        match self {
            Self::Plain(file) => read_at(file, at, most),
            Self::Gzip(unpacking) => {
                unpacking.go_to(at)?;
                let bytes = unpacking.decoder.fill_buf()?;
                Ok(bytes.get(..most).unwrap_or(bytes).to_vec())
            }
        }
    }

    /// Notes that so many of the bytes of the last [`LogStream::fill`] were used.
    pub fn consume(&mut self, used: usize) {
        if let Self::Gzip(unpacking) = self {
            unpacking.decoder.consume(used);
            unpacking.at = unpacking.at.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
        }
    }

    /// How many bytes from `at` up to `end` are a hole (`lseek(2)`, `SEEK_DATA`).
    pub fn hole(&self, at: u64, end: u64) -> u64 {
        let Self::Plain(file) = self else { return 0 };
        match rustix::fs::seek(file, Whence::Data(at)) {
            Ok(data) => data.min(end).saturating_sub(at),
            Err(rustix::io::Errno::NXIO) => end.saturating_sub(at),
            Err(_) => 0,
        }
    }

    /// What the stream looks like at `offsets`; of a packed one at most `limit` bytes are unpacked.
    ///
    /// # Errors
    /// Those of reading a plain file; what is wrong with a packed one stands in [`Sketch::fault`].
    pub fn sketch(&mut self, size: u64, offsets: &[u64], limit: u64) -> io::Result<Sketch> {
        match self {
            Self::Plain(file) => {
                let markers = offsets
                    .iter()
                    .map(|offset| if *offset <= size { marker_before(file, *offset).map(Some) } else { Ok(None) })
                    .collect::<io::Result<_>>()?;
                let (head, tail) = (head_before(file, size)?, marker_before(file, size)?);
                Ok(Sketch { size, head, markers, tail, ..Sketch::default() })
            }
            Self::Gzip(unpacking) => Ok(unpacking.sketch(offsets, limit)),
        }
    }
}

impl Unpacking {
    fn go_to(&mut self, at: u64) -> io::Result<()> {
        if self.at > at {
            self.decoder = decoder(&self.file)?;
            self.at = 0;
        }
        if self.at < at {
            self.at += io::copy(&mut self.decoder.by_ref().take(at - self.at), &mut io::sink())?;
        }
        Ok(())
    }

    fn sketch(&mut self, offsets: &[u64], limit: u64) -> Sketch {
        let mut found = Sketch { markers: vec![None; offsets.len()], ..Sketch::default() };
        if let Err(error) = self.go_to(0) {
            found.fault = Some(error.kind());
            return found;
        }
        loop {
            let bytes = match self.decoder.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    found.fault = Some(error.kind());
                    break;
                }
            };
            let allowed = usize::try_from(limit - found.size).map_or(bytes.len(), |left| left.min(bytes.len()));
            found.is_cut = allowed < bytes.len();
            let bytes = bytes.get(..allowed).unwrap_or(bytes);
            if bytes.is_empty() {
                break;
            }
            let next = found.size.saturating_add(u64::try_from(allowed).unwrap_or(u64::MAX));
            for (offset, marker) in offsets.iter().zip(&mut found.markers) {
                if (found.size..=next).contains(offset) {
                    let cut = usize::try_from(offset - found.size).unwrap_or(allowed);
                    *marker = Some(joined(&found.tail, bytes.get(..cut).unwrap_or(bytes)));
                }
            }
            found.head.extend(bytes.iter().take(HEAD - found.head.len().min(HEAD)));
            found.tail = joined(&found.tail, bytes);
            found.size = next;
            self.decoder.consume(allowed);
            self.at = next;
        }
        found
    }
}

/// The last [`MARKER`] bytes of both.
pub(crate) fn joined(before: &[u8], after: &[u8]) -> Vec<u8> {
    let after = after.get(after.len().saturating_sub(MARKER)..).unwrap_or(after);
    let from = (before.len() + after.len()).saturating_sub(MARKER);
    let mut both = before.get(from..).unwrap_or_default().to_vec();
    both.extend_from_slice(after);
    both
}
