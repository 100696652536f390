//! Attributes that are named together, and the word for files that only grow.

use crate::model::file::attribute::Attribute;

/// What it means when a regular file is longer than it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// It has changed.
    Change,
    /// Nothing, as long as its old part is what it was.
    Nothing,
}

/// The word by which a file may grow; it is no attribute, for nothing is compared by it.
pub const GROWTH: &str = "growth";

/// The group that lets a file grow as well.
pub const LOG_GROUP: &str = "log";

/// Attributes that are named together; `content` alone is a group already, for the type always counts.
pub const ATTRIBUTE_GROUPS: [(&str, &[Attribute]); 4] =
    [("permissions", PERMISSIONS), ("directory", DIRECTORY), (LOG_GROUP, LOG), ("all", Attribute::ALL)];

/// Who may do what with an object, and with which rights it runs.
const PERMISSIONS: &[Attribute] = &[
    Attribute::Type,
    Attribute::Perms,
    Attribute::Uid,
    Attribute::Gid,
    Attribute::Acl,
    Attribute::Caps,
    Attribute::Flags,
];

/// What a directory has of its own, apart from what happens to its children.
const DIRECTORY: &[Attribute] = &[
    Attribute::Type,
    Attribute::Perms,
    Attribute::Uid,
    Attribute::Gid,
    Attribute::Inode,
    Attribute::Acl,
    Attribute::Xattrs,
    Attribute::Flags,
];

/// What stays while a file grows: all but the times; the size may become larger only.
const LOG: &[Attribute] = &[
    Attribute::Type,
    Attribute::Size,
    Attribute::Content,
    Attribute::Perms,
    Attribute::Uid,
    Attribute::Gid,
    Attribute::Target,
    Attribute::Rdev,
    Attribute::Nlink,
    Attribute::Inode,
    Attribute::Acl,
    Attribute::Caps,
    Attribute::Xattrs,
    Attribute::Flags,
];
