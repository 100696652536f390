//! Baseline against look: which attributes differ, and what that is called.

use crate::model::file::{
    attribute::{Attribute, AttributeSet},
    change::{ChangeClass, FileChange},
    entry::{Attributes, FileKind, HashState, Observation},
    xattr::is_same,
};

/// The attributes whose change alone, with the content the same, is nothing but a rewrite.
pub(super) const TIMES: AttributeSet =
    AttributeSet::NONE.with(Attribute::Mtime).with(Attribute::Ctime).with(Attribute::Btime);

/// The attributes that a look collects where the file system has them: all.
pub const COLLECTED: AttributeSet = TIMES
    .with(Attribute::Type)
    .with(Attribute::Size)
    .with(Attribute::Content)
    .with(Attribute::Perms)
    .with(Attribute::Uid)
    .with(Attribute::Gid)
    .with(Attribute::Target)
    .with(Attribute::Rdev)
    .with(Attribute::Nlink)
    .with(Attribute::Inode)
    .with(Attribute::Flags)
    .union(IN_XATTRS);

/// The attributes that are kept as extended attributes.
pub const IN_XATTRS: AttributeSet =
    AttributeSet::NONE.with(Attribute::Acl).with(Attribute::Caps).with(Attribute::Selinux).with(Attribute::Xattrs);

/// Compares a look with what is known, over the attributes that are wanted and were recorded. `None`: no difference.
///
/// A file that could not be read, or did not hold still, is compared by its metadata.
pub fn compare(known: &Observation, seen: &Observation, over: AttributeSet) -> Option<FileChange> {
    let changed = differing(known, seen).intersection(over);
    let class = classify(known, seen, changed)?;
    Some(FileChange { class, changed, old: Some(known.clone()), new: Some(seen.clone()) })
}

fn classify(known: &Observation, seen: &Observation, changed: AttributeSet) -> Option<ChangeClass> {
    if changed.is_empty() {
        return None;
    }
    if changed.has(Attribute::Type) {
        return Some(ChangeClass::Retyped);
    }
    let is_content_known = match seen.attributes.kind {
        FileKind::Regular => known.digests.agree(&seen.digests) == Some(true) && seen.hash_state == HashState::Full,
        _ => true,
    };
    Some(if !is_content_known {
        ChangeClass::Changed
    } else if changed.is_within(TIMES) {
        ChangeClass::Touched
    } else if changed.is_within(TIMES.with(Attribute::Inode)) {
        ChangeClass::Rewritten
    } else {
        ChangeClass::Changed
    })
}

/// All attributes in which two looks differ and which mean something for this kind of object.
fn differing(known: &Observation, seen: &Observation) -> AttributeSet {
    let (old, new) = (&known.attributes, &seen.attributes);
    Attribute::ALL
        .iter()
        .copied()
        .filter(|attribute| match attribute {
            Attribute::Content => {
                known.hash_state_is_digest()
                    && seen.hash_state_is_digest()
                    && known.digests.agree(&seen.digests) == Some(false)
            }
            other => differs(*other, old, new),
        })
        .fold(AttributeSet::NONE, AttributeSet::with)
        .intersection(meaningful(old.kind, new.kind))
}

fn differs(attribute: Attribute, old: &Attributes, new: &Attributes) -> bool {
    match attribute {
        Attribute::Type => old.kind != new.kind,
        Attribute::Size => old.size != new.size,
        Attribute::Perms => old.perms != new.perms,
        Attribute::Uid => old.uid != new.uid,
        Attribute::Gid => old.gid != new.gid,
        Attribute::Target => old.target != new.target,
        Attribute::Rdev => old.rdev != new.rdev,
        Attribute::Nlink => old.nlink != new.nlink,
        Attribute::Inode => old.inode != new.inode,
        Attribute::Mtime => old.mtime != new.mtime,
        Attribute::Ctime => old.ctime != new.ctime,
        // Neither what could be asked for only once, as with inode flags.
        Attribute::Btime => old.btime.zip(new.btime).is_some_and(|(old, new)| old != new),
        Attribute::Acl | Attribute::Caps | Attribute::Selinux | Attribute::Xattrs => match (&old.xattrs, &new.xattrs) {
            (Some(old), Some(new)) => !is_same(old, new, attribute),
            // What could not be asked for says nothing.
            _ => false,
        },
        // A file system that tells none has none.
        Attribute::Flags => old.flags.unwrap_or_default() != new.flags.unwrap_or_default(),
        // Compared by digests.
        Attribute::Content => false,
    }
}

/// What counts for an object of this kind. The times, size and link count of a directory move with its children, whose own events
/// tell; the size of a link is that of its target.
pub fn meaningful(old: FileKind, new: FileKind) -> AttributeSet {
    let always = AttributeSet::of(&[
        Attribute::Type,
        Attribute::Perms,
        Attribute::Uid,
        Attribute::Gid,
        Attribute::Inode,
        Attribute::Acl,
        Attribute::Selinux,
        Attribute::Xattrs,
        Attribute::Flags,
        Attribute::Btime,
    ]);
    if old != new {
        return always;
    }
    let times = always.with(Attribute::Mtime).with(Attribute::Ctime);
    match new {
        FileKind::Directory => always,
        FileKind::Regular => {
            times.union(AttributeSet::of(&[Attribute::Size, Attribute::Content, Attribute::Nlink, Attribute::Caps]))
        }
        FileKind::Symlink => times.with(Attribute::Target).with(Attribute::Nlink),
        FileKind::CharDevice | FileKind::BlockDevice => times.with(Attribute::Rdev).with(Attribute::Nlink),
        FileKind::Fifo | FileKind::Socket => times.with(Attribute::Nlink),
    }
}

impl Observation {
    /// Whether its digests stand for a whole content: that of the look, or of the last stable one before it.
    fn hash_state_is_digest(&self) -> bool {
        self.hash_state != HashState::Off
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{clock::Timestamp, file::entry::Digests};

    fn seen() -> Observation {
        Observation {
            attributes: Attributes::sample(Timestamp::from_nanos(1)),
            hash_state: HashState::Full,
            digests: Digests { blake3: Some([1; 32]), ..Digests::default() },
        }
    }

    fn everything() -> AttributeSet {
        AttributeSet::of(Attribute::ALL)
    }

    fn changed(edit: impl FnOnce(&mut Observation)) -> Option<FileChange> {
        let mut new = seen();
        edit(&mut new);
        compare(&seen(), &new, everything())
    }

    #[test]
    fn an_equal_look_is_no_change() {
        assert_eq!(changed(|_| ()), None);
    }

    #[test]
    fn each_class_has_its_name() {
        let class = |edit: fn(&mut Observation)| changed(edit).map(|change| change.class);
        assert_eq!(class(|o| o.attributes.mtime = Timestamp::from_nanos(2)), Some(ChangeClass::Touched));
        assert_eq!(class(|o| o.attributes.inode = 11), Some(ChangeClass::Rewritten));
        assert_eq!(class(|o| o.attributes.perms = 0o600), Some(ChangeClass::Changed));
        assert_eq!(class(|o| o.attributes.nlink = 2), Some(ChangeClass::Changed));
        assert_eq!(class(|o| o.digests.blake3 = Some([2; 32])), Some(ChangeClass::Changed));
        assert_eq!(class(|o| o.attributes.kind = FileKind::Symlink), Some(ChangeClass::Retyped));
        assert_eq!(class(|o| o.hash_state = HashState::Busy), None);
        let written_and_chmod = |o: &mut Observation| (o.hash_state, o.attributes.perms) = (HashState::Busy, 0o4777);
        assert_eq!(class(written_and_chmod), Some(ChangeClass::Changed));
    }

    #[test]
    fn same_size_and_old_times_do_not_hide_new_content() {
        let change = changed(|o| o.digests.blake3 = Some([2; 32])).unwrap();
        assert!(change.changed.has(Attribute::Content));
    }

    #[test]
    fn an_unread_file_is_never_called_rewritten() {
        let change = changed(|o| {
            o.attributes.inode = 11;
            o.hash_state = HashState::Unreadable(13);
        });
        assert_eq!(change.unwrap().class, ChangeClass::Changed);
    }

    #[test]
    fn attributes_that_could_not_be_asked_for_say_nothing() {
        let mut old = seen();
        old.attributes.flags = Some(0);
        old.attributes.xattrs = None;
        let mut new = seen();
        let mut writer = crate::model::file::xattr::Writer::default();
        writer.add(b"user.a", Some(b"x"));
        new.attributes.xattrs = Some(writer.finish());
        assert_eq!(compare(&old, &new, everything()), None);
        new.attributes.flags = Some(0x10);
        assert_eq!(compare(&old, &new, everything()).unwrap().changed, AttributeSet::NONE.with(Attribute::Flags));
    }

    #[test]
    fn a_directory_is_not_reported_for_its_children() {
        let mut old = seen();
        old.attributes.kind = FileKind::Directory;
        old.hash_state = HashState::Off;
        let mut new = old.clone();
        new.attributes.mtime = Timestamp::from_nanos(9);
        new.attributes.ctime = Timestamp::from_nanos(9);
        new.attributes.nlink = 7;
        new.attributes.size = 8192;
        assert_eq!(compare(&old, &new, everything()), None);
        new.attributes.perms = 0o777;
        assert!(compare(&old, &new, everything()).is_some());
    }

    #[test]
    fn only_what_is_wanted_is_compared() {
        let mut new = seen();
        new.attributes.inode = 11;
        let over = everything().without(Attribute::Inode);
        assert_eq!(compare(&seen(), &new, over), None);
    }
}
