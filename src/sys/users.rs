//! The names behind uids and gids, for people who read reports.
//!
//! Read from `passwd(5)` and `group(5)` below a given root and not through NSS: `getpwuid_r(3)` may ask a directory
//! server, and a report must never wait for the network. Accounts that live elsewhere are shown by their number.

use std::{collections::HashMap, fs::File, io::Read as _, path::Path};

use crate::model::escape::escape_name_cut;

/// No account file is read beyond this many bytes (about 200,000 accounts).
const LIMIT: u64 = 16 * 1024 * 1024;

/// Longest name shown, in bytes; `useradd(8)` allows 32.
const NAME_LIMIT: usize = 64;

/// Who is who on this machine, as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// Reads `etc/passwd` and `etc/group` below `root`; what is missing or cannot be read has no names.
    pub fn read(root: &Path) -> Self {
        Self::parse(&read_bounded(&root.join("etc/passwd")), &read_bounded(&root.join("etc/group")))
    }

    /// The names in the bytes of a `passwd(5)` and a `group(5)` file; lines of another form are passed over, and
    /// of two names for one number the first counts, as for `getpwuid(3)`.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        Self { users: parse_table(passwd), groups: parse_table(group) }
    }

    /// The name of the user, neutralised, or the number.
    pub fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    /// The number of the user with this name; a name that had to be neutralised is found by nobody.
    pub fn uid(&self, name: &str) -> Option<u32> {
        self.users.iter().find(|(_, known)| *known == name).map(|(uid, _)| *uid)
    }

    /// The name of the group, neutralised, or the number.
    pub fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }
}

fn read_bounded(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A FIFO in that place would block `open`.
    if path.metadata().is_ok_and(|found| found.is_file())
        && let Ok(file) = File::open(path)
        && file.take(LIMIT).read_to_end(&mut bytes).is_err()
    {
        bytes.clear();
    }
    bytes
}

/// Name and number are the first and the third field of both files.
fn parse_table(bytes: &[u8]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        if let (Some(name), Some(_), Some(number)) = (fields.next(), fields.next(), fields.next())
            && !name.is_empty()
            && let Some(number) = str::from_utf8(number).ok().and_then(|digits| digits.parse().ok())
        {
            names.entry(number).or_insert_with(|| escape_name_cut(name, NAME_LIMIT));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_files_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/:\n")
            .unwrap();
        std::fs::write(root.path().join("etc/group"), "root:x:0:\nadm:x:4:syslog\n").unwrap();
        let names = Names::read(root.path());
        assert_eq!((names.user(0), names.user(1000), names.group(4)), ("root".into(), "alice".into(), "adm".into()));
        assert_eq!((names.user(4), names.group(1000)), ("4".into(), "1000".into()));
    }

    #[test]
    fn missing_files_leave_the_numbers() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Names::read(root.path()), Names::default());
        assert_eq!(Names::default().user(u32::MAX), "4294967295");
    }

    #[test]
    fn foreign_lines_are_passed_over_and_the_first_name_counts() {
        let names = Names::parse(b"+::::::\n\n#x:y:z\n:x:7:\nfirst:x:5:\nsecond:x:5:\nbad:x:-1:\nnoeol:x:6", b"");
        assert_eq!(names.user(5), "first");
        assert_eq!(names.user(6), "noeol");
        assert_eq!(names.user(7), "7");
    }

    #[test]
    fn a_hostile_name_is_neutralised() {
        let names = Names::parse("a\u{1b}[2J  b:x:5:\n".as_bytes(), b"");
        assert_eq!(names.user(5), r"a\x1b[2J \x20b");
    }
}
