//! One finding about a file as lines of a report: the verdict on the first, the evidence indented below.

use crate::{
    export::attribute_text,
    model::{
        escape::{escape_cut, escape_name_cut},
        event::{Category, Event, Severity, StoredEvent},
        file::{
            attribute::{Attribute, AttributeSet},
            entry::{Algorithm, Attributes, FileKind, HashState, Observation},
        },
        format::{VALUE_LIMIT, counted, digits16, number},
    },
    report::render::{
        format::{INDENT, Times, WIDTH, flow, kind, note_lines},
        sections::collapse::Folded,
    },
    sys::users::Names,
};

/// How all items of one block are laid out.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    /// Shows times.
    pub(crate) times: &'a Times<'a>,
    /// Who is who.
    pub(crate) names: &'a Names,
    /// How the commands are called.
    pub(crate) program: &'a str,
    /// Columns of the mark.
    pub(crate) mark: usize,
    /// Columns of the path; a longer one has a line of its own.
    pub(crate) path: usize,
}

/// The path of an event as it is shown: neutralised, cut, with a trailing slash when it is a directory; of a move both paths.
pub(crate) fn shown_path(event: &Event) -> String {
    if event.category == Category::Moved {
        // An arrow in a name cannot pose as ours.
        let name = |path: &[u8]| escape_name_cut(path, VALUE_LIMIT).replace('→', "\\u{2192}");
        return format!("{} → {}", name(&event.previous), name(&event.source));
    }
    let mut path = escape_name_cut(&event.source, VALUE_LIMIT);
    if event.source.is_empty() {
        path.push_str("(no path)");
    }
    if kind(event) == Some(FileKind::Directory) && !event.source.ends_with(b"/") && event.source.len() <= VALUE_LIMIT {
        path.push('/');
    }
    path
}

/// The lines of one item; `folded` is what was added below it and is not listed.
pub(crate) fn lines(stored: &StoredEvent, folded: Option<&Folded>, layout: &Layout<'_>, out: &mut Vec<String>) {
    let event = &stored.event;
    let class = event.category.word();
    let path = shown_path(event);
    let mark = format!("  {:<width$}  ", event.severity.mark(), width = layout.mark);
    let notes = note_lines(&event.note, &format!("{} show {}", layout.program, stored.seq));
    let is_brief = is_brief(event.category) && notes.len() <= 1;
    let mut parts = parts(event, layout.names);
    let mut details = warnings(event, layout.names);
    if is_brief {
        parts.extend(notes);
        parts.push(layout.times.short(event.found.wall));
    } else {
        details.push(window(event, layout.times));
        details.extend(digests(event));
        details.extend(changed_times(event, layout.times));
        details.extend(notes);
    }
    if path.chars().count() <= layout.path {
        flow(format!("{mark}{path:<width$}  {class:<7}  ", width = layout.path), &parts, out);
    } else {
        out.push(format!("{mark}{path}"));
        flow(format!("{INDENT}{class}  "), &parts, out);
    }
    if event.members_digest.is_some() && event.category != Category::Moved {
        details.push(format!("each of the {}: {} show {}", number(event.count), layout.program, stored.seq));
    }
    out.extend(details.iter().map(|line| format!("{INDENT}{line}")));
    out.extend(folded.map(Folded::line));
}

/// Whether nothing of the baseline has changed, so that one line says it all.
fn is_brief(category: Category) -> bool {
    matches!(
        category,
        Category::Unreadable | Category::Busy | Category::Readable | Category::Excluded | Category::Skipped
    )
}

fn parts(event: &Event, names: &Names) -> Vec<String> {
    match (event.category, &event.old, &event.new) {
        (Category::Removed, Some(old), _) if event.count > 1 => {
            vec![format!("{}, {} in all", old.attributes.kind.word(), counted(event.count, "entry", "entries"))]
        }
        (Category::AreaMissing | Category::EntriesMissing | Category::Stalled | Category::Covered, _, _) => {
            vec![match event.count {
                0 => "nothing is known of it yet".to_owned(),
                count => format!("its baseline of {} is kept", counted(count, "entry", "entries")),
            }]
        }
        (Category::Removed, _, _) if event.count > 1 => {
            vec![format!("{} in all", counted(event.count, "entry", "entries"))]
        }
        (Category::Removed, Some(old), _) => vec![format!("was {}", portrait(&old.attributes, names))],
        (Category::Added, _, Some(new)) => vec![portrait(&new.attributes, names)],
        (Category::Retyped, Some(old), Some(new)) => {
            let mut parts = vec![format!("{} → {}", old.attributes.kind.word(), with_target(&new.attributes))];
            let rest = [Attribute::Type, Attribute::Size, Attribute::Content, Attribute::Target, Attribute::Rdev];
            let rest = rest.into_iter().fold(event.changed, AttributeSet::without);
            parts.extend(differences(rest, old, new, names));
            parts
        }
        (Category::Moved, Some(old), Some(new)) => {
            let mut parts = vec![match (new.attributes.kind, event.count) {
                (FileKind::Directory, count) => format!("directory, {} in all", counted(count, "entry", "entries")),
                (kind, _) => kind.word().to_owned(),
            }];
            parts.extend(differences(event.changed, old, new, names));
            parts
        }
        (_, Some(old), Some(new)) => {
            let mut parts = differences(event.changed, old, new, names);
            // Written, and the time of the writing put back: what nobody does by accident.
            let is_time_kept = !new.attributes.is_generated() && old.attributes.mtime == new.attributes.mtime;
            let is_touched = event.category == Category::Touched;
            if (event.changed.has(Attribute::Content) || is_touched) && is_time_kept {
                parts.push("mtime unchanged".to_owned());
            }
            parts
        }
        _ => event.changed.iter().map(|attribute| attribute.name().to_owned()).collect(),
    }
}

/// What one sees of an object at a glance: `-rw-r----- root:root 34 B`.
pub(crate) fn portrait(seen: &Attributes, names: &Names) -> String {
    let who = format!("{}:{}", names.user(seen.uid), names.group(seen.gid));
    match seen.kind {
        FileKind::Regular => format!("{} {who} {} B", mode(seen), number(seen.size)),
        FileKind::Symlink => format!("{} {who}", with_target(seen)),
        FileKind::CharDevice | FileKind::BlockDevice => {
            format!("{} {who} {} {}", mode(seen), seen.kind.word(), device(seen.rdev))
        }
        FileKind::Directory | FileKind::Fifo | FileKind::Socket => {
            format!("{} {} {who}", seen.kind.word(), mode(seen))
        }
    }
}

fn with_target(seen: &Attributes) -> String {
    match &seen.target {
        Some(target) => format!("{} to {}", seen.kind.word(), quoted(target)),
        None => seen.kind.word().to_owned(),
    }
}

fn quoted(value: &[u8]) -> String {
    format!("\"{}\"", escape_cut(value, VALUE_LIMIT))
}

pub(crate) fn device(rdev: u64) -> String {
    format!("{}:{}", rdev >> 32, rdev & 0xffff_ffff)
}

/// As `ls -l` shows it.
fn mode(seen: &Attributes) -> String {
    let mut out = String::from(seen.kind.letter());
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = seen.perms >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (seen.perms & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

fn differences(changed: AttributeSet, old: &Observation, new: &Observation, names: &Names) -> Vec<String> {
    changed.iter().flat_map(|attribute| difference(attribute, &old.attributes, &new.attributes, names)).collect()
}

fn difference(attribute: Attribute, old: &Attributes, new: &Attributes, names: &Names) -> Vec<String> {
    let values = match attribute {
        Attribute::Type => (old.kind.word().to_owned(), new.kind.word().to_owned()),
        Attribute::Size => (number(old.size), number(new.size)),
        Attribute::Perms => (format!("{:04o}", old.perms), format!("{:04o}", new.perms)),
        Attribute::Uid => (names.user(old.uid), names.user(new.uid)),
        Attribute::Gid => (names.group(old.gid), names.group(new.gid)),
        Attribute::Target => {
            let target = |seen: &Attributes| quoted(seen.target.as_deref().unwrap_or_default());
            (target(old), target(new))
        }
        Attribute::Rdev => (device(old.rdev), device(new.rdev)),
        Attribute::Nlink => (number(old.nlink.into()), number(new.nlink.into())),
        Attribute::Inode => (old.inode.to_string(), new.inode.to_string()),
        Attribute::Acl | Attribute::Caps | Attribute::Selinux | Attribute::Xattrs | Attribute::Flags => {
            return attribute_text::differences(attribute, old, new, names);
        }
        // Their values are told on lines of their own.
        Attribute::Content | Attribute::Mtime | Attribute::Ctime | Attribute::Btime => {
            return vec![attribute.name().to_owned()];
        }
    };
    vec![format!("{} {} → {}", attribute.name(), values.0, values.1)]
}

/// What must not be overlooked, in words.
fn warnings(event: &Event, names: &Names) -> Vec<String> {
    let Some(new) = event.new.as_ref().map(|seen| &seen.attributes) else {
        return Vec::new();
    };
    let old = event.old.as_ref().map(|seen| &seen.attributes).filter(|old| old.kind == FileKind::Regular);
    // Told when it is gained, and when what it lends its rights to, whose rights, or where, has changed.
    let is_other = event.category == Category::Moved
        || [Attribute::Content, Attribute::Uid, Attribute::Gid].iter().any(|what| event.changed.has(*what));
    let gained = |bit: u16| {
        new.kind == FileKind::Regular
            && new.perms & bit != 0
            && (is_other || old.is_none_or(|old| old.perms & bit == 0))
    };
    let mut words = Vec::new();
    if gained(0o4000) {
        words.push(format!("set-user-ID: whoever runs it acts as {}", names.user(new.uid)));
    }
    if gained(0o2000) {
        words.push(format!("set-group-ID: whoever runs it acts as group {}", names.group(new.gid)));
    }
    // As above; of a changed one only when they are more, which is what makes it severe.
    let is_told = old.is_none() || is_other || event.changed.has(Attribute::Caps);
    if is_told
        && new.kind == FileKind::Regular
        && event.severity >= Severity::High
        && let Some(all) = attribute_text::words(Attribute::Caps, new, names)
    {
        words.push(format!("file capabilities: whoever runs it gets {all}"));
    }
    // Where that makes it severe: sockets and what has the sticky bit may be so.
    let is_open = |seen: &Attributes| match seen.kind {
        FileKind::Regular => seen.perms & 0o002 != 0,
        FileKind::Directory => seen.perms & 0o1002 == 0o002,
        _ => false,
    };
    let was_open = event.category != Category::Moved && event.old.as_ref().is_some_and(|old| is_open(&old.attributes));
    if event.severity >= Severity::High && is_open(new) && !was_open {
        words.push("world-writable: everybody may write it".to_owned());
    }
    words
}

fn window(event: &Event, times: &Times<'_>) -> String {
    let to = times.short(event.found.wall);
    match event.not_before.map(|from| times.short(from)) {
        Some(from) if from != to => format!("between {from} and {to}"),
        _ => format!("found {to}"),
    }
}

fn digests(event: &Event) -> Option<String> {
    let of =
        |seen: &Option<Observation>| seen.as_ref().filter(|seen| seen.attributes.kind == FileKind::Regular).cloned();
    let (old, new) = (of(&event.old), of(&event.new));
    let is_whole = matches!(event.category, Category::Added | Category::Removed | Category::Retyped);
    if !is_whole && !event.changed.has(Attribute::Content) {
        return new.as_ref().and_then(unread);
    }
    let digest = |seen: &Option<Observation>, algorithm| {
        seen.as_ref().and_then(|seen| seen.digests.get(algorithm)).map(digits16)
    };
    let note = new.as_ref().or(old.as_ref()).and_then(unread);
    let pairs = Algorithm::ALL.map(|algorithm| (algorithm, digest(&old, algorithm), digest(&new, algorithm)));
    let best = pairs.iter().find(|(_, old, new)| old.is_some() && new.is_some());
    let Some((algorithm, old, new)) =
        best.or_else(|| pairs.iter().find(|(_, old, new)| old.is_some() || new.is_some()))
    else {
        return note;
    };
    let values = match (old, new) {
        (Some(old), Some(new)) => format!("{old} → {new}"),
        (Some(one), None) if event.category == Category::Removed => one.clone(),
        (None, Some(one)) if event.category == Category::Added => one.clone(),
        (Some(old), None) => format!("{old} → none"),
        (None, Some(new)) => format!("none → {new}"),
        (None, None) => return note,
    };
    let note = note.map(|note| format!(" · {note}")).unwrap_or_default();
    Some(format!("{} {values}{note}", algorithm.name()))
}

/// Why the digests do not stand for the whole present content.
pub(crate) fn unread(seen: &Observation) -> Option<String> {
    Some(match seen.hash_state {
        HashState::Off | HashState::Full => return None,
        HashState::Partial(0) => "content not read yet".to_owned(),
        HashState::Partial(bytes) => format!("of the first {} bytes", number(bytes)),
        HashState::Busy => "content not read: it changed during every attempt".to_owned(),
        HashState::TooBig => "content not read: too large".to_owned(),
        HashState::Unreadable(errno) => {
            format!("content not read: {}", std::io::Error::from_raw_os_error(errno))
        }
    })
}

fn changed_times(event: &Event, times: &Times<'_>) -> Vec<String> {
    let (Some(old), Some(new)) = (&event.old, &event.new) else {
        return Vec::new();
    };
    let (old, new) = (&old.attributes, &new.attributes);
    let mut lines: Vec<String> = Vec::new();
    let births = (old.btime.unwrap_or_default(), new.btime.unwrap_or_default());
    for (attribute, old, new) in [
        (Attribute::Mtime, old.mtime, new.mtime),
        (Attribute::Ctime, old.ctime, new.ctime),
        (Attribute::Btime, births.0, births.1),
    ] {
        if event.changed.has(attribute) && old != new {
            let (old, new) = times.pair(old, new);
            let line = format!("{} {old} → {new}", attribute.name());
            // Both on one line where there is room.
            match lines.last_mut() {
                Some(last) if INDENT.len() + last.chars().count() + line.chars().count() + 3 <= WIDTH => {
                    last.push_str(" · ");
                    last.push_str(&line);
                }
                _ => lines.push(line),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::report::render::test_events::{added, changed, look, now};

    fn shown(stored: &StoredEvent) -> Vec<String> {
        let zone = TimeZone::UTC;
        let times = Times::new(now().wall, &zone);
        let layout = Layout { times: &times, names: &Names::default(), program: "integrityd", mark: 4, path: 20 };
        let mut out = Vec::new();
        lines(stored, None, &layout, &mut out);
        out
    }

    #[test]
    fn modes_look_as_ls_shows_them() {
        let cases = [(0o4755, "-rwsr-xr-x"), (0o2644, "-rw-r-Sr--"), (0o1777, "-rwxrwxrwt"), (0o7000, "---S--S--T")];
        for (perms, wanted) in cases {
            assert_eq!(mode(&look(FileKind::Regular, perms, 0, 0).attributes), wanted);
        }
    }

    #[test]
    fn a_set_id_bit_is_told_in_words_only_when_it_was_gained() {
        let mut fresh = added(1, b"/bin/su");
        fresh.event.new = Some(look(FileKind::Regular, 0o4755, 34, 1));
        assert!(shown(&fresh)[1].ends_with("set-user-ID: whoever runs it acts as 0"));
        let mut kept = changed(1, b"/bin/su", &[Attribute::Size], |new| new.attributes.size = 9);
        for seen in [&mut kept.event.old, &mut kept.event.new].into_iter().flatten() {
            seen.attributes.perms = 0o4755;
        }
        assert!(!shown(&kept).iter().any(|line| line.contains("set-user-ID")));
        // And where it has moved to.
        kept.event.category = Category::Moved;
        assert!(shown(&kept).iter().any(|line| line.contains("set-user-ID")));
    }

    #[test]
    fn what_makes_an_item_severe_is_told_in_words() {
        let words = |stored: &StoredEvent| shown(stored).join("\n");
        let mut fresh = added(1, b"/usr/bin/x");
        fresh.event.new = Some(look(FileKind::Regular, 0o666, 34, 1));
        assert!(!words(&fresh).contains("world-writable"));
        fresh.event.severity = Severity::High;
        assert!(words(&fresh).contains("world-writable: everybody may write it"));
        fresh.event.new = Some(look(FileKind::Directory, 0o1777, 34, 1));
        assert!(!words(&fresh).contains("world-writable"));
        let mut touched = changed(1, b"/etc/shadow", &[Attribute::Ctime], |new| new.attributes.ctime = now().wall);
        touched.event.category = Category::Touched;
        assert!(words(&touched).contains("mtime unchanged"), "{}", words(&touched));
    }

    #[test]
    fn digests_of_less_than_the_content_say_so() {
        let with = |state| {
            let mut event = added(1, b"/etc/x");
            if let Some(new) = &mut event.event.new {
                new.hash_state = state;
            }
            shown(&event).last().cloned().unwrap_or_default()
        };
        assert!(with(HashState::Partial(1_048_576)).ends_with("9c9c · of the first 1,048,576 bytes"));
        assert!(with(HashState::Busy).ends_with("content not read: it changed during every attempt"));
        assert!(with(HashState::Unreadable(13)).ends_with("content not read: Permission denied (os error 13)"));
        assert!(with(HashState::Full).ends_with("blake3 9c9c9c9c9c9c9c9c"));
    }
}
