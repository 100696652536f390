//! Where a log that was found for the first time begins. Pure.

use crate::model::clock::Timestamp;

/// Where to begin with a log that was never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With its first byte.
    Beginning,
    /// After its last whole line.
    End,
}

/// Where a log of a group begins: with its first byte when it was born after the group was last polled and stored, so that nothing
/// of a new file is missed; else at its end, so that an old one does not flood the mail. A file without a known birth counts as new.
pub fn start_of(born: Option<Timestamp>, group_polled: Option<Timestamp>) -> Start {
    match (born, group_polled) {
        (_, None) => Start::End,
        (Some(born), Some(polled)) if born <= polled => Start::End,
        _ => Start::Beginning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_born_after_the_last_poll_is_read_from_its_beginning() {
        let at = |nanos| Some(Timestamp::from_nanos(nanos));
        assert_eq!(start_of(at(5), None), Start::End);
        assert_eq!(start_of(at(5), at(5)), Start::End);
        assert_eq!(start_of(at(6), at(5)), Start::Beginning);
        assert_eq!(start_of(None, at(5)), Start::Beginning);
        assert_eq!(start_of(None, None), Start::End);
    }
}
