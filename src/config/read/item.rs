//! What both forms are read into: items with their bytes and places, before anybody asks what they mean.

use std::{path::Path, rc::Rc};

use crate::config::schema::{
    fault::{ConfigProblem, Fault, show},
    keys::{SettingKey, retired},
};

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct ConfigPlace {
    /// The file.
    pub(in crate::config) file: Rc<Path>,
    /// Its line, from 1.
    pub(in crate::config) line: u32,
}

impl ConfigPlace {
    /// A fault at this place.
    pub(in crate::config) fn fault(&self, problem: ConfigProblem) -> Fault {
        Fault { file: self.file.to_path_buf(), line: Some(self.line), what: problem.what, hint: problem.hint }
    }
}

/// One value of one item.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct ConfigItem {
    /// Which item.
    pub(in crate::config) key: &'static SettingKey,
    /// The value as it stands there, without the white space round it.
    pub(in crate::config) value: Vec<u8>,
    /// Where it stands.
    pub(in crate::config) place: ConfigPlace,
    /// In TOML the number of the table it stands in, from 1 and new for each header; 0 in the legacy form.
    pub(in crate::config) block: u32,
}

/// What was found wrong or odd so far.
#[derive(Debug, Default)]
pub(in crate::config) struct Findings {
    /// What keeps the configuration from being used.
    pub(in crate::config) faults: Vec<Fault>,
    /// What is odd but accepted.
    pub(in crate::config) notices: Vec<Fault>,
}

impl Findings {
    /// Adds a fault.
    pub(in crate::config) fn fault(&mut self, place: &ConfigPlace, what: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(place.fault(ConfigProblem::new(what, hint)));
    }

    /// Adds a notice.
    pub(in crate::config) fn notice(&mut self, place: &ConfigPlace, what: impl Into<String>, hint: impl Into<String>) {
        self.notices.push(place.fault(ConfigProblem::new(what, hint)));
    }

    /// Adds the notice that the setting `name` is one of earlier versions; gives whether it is.
    pub(in crate::config) fn retired(&mut self, place: &ConfigPlace, name: &[u8]) -> bool {
        let why = retired(name);
        if let Some(why) = why {
            self.notice(place, format!("`{}` is no longer used", show(name)), format!("take it out: {why}"));
        }
        why.is_some()
    }
}
