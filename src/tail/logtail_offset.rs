//! Taking over from an installed logcheck: the offset files of `logtail(8)` and `logtail2(8)`.

/// A position of `logtail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// The inode of the log.
    pub inode: u64,
    /// How many bytes of it were read.
    pub offset: u64,
}

/// Parses an offset file: the inode and the offset, each on a line. `None` for anything else.
pub fn parse(bytes: &[u8]) -> Option<Offset> {
    let mut lines = str::from_utf8(bytes.get(..64).unwrap_or(bytes)).ok()?.lines();
    let mut number = || lines.next()?.trim().parse().ok();
    Some(Offset { inode: number()?, offset: number()? })
}

/// The name logcheck gives the offset file of `log` in its state directory: `/var/log/syslog` is `offset.var.log.syslog`.
pub fn file_name(log: &[u8]) -> Vec<u8> {
    let dotted = log.iter().map(|byte| if *byte == b'/' { b'.' } else { *byte });
    b"offset".iter().copied().chain(dotted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_files_are_read_and_named_as_logcheck_does() {
        assert_eq!(parse(b"1314252\n8812\n"), Some(Offset { inode: 1_314_252, offset: 8812 }));
        assert_eq!(parse(b" 12 \n 0"), Some(Offset { inode: 12, offset: 0 }));
        for wrong in [&b""[..], b"12\n", b"x\n1\n", b"-1\n5\n", b"1\n\xff\n", b"99999999999999999999999\n1\n"] {
            assert_eq!(parse(wrong), None);
        }
        assert_eq!(file_name(b"/var/log/syslog"), b"offset.var.log.syslog");
    }
}
