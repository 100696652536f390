//! What both forms are read into: items with their bytes and places, before anybody asks what they mean.

use std::{path::Path, rc::Rc};

use super::{
    fault::{Fault, Problem},
    keys::Key,
};

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file.
    pub(super) file: Rc<Path>,
    /// Its line, from 1.
    pub(super) line: u32,
}

impl Place {
    /// A fault at this place.
    pub(super) fn fault(&self, problem: Problem) -> Fault {
        Fault { file: self.file.to_path_buf(), line: Some(self.line), what: problem.what, hint: problem.hint }
    }
}

/// One value of one item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// Which item.
    pub(super) key: &'static Key,
    /// The value as it stands there, without the white space round it.
    pub(super) value: Vec<u8>,
    /// Where it stands.
    pub(super) place: Place,
    /// In TOML the number of the table it stands in, from 1 and new for each header; 0 in the legacy form.
    pub(super) block: u32,
}

/// What was found wrong or odd so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What keeps the configuration from being used.
    pub(super) faults: Vec<Fault>,
    /// What is odd but accepted.
    pub(super) notices: Vec<Fault>,
}

impl Findings {
    /// Adds a fault.
    pub(super) fn fault(&mut self, place: &Place, what: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(place.fault(Problem::new(what, hint)));
    }

    /// Adds a notice.
    pub(super) fn notice(&mut self, place: &Place, what: impl Into<String>, hint: impl Into<String>) {
        self.notices.push(place.fault(Problem::new(what, hint)));
    }
}
