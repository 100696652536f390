//! Data on the standard output, talk on the standard error. Nothing here panics when the reader has gone.

use std::io::{self, BufWriter, Stdout, Write};

pub(in crate::cli) use crate::model::format::{age, number, size, span};

/// The standard output, buffered.
#[derive(Debug)]
pub(in crate::cli) struct Out(BufWriter<Stdout>);

impl Out {
    pub(in crate::cli) fn stdout() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// Prints text as it is; it must have been neutralised.
    pub(in crate::cli) fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Prints bytes as they are: for a program, never for a terminal.
    pub(in crate::cli) fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.write_all(bytes)?)
    }

    /// Prints a line.
    pub(in crate::cli) fn line(&mut self, line: &str) -> anyhow::Result<()> {
        self.text(line)?;
        self.text("\n")
    }

    pub(in crate::cli) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.0.flush()?)
    }
}

/// Says something on the standard error; a closed one is no reason to fail.
pub(in crate::cli) fn talk(text: &str) {
    if writeln!(io::stderr().lock(), "{text}").is_err() {
        tracing::debug!("the standard error is closed");
    }
}
