//! What a look at an entry means, compared with the baseline. Pure: no file is touched here.

pub(super) mod absence;
pub(super) mod big_file;
pub(super) mod company;
pub(super) mod comparison;
pub mod diff;
pub(super) mod finding;
pub(super) mod growth;
pub mod inode_index;
pub(super) mod own_mail;
pub(crate) mod severity;
pub(crate) mod shortage;
