//! How severe a change is: one table over what has changed and where, whoever has found it and however. And what must be said of it. Pure.

use crate::{
    files::compare::diff::TIMES,
    model::{
        event::Severity,
        file::{
            attribute::{Attribute, AttributeSet},
            capability::Capabilities,
            change::{ChangeClass, FileChange},
            entry::{Attributes, FileKind, HashState, Observation},
            xattr::{CAPABILITY, value},
        },
    },
};

/// Set-user-ID and set-group-ID.
const SET_ID: u16 = 0o6000;

/// Everybody may write it; and nobody may remove what is others' in such a directory.
const WORLD_WRITABLE: u16 = 0o002;
const STICKY: u16 = 0o1000;

/// How a change lies to the system directories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::files) enum InSystem {
    /// In none.
    #[default]
    No,
    /// In one, into which it was moved from elsewhere.
    Brought,
    /// In one, as before.
    Yes,
}

impl InSystem {
    /// That of what was in one, or not, and is now.
    pub(in crate::files) const fn of(was_in: bool, is_in: bool) -> Self {
        match (was_in, is_in) {
            (_, false) => Self::No,
            (false, true) => Self::Brought,
            (true, true) => Self::Yes,
        }
    }
}

/// Where a change was found, as far as that weighs, and what its times are worth.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::files) struct ChangeContext {
    /// The path, or the one it had before, stands on the list of those that always matter.
    pub(in crate::files) is_urgent: bool,
    /// How it lies to the system directories.
    pub(in crate::files) system: InSystem,
    /// Each write since what is known was seen must have moved the ctime: by the file system and the tick of its clock.
    pub(in crate::files) is_ctime_sure: bool,
}

/// A change as it is weighed: [`FileChange`] without owning what was seen.
#[derive(Debug, Clone, Copy)]
pub(in crate::files) struct WeighedChange<'a> {
    /// What it is called.
    pub(in crate::files) class: ChangeClass,
    /// What differs.
    pub(in crate::files) changed: AttributeSet,
    /// What was known; `None` for an addition.
    pub(in crate::files) old: Option<&'a Observation>,
    /// What was seen; `None` for a removal.
    pub(in crate::files) new: Option<&'a Observation>,
}

impl<'a> From<&'a FileChange> for WeighedChange<'a> {
    fn from(change: &'a FileChange) -> Self {
        Self { class: change.class, changed: change.changed, old: change.old.as_ref(), new: change.new.as_ref() }
    }
}

/// A row of the table: whether it holds, and how severe that is.
type SeverityRow = (fn(WeighedChange<'_>, ChangeContext) -> bool, Severity);

/// The table; the first row that holds decides. docs/mail.md shows it in words.
const TABLE: [SeverityRow; 11] = [
    // Somebody has put the modification time back, or a mode that he had changed.
    (|change, at| at.is_urgent && is_only_ctime(change), Severity::Normal),
    (|change, _| matches!(change.class, ChangeClass::Rewritten | ChangeClass::Touched), Severity::Count),
    (|_, at| at.is_urgent, Severity::High),
    (|change, _| gains_set_id(change), Severity::High),
    (|change, _| gains_capabilities(change), Severity::High),
    (|change, _| is_armed_anew(change), Severity::High),
    (|change, _| change.class == ChangeClass::Moved && is_armed(change.new), Severity::High),
    (becomes_open, Severity::High),
    (is_forged, Severity::High),
    (|change, _| change.class == ChangeClass::Moved && change.changed.is_within(TIMES), Severity::Low),
    (|_, _| true, Severity::Normal),
];

/// How much a change matters.
pub(in crate::files) fn weigh<'a>(change: impl Into<WeighedChange<'a>>, at: ChangeContext) -> Severity {
    let change = change.into();
    TABLE.iter().find(|(holds, _)| holds(change, at)).map_or(Severity::Normal, |(_, severity)| *severity)
}

/// What must be said of a change that its attributes do not show; empty for most.
pub(in crate::files) fn alarm(change: &FileChange, at: ChangeContext) -> &'static str {
    if is_forged(change.into(), at) {
        "content changed though ctime did not: times forged, changed through a mapping, or failing storage"
    } else {
        ""
    }
}

/// Whether nothing moved but the ctime, as when the modification time was put back after a change that was taken back.
fn is_only_ctime(change: WeighedChange<'_>) -> bool {
    change.class == ChangeClass::Touched && change.changed == AttributeSet::NONE.with(Attribute::Ctime)
}

/// Whether a regular file can now lend its owner's or group's rights to whoever runs it.
fn gains_set_id(change: WeighedChange<'_>) -> bool {
    let file = |seen: Option<&Observation>| {
        seen.filter(|seen| seen.attributes.kind == FileKind::Regular).map_or(0, |seen| seen.attributes.perms & SET_ID)
    };
    file(change.new) & !file(change.old) != 0
}

/// Whether a regular file now gives capabilities to whoever runs it that it did not give.
fn gains_capabilities(change: WeighedChange<'_>) -> bool {
    let Some(new) = change.new.and_then(|new| capabilities(&new.attributes)) else {
        return false;
    };
    let Some(old) = change.old else {
        return gives_any(new);
    };
    // What was never recorded is learned with the change, not gained by it.
    if old.attributes.xattrs.is_none() {
        return false;
    }
    match (capabilities(&old.attributes), Capabilities::parse(new)) {
        (None, _) => gives_any(new),
        (Some(old), parsed) => match (Capabilities::parse(old), parsed) {
            (Some(old), Some(new)) => new.exceeds(&old),
            _ => old != new,
        },
    }
}

/// Whether a value gives something; one in a form that we do not know may give anything.
fn gives_any(value: &[u8]) -> bool {
    Capabilities::parse(value).is_none_or(|all| all.permitted | all.inheritable != 0)
}

/// The value of the capabilities of a regular file; the kernel makes none that would not be kept whole.
fn capabilities(seen: &Attributes) -> Option<&[u8]> {
    let form = seen.xattrs.as_deref().filter(|_| seen.kind == FileKind::Regular)?;
    value(form, CAPABILITY)
}

/// Whether a file that lends its owner's or group's rights, or capabilities, now runs something else, or lends those of somebody
/// else.
fn is_armed_anew(change: WeighedChange<'_>) -> bool {
    // The size tells where the content is not read, or not yet.
    let grave = [Attribute::Content, Attribute::Size, Attribute::Uid, Attribute::Gid];
    is_armed(change.new) && grave.iter().any(|what| change.changed.has(*what))
}

/// Whether a file lends its owner's or group's rights, or capabilities.
fn is_armed(seen: Option<&Observation>) -> bool {
    seen.is_some_and(|seen| {
        seen.attributes.kind == FileKind::Regular
            && (seen.attributes.perms & SET_ID != 0 || capabilities(&seen.attributes).is_some())
    })
}

/// Whether everybody may now write a file, or remove and replace what is in a directory, of the system.
fn becomes_open(change: WeighedChange<'_>, at: ChangeContext) -> bool {
    let is_open = |seen: &Observation| match seen.attributes.kind {
        FileKind::Regular => seen.attributes.perms & WORLD_WRITABLE != 0,
        FileKind::Directory => seen.attributes.perms & (WORLD_WRITABLE | STICKY) == WORLD_WRITABLE,
        _ => false,
    };
    let was_open = at.system == InSystem::Yes && change.old.is_some_and(is_open);
    at.system != InSystem::No && change.new.is_some_and(is_open) && !was_open
}

/// Whether the same file holds something else though no write has moved its ctime.
fn is_forged(change: WeighedChange<'_>, at: ChangeContext) -> bool {
    let (Some(old), Some(new)) = (change.old, change.new) else {
        return false;
    };
    // Another file at the same path may be as old as the one before: an image mounted anew, a directory bound over.
    let place = |seen: &Attributes| (seen.dev, seen.inode);
    let is_same_file = place(&old.attributes) == place(&new.attributes)
        && old.attributes.btime.zip(new.attributes.btime).is_none_or(|(old, new)| old == new);
    // Else the times are those of a later look than the digests.
    let is_of_one_look = matches!(old.hash_state, HashState::Full | HashState::Busy);
    let is_time_kept = !new.attributes.is_generated() && old.attributes.ctime == new.attributes.ctime;
    change.changed.has(Attribute::Content) && at.is_ctime_sure && is_same_file && is_of_one_look && is_time_kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        files::compare::diff::compare,
        model::{
            clock::Timestamp,
            file::{attribute::AttributeSet, entry::Digests},
        },
    };

    const SURE: ChangeContext = ChangeContext { is_urgent: false, system: InSystem::No, is_ctime_sure: true };

    fn seen() -> Observation {
        Observation {
            attributes: Attributes::sample(Timestamp::from_nanos(1)),
            hash_state: HashState::Full,
            digests: Digests { blake3: Some([1; 32]), ..Digests::default() },
        }
    }

    #[test]
    fn new_content_behind_old_times_is_a_forgery() {
        let change = changed(|o| o.digests.blake3 = Some([2; 32])).unwrap();
        assert_eq!(weigh(&change, SURE), Severity::High);
        assert!(alarm(&change, SURE).contains("forged"));
        // Where times prove nothing it is a change like others.
        assert_eq!(weigh(&change, ChangeContext::default()), Severity::Normal);
        assert_eq!(alarm(&change, ChangeContext::default()), "");
    }

    #[test]
    fn another_file_as_old_as_the_one_before_is_no_forgery() {
        let moves: [fn(&mut Attributes); 3] =
            [|file| file.inode += 1, |file| file.dev += 1, |file| file.btime = Some(Timestamp::from_nanos(8))];
        for edit in moves {
            let mut old = seen();
            old.attributes.btime = Some(Timestamp::from_nanos(1));
            let mut new = old.clone();
            new.digests.blake3 = Some([2; 32]);
            edit(&mut new.attributes);
            let change = compare(&old, &new, AttributeSet::of(Attribute::ALL)).unwrap();
            assert!(change.changed.has(Attribute::Content));
            assert_eq!((weigh(&change, SURE), alarm(&change, SURE)), (Severity::Normal, ""));
        }
    }

    /// The severity of a change of class `class` from a file with the mode `old` to one with `new`.
    fn of_modes(class: ChangeClass, (old, new): (u16, u16), at: ChangeContext) -> Severity {
        let [old, new] = [old, new].map(|perms| {
            let mut seen = seen();
            seen.attributes.perms = perms;
            seen
        });
        let change = WeighedChange { class, changed: AttributeSet::NONE, old: Some(&old), new: Some(&new) };
        let change = match class {
            ChangeClass::Added => WeighedChange { old: None, ..change },
            ChangeClass::Removed => WeighedChange { new: None, ..change },
            _ => change,
        };
        weigh(change, at)
    }

    #[test]
    fn what_lends_rights_is_high_when_it_moves_and_not_when_it_is_gone() {
        let at = ChangeContext::default();
        assert_eq!(of_modes(ChangeClass::Moved, (0o4755, 0o4755), at), Severity::High);
        assert_eq!(of_modes(ChangeClass::Moved, (0o755, 0o755), at), Severity::Low);
        assert_eq!(of_modes(ChangeClass::Removed, (0o4755, 0), at), Severity::Normal);
    }

    #[test]
    fn what_everybody_may_write_is_high_where_the_system_lies_and_it_was_not_so_before() {
        let [taken, brought, system] = [InSystem::No, InSystem::Brought, InSystem::Yes]
            .map(|system| ChangeContext { system, ..ChangeContext::default() });
        for (class, modes, at, severity) in [
            (ChangeClass::Added, (0, 0o666), system, Severity::High),
            (ChangeClass::Added, (0, 0o644), system, Severity::Normal),
            (ChangeClass::Added, (0, 0o666), ChangeContext::default(), Severity::Normal),
            (ChangeClass::Changed, (0o644, 0o646), system, Severity::High),
            (ChangeClass::Changed, (0o646, 0o666), system, Severity::Normal),
            (ChangeClass::Moved, (0o666, 0o666), system, Severity::Low),
            (ChangeClass::Moved, (0o666, 0o666), brought, Severity::High),
            (ChangeClass::Moved, (0o666, 0o666), taken, Severity::Low),
        ] {
            assert_eq!(of_modes(class, modes, at), severity, "{class:?} {modes:?} {at:?}");
        }
        let directory = |perms| {
            let mut seen = seen();
            (seen.attributes.kind, seen.attributes.perms) = (FileKind::Directory, perms);
            let (class, changed) = (ChangeClass::Added, AttributeSet::NONE);
            weigh(WeighedChange { class, changed, old: None, new: Some(&seen) }, system)
        };
        assert_eq!((directory(0o777), directory(0o1777)), (Severity::High, Severity::Normal));
    }

    #[test]
    fn of_an_urgent_file_whose_mtime_was_put_back_the_ctime_tells() {
        let urgent = ChangeContext { is_urgent: true, ..ChangeContext::default() };
        let put_back = changed(|o| o.attributes.ctime = Timestamp::from_nanos(9)).unwrap();
        assert_eq!(weigh(&put_back, urgent), Severity::Normal);
        assert_eq!(weigh(&put_back, ChangeContext::default()), Severity::Count);
        let written_again = changed(|o| {
            (o.attributes.mtime, o.attributes.ctime) = (Timestamp::from_nanos(9), Timestamp::from_nanos(9));
        });
        assert_eq!(weigh(&written_again.unwrap(), urgent), Severity::Count);
        let another = changed(|o| (o.attributes.inode, o.attributes.ctime) = (11, Timestamp::from_nanos(9))).unwrap();
        assert_eq!(weigh(&another, urgent), Severity::Count);
    }

    fn changed(edit: impl FnOnce(&mut Observation)) -> Option<FileChange> {
        let mut new = seen();
        edit(&mut new);
        compare(&seen(), &new, AttributeSet::of(Attribute::ALL))
    }

    #[test]
    fn a_gained_set_id_bit_weighs_more_than_a_lost_one() {
        let gained = changed(|o| o.attributes.perms = 0o4755).unwrap();
        assert_eq!(weigh(&gained, SURE), Severity::High);
        let mut old = seen();
        old.attributes.perms = 0o4755;
        let lost = compare(&old, &seen(), AttributeSet::of(Attribute::ALL)).unwrap();
        assert_eq!(weigh(&lost, SURE), Severity::Normal);
    }

    #[test]
    fn other_content_in_a_set_id_file_is_high() {
        let mut old = seen();
        old.attributes.perms = 0o4755;
        old.attributes.ctime = Timestamp::from_nanos(1);
        let mut new = old.clone();
        new.attributes.ctime = Timestamp::from_nanos(9);
        new.digests.blake3 = Some([2; 32]);
        assert_eq!(weigh(&compare(&old, &new, AttributeSet::of(Attribute::ALL)).unwrap(), SURE), Severity::High);
        new.digests.blake3 = Some([1; 32]);
        new.attributes.nlink = 2;
        assert_eq!(weigh(&compare(&old, &new, AttributeSet::of(Attribute::ALL)).unwrap(), SURE), Severity::Normal);
    }

    fn with_capabilities(value: Option<&[u8]>) -> Observation {
        let mut writer = crate::model::file::xattr::Writer::default();
        if let Some(value) = value {
            writer.add(CAPABILITY, Some(value));
        }
        let mut seen = seen();
        seen.attributes.ctime = Timestamp::from_nanos(9);
        seen.attributes.xattrs = Some(writer.finish());
        seen
    }

    #[test]
    fn gained_capabilities_weigh_as_much_as_a_set_id_bit() {
        let raw = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let both = b"\x01\0\0\x02\0\x30\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let weight = |old: Option<&[u8]>, new: Option<&[u8]>| {
            let (mut old, new) = (with_capabilities(old), with_capabilities(new));
            old.attributes.ctime = Timestamp::from_nanos(1);
            let change = compare(&old, &new, AttributeSet::of(Attribute::ALL)).unwrap();
            assert!(change.changed.has(Attribute::Caps));
            weigh(&change, SURE)
        };
        assert_eq!(weight(None, Some(raw)), Severity::High);
        assert_eq!(weight(Some(raw), Some(both)), Severity::High);
        assert_eq!(weight(Some(raw), Some(b"of no known form")), Severity::High);
        assert_eq!(weight(Some(both), Some(raw)), Severity::Normal);
        assert_eq!(weight(Some(raw), None), Severity::Normal);
        let fresh = FileChange {
            class: ChangeClass::Added,
            changed: AttributeSet::NONE,
            old: None,
            new: Some(with_capabilities(Some(raw))),
        };
        assert_eq!(weigh(&fresh, SURE), Severity::High);
        // Other content in a file that has some.
        let old = with_capabilities(Some(raw));
        let mut new = old.clone();
        new.attributes.ctime = Timestamp::from_nanos(10);
        new.digests.blake3 = Some([2; 32]);
        assert_eq!(weigh(&compare(&old, &new, AttributeSet::of(Attribute::ALL)).unwrap(), SURE), Severity::High);
    }
}
