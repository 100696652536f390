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
    "/etc/polkit-1",
    "/usr/share/polkit-1",
    "/usr/local/share/polkit-1",
    "/etc/pam.d",
    "/etc/pam.conf",
    "/lib/security",
    "/lib64/security",
    "/usr/lib/security",
    "/usr/lib64/security",
    "/lib/*/security/*.so",
    "/usr/lib/*/security/*.so",
    "/**/.ssh/authorized_keys*",
    "/etc/ssh/authorized_keys*",
    "/etc/ssh/sshd_config",
    "/etc/ssh/sshd_config.d",
    // Code that runs in every process.
    "/etc/ld.so.preload",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    // Code that runs when somebody logs in, or root opens a shell.
    "/etc/profile",
    "/etc/profile.d",
    "/etc/bash.bashrc",
    "/etc/bashrc",
    "/root/.profile",
    "/root/.bash_profile",
    "/root/.bash_login",
    "/root/.bash_logout",
    "/root/.bashrc",
    "/root/.zshenv",
    "/root/.zprofile",
    "/root/.zshrc",
    "/root/.zlogin",
    "/root/.zlogout",
    "/root/.login",
    "/root/.cshrc",
    "/root/.tcshrc",
    "/root/.kshrc",
    "/root/.ssh/rc",
    // Code that is started by itself: at the start of the machine, by devices, units, cron and at.
    "/etc/rc.local",
    "/etc/rc.d/rc.local",
    "/etc/udev/rules.d",
    "/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/run/udev/rules.d",
    "/etc/systemd/system",
    "/etc/systemd/user",
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/usr/local/lib/systemd/system",
    "/etc/cron*",
    "/etc/anacrontab",
    "/var/spool/cron",
    "/var/spool/at",
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
            "/var/spool/cron/joe",
            "/var/spool/at/a00001",
            "/etc/profile",
            "/etc/profile.d/x.sh",
            "/etc/rc.local",
            "/etc/udev/rules.d/99-x.rules",
            "/usr/lib/udev/rules.d/99-x.rules",
            "/run/udev/rules.d/99-x.rules",
            "/etc/ld.so.conf.d/x.conf",
            "/etc/polkit-1/rules.d/49-x.rules",
            "/usr/share/polkit-1/actions/x.policy",
            "/etc/ssh/sshd_config",
            "/etc/ssh/sshd_config.d/x.conf",
            "/usr/lib/x86_64-linux-gnu/security/pam_unix.so",
            "/lib/security/pam_unix.so",
            "/usr/lib64/security/pam_unix.so",
            "/srv/homes/a/joe/.ssh/authorized_keys",
            "/root/.bashrc",
            "/root/.profile",
            "/root/.zshrc",
        ] {
            assert!(list.matches(path.as_bytes()), "{path}");
        }
        for path in [
            "/etc",
            "/etc/hosts",
            "/etc/shadow-",
            "/etc/pam.d2",
            "/etc/profile2",
            "/etc/ssh/ssh_config",
            "/usr/lib/jvm/17/lib/security/x.so",
            "/usr/lib/systemd/libsystemd.so",
            "/home/joe/.bashrc",
            "/home/joe/authorized_keys",
            "/usr/bin/sudo",
        ] {
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
