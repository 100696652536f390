//! Data on the standard output, talk on the standard error. Nothing here panics when the reader has gone.

use std::io::{self, BufWriter, Stdout, Write};

/// The standard output, buffered.
#[derive(Debug)]
pub(super) struct Out(BufWriter<Stdout>);

impl Out {
    pub(super) fn stdout() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// Prints text as it is; it must have been neutralised.
    pub(super) fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Prints bytes as they are: for a program, never for a terminal.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.write_all(bytes)?)
    }

    /// Prints a line.
    pub(super) fn line(&mut self, line: &str) -> anyhow::Result<()> {
        self.text(line)?;
        self.text("\n")
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.0.flush()?)
    }
}

/// Says something on the standard error; a closed one is no reason to fail.
pub(super) fn talk(text: &str) {
    if writeln!(io::stderr().lock(), "{text}").is_err() {
        tracing::debug!("the standard error is closed");
    }
}

/// A number with thousands separators.
pub(super) fn number(value: u64) -> String {
    crate::report::listing::number_words(value)
}

/// A size in the largest unit that leaves two figures or more.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut name = "B";
    for unit in units {
        if value < 10 * 1024 {
            break;
        }
        value /= 1024;
        name = unit;
    }
    format!("{} {name}", number(value))
}

/// A span in words: `41 s`, `12 min`, `3 h`, `2 d`.
pub(super) fn span(span: std::time::Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// The age of a check with its tenths, so that `8.6 d of 7d` can be told: `41 s`, `12 min`, `3.5 h`, `8.6 d`.
pub(super) fn age(age: std::time::Duration) -> String {
    let tenths = |seconds: u64, unit: u64, name: &str| {
        let tenths = seconds.saturating_mul(10) / unit;
        format!("{}.{} {name}", number(tenths / 10), tenths % 10)
    };
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => tenths(seconds, 3600, "h"),
        seconds => tenths(seconds, 86_400, "d"),
    }
}
