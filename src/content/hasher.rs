//! All wanted digests of one content, fed by one read.

use sha2::{Digest as _, Sha256, Sha512};

use crate::model::file::entry::{Algorithm, AlgorithmSet, Digests, Observation};

/// A hasher for one or more algorithms at once.
#[derive(Debug, Clone)]
pub struct Hasher {
    blake3: Option<Box<blake3::Hasher>>,
    sha256: Option<Sha256>,
    sha512: Option<Sha512>,
}

impl Hasher {
    /// A hasher for `wanted`.
    pub fn new(wanted: AlgorithmSet) -> Self {
        Self {
            blake3: wanted.has(Algorithm::Blake3).then(Box::default),
            sha256: wanted.has(Algorithm::Sha256).then(Sha256::new),
            sha512: wanted.has(Algorithm::Sha512).then(Sha512::new),
        }
    }

    /// Takes the next bytes, any number.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.blake3 {
            hasher.update(bytes);
        }
        if let Some(hasher) = &mut self.sha256 {
            hasher.update(bytes);
        }
        if let Some(hasher) = &mut self.sha512 {
            hasher.update(bytes);
        }
    }

    /// The digests of everything taken.
    pub fn finish(self) -> Digests {
        Digests {
            blake3: self.blake3.map(|hasher| *hasher.finalize().as_bytes()),
            sha256: self.sha256.map(|hasher| hasher.finalize().into()),
            sha512: self.sha512.map(|hasher| hasher.finalize().into()),
        }
    }
}

/// The old part of a file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// How long it is, in bytes.
    pub length: u64,
    /// Its digests.
    pub digests: Digests,
}

/// What a look has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What is there.
    pub seen: Observation,
    /// The old part of it, where that was wanted.
    pub old_part: Option<Prefix>,
}

impl From<Observation> for Evidence {
    fn from(seen: Observation) -> Self {
        Self { seen, old_part: None }
    }
}

/// A hasher that keeps the digests of what it had taken at the mark.
#[derive(Debug)]
pub(crate) struct PrefixHasher {
    hasher: Hasher,
    mark: Option<u64>,
    /// Bytes up to the mark; `None` beyond it.
    ahead: Option<u64>,
    old_part: Option<Prefix>,
}

impl PrefixHasher {
    /// A hasher for what is wanted.
    pub(crate) fn new(wanted: WantedDigests) -> Self {
        let WantedDigests { algorithms, mark } = wanted;
        Self { hasher: Hasher::new(algorithms), mark, ahead: mark, old_part: None }
    }

    /// Takes the next bytes, any number.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let Some(ahead) = self.ahead else { return self.hasher.update(bytes) };
        let split = usize::try_from(ahead).ok().and_then(|ahead| bytes.split_at_checked(ahead));
        let Some((old, new)) = split else {
            self.hasher.update(bytes);
            self.ahead = u64::try_from(bytes.len()).ok().and_then(|length| ahead.checked_sub(length));
            return;
        };
        self.hasher.update(old);
        let digests = self.hasher.clone().finish();
        self.old_part = self.mark.map(|length| Prefix { length, digests });
        self.ahead = None;
        self.hasher.update(new);
    }

    /// The digests of everything taken, and the old part if there is one.
    pub(crate) fn finish(self) -> (Digests, Option<Prefix>) {
        (self.hasher.finish(), self.old_part)
    }
}

/// What is wanted of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedDigests {
    /// The digests.
    pub algorithms: AlgorithmSet,
    /// How long the old part is whose digests are wanted as well, in bytes.
    pub mark: Option<u64>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all() -> AlgorithmSet {
        Algorithm::ALL.into_iter().fold(AlgorithmSet::NONE, AlgorithmSet::with)
    }

    #[test]
    fn digests_are_those_of_the_standards() {
        let mut hasher = Hasher::new(all());
        hasher.update(b"abc");
        let digests = hasher.finish();
        let hex = |algorithm| -> String {
            digests.get(algorithm).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
        };
        assert_eq!(hex(Algorithm::Blake3), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert_eq!(hex(Algorithm::Sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(hex(Algorithm::Sha512).starts_with("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"));
    }

    proptest! {
        #[test]
        fn a_streamed_digest_is_the_digest_of_the_whole(
            content in prop::collection::vec(any::<u8>(), 0..5000),
            cuts in prop::collection::vec(1_usize..700, 1..20),
        ) {
            let mut whole = Hasher::new(all());
            whole.update(&content);
            let mut streamed = Hasher::new(all());
            let mut rest = content.as_slice();
            for cut in cuts.into_iter().cycle() {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                streamed.update(piece);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(whole.finish(), streamed.finish());
        }
    }
}
