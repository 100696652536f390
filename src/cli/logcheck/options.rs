//! The options of `logcheck`, which are those of logcheck(8), and what they make of its configuration.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;

use crate::{
    cli::terminal::output::talk,
    config::settings::config::RuleLevel,
    logs::logcheck::{conf::Conf, log_list::open_regular},
    model::escape::escape_name,
};

/// Read when there is no -c.
const CONF: &str = "/etc/logcheck/logcheck.conf";

/// Largest configuration, header and footer, in bytes.
const LARGEST_TEXT: u64 = 1 << 20;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of logcheck")]
#[command(args_override_self = true)]
pub(in crate::cli) struct Arguments {
    /// Read this configuration instead of /etc/logcheck/logcheck.conf; only its assignments count, nothing in it is run.
    #[arg(short = 'c', value_name = "CFG")]
    pub(in crate::cli) conf: Option<PathBuf>,
    /// Say on the standard error what is done.
    #[arg(short = 'd')]
    pub(super) is_verbose: bool,
    /// The name of this machine in the subject of a mail.
    #[arg(short = 'H', value_name = "HOST")]
    pub(in crate::cli) host: Option<String>,
    /// Check this log and no other.
    #[arg(short = 'l', value_name = "LOG")]
    pub(in crate::cli) log: Option<PathBuf>,
    /// The list of logs.
    #[arg(short = 'L', value_name = "CFG")]
    pub(in crate::cli) list: Option<PathBuf>,
    /// The directory of further lists, *.logfiles.
    #[arg(short = 'D', value_name = "DIR")]
    pub(in crate::cli) lists: Option<PathBuf>,
    /// Mail the report to this address.
    #[arg(short = 'm', value_name = "MAIL")]
    pub(in crate::cli) mail: Option<String>,
    /// Print the report; nothing is mailed.
    #[arg(short = 'o')]
    pub(in crate::cli) prints: bool,
    /// Level paranoid.
    #[arg(short = 'p', overrides_with_all = ["is_server", "is_workstation"])]
    pub(super) is_paranoid: bool,
    /// The directory of the rules.
    #[arg(short = 'r', value_name = "DIR")]
    pub(in crate::cli) rules: Option<PathBuf>,
    /// Begin the subject with "Reboot:".
    #[arg(short = 'R')]
    pub(super) is_reboot: bool,
    /// Level server.
    #[arg(short = 's', overrides_with_all = ["is_paranoid", "is_workstation"])]
    pub(super) is_server: bool,
    /// The directory of the positions, which logcheck understands as well.
    #[arg(short = 'S', value_name = "DIR")]
    pub(in crate::cli) states: Option<PathBuf>,
    /// Move no position.
    #[arg(short = 't')]
    pub(super) only_tests: bool,
    /// Accepted; there is no temporary directory that could be kept.
    #[arg(short = 'T')]
    pub(super) keeps_directory: bool,
    /// Accepted; syslog-summary is not run.
    #[arg(short = 'u')]
    pub(super) has_summary: bool,
    /// Print the version.
    #[arg(short = 'v')]
    pub(in crate::cli) version: bool,
    /// Level workstation.
    #[arg(short = 'w', overrides_with_all = ["is_paranoid", "is_server"])]
    pub(super) is_workstation: bool,
}

impl Arguments {
    /// The configuration with what the command line has to say.
    pub(in crate::cli) fn conf(&self) -> anyhow::Result<Conf> {
        let mut conf = self.written()?;
        conf.level = match (self.is_paranoid, self.is_server, self.is_workstation) {
            (true, ..) => RuleLevel::Paranoid,
            (_, true, _) => RuleLevel::Server,
            (.., true) => RuleLevel::Workstation,
            _ => conf.level,
        };
        let places = [
            (&self.rules, &mut conf.rules),
            (&self.states, &mut conf.states),
            (&self.list, &mut conf.list),
            (&self.lists, &mut conf.lists),
        ];
        for (given, place) in places {
            if let Some(path) = given {
                place.clone_from(path);
            }
        }
        conf.log = self.log.clone().or(conf.log);
        if let Some(recipients) = &self.mail {
            conf.recipients.clone_from(recipients);
        }
        if self.has_summary {
            conf.unserved.push("-u");
        }
        Ok(conf)
    }

    fn written(&self) -> anyhow::Result<Conf> {
        let path = self.conf.as_deref().unwrap_or(Path::new(CONF));
        let text = match read_text(path) {
            Ok(text) => text,
            Err(error) if self.conf.is_none() && error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("the configuration {} cannot be read; -c names another", shown(path)));
            }
        };
        let (conf, faults) = Conf::read(&text, path);
        for fault in faults {
            talk(&fault.to_string());
        }
        Ok(conf)
    }
}

/// A bounded text file.
///
/// # Errors
/// Those of `open(2)` and `read(2)`; `InvalidInput` when it is no regular file.
pub(in crate::cli) fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open_regular(path)?.take(LARGEST_TEXT).read_to_end(&mut text)?;
    Ok(text)
}

/// A path as a terminal may show it.
pub(in crate::cli) fn shown(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}
