//! The members of an event: the paths that one event stands for.

use crate::model::{event::Member, file::entry::Entry};

/// The single objects a summary event stands for, in the order their digest is taken over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members(pub Vec<MemberPart>);

impl Members {
    /// A baseline row, whose path is given, with everything beneath it.
    pub fn tree(top: &Entry, path: &[u8]) -> Self {
        Self(vec![MemberPart::Tree(Box::new(top.clone()), path.to_vec())])
    }
}

impl From<Vec<Member>> for Members {
    /// These objects.
    fn from(members: Vec<Member>) -> Self {
        Self(members.into_iter().map(|member| MemberPart::One(Box::new(member))).collect())
    }
}

/// One of them, or many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberPart {
    /// One object.
    One(Box<Member>),
    /// A baseline row, whose path this is, with everything beneath it: read when the event is stored, so that it is never held.
    Tree(Box<Entry>, Vec<u8>),
}
