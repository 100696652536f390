//! A mailbox within an area: what our own mails have added to it is counted and makes no mail, or each report would make the next.
//!
//! Nothing is believed for where a file lies. Its old part must be the one in the baseline, by its digests, and every mail behind it must
//! have a Message-ID under which we have handed one over; of a new file, as in a Maildir, the same holds from its first byte.

use std::{collections::HashSet, fs::File, os::unix::fs::FileExt as _};

use crate::{
    content::hasher::Evidence,
    files::remote::lookup::FileHandle,
    model::file::entry::{Attributes, FileKind, Observation},
};

/// Bytes of mails that are looked through.
const MOST: u64 = 8 << 20;

/// What is said of such a change.
pub(super) const NOTE: &str = "only reports of integrityd were added";

/// Where the part of a file begins that may be mails which were added to what is known; `None` when it was not so changed.
pub(in crate::files) fn new_part(known: Option<&Observation>, evidence: &Evidence) -> Option<u64> {
    let seen = &evidence.seen;
    let is_bare = seen.attributes.kind == FileKind::Regular && seen.attributes.perms & 0o7111 == 0;
    let begin = match (known, &evidence.old_part) {
        (None, _) => 0,
        (Some(known), Some(part)) => {
            let (old, new) = (&known.attributes, &seen.attributes);
            let is_same = old.inode == new.inode && old.perms == new.perms && old.uid == new.uid && old.gid == new.gid;
            let is_added = part.length == old.size && known.digests.agree(&part.digests) == Some(true);
            (is_same && is_added).then_some(old.size)?
        }
        (Some(_), None) => return None,
    };
    let length = seen.attributes.size.checked_sub(begin).filter(|length| (1..=MOST).contains(length));
    length.filter(|_| is_bare).map(|_| begin)
}

/// Whether all of a file from `begin` on is mails with these Message-IDs (with brackets). The file must still be the one that was `seen`.
pub(in crate::files) fn holds_only(object: &FileHandle, begin: u64, seen: &Attributes, ids: &HashSet<String>) -> bool {
    // What lies behind a helper is not worth a second way to read it.
    let FileHandle::Near(handle) = object else { return false };
    let is_same = || {
        handle.attributes().is_ok_and(|now| {
            (now.inode, now.size, now.mtime, now.ctime) == (seen.inode, seen.size, seen.mtime, seen.ctime)
        })
    };
    let read = |file: File| {
        let length = usize::try_from(seen.size.checked_sub(begin)?).ok()?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, begin).ok()?;
        Some(bytes)
    };
    if !is_same() {
        return false;
    }
    let Some(bytes) = handle.open_file().ok().and_then(read) else { return false };
    is_same() && are_mails(&bytes, begin > 0, ids)
}

/// Whether these are mails with these Message-IDs and nothing else: an mbox, or, unless they stand behind others, a single mail.
fn are_mails(bytes: &[u8], has_others_before: bool, ids: &HashSet<String>) -> bool {
    let is_mbox = bytes.starts_with(b"From ");
    if !is_mbox {
        return !has_others_before && message_id(bytes).is_some_and(|id| ids.contains(&id));
    }
    let mut mails: Vec<usize> = vec![0];
    let mut is_after_blank = false;
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if at > 0 && is_after_blank && line.starts_with(b"From ") {
            mails.push(at);
        }
        is_after_blank = line.trim_ascii().is_empty();
        at += line.len();
    }
    mails.push(bytes.len());
    mails.windows(2).all(|pair| {
        let mail = pair.first().zip(pair.last()).and_then(|(from, to)| bytes.get(*from..*to)).unwrap_or_default();
        message_id(mail).is_some_and(|id| ids.contains(&id))
    })
}

/// The Message-ID in the header of a mail, also where it stands in a line of its own (RFC 5322, 2.2.3).
fn message_id(mail: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"message-id:";
    let mut lines = mail.split(|byte| *byte == b'\n').take_while(|line| !line.trim_ascii().is_empty());
    let found = lines.find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    let value = found.get(NAME.len()..)?.trim_ascii();
    let value = if value.is_empty() { lines.next().filter(|line| line.starts_with(b" "))?.trim_ascii() } else { value };
    str::from_utf8(value).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> HashSet<String> {
        ["<1@h>", "<2@h>"].map(str::to_owned).into()
    }

    #[test]
    fn only_mails_of_ours_and_nothing_else_pass() {
        let one = "From integrityd@h Mon\nReceived: x\n\tby y\nMessage-ID: <1@h>\nSubject: s\n\nbody\n>From here\n\n";
        let two = "From integrityd@h Mon\r\nmessage-id:\r\n <2@h>\r\n\r\nbody\r\n\r\n";
        let other = "From joe@h Mon\nMessage-ID: <9@h>\n\nMessage-ID: <1@h>\n\n";
        for (text, has_others_before, is_ours) in [
            (one.to_owned(), true, true),
            (format!("{one}{two}"), true, true),
            (two.to_owned(), false, true),
            ("Message-ID: <1@h>\n\nbody".to_owned(), false, true),
            // What was added to others' mails begins a mail of its own.
            ("Message-ID: <1@h>\n\nbody".to_owned(), true, false),
            (format!("{one}{other}"), true, false),
            (format!("{other}{one}"), true, false),
            (other.to_owned(), false, false),
            ("root::0:0:root:/root:/bin/sh\n\nMessage-ID: <1@h>\n".to_owned(), false, false),
            (String::new(), false, false),
        ] {
            assert_eq!(are_mails(text.as_bytes(), has_others_before, &ids()), is_ours, "{text}");
        }
    }
}
