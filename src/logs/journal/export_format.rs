//! The journal export format, a stream of bytes into entries.
//!
//! Pure: pieces go in as they come, entries come out, whatever the pieces are. A field is `NAME=text\n`, or `NAME\n`, eight bytes of
//! length (little endian) and that many bytes when it is no plain text; an empty line ends an entry
//! (<https://systemd.io/JOURNAL_EXPORT_FORMATS>). So nothing a program logs can end a field early. Of a field only its beginning is
//! kept and the rest is counted: a core dump in a field costs time but no memory.

/// Bytes of a message that are kept.
pub const MOST_MESSAGE: usize = 256 * 1024;

/// Bytes of any other field that are kept; journalctl shows none of them that has more than 300.
const MOST_FIELD: usize = 1024;

/// journald takes no longer name.
const LONGEST_NAME: usize = 64;

/// journald takes no larger field than 768 MiB.
const LARGEST: u64 = 1 << 30;

/// The fields that are asked for; those of the entry itself always come.
pub const FIELDS: &str =
    "MESSAGE,_HOSTNAME,SYSLOG_IDENTIFIER,_COMM,_PID,SYSLOG_PID,_SOURCE_REALTIME_TIMESTAMP,_SYSTEMD_UNIT";

/// What is no journal export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// A field has a name that no field can have.
    #[error("a field name that is none")]
    Name,
    /// A field is larger than any can be.
    #[error("a field of {0} bytes")]
    Size(u64),
    /// A field goes on behind its length.
    #[error("a field longer than it says")]
    Long,
    /// An entry has no cursor or no time.
    #[error("an entry without cursor or time")]
    Nameless,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    /// Its bytes, cut after [`MOST_MESSAGE`] or, for all but the message, after 1 KiB.
    pub bytes: Vec<u8>,
    /// Its whole length in bytes.
    pub length: u64,
}

impl Field {
    fn add(&mut self, bytes: &[u8], most: usize) {
        self.bytes.extend(bytes.iter().take(most.saturating_sub(self.bytes.len())));
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }
}

/// An entry of the journal: of a field that it has several times the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportEntry {
    /// Its cursor.
    pub cursor: Vec<u8>,
    /// When journald took it, in microseconds since 1970.
    pub realtime: u64,
    /// The boot, 32 hexadecimal digits.
    pub boot: Option<Field>,
    /// What was logged.
    pub message: Option<Field>,
    /// The host.
    pub host: Option<Field>,
    /// The tag the program gave itself.
    pub identifier: Option<Field>,
    /// The name of the process.
    pub comm: Option<Field>,
    /// The process, as the kernel told journald.
    pub pid: Option<Field>,
    /// The process, as the program says.
    pub claimed_pid: Option<Field>,
    /// When the program logged it, in microseconds since 1970, if journald knows better than by its arrival.
    pub source_time: Option<Field>,
    /// The unit of the process, as the kernel told journald.
    pub unit: Option<Field>,
}

impl ExportEntry {
    fn put(&mut self, name: &[u8], value: Field) {
        let slot = match name {
            b"__CURSOR" => {
                self.cursor = if is_cursor(&value) { value.bytes } else { Vec::new() };
                return;
            }
            b"__REALTIME_TIMESTAMP" => {
                self.realtime = number(&value).unwrap_or(0);
                return;
            }
            b"_BOOT_ID" => &mut self.boot,
            b"MESSAGE" => &mut self.message,
            b"_HOSTNAME" => &mut self.host,
            b"SYSLOG_IDENTIFIER" => &mut self.identifier,
            b"_COMM" => &mut self.comm,
            b"_PID" => &mut self.pid,
            b"SYSLOG_PID" => &mut self.claimed_pid,
            b"_SOURCE_REALTIME_TIMESTAMP" => &mut self.source_time,
            b"_SYSTEMD_UNIT" => &mut self.unit,
            _ => return,
        };
        *slot = Some(value);
    }
}

/// The decimal number a field holds.
pub fn number(value: &Field) -> Option<u64> {
    let digits = value.bytes.as_slice();
    let is_plain = !digits.is_empty() && digits.len() < 20 && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()
}

/// It goes back to journalctl as an argument.
fn is_cursor(value: &Field) -> bool {
    value.length <= 512 && value.bytes.iter().all(u8::is_ascii_graphic)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExportStep {
    Name,
    Text,
    Size,
    Data(u64),
    End,
}

/// A stream being read.
#[derive(Debug)]
pub struct Export {
    step: ExportStep,
    name: Vec<u8>,
    size: Vec<u8>,
    value: Field,
    entry: ExportEntry,
    has_fields: bool,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            step: ExportStep::Name,
            name: Vec::new(),
            size: Vec::new(),
            value: Field::default(),
            entry: ExportEntry::default(),
            has_fields: false,
        }
    }
}

impl Export {
    /// Whether the stream stands within an entry.
    pub fn is_within(&self) -> bool {
        self.has_fields || self.step != ExportStep::Name || !self.name.is_empty()
    }

    /// Takes a piece of the stream and appends the entries that end in it.
    ///
    /// # Errors
    /// [`Garbage`]; entries before it are in `out`, and nothing can follow.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<ExportEntry>) -> Result<(), Garbage> {
        let mut rest = piece;
        while !rest.is_empty() {
            rest = match self.step {
                ExportStep::Name => self.name(rest, out)?,
                ExportStep::Text => self.text(rest),
                ExportStep::Size => self.size(rest)?,
                ExportStep::Data(left) => self.data(rest, left),
                ExportStep::End => match rest.split_first() {
                    Some((b'\n', after)) => {
                        self.end_field();
                        after
                    }
                    _ => return Err(Garbage::Long),
                },
            };
        }
        Ok(())
    }

    fn name<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<ExportEntry>) -> Result<&'a [u8], Garbage> {
        let end = bytes.iter().position(|byte| matches!(byte, b'=' | b'\n'));
        let (piece, after) = bytes.split_at_checked(end.unwrap_or(bytes.len())).unwrap_or((bytes, &[]));
        let is_valid = piece.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
        if !is_valid || self.name.len() + piece.len() > LONGEST_NAME {
            return Err(Garbage::Name);
        }
        self.name.extend_from_slice(piece);
        let Some((delimiter, after)) = after.split_first() else { return Ok(&[]) };
        match (delimiter, self.name.is_empty()) {
            (b'\n', true) => self.end_entry(out)?,
            (b'\n', false) => self.step = ExportStep::Size,
            (_, true) => return Err(Garbage::Name),
            (_, false) => self.step = ExportStep::Text,
        }
        Ok(after)
    }

    fn text<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (piece, after) = bytes.split_at_checked(end.unwrap_or(bytes.len())).unwrap_or((bytes, &[]));
        self.value.add(piece, self.most());
        if end.is_some() {
            self.end_field();
        }
        after.get(1..).unwrap_or_default()
    }

    fn size<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Garbage> {
        let missing = (8 - self.size.len().min(8)).min(bytes.len());
        let (piece, after) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.size.extend_from_slice(piece);
        if let Ok(size) = <[u8; 8]>::try_from(self.size.as_slice()) {
            self.size.clear();
            self.step = match u64::from_le_bytes(size) {
                0 => ExportStep::End,
                size @ ..=LARGEST => ExportStep::Data(size),
                size => return Err(Garbage::Size(size)),
            };
        }
        Ok(after)
    }

    fn data<'a>(&mut self, bytes: &'a [u8], left: u64) -> &'a [u8] {
        let length = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (piece, after) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        self.value.add(piece, self.most());
        let left = left.saturating_sub(u64::try_from(length).unwrap_or(left));
        self.step = if left == 0 { ExportStep::End } else { ExportStep::Data(left) };
        after
    }

    /// How much is kept of the field being read.
    fn most(&self) -> usize {
        if self.name == b"MESSAGE" { MOST_MESSAGE } else { MOST_FIELD }
    }

    fn end_field(&mut self) {
        self.entry.put(&self.name, std::mem::take(&mut self.value));
        self.name.clear();
        self.has_fields = true;
        self.step = ExportStep::Name;
    }

    fn end_entry(&mut self, out: &mut Vec<ExportEntry>) -> Result<(), Garbage> {
        let entry = std::mem::take(&mut self.entry);
        if std::mem::take(&mut self.has_fields) {
            if entry.cursor.is_empty() || entry.realtime == 0 {
                return Err(Garbage::Nameless);
            }
            out.push(entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(name: &str, value: &[u8], is_binary: bool) -> Vec<u8> {
        let mut out = name.as_bytes().to_vec();
        if is_binary || value.contains(&b'\n') {
            out.push(b'\n');
            out.extend(u64::try_from(value.len()).unwrap().to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value);
        out.push(b'\n');
        out
    }

    fn entry(number: usize, message: &[u8], is_binary: bool) -> Vec<u8> {
        let mut out = field("__CURSOR", format!("s=1;i={number}").as_bytes(), false);
        out.extend(field("__REALTIME_TIMESTAMP", b"1795266602000000", false));
        out.extend(field("MESSAGE", message, is_binary));
        out.push(b'\n');
        out
    }

    fn read(pieces: &[&[u8]]) -> (Vec<ExportEntry>, Result<(), Garbage>, bool) {
        let (mut export, mut out) = (Export::default(), Vec::new());
        let result = pieces.iter().try_for_each(|piece| export.feed(piece, &mut out));
        (out, result, export.is_within())
    }

    #[test]
    fn a_message_cannot_end_its_field() {
        let message = b"x\n\n__CURSOR=s=1;i=9\n__REALTIME_TIMESTAMP=1\nMESSAGE=forged\n\n";
        let (out, result, is_within) = read(&[&entry(1, message, true)]);
        assert_eq!((out.len(), result, is_within), (1, Ok(()), false));
        assert_eq!(out[0].message.as_ref().unwrap().bytes, message);
        assert_eq!(out[0].realtime, 1_795_266_602_000_000);
    }

    #[test]
    fn an_endless_field_is_counted_and_not_kept() {
        let mut stream = field("__CURSOR", b"c", false);
        stream.extend(field("__REALTIME_TIMESTAMP", b"5", false));
        stream.extend(field("COREDUMP", &vec![0; 3_000_000], true));
        stream.extend(field("MESSAGE", &vec![b'x'; 3_000_000], false));
        stream.extend(field("_PID", &vec![b'1'; 70_000], false));
        stream.push(b'\n');
        let (out, result, _) = read(&[&stream]);
        assert_eq!(result, Ok(()));
        let message = out[0].message.as_ref().unwrap();
        assert_eq!((message.bytes.len(), message.length), (MOST_MESSAGE, 3_000_000));
        assert_eq!(out[0].pid.as_ref().unwrap().bytes.len(), MOST_FIELD);
    }

    #[test]
    fn what_is_no_export_is_said() {
        for (stream, garbage) in [
            (&b"-- No entries --\n"[..], Garbage::Name),
            (b"=x\n", Garbage::Name),
            (&[b'A'; 65], Garbage::Name),
            (b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff", Garbage::Size(u64::MAX)),
            (b"A\n\x01\0\0\0\0\0\0\0xy", Garbage::Long),
            (b"MESSAGE=x\n\n", Garbage::Nameless),
            (b"__CURSOR=a b\n__REALTIME_TIMESTAMP=1\n\n", Garbage::Nameless),
        ] {
            assert_eq!(read(&[stream]).1, Err(garbage), "{}", stream.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_entry_is_lost_whatever_the_pieces(messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 1..20),
                                                cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40), end in any::<prop::sample::Index>()) {
            let parts: Vec<Vec<u8>> = messages.iter().enumerate().map(|(number, (message, is_binary))| entry(number, message, *is_binary)).collect();
            let stream = parts.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let (out, result, is_within) = read(&pieces);
            prop_assert_eq!((result, is_within), (Ok(()), false));
            let found: Vec<&[u8]> = out.iter().map(|entry| entry.message.as_ref().unwrap().bytes.as_slice()).collect();
            let wanted: Vec<&[u8]> = messages.iter().map(|(message, _)| message.as_slice()).collect();
            prop_assert_eq!(found, wanted);
            // A stream that breaks off gives the entries that are whole, and no half one.
            let end = end.index(stream.len());
            let whole = parts.iter().scan(0, |at, part| { *at += part.len(); Some(*at) }).filter(|at| *at <= end).count();
            let (broken, result, _) = read(&[&stream[..end]]);
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(&broken[..], &out[..whole]);
        }

        #[test]
        fn no_stream_makes_it_panic(pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..50),
            "(__CURSOR|MESSAGE|_PID)[=\n]?".prop_map(String::into_bytes),
            (0_u64..20).prop_map(|size| size.to_le_bytes().to_vec()),
            Just(b"\n".to_vec()),
        ], 0..30)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _read = read(&pieces);
        }
    }
}
