//! What the sandbox of a daemon has to leave open, by its configuration, and putting it up.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::{
    config::settings::config::{Config, Helper, MailWay, SmtpServer},
    files::remote::helper,
    logs::journal::reader,
    model::escape::escape_name,
    report::transport::{Places, sendmail},
    store::sqlite::{error::with_causes, files::withdraw_from_others},
    sys::{
        fs::ownership::make_private_directory,
        landlock::{self, Hold, Limits, SandboxError},
        process::{
            broker::{self, AllowedCommand, Broker},
            privileges::{PrivilegeError, ProcessKind, restrict, written_by_override},
        },
    },
};

/// The port of name servers, asked by TCP when an answer is too long for a datagram (RFC 7766).
const NAMES: u16 = 53;

/// What a daemon with this configuration writes, and where it connects to. It executes nothing by itself: see [`permits`].
pub fn limits(config: &Config) -> Limits {
    let directory_of = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_path_buf();
    // The mailbox as well is made anew whenever somebody has taken it away.
    let mut writable: BTreeSet<PathBuf> = [Some(&config.database), config.mail.fallback_mbox.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| directory_of(path))
        .collect();
    let mut ports = BTreeSet::new();
    match &config.mail.way {
        MailWay::Auto => ports.extend(Places::default().servers.iter().map(|(_, port)| *port)),
        MailWay::Smtp(server) => ports.extend(ports_of(server)),
        MailWay::File(directory) => {
            writable.insert(directory.clone());
        }
        MailWay::Sendmail(_) | MailWay::Stdout => {}
    }
    Limits { writable, ports, may_execute: false }
}

fn ports_of(server: &SmtpServer) -> Vec<u16> {
    let is_name = server.host != "localhost" && server.host.parse::<IpAddr>().is_err();
    is_name.then_some(NAMES).into_iter().chain([server.port]).collect()
}

/// What the broker of such a daemon may run: journalctl, this very program for slow mounts, and the sendmail programs that may be used.
pub fn permits(config: &Config) -> Vec<AllowedCommand> {
    let programs = match &config.mail.way {
        MailWay::Auto => Places::default().programs,
        MailWay::Sendmail(program) => vec![program.clone()],
        MailWay::Smtp(_) | MailWay::File(_) | MailWay::Stdout => Vec::new(),
    };
    let own = [reader::permit(), helper::permit(&Helper::default().program)];
    own.into_iter().chain(programs.iter().map(|program| sendmail::permit(program))).collect()
}

/// A sandbox that stands.
#[derive(Debug)]
pub struct Sandbox {
    /// How the limits are kept.
    pub hold: Hold,
    /// The first place that is another user's, for which `CAP_DAC_OVERRIDE` is kept.
    pub of_another: Option<PathBuf>,
    /// What could not be given up.
    pub kept: Vec<PrivilegeError>,
}

/// Starts a broker for a daemon with this configuration and puts up the sandbox with these limits, for the life of this process. To be
/// called before any thread is started.
///
/// # Errors
/// [`SandboxError`]; then all works as before.
pub fn put_up(config: &Config, limits: &Limits) -> Result<Sandbox, SandboxError> {
    let of_another = of_another(config, limits);
    let broker = Broker::start(permits(config)).map_err(SandboxError::Helper)?;
    match landlock::confine(limits) {
        Ok(hold) => {
            broker.install();
            let kept = restrict(ProcessKind::Daemon, of_another.is_some());
            Ok(Sandbox { hold, of_another, kept })
        }
        Err(error) => {
            broker.dismiss();
            Err(error)
        }
    }
}

/// The first of the places where a daemon writes that root can write only because it is root, and not as their owner.
fn of_another(config: &Config, limits: &Limits) -> Option<PathBuf> {
    let name = config.database.file_name()?.as_bytes();
    let beside = config.database.parent().and_then(|directory| directory.read_dir().ok()).into_iter().flatten();
    let own = beside.filter_map(Result::ok).filter(|entry| entry.file_name().as_bytes().starts_with(name));
    let files = own.map(|entry| entry.path()).chain(config.mail.fallback_mbox.clone());
    let places: Vec<PathBuf> = limits.writable.iter().cloned().chain(files).collect();
    // Where nothing can be asked, nothing can be given up either.
    written_by_override(&places).ok().flatten().cloned()
}

/// Puts up the sandbox of a daemon with this configuration and says how that went; without one it works as well.
pub fn put_up_if_possible(config: &Config) {
    let mails = match &config.mail.way {
        MailWay::File(directory) => Some(directory.as_path()),
        _ => None,
    };
    for directory in [config.database.parent(), mails].into_iter().flatten() {
        // A rule binds what is there. What cannot be made is told by the attempt to open it.
        drop(make_private_directory(directory));
    }
    // Nor can it be given another mode any more.
    drop(withdraw_from_others(&config.database));
    match put_up(config, &limits(config)) {
        Ok(sandbox) => tell(&sandbox),
        Err(error) => {
            tracing::warn!(error = %with_causes(&error), "without a sandbox");
        }
    }
}

fn tell(sandbox: &Sandbox) {
    let version = sandbox.hold.version;
    if sandbox.hold.is_full {
        tracing::info!(landlock = version, "the sandbox is up");
    } else {
        tracing::info!(landlock = version, "the sandbox is up, as far as this kernel knows it");
    }
    for error in &sandbox.kept {
        tracing::warn!(error = %with_causes(error), "the sandbox is not whole");
    }
    if let Some(place) = &sandbox.of_another {
        let place = escape_name(place.as_os_str().as_bytes());
        tracing::warn!(
            place,
            kept = "CAP_DAC_OVERRIDE",
            "the sandbox is not whole: it writes what belongs to another user"
        );
    }
}

/// Why the sandbox that stands does not do for another configuration; `None` when it does, or none stands.
pub(super) fn objection(next: &Config) -> Option<String> {
    let (held, _) = landlock::limits()?;
    let mut lacks = held.lacks(&limits(next));
    let known = broker::installed().map(Broker::permits).unwrap_or_default();
    let unknown = permits(next).into_iter().filter(|permit| !known.contains(permit));
    lacks.extend(unknown.map(|permit| format!("running {}", escape_name(permit.program.as_encoded_bytes()))));
    let lacks = lacks.join(", ");
    (!lacks.is_empty()).then(|| {
        format!(
            "it needs what this process gave up at its start, and nothing gives that back ({lacks}): restart integrityd, \
             and the new settings take effect"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn of(mail: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("integrityd.conf");
        std::fs::write(&path, format!("database = /var/lib/integrityd/db\narea = /etc\n{mail}\n")).unwrap();
        config::load(&path).unwrap()
    }

    #[test]
    fn each_way_of_the_mails_opens_what_it_needs_and_no_more() {
        let told = |mail: &str| {
            let config = of(mail);
            let limits = limits(&config);
            let places: Vec<String> = limits.writable.iter().map(|path| path.display().to_string()).collect();
            let free: Vec<_> = permits(&config).into_iter().filter(|permit| permit.is_free).collect();
            (places.join(" "), limits.ports.into_iter().collect::<Vec<u16>>(), free.len())
        };
        let state = "/var/lib/integrityd".to_owned();
        assert_eq!(told(""), (state.clone(), vec![25], 2));
        assert_eq!(told("mail = smtp://192.0.2.1:587?tls=none"), (state.clone(), vec![587], 0));
        assert_eq!(told("mail = smtps://mx.example.org"), (state.clone(), vec![53, 465], 0));
        assert_eq!(told("mail = sendmail:/opt/sendmail"), (state.clone(), vec![], 1));
        assert_eq!(told("mail = file:/srv/mails"), (format!("/srv/mails {state}"), vec![], 0));
        assert_eq!(told("mail = stdout:\nfallbackmbox = /var/mail/root"), (format!("{state} /var/mail"), vec![], 0));
    }

    #[test]
    fn a_deputy_runs_what_it_was_permitted_word_by_word() {
        let permits = permits(&of(""));
        let may = |words: &str| {
            let mut words = words.split(' ').map(std::ffi::OsString::from);
            let program = words.next().unwrap();
            let arguments: Vec<_> = words.collect();
            permits.iter().any(|permit| permit.admits(&program, &arguments))
        };
        assert!(may("/usr/sbin/sendmail -i -f integrityd@web3 -- -root@web3"));
        assert!(may("/proc/self/exe scout 7 /mnt"));
        for words in [
            "/usr/sbin/sendmail -i -f -C/tmp/evil -- root",
            "/usr/sbin/sendmail -i -f x -- root more",
            "/usr/sbin/sendmail -bi",
            "/usr/sbin/sendmail -C/tmp/evil -f x -- root",
            "/bin/sh -i -f x -- root",
            "/proc/self/exe run",
            "/proc/self/exe scout --config /mnt",
            "/usr/bin/journalctl --vacuum-size=1",
        ] {
            assert!(!may(words), "{words}");
        }
    }
}
