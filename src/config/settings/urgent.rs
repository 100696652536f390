//! Which paths are urgent: a change there hands over the machine, so it is reported at once and as high.
//!
//! One literal list of globs, extended but never shortened by the configuration: whoever may write the file could otherwise
//! silence exactly what matters.

use std::path::PathBuf;

use crate::config::settings::exclude::{Excludes, PatternError};

/// What is always urgent. A directory stands for all that is below it.
pub const URGENT: &[&str] = &[
    // Accounts and passwords.
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/passwd",
    // Who may become root, and how anybody logs in.
    "/etc/sudoers*",
    "/etc/pam.d",
    "/etc/pam.conf",
    "/**/.ssh/authorized_keys*",
    "/etc/ssh/authorized_keys*",
    // Code that runs in every process.
    "/etc/ld.so.preload",
    // Code that is started by itself: units and cron.
    "/etc/systemd/system",
    "/etc/systemd/user",
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/usr/local/lib/systemd/system",
    "/etc/cron*",
    "/etc/anacrontab",
    "/var/spool/cron",
];

/// The urgent paths: the built-in ones and those of the configuration. The default is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UrgentList(Excludes);

impl UrgentList {
    /// The built-in list with `more` added; globs as in [`Excludes::new`].
    ///
    /// # Errors
    /// With the first pattern that is no usable glob.
    pub fn new(more: &[PathBuf]) -> Result<Self, PatternError> {
        let all: Vec<PathBuf> = URGENT.iter().map(PathBuf::from).chain(more.iter().cloned()).collect();
        Excludes::new(&all).map(Self)
    }

    /// Whether `path`, or a directory it lies in, is on the list. Costs one look-up for each component.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.0.covering_prefix(path).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_names_the_doors() {
        let list = UrgentList::new(&[]).unwrap();
        for path in [
            "/etc/shadow",
            "/etc/sudoers",
            "/etc/sudoers.d/90-tmp",
            "/etc/pam.d/sshd",
            "/etc/ld.so.preload",
            "/root/.ssh/authorized_keys",
            "/home/joe/.ssh/authorized_keys2",
            "/etc/systemd/system/multi-user.target.wants/x.service",
            "/etc/cron.d/x",
            "/etc/crontab",
            "/var/spool/cron/crontabs/root",
        ] {
            assert!(list.matches(path.as_bytes()), "{path}");
        }
        for path in ["/etc", "/etc/hosts", "/etc/shadow-", "/etc/pam.d2", "/home/joe/authorized_keys", "/usr/bin/sudo"]
        {
            assert!(!list.matches(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn configured_paths_are_added() {
        let list = UrgentList::new(&[PathBuf::from("/srv/keys/*.pem")]).unwrap();
        assert!(list.matches(b"/srv/keys/a.pem"));
        assert!(list.matches(b"/etc/shadow"));
        assert!(!list.matches(b"/srv/keys/a/b.pem"));
    }
}
