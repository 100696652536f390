//! What the baseline holds of one path, in full: the words of the mails, with digests whole and all times.

use crate::{
    export::attribute_text,
    model::{
        escape::hex,
        file::{
            attribute::Attribute,
            entry::{Algorithm, Entry, HashState},
        },
        format::counted,
    },
    report::render::{
        format::{Times, span},
        sections::file_item::{device, portrait, unread},
    },
    sys::users::Names,
};

/// The lines of an entry; neutralised.
pub(crate) fn lines(entry: &Entry, times: &Times<'_>, names: &Names) -> Vec<String> {
    let known = &entry.known;
    let seen = &known.attributes;
    let mut out = vec![portrait(seen, names)];
    for algorithm in Algorithm::ALL {
        if let Some(digest) = known.digests.get(algorithm) {
            out.push(format!("{} {}", algorithm.name(), hex(digest)));
        }
    }
    match (known.hash_state, unread(known)) {
        (_, Some(why)) => out.push(why),
        (HashState::Full, None) => out.push("content read whole".to_owned()),
        (_, None) => {}
    }
    out.push(format!("mtime {}", times.short(seen.mtime)));
    out.push(format!("ctime {}", times.short(seen.ctime)));
    out.extend(seen.btime.map(|born| format!("btime {}", times.short(born))));
    let links = counted(seen.nlink.into(), "link", "links");
    out.push(format!("inode {} on device {}, {links}", seen.inode, device(seen.dev)));
    for attribute in [Attribute::Acl, Attribute::Caps, Attribute::Selinux, Attribute::Xattrs, Attribute::Flags] {
        out.extend(attribute_text::words(attribute, seen, names).map(|words| format!("{} {words}", attribute.name())));
    }
    let missing: Vec<&str> =
        Attribute::ALL.iter().filter(|attribute| !entry.recorded.has(**attribute)).map(|it| it.name()).collect();
    out.push(match missing.as_slice() {
        [] => "every attribute is recorded".to_owned(),
        names => format!("not recorded: {}", names.join(", ")),
    });
    out.push(format!("last checked {} ({} ago)", times.short(entry.checked), span(times.ago(entry.checked))));
    if entry.reported.is_some() {
        out.push("a change was reported and is not accepted: this is the old state".to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        model::file::{
            attribute::AttributeSet,
            entry::{AreaId, EntryId, FileKind},
        },
        report::render::test_events::{look, now},
    };

    #[test]
    fn everything_that_is_stored_is_told() {
        let zone = TimeZone::UTC;
        let times = Times::new(now().wall, &zone);
        let entry = Entry {
            id: EntryId(7),
            parent: None,
            name: b"x".to_vec(),
            area: AreaId(1),
            known: look(FileKind::Regular, 0o4755, 34, 1),
            recorded: AttributeSet::of(&[Attribute::Size, Attribute::Content]),
            visit: 3,
            checked: now().wall.before(std::time::Duration::from_mins(5)),
            reported: Some([1; 32]),
        };
        insta::assert_snapshot!(lines(&entry, &times, &Names::default()).join("\n"), @r#"
        -rwsr-xr-x 0:0 34 B
        blake3 0101010101010101010101010101010101010101010101010101010101010101
        content read whole
        mtime 2026-11-20 09:23:22
        ctime 2026-11-20 09:23:22
        inode 9007199254740993 on device 8:0, 1 link
        not recorded: type, perms, owner, group, target, rdev, nlink, inode, mtime, ctime, acl, caps, selinux, xattrs, flags, btime
        last checked 13:05:02 (5 min ago)
        a change was reported and is not accepted: this is the old state
        "#);
    }
}
