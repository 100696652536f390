//! The local mailbox for reports that cannot be delivered, in the form mboxrd (RFC 4155 and its "From " quoting).
//!
//! It may lie where others have their mail, so nothing is followed that they could have put there, and a lock is kept while it grows.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use jiff::tz::TimeZone;
use rustix::fs::{FlockOperation, OFlags, flock};

use crate::{model::clock::Timestamp, report::render::format::zoned, sys::fs::ownership};

/// Appends a mail to the mailbox at `path`, which is made (0600) when it is not there. It is on the disk when this returns.
///
/// # Errors
/// The error of the system, or why the mailbox is not ours to write; then it is as it was.
pub fn append(path: &Path, from: &str, at: Timestamp, mail: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    ownership::check_but_for_groups(directory).map_err(io::Error::other)?;
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() != 1 {
        return Err(io::Error::other("it is no regular file with one name"));
    }
    let owner = found.uid();
    if owner != ownership::own_uid() && owner != 0 {
        return Err(io::Error::other(format!("it belongs to uid {owner}")));
    }
    if found.mode() & 0o007 != 0 {
        return Err(io::Error::other("others may read it or write to it (chmod 600)"));
    }
    // Whoever reads it now is soon done; the next attempt comes.
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let before = file.metadata()?.len();
    let entry = entry(from, at, mail);
    match file.write_all(&entry).and_then(|()| file.sync_all()) {
        Ok(()) if before == 0 => File::open(directory)?.sync_all(),
        Ok(()) => Ok(()),
        Err(error) => {
            // Half a mail would be read as a whole one.
            file.set_len(before)?;
            Err(error)
        }
    }
}

/// The mail with its postmark, with the line ends of the system, and an empty line at its end.
fn entry(from: &str, at: Timestamp, mail: &[u8]) -> Vec<u8> {
    let sender: String = from.chars().filter(|c| !c.is_control() && *c != ' ').collect();
    let date = zoned(at, &TimeZone::UTC).strftime("%a %b %e %H:%M:%S %Y");
    let mut out = format!("From {sender} {date}\n").into_bytes();
    for line in mail.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let quoted = line.iter().position(|byte| *byte != b'>').and_then(|start| line.get(start..));
        if quoted.is_some_and(|rest| rest.starts_with(b"From ")) {
            out.push(b'>');
        }
        out.extend(line);
        out.push(b'\n');
    }
    if !out.ends_with(b"\n\n") {
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    const AT: i64 = 1_795_267_842_000_000_000;

    fn put(path: &Path, mail: &[u8]) -> io::Result<()> {
        append(path, "integrityd@web3", Timestamp::from_nanos(AT), mail)
    }

    #[test]
    fn a_mailbox_holds_mails_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mbox");
        put(&path, b"Subject: a\r\n\r\nFrom here\r\n>From there\r\nx From\r\n").unwrap();
        put(&path, b"Subject: b\r\n\r\nb").unwrap();
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r"
        From integrityd@web3 Sat Nov 21 13:30:42 2026
        Subject: a

        >From here
        >>From there
        x From

        From integrityd@web3 Sat Nov 21 13:30:42 2026
        Subject: b

        b

        ");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn nothing_that_others_have_put_there_is_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        fs::write(place("target"), "x").unwrap();
        fs::set_permissions(place("target"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink(place("target"), place("link")).unwrap();
        put(&place("link"), b"mail").unwrap_err();
        fs::hard_link(place("target"), place("second")).unwrap();
        put(&place("second"), b"mail").unwrap_err();
        fs::write(place("open"), "").unwrap();
        fs::set_permissions(place("open"), fs::Permissions::from_mode(0o606)).unwrap();
        put(&place("open"), b"mail").unwrap_err();
        put(directory.path(), b"mail").unwrap_err();
        assert_eq!(fs::read_to_string(place("target")).unwrap(), "x");
        fs::remove_file(place("second")).unwrap();
        let held = File::open(place("target")).unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        put(&place("target"), b"mail").unwrap_err();
    }
}
