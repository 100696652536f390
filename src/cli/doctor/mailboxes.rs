//! Which mailboxes lie in an area: each of our mails changes them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    cli::doctor::finding::DoctorFinding,
    config::settings::config::Config,
    files::area::{
        membership::{Membership, membership},
        watched_areas::WatchedAreas,
    },
    model::{escape::escape_name, file::entry::AreaId},
};

/// Where mail servers put what is for a user of this machine, below the directory of all.
const SPOOLS: [&str; 2] = ["/var/mail", "/var/spool/mail"];

/// A mailbox that an area watches.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Mailbox {
    path: PathBuf,
    area: Vec<u8>,
}

/// The mailboxes of local recipients that an area watches. Only those that are there, or could be made at once, count.
pub(in crate::cli) fn mailboxes(config: &Config) -> Vec<Mailbox> {
    mailboxes_in(config, &SPOOLS.map(Path::new))
}

fn mailboxes_in(config: &Config, spools: &[&Path]) -> Vec<Mailbox> {
    let users: BTreeSet<&str> = recipients(config).filter_map(|recipient| local_user(recipient, config)).collect();
    let mut paths = BTreeSet::new();
    for user in users {
        let home = if user == "root" { PathBuf::from("/root") } else { Path::new("/home").join(user) };
        paths.extend(spools.iter().map(|spool| spool.join(user)));
        paths.insert(home.join("Maildir/new"));
    }
    // Of a spool that is a link to the other, one is enough.
    let real = |path: &PathBuf| Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    let paths: BTreeSet<PathBuf> = paths.iter().filter_map(real).collect();
    let ids: Vec<AreaId> = (1..).map(AreaId).take(config.areas.len()).collect();
    let areas = WatchedAreas::new(config, &ids);
    let _mounts = areas.survey();
    let watched = |path: PathBuf| match membership(&areas, path.as_os_str().as_encoded_bytes()) {
        Membership::Watched { watched, .. } => Some(Mailbox { area: watched.path.clone(), path }),
        _ => None,
    };
    paths.into_iter().filter_map(watched).collect()
}

fn recipients(config: &Config) -> impl Iterator<Item = &str> {
    let own = config.areas.iter().flat_map(|area| &area.recipients);
    config.recipients.iter().chain(own).map(String::as_str)
}

fn local_user<'a>(recipient: &'a str, config: &Config) -> Option<&'a str> {
    let (user, host) = recipient.split_once('@').unwrap_or((recipient, "localhost"));
    let is_here = host == "localhost" || config.hostname.as_deref() == Some(host);
    (is_here && !user.is_empty() && !user.contains('/') && !user.starts_with('.')).then_some(user)
}

impl Mailbox {
    /// What there is to say of it.
    pub(in crate::cli) fn words(&self) -> String {
        format!(
            "the mailbox {} lies in the area {}: what reports add to it is counted and not reported",
            escape_name(self.path.as_os_str().as_encoded_bytes()),
            escape_name(&self.area)
        )
    }

    /// What can be done, and the finding of `doctor`.
    pub(in crate::cli) fn finding(&self) -> DoctorFinding {
        let path = escape_name(self.path.as_os_str().as_encoded_bytes());
        DoctorFinding::warn(
            "mailbox",
            self.words(),
            format!("leave it out, for other mails are changes: exclude = {path}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::config::Area;

    #[test]
    fn a_mailbox_of_a_recipient_is_named_with_its_area() {
        let scratch = tempfile::tempdir().unwrap();
        let real = scratch.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("mail")).unwrap();
        let mut config = Config::embedded(vec![Area::new(real.clone())], PathBuf::from("/nowhere/db"));
        config.recipients = vec!["root".to_owned(), "joe@example.org".to_owned()];
        let spool = real.join("mail");
        let found = mailboxes_in(&config, &[&spool, &real.join("none")]);
        assert_eq!(found, [Mailbox { path: real.join("mail/root"), area: real.into_os_string().into_encoded_bytes() }]);
        assert!(found[0].words().contains("mail/root lies in the area "), "{}", found[0].words());
        config.areas.clear();
        assert_eq!(mailboxes_in(&config, &[&spool]), []);
    }

    #[test]
    fn only_recipients_of_this_machine_have_a_mailbox_here() {
        let mut config = Config::embedded(Vec::new(), PathBuf::from("/nowhere"));
        config.hostname = Some("web3.example".to_owned());
        for (recipient, user) in [
            ("root", Some("root")),
            ("joe@localhost", Some("joe")),
            ("joe@web3.example", Some("joe")),
            ("joe@example.org", None),
            ("../joe", None),
            ("", None),
        ] {
            assert_eq!(local_user(recipient, &config), user, "{recipient}");
        }
    }
}
