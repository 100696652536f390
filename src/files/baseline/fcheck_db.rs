//! The database of fcheck(8) 2.7.59: what one line of it tells. Pure.
//!
//! A line made with `-s -x` is `inode!mode!links!uid!gid!size!ctime!path!signature`. The numbers come first and no signature holds
//! a `!`, so a path that does is still told apart here; one with a newline is not, neither here nor by fcheck.

use std::collections::BTreeMap;

use crate::model::file::entry::FileKind;

/// The digest of nothing, which fcheck spells `ZeroLength`.
const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// What fcheck knew of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FcheckRecord {
    /// The type of what the path leads to: fcheck follows links.
    pub kind: FileKind,
    /// `mode & 0o7777`.
    pub perms: u16,
    /// Inode.
    pub inode: u64,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// The ctime, in whole seconds.
    pub ctime: i64,
    /// The SHA-256 of its content, when it was digested so.
    pub sha256: Option<[u8; 32]>,
    /// Whether the path was seen to be a link to a file with content; links to others are not told apart.
    pub is_link: bool,
}

/// A directory of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FcheckSection {
    /// Its path, without a slash at its end.
    pub path: Vec<u8>,
    /// Whether everything below it was looked at.
    pub is_deep: bool,
}

/// A whole database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    /// What it knew, by path: every directory before what is in it.
    pub records: BTreeMap<Vec<u8>, FcheckRecord>,
    /// The directories it was made over.
    pub sections: Vec<FcheckSection>,
    /// Lines that are none.
    pub odd: usize,
}

/// Why a database is of no use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It does not begin as one does.
    #[error("it is no database of fcheck")]
    Foreign,
    /// Its end is missing.
    #[error("it is not complete: fcheck writes it just now, or was interrupted")]
    Torn,
    /// Without owners.
    #[error("it was made without -x, so it knows no owners")]
    Narrow,
    /// Without digests.
    #[error("it was made without -s, so it knows no contents")]
    Unsigned,
    /// Other digests.
    #[error("its contents are digested by another program than sha256sum")]
    OtherDigest,
}

impl Baseline {
    /// Reads a database.
    ///
    /// # Errors
    /// [`Unusable`], by the first reason that holds.
    pub fn parse(text: &[u8]) -> Result<Self, Unusable> {
        if !text.starts_with(b"# - Host") {
            return Err(Unusable::Foreign);
        }
        let mut found = Self::default();
        let (mut is_ended, mut others, mut unsigned) = (false, 0_usize, 0_usize);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Some(words) = line.strip_prefix(b"# - ") {
                is_ended |= words.starts_with(b"- - - -> END ");
                found.sections.extend(section(words));
                is_ended &= !words.starts_with(b"- - - -> BEGIN ");
                continue;
            }
            match record(line) {
                Some((path, record, signature)) => {
                    others += usize::from(signature == Signature::Other);
                    unsigned += usize::from(signature == Signature::None);
                    found.records.insert(path, record);
                }
                None if is_narrow(line) => return Err(Unusable::Narrow),
                None => found.odd += 1,
            }
        }
        let is_signed = found.records.values().any(|record| record.sha256.is_some_and(|digest| digest != EMPTY));
        match (is_ended, is_signed) {
            (false, _) => Err(Unusable::Torn),
            (true, false) if others > 0 => Err(Unusable::OtherDigest),
            (true, false) if unsigned > 0 || found.records.is_empty() => Err(Unusable::Unsigned),
            (true, _) => Ok(found),
        }
    }

    /// Whether it was made over everything that an area at `path` looks at.
    pub fn covers(&self, path: &[u8], recurses: bool) -> bool {
        self.sections.iter().any(|section| {
            section.path == path && (section.is_deep || !recurses)
                || section.is_deep && crate::files::area::watched_areas::is_beneath(path, &section.path)
        }) || self.records.get(path).is_some_and(|record| record.kind != FileKind::Directory)
    }
}

/// `- - - -> BEGIN Directory /etc/ <- - - - -`, without its first dash.
fn section(words: &[u8]) -> Option<FcheckSection> {
    let rest = words.strip_prefix(b"- - - -> BEGIN Directory ")?;
    let path = rest.strip_suffix(b" <- - - - -")?;
    let (path, is_deep) = match path.strip_suffix(b"/") {
        Some(path) if !path.is_empty() && !path.ends_with(b":") => (path, true),
        _ => (path, false),
    };
    Some(FcheckSection { path: path.to_vec(), is_deep })
}

/// What a signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signature {
    /// The digest that is understood, or a word for what has no content.
    Known,
    /// Another digest.
    Other,
    /// None.
    None,
}

fn record(line: &[u8]) -> Option<(Vec<u8>, FcheckRecord, Signature)> {
    let mut fields = line.splitn(8, |byte| *byte == b'!');
    let mut number = || str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
    let [inode, mode, nlink, uid, gid, size, ctime] =
        [number()?, number()?, number()?, number()?, number()?, number()?, number()?];
    let rest = fields.next()?;
    let at = rest.iter().rposition(|byte| *byte == b'!')?;
    let (path, signature) = (rest.get(..at)?, rest.get(at + 1..)?);
    if path.first() != Some(&b'/') {
        return None;
    }
    let mode = u32::try_from(mode).ok()?;
    let (digits, is_link) = signature.strip_prefix(b"SYMLINK:").map_or((signature, false), |digits| (digits, true));
    let (sha256, signature) = match digits {
        b"ZeroLength" => (Some(EMPTY), Signature::Known),
        b"NOCRC" => (None, Signature::None),
        b"Dir" | b"FIFO" | b"SOCKET" | b"NoSuchFile" | b"CanNotOpen" => (None, Signature::Known),
        special if special.starts_with(b"BlockSpecial") || special.starts_with(b"CharSpecial") => {
            (None, Signature::Known)
        }
        // Before a name that it escapes sha256sum(1) writes a backslash.
        digits => match digest(digits.strip_prefix(b"\\").unwrap_or(digits)) {
            Some(digest) => (Some(digest), Signature::Known),
            None => (None, Signature::Other),
        },
    };
    let record = FcheckRecord {
        kind: FileKind::from_mode(mode)?,
        perms: u16::try_from(mode & 0o7777).ok()?,
        inode,
        nlink: u32::try_from(nlink).ok()?,
        uid: u32::try_from(uid).ok()?,
        gid: u32::try_from(gid).ok()?,
        size,
        ctime: i64::try_from(ctime).ok()?,
        sha256,
        is_link,
    };
    Some((path.to_vec(), record, signature))
}

/// Whether it is a line made without `-x`: `inode!mode!size!ctime!path!signature`.
fn is_narrow(line: &[u8]) -> bool {
    let mut fields = line.splitn(5, |byte| *byte == b'!');
    let is_number = |field: &[u8]| !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    fields.by_ref().take(4).filter(|field| is_number(field)).count() == 4
        && fields.next().is_some_and(|path| path.starts_with(b"/"))
}

fn digest(digits: &[u8]) -> Option<[u8; 32]> {
    let text = str::from_utf8(digits).ok().filter(|text| text.len() == 64)?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "# - Host  vm\n# - OS  Linux 6.1\n# - FCheck by Michael A. Gumienny\n";
    const DIGEST: &str = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7";

    fn text(lines: &str) -> String {
        format!(
            "{HEAD}# - - - - -> BEGIN Directory /t/ <- - - - -\n{lines}# - - - - -> BEGIN Directory /d <- - - - -\n\
             # - - - - -> END Directories <- - - - -\n"
        )
    }

    #[test]
    fn a_database_of_fcheck_is_read() {
        let lines = format!(
            "7!35309!2!0!5!2!1795307449!/t/a!b!{DIGEST}\n8!16877!2!0!0!4096!1!/t/dir!Dir\n9!33188!1!0!0!0!1!/t/empty!ZeroLength\n\
             7!35309!2!0!5!2!1!/t/link!SYMLINK:{DIGEST}\n7!33188!1!0!0!2!1!/t/back\\slash!\\{DIGEST}\n10!33188!1!0!0!2!1!/t/new\nline!{DIGEST}\n"
        );
        let found = Baseline::parse(text(&lines).as_bytes()).unwrap();
        let a = &found.records[&b"/t/a!b"[..]];
        assert_eq!(
            (a.kind, a.perms, a.inode, a.nlink, a.uid, a.gid, a.size),
            (FileKind::Regular, 0o4755, 7, 2, 0, 5, 2)
        );
        assert_eq!((a.ctime, a.is_link), (1_795_307_449, false));
        assert!(a.sha256.is_some() && a.sha256 == found.records[&b"/t/back\\slash"[..]].sha256);
        assert!(found.records[&b"/t/link"[..]].is_link);
        assert_eq!(found.records[&b"/t/empty"[..]].sha256, Some(EMPTY));
        assert_eq!((found.records.len(), found.odd), (5, 2));
        assert!(found.covers(b"/t", true) && found.covers(b"/t/sub", true) && found.covers(b"/d", false));
        assert!(!found.covers(b"/d", true) && !found.covers(b"/t2", true) && found.covers(b"/t/a!b", true));
    }

    #[test]
    fn what_cannot_be_taken_over_says_why() {
        let parse = |text: &str| Baseline::parse(text.as_bytes()).unwrap_err();
        assert_eq!(parse("7!35309!2!0!5!2!1!/t/a!x\n"), Unusable::Foreign);
        assert_eq!(parse(HEAD), Unusable::Torn);
        let good = text(&format!("7!33188!2!0!5!2!1!/t/a!{DIGEST}\n"));
        assert_eq!(parse(good.strip_suffix("# - - - - -> END Directories <- - - - -\n").unwrap()), Unusable::Torn);
        assert_eq!(parse(&text("7!33188!2!1!/t/a!NOCRC\n")), Unusable::Narrow);
        assert_eq!(parse(&text("7!33188!2!0!5!2!1!/t/a!NOCRC\n")), Unusable::Unsigned);
        assert_eq!(parse(&text("7!33188!2!0!5!2!1!/t/a!d41d8cd98f00b204e9800998ecf8427e\n")), Unusable::OtherDigest);
        assert!(Baseline::parse(text("8!16877!2!0!0!4096!1!/t/dir!Dir\n").as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut text = HEAD.as_bytes().to_vec();
            text.extend(tail);
            let _read = Baseline::parse(&text);
        }
    }
}
