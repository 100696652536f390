//! What a helper process is asked about a slow file system, and what it answers: the words and their form.
//!
//! The form is ours on both ends and never stored: a tag, then numbers (big-endian) and bytes led by their length. What comes back is
//! checked as if somebody else had written it.

use crate::{
    content::hasher::{Evidence, Prefix, WantedDigests},
    model::{
        canonical::{decode_observation, encode_observation},
        file::entry::{AlgorithmSet, Attributes, Digests, HashState, Observation},
    },
    sys::fs::dir::EntryName,
};

/// The errno, which no kernel gives, for a mount that is not where it was, and for a number nothing is held under.
pub(super) const ELSEWHERE: i32 = 4000;

/// A question. Paths lead from the root of the mount, which the empty path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::files) enum MountRequest {
    /// What is there?
    Look(Vec<u8>),
    /// Begin to read the regular file there, which was seen like this.
    Read(Vec<u8>, WantedDigests, Box<Attributes>),
    /// Go on reading: up to about so many bytes.
    Advance(u64, u64),
    /// End reading.
    Finish(u64),
    /// Begin to list the directory there.
    List(Vec<u8>),
    /// Go on listing: at most so many names.
    Names(u64, u64),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::files) enum Response {
    /// There is nothing.
    Gone,
    /// It was refused, for this `errno(3)`.
    Refused(i32),
    /// This is there, by its metadata.
    There(Box<Observation>),
    /// This is there, read to its end.
    Whole(Box<Evidence>),
    /// Reading or listing has begun, under this number; of a directory its inode.
    Begun(u64, u64),
    /// So many bytes were read, and whether that was the end.
    Advanced(u64, bool),
    /// The file changed while it was read.
    Torn,
    /// Names; fewer than were asked for mean the end.
    Names(Vec<EntryName>),
}

impl MountRequest {
    /// Its form.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Look(path) => form(1).bytes(path),
            Self::Read(path, wanted, seen) => {
                let form = form(2).bytes(path).number(u64::from(wanted.algorithms.bits()));
                wanted.mark.into_iter().fold(form.bytes(&encode_observation(&bare(seen))), Encoder::number)
            }
            Self::Advance(id, most) => form(3).number(*id).number(*most),
            Self::Finish(id) => form(4).number(*id),
            Self::List(path) => form(5).bytes(path),
            Self::Names(id, most) => form(6).number(*id).number(*most),
        }
        .0
    }

    /// Reads it back; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, mut rest) = FrameDecoder::begin(bytes)?;
        let question = match tag {
            1 => Self::Look(rest.bytes()?.to_vec()),
            2 => {
                let path = rest.bytes()?.to_vec();
                let algorithms = AlgorithmSet::from_bits(u8::try_from(rest.number()?).ok()?);
                let seen = Box::new(decode_observation(rest.bytes()?).ok()?.attributes);
                let mark = if rest.0.is_empty() { None } else { Some(rest.number()?) };
                Self::Read(path, WantedDigests { algorithms, mark }, seen)
            }
            3 => Self::Advance(rest.number()?, rest.number()?),
            4 => Self::Finish(rest.number()?),
            5 => Self::List(rest.bytes()?.to_vec()),
            6 => Self::Names(rest.number()?, rest.number()?),
            _ => return None,
        };
        rest.0.is_empty().then_some(question)
    }
}

impl Response {
    /// Its form.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Gone => form(1),
            Self::Refused(errno) => form(2).number(u64::from(errno.cast_unsigned())),
            Self::There(seen) => form(3).bytes(&encode_observation(seen)),
            Self::Whole(whole) => {
                let form = form(8).bytes(&encode_observation(&whole.seen));
                whole.old_part.iter().fold(form, |form, old| {
                    let digests = Observation { digests: old.digests.clone(), ..whole.seen.clone() };
                    form.number(old.length).bytes(&encode_observation(&digests))
                })
            }
            Self::Begun(id, inode) => form(4).number(*id).number(*inode),
            Self::Advanced(count, is_end) => form(5).number(*count).number(u64::from(*is_end)),
            Self::Torn => form(6),
            Self::Names(names) => names.iter().fold(form(7), |form, name| {
                form.number(u64::from(name.is_directory)).number(name.inode).bytes(&name.bytes)
            }),
        }
        .0
    }

    /// Reads it back; `None` for anything else, and for names that no directory can hold.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, mut rest) = FrameDecoder::begin(bytes)?;
        let answer = match tag {
            1 => Self::Gone,
            2 => Self::Refused(u32::try_from(rest.number()?).ok()?.cast_signed()),
            3 => Self::There(Box::new(decode_observation(rest.bytes()?).ok()?)),
            4 => Self::Begun(rest.number()?, rest.number()?),
            5 => Self::Advanced(rest.number()?, rest.number()? != 0),
            6 => Self::Torn,
            7 => {
                let mut names = Vec::new();
                while !rest.0.is_empty() {
                    let (is_directory, inode) = (rest.number()? != 0, rest.number()?);
                    let bytes = rest.bytes()?.to_vec();
                    let is_name = !bytes.is_empty() && bytes != b"." && bytes != b"..";
                    if !is_name || bytes.iter().any(|byte| *byte == b'/' || *byte == 0) {
                        return None;
                    }
                    names.push(EntryName { bytes, is_directory, is_regular: false, inode });
                }
                Self::Names(names)
            }
            8 => {
                let seen = decode_observation(rest.bytes()?).ok()?;
                let old_part = if rest.0.is_empty() {
                    None
                } else {
                    let length = rest.number()?;
                    Some(Prefix { length, digests: decode_observation(rest.bytes()?).ok()?.digests })
                };
                Self::Whole(Box::new(Evidence { seen, old_part }))
            }
            _ => return None,
        };
        rest.0.is_empty().then_some(answer)
    }
}

/// Metadata without any content.
pub(in crate::files) fn bare(attributes: &Attributes) -> Observation {
    Observation { attributes: attributes.clone(), hash_state: HashState::Off, digests: Digests::default() }
}

struct Encoder(Vec<u8>);

fn form(tag: u8) -> Encoder {
    Encoder(vec![tag])
}

impl Encoder {
    fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut form = self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        form.0.extend_from_slice(bytes);
        form
    }
}

struct FrameDecoder<'a>(&'a [u8]);

impl<'a> FrameDecoder<'a> {
    fn begin(bytes: &'a [u8]) -> Option<(u8, Self)> {
        let (tag, rest) = bytes.split_first()?;
        Some((*tag, Self(rest)))
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn questions_and_answers_come_back_as_they_were() {
        let handle = crate::sys::fs::handle::open_root(std::path::Path::new("/")).unwrap();
        let attributes = Attributes { xattrs: Some(vec![1, 2]), ..handle.attributes().unwrap() };
        let names = [("a", true), ("\u{1}", false)].map(|(name, is_directory)| EntryName {
            bytes: name.into(),
            is_directory,
            is_regular: false,
            inode: 7,
        });
        for question in [
            MountRequest::Look(b"a/b".to_vec()),
            MountRequest::Read(Vec::new(), AlgorithmSet::from_bits(5).into(), Box::new(attributes.clone())),
            MountRequest::Read(
                vec![7],
                WantedDigests { algorithms: AlgorithmSet::from_bits(1), mark: Some(9) },
                Box::new(attributes.clone()),
            ),
            MountRequest::Advance(7, u64::MAX),
            MountRequest::Finish(8),
            MountRequest::List(vec![0xff; 5000]),
            MountRequest::Names(9, 4096),
        ] {
            assert_eq!(MountRequest::decode(&question.encode()).unwrap(), question);
        }
        for answer in [
            Response::Gone,
            Response::Refused(5),
            Response::There(Box::new(bare(&attributes))),
            Response::Whole(Box::new(bare(&attributes).into())),
            Response::Whole(Box::new(Evidence {
                seen: bare(&attributes),
                old_part: Some(Prefix {
                    length: 7,
                    digests: Digests { blake3: Some([3; 32]), sha512: Some([4; 64]), ..Digests::default() },
                }),
            })),
            Response::Begun(1, 2),
            Response::Advanced(3, true),
            Response::Torn,
            Response::Names(names.to_vec()),
        ] {
            assert_eq!(Response::decode(&answer.encode()).unwrap(), answer);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_answer() {
        for name in ["", ".", "..", "a/b", "/etc", "a\0"] {
            let names = vec![EntryName { bytes: name.into(), is_directory: true, is_regular: false, inode: 1 }];
            assert_eq!(Response::decode(&Response::Names(names).encode()), None, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _answer = Response::decode(&bytes);
            let _question = MountRequest::decode(&bytes);
        }
    }
}
