//! Mails from an mbox file, a Maildir, a directory of single mails or one mail, one at a time.
//!
//! A mailbox is what others have written: a line without end, a file that is no mail, and a pipe in the place of a file cost no more
//! than what is kept of one mail.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::model::escape::escape_name;

/// Most bytes that are kept of one mail; what we say of the chain stands before any attachment.
const MOST_KEPT: usize = 16 << 20;

/// Most bytes of a line read at once; a longer one is taken in pieces.
const MOST_AT_ONCE: u64 = 64 << 10;

/// Hands each mail in `path` to `see`, as it was before an mbox file quoted it.
pub(in crate::cli) fn each(path: &Path, see: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let found = fs::metadata(path).with_context(|| format!("cannot read {}", shown(path)))?;
    if !found.is_dir() {
        return each_in_file(path, see);
    }
    let folders = folders(path);
    if folders.is_empty() {
        return each_in_directory(path, see);
    }
    folders.iter().try_for_each(|folder| each_in_directory(folder, see))
}

/// The directories of a Maildir that hold mails, those of its folders (Maildir++: `.name`) among them; none when it is no Maildir.
fn folders(path: &Path) -> Vec<PathBuf> {
    let is_folder = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = entries.filter(|entry| is_folder(&entry.file_name())).map(|it| it.path()).collect();
    places.push(path.to_path_buf());
    places.sort();
    places.iter().flat_map(|place| ["cur", "new"].map(|name| place.join(name))).filter(|it| it.is_dir()).collect()
}

fn shown(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}

fn each_in_directory(path: &Path, see: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", shown(path)))? {
        names.push(entry.with_context(|| format!("cannot list {}", shown(path)))?.file_name());
    }
    names.sort();
    for name in names {
        let file = path.join(name);
        // A link may lead to a mail, nothing else is opened: a pipe would wait for ever.
        if fs::metadata(&file).is_ok_and(|found| found.is_file()) {
            each_in_file(&file, see)?;
        }
    }
    Ok(())
}

fn each_in_file(path: &Path, see: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let open = || -> anyhow::Result<Option<BufReader<File>>> {
        if !fs::metadata(path)?.is_file() {
            anyhow::bail!("it is neither a file nor a directory");
        }
        match File::open(path) {
            Ok(file) => Ok(Some(BufReader::with_capacity(64 << 10, file))),
            // A mail that its reader has moved meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let Some(reader) = open().with_context(|| format!("cannot read {}", shown(path)))? else { return Ok(()) };
    split(reader, see).with_context(|| format!("cannot read {}", shown(path)))
}

/// Divides an mbox file at its `From ` lines; what does not begin with one is a single mail.
fn split(mut reader: impl BufRead, see: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (mut mail, mut line) = (Vec::new(), Vec::new());
    let (mut is_mbox, mut is_first) = (false, true);
    // Whether a line begins here, and whether an empty one went before.
    let (mut at_start, mut after_empty) = (true, true);
    loop {
        line.clear();
        if reader.by_ref().take(MOST_AT_ONCE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let begins = std::mem::replace(&mut at_start, line.ends_with(b"\n"));
        if begins && line.starts_with(b"From ") && (is_first || is_mbox && after_empty) {
            if !is_first {
                see(&mail)?;
                mail.clear();
            }
            is_mbox = true;
        } else {
            let kept = if is_mbox && begins { unquoted(&line) } else { &line };
            let room = MOST_KEPT.saturating_sub(mail.len());
            mail.extend(kept.iter().take(room));
        }
        after_empty = begins && matches!(line.as_slice(), b"\n" | b"\r\n");
        is_first = false;
    }
    if is_first { Ok(()) } else { see(&mail) }
}

/// A line without the mark that keeps it from looking like the begin of a mail: mboxrd has one more on each, mboxo only on the first.
fn unquoted(line: &[u8]) -> &[u8] {
    match line.strip_prefix(b">") {
        Some(rest) if rest.iter().find(|byte| **byte != b'>') == Some(&b'F') && is_from(rest) => rest,
        _ => line,
    }
}

fn is_from(line: &[u8]) -> bool {
    let marks = line.iter().take_while(|byte| **byte == b'>').count();
    line.get(marks..).is_some_and(|rest| rest.starts_with(b"From "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mails(mbox: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        split(mbox, &mut |mail| {
            found.push(String::from_utf8_lossy(mail).into_owned());
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn an_mbox_is_divided_at_its_from_lines_and_unquoted() {
        let mbox = b"From a Sat\nA: 1\n\n>From me\n>>From you\nFrom within\n\nFrom b Sun\nB: 2\n\nend";
        assert_eq!(mails(mbox), ["A: 1\n\nFrom me\n>From you\nFrom within\n\n", "B: 2\n\nend"]);
    }

    #[test]
    fn a_single_mail_is_not_divided() {
        assert_eq!(
            mails(b"A: 1\n\nFrom here\n\nFrom there\n>From x\n"),
            ["A: 1\n\nFrom here\n\nFrom there\n>From x\n"]
        );
        assert_eq!(mails(b""), [""; 0]);
    }

    #[test]
    fn of_an_endless_mail_only_the_begin_is_kept() {
        let endless = io::repeat(b'x').take(3 * u64::try_from(MOST_KEPT).unwrap());
        let mut lengths = Vec::new();
        split(BufReader::new(endless), &mut |mail| {
            lengths.push(mail.len());
            Ok(())
        })
        .unwrap();
        assert_eq!(lengths, [MOST_KEPT]);
    }
}
