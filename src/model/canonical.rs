//! The canonical bytes of an event: what is hashed into the chain, and all the database keeps of it.
//!
//! A chain cannot be migrated, so the form carries its version from the first day and is never changed, only
//! followed by another. Version 1 is `"integrityd"`, one version byte, then fields in ascending order of their
//! tags: tag (u16), length (u32), value; numbers are big-endian, absent values have no field. A reader passes over tags it does
//! not know. A golden file under `tests/fixtures` holds the form in place.

use crate::model::{
    clock::{BootId, Boottime, Moment, Timestamp},
    event::{Category, Event, LogLine, Member, Severity},
    file::{
        attribute::AttributeSet,
        entry::{Algorithm, Attributes, Digests, FileKind, HashState, Observation},
    },
    process::{Process, ProcessId, ProcessNews},
};

/// The version written now.
pub const VERSION: u8 = 1;

const MAGIC: &[u8] = b"integrityd";

/// Canonical bytes that cannot be read back.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CanonicalError {
    /// The bytes do not begin with the magic word.
    #[error("not the canonical bytes of an event")]
    Magic,
    /// A version this program does not know.
    #[error("canonical bytes of version {0}, this program knows version 1: use a newer integrityd")]
    Version(u8),
    /// The bytes end within a field.
    #[error("canonical bytes end early, in field {0}")]
    Short(u16),
    /// A field is missing or holds an impossible value.
    #[error("canonical bytes have no valid field {0}")]
    Field(u16),
}

/// The canonical bytes of `event` at place `seq` of the chain.
pub fn encode(seq: u64, event: &Event) -> Vec<u8> {
    let mut out = Fields::new();
    out.bytes.extend_from_slice(MAGIC);
    out.bytes.push(VERSION);
    out.put(1, &seq.to_be_bytes());
    out.put(2, &event.category.code().to_be_bytes());
    out.put(3, &[event.severity.number()]);
    out.put(4, &event.found.wall.as_nanos().to_be_bytes());
    out.put(5, &event.found.boottime.as_nanos().to_be_bytes());
    out.put(6, &event.found.boot.0);
    out.put(7, &event.area);
    out.put(8, &event.source);
    out.put(9, &event.changed.bits().to_be_bytes());
    out.put_some(10, event.old.as_ref().map(encode_observation));
    out.put_some(11, event.new.as_ref().map(encode_observation));
    out.put_some(12, event.not_before.map(|at| at.as_nanos().to_be_bytes()));
    out.put(13, &event.count.to_be_bytes());
    out.put_some(14, event.members_digest);
    out.put(15, &event.note);
    out.put_some(16, event.line.as_ref().map(|line| &line.rule));
    out.put_some(17, event.line.as_ref().map(|line| line.length.to_be_bytes()));
    out.put_some(18, (!event.previous.is_empty()).then_some(&event.previous));
    out.put_some(19, event.process.as_deref().map(encode_news));
    out.put_some(20, event.line.as_ref().and_then(|line| line.digest));
    out.bytes
}

/// Reads canonical bytes back: the place in the chain and the event.
///
/// # Errors
/// [`CanonicalError`] when the bytes are cut, foreign or of a newer version.
pub fn decode(bytes: &[u8]) -> Result<(u64, Event), CanonicalError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(CanonicalError::Magic)?;
    let (version, rest) = rest.split_first().ok_or(CanonicalError::Magic)?;
    if *version != VERSION {
        return Err(CanonicalError::Version(*version));
    }
    let fields = CanonicalReader::parse(rest)?;
    let event = Event {
        category: Category::from_code(u16::from_be_bytes(fields.array(2)?)).ok_or(CanonicalError::Field(2))?,
        severity: Severity::from_number(u8::from_be_bytes(fields.array(3)?)).ok_or(CanonicalError::Field(3))?,
        found: Moment {
            wall: Timestamp::from_nanos(i64::from_be_bytes(fields.array(4)?)),
            boottime: Boottime::from_nanos(i64::from_be_bytes(fields.array(5)?)),
            boot: BootId(fields.array(6)?),
        },
        area: fields.need(7)?.to_vec(),
        source: fields.need(8)?.to_vec(),
        previous: fields.find(18).unwrap_or_default().to_vec(),
        changed: AttributeSet::from_bits(u32::from_be_bytes(fields.array(9)?)),
        old: fields.find(10).map(decode_observation).transpose()?,
        new: fields.find(11).map(decode_observation).transpose()?,
        not_before: fields.optional_array(12)?.map(|nanos| Timestamp::from_nanos(i64::from_be_bytes(nanos))),
        count: u64::from_be_bytes(fields.array(13)?),
        members_digest: fields.optional_array(14)?,
        note: fields.need(15)?.to_vec(),
        line: match fields.find(16) {
            Some(rule) => {
                let (rule, length) = (rule.to_vec(), u64::from_be_bytes(fields.array(17)?));
                Some(LogLine { rule, length, digest: fields.optional_array(20)? })
            }
            None => None,
        },
        process: fields.find(19).map(decode_news).transpose()?.map(Box::new),
    };
    Ok((u64::from_be_bytes(fields.array(1)?), event))
}

/// The canonical bytes of one object of a summary event.
pub fn encode_member(member: &Member) -> Vec<u8> {
    let mut out = Fields::new();
    out.put(8, &member.source);
    out.put(10, &encode_observation(&member.old));
    out.bytes
}

/// The hash of an event in the chain: `BLAKE3(prev_hash ‖ canonical)`.
pub fn chain_hash(prev_hash: &[u8; 32], canonical: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(prev_hash).update(canonical).finalize().as_bytes()
}

/// BLAKE3 of any bytes.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// BLAKE3 over the canonical bytes of all members, each led by its length (u64, big-endian).
#[derive(Debug, Default)]
pub struct MembersDigest(blake3::Hasher);

impl MembersDigest {
    /// Takes the next member in.
    pub fn add(&mut self, member: &Member) {
        let bytes = encode_member(member);
        self.0.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(&bytes);
    }

    /// The digest of all that were taken in.
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// [`MembersDigest`] of these members.
pub fn members_digest(members: &[Member]) -> [u8; 32] {
    let mut digest = MembersDigest::default();
    for member in members {
        digest.add(member);
    }
    digest.finish()
}

/// The canonical bytes of one observation: fields without magic and version.
pub fn encode_observation(seen: &Observation) -> Vec<u8> {
    let attributes = &seen.attributes;
    let mut out = Fields::new();
    out.put(1, &[attributes.kind.code()]);
    out.put(2, &attributes.perms.to_be_bytes());
    out.put(3, &attributes.uid.to_be_bytes());
    out.put(4, &attributes.gid.to_be_bytes());
    out.put(5, &attributes.nlink.to_be_bytes());
    out.put(6, &attributes.dev.to_be_bytes());
    out.put(7, &attributes.inode.to_be_bytes());
    out.put(8, &attributes.rdev.to_be_bytes());
    out.put(9, &attributes.size.to_be_bytes());
    out.put(10, &attributes.mtime.as_nanos().to_be_bytes());
    out.put(11, &attributes.ctime.as_nanos().to_be_bytes());
    out.put_some(12, attributes.btime.map(|at| at.as_nanos().to_be_bytes()));
    out.put_some(13, attributes.target.as_deref());
    out.put_some(14, attributes.xattrs.as_deref());
    out.put(15, &encode_hash_state(seen.hash_state));
    out.put_some(16, seen.digests.blake3);
    out.put_some(17, seen.digests.sha256);
    out.put_some(18, seen.digests.sha512);
    out.put_some(19, attributes.flags.map(u64::to_be_bytes));
    out.bytes
}

/// Reads an observation written by [`encode_observation`].
///
/// # Errors
/// [`CanonicalError`] when the bytes are cut or a value is impossible.
pub fn decode_observation(bytes: &[u8]) -> Result<Observation, CanonicalError> {
    let fields = CanonicalReader::parse(bytes)?;
    let time = |tag| fields.array(tag).map(|nanos| Timestamp::from_nanos(i64::from_be_bytes(nanos)));
    let mut digests = Digests::default();
    for (tag, algorithm) in [(16, Algorithm::Blake3), (17, Algorithm::Sha256), (18, Algorithm::Sha512)] {
        if let Some(bytes) = fields.find(tag)
            && !digests.set(algorithm, bytes)
        {
            return Err(CanonicalError::Field(tag));
        }
    }
    Ok(Observation {
        attributes: Attributes {
            kind: FileKind::from_code(u8::from_be_bytes(fields.array(1)?)).ok_or(CanonicalError::Field(1))?,
            perms: u16::from_be_bytes(fields.array(2)?),
            uid: u32::from_be_bytes(fields.array(3)?),
            gid: u32::from_be_bytes(fields.array(4)?),
            nlink: u32::from_be_bytes(fields.array(5)?),
            dev: u64::from_be_bytes(fields.array(6)?),
            inode: u64::from_be_bytes(fields.array(7)?),
            rdev: u64::from_be_bytes(fields.array(8)?),
            size: u64::from_be_bytes(fields.array(9)?),
            mtime: time(10)?,
            ctime: time(11)?,
            btime: fields.optional_array(12)?.map(|nanos| Timestamp::from_nanos(i64::from_be_bytes(nanos))),
            target: fields.find(13).map(<[u8]>::to_vec),
            xattrs: fields.find(14).map(<[u8]>::to_vec),
            flags: fields.optional_array(19)?.map(u64::from_be_bytes),
        },
        hash_state: decode_hash_state(fields.array(15)?).ok_or(CanonicalError::Field(15))?,
        digests,
    })
}

fn encode_news(news: &ProcessNews) -> Vec<u8> {
    let mut out = Fields::new();
    out.put(1, &news.container);
    out.put_some(2, news.old.as_ref().map(encode_process));
    out.put_some(3, news.new.as_ref().map(encode_process));
    out.bytes
}

fn decode_news(bytes: &[u8]) -> Result<ProcessNews, CanonicalError> {
    let fields = CanonicalReader::parse(bytes)?;
    Ok(ProcessNews {
        container: fields.need(1)?.to_vec(),
        old: fields.find(2).map(decode_process).transpose()?,
        new: fields.find(3).map(decode_process).transpose()?,
    })
}

/// The canonical bytes of one process: fields without magic and version; also what the database keeps of it.
pub fn encode_process(process: &Process) -> Vec<u8> {
    let mut out = Fields::new();
    out.put(1, &process.id.pid.to_be_bytes());
    out.put(2, &process.id.started.as_nanos().to_be_bytes());
    out.put(3, &process.id.boot.0);
    out.put_some(4, process.inner.map(u32::to_be_bytes));
    out.put(5, &process.since.as_nanos().to_be_bytes());
    out.put(6, &process.comm);
    out.put_some(7, process.exe.as_deref());
    out.bytes
}

/// Reads a process written by [`encode_process`].
///
/// # Errors
/// [`CanonicalError`] when the bytes are cut or a value is impossible.
pub fn decode_process(bytes: &[u8]) -> Result<Process, CanonicalError> {
    let fields = CanonicalReader::parse(bytes)?;
    Ok(Process {
        id: ProcessId {
            pid: u32::from_be_bytes(fields.array(1)?),
            started: Boottime::from_nanos(i64::from_be_bytes(fields.array(2)?)),
            boot: BootId(fields.array(3)?),
        },
        inner: fields.optional_array(4)?.map(u32::from_be_bytes),
        since: Timestamp::from_nanos(i64::from_be_bytes(fields.array(5)?)),
        comm: fields.need(6)?.to_vec(),
        exe: fields.find(7).map(<[u8]>::to_vec),
    })
}

/// A hash state as nine bytes: a code and its number, also what the database keeps.
pub fn encode_hash_state(state: HashState) -> [u8; 9] {
    let (code, number) = match state {
        HashState::Off => (0, 0),
        HashState::Full => (1, 0),
        HashState::Partial(bytes) => (2, bytes),
        HashState::Busy => (3, 0),
        HashState::TooBig => (4, 0),
        HashState::Unreadable(errno) => (5, u64::from(errno.unsigned_abs())),
    };
    let mut bytes = [code; 9];
    for (place, byte) in bytes.iter_mut().skip(1).zip(u64::to_be_bytes(number)) {
        *place = byte;
    }
    bytes
}

/// The hash state written by [`encode_hash_state`]; `None` for an unknown code or an impossible number.
pub fn decode_hash_state(bytes: [u8; 9]) -> Option<HashState> {
    let [code, number @ ..] = bytes;
    hash_state_from(code, u64::from_be_bytes(number))
}

/// The hash state with this code and number; `None` for an unknown code or an impossible number.
pub fn hash_state_from(code: u8, number: u64) -> Option<HashState> {
    Some(match code {
        0 => HashState::Off,
        1 => HashState::Full,
        2 => HashState::Partial(number),
        3 => HashState::Busy,
        4 => HashState::TooBig,
        5 => HashState::Unreadable(i32::try_from(number).ok()?),
        _ => return None,
    })
}

struct Fields {
    bytes: Vec<u8>,
}

impl Fields {
    fn new() -> Self {
        Self { bytes: Vec::with_capacity(256) }
    }

    fn put(&mut self, tag: u16, value: &[u8]) {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&tag.to_be_bytes());
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend(value.iter().take(usize::try_from(length).unwrap_or(usize::MAX)));
    }

    fn put_some(&mut self, tag: u16, value: Option<impl AsRef<[u8]>>) {
        if let Some(value) = value {
            self.put(tag, value.as_ref());
        }
    }
}

struct CanonicalReader<'a> {
    fields: Vec<(u16, &'a [u8])>,
}

impl<'a> CanonicalReader<'a> {
    fn parse(mut bytes: &'a [u8]) -> Result<Self, CanonicalError> {
        let mut fields = Vec::with_capacity(18);
        while !bytes.is_empty() {
            let (tag, rest) = bytes.split_first_chunk::<2>().ok_or(CanonicalError::Short(0))?;
            let tag = u16::from_be_bytes(*tag);
            let (length, rest) = rest.split_first_chunk::<4>().ok_or(CanonicalError::Short(tag))?;
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let (value, rest) = rest.split_at_checked(length).ok_or(CanonicalError::Short(tag))?;
            fields.push((tag, value));
            bytes = rest;
        }
        Ok(Self { fields })
    }

    fn find(&self, tag: u16) -> Option<&'a [u8]> {
        self.fields.iter().find(|(known, _)| *known == tag).map(|(_, value)| *value)
    }

    fn need(&self, tag: u16) -> Result<&'a [u8], CanonicalError> {
        self.find(tag).ok_or(CanonicalError::Field(tag))
    }

    fn array<const N: usize>(&self, tag: u16) -> Result<[u8; N], CanonicalError> {
        self.optional_array(tag)?.ok_or(CanonicalError::Field(tag))
    }

    fn optional_array<const N: usize>(&self, tag: u16) -> Result<Option<[u8; N]>, CanonicalError> {
        let Some(value) = self.find(tag) else {
            return Ok(None);
        };
        value.try_into().map(Some).or(Err(CanonicalError::Field(tag)))
    }
}
