//! Before the first generation: the database is opened, however long that takes.
//!
//! After a reboot with a full or read-only file system nothing can be stored, not even that. To end would be a loop of restarts that
//! tells nobody, or everybody each time; so it is told once by a mail from memory, and waited for.

use std::{sync::Arc, time::Duration};

use crate::{
    config::settings::config::Config,
    daemon::{
        DaemonError, composer,
        signals::{Orders, SignalOrder},
        store_monitor::EmergencyMailer,
        tell,
    },
    model::clock::Clock,
    report::transport::{Printer, Transport},
    store::{
        db::{Db, run_blocking},
        recovery::{encountered::Troubles, failure_kind::DbFailure},
        sqlite::{
            connection::Store,
            error::{StoreError, with_causes},
        },
    },
    sys::sd_notify::{self, Phase},
};

/// The first and the longest wait between two attempts.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// How often the service manager is told that the start goes on, and how much longer it may take each time.
const SIGN_TIME: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_mins(1);

/// All that opens the database of a daemon, and tells when that fails.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The settings of the first generation.
    pub config: &'a Config,
    /// The time.
    pub clock: &'a Clock,
    /// The name of the machine, when the configuration gives none.
    pub host: &'a str,
    /// How the commands are called that a mail names.
    pub program: &'a str,
    /// Where `stdout:` prints.
    pub printer: &'a Printer,
}

impl Opening<'_> {
    /// Opens the database; while it cannot be read or written that is told, and tried again. `None` when told to stop meanwhile.
    ///
    /// # Errors
    /// [`DaemonError`] for what no waiting helps against: another daemon, distrust, a newer database, damage for the second time.
    pub async fn open(&self, orders: &mut Orders) -> Result<Option<Db>, DaemonError> {
        let troubles = Troubles::default();
        let mut alarm = None;
        let mut patience = RETRY.0;
        loop {
            let (path, now) = (self.config.database.clone(), self.clock.now());
            let error = match run_blocking(move || Store::open(&path, now)).await {
                Ok(store) => {
                    let mut db = Db::new(store);
                    // The first generation tells that it is over, and does not tell it as an emergency again.
                    db.troubles = troubles;
                    return Ok(Some(db));
                }
                Err(error) => error,
            };
            if !may_pass(&error) {
                return Err(error.into());
            }
            tracing::error!(error = %with_causes(&error), wait = ?patience, "the database cannot be opened; it is tried again");
            troubles.note_whatever_it_is(&error, now);
            let alarm = match &mut alarm {
                Some(alarm) => alarm,
                none => none.insert(self.alarm()?),
            };
            let wait = async {
                alarm.tell(&troubles, true, now).await;
                tokio::time::sleep(patience).await;
            };
            if !is_undisturbed(wait, orders).await {
                return Ok(None);
            }
            patience = (patience * 2).min(RETRY.1);
        }
    }

    fn alarm(&self) -> Result<EmergencyMailer, DaemonError> {
        let composer = composer::composer(self.config, self.host, self.clock, self.program);
        let mail = &self.config.mail;
        let transport = Transport::new(mail, &composer.host, self.printer)?;
        Ok(EmergencyMailer::new(transport, Arc::new(composer), self.config.database.clone(), mail.send_timeout))
    }
}

fn may_pass(error: &StoreError) -> bool {
    error.failure().is_some_and(|failure| !matches!(failure, DbFailure::Corrupt | DbFailure::Unreadable))
}

/// Waits; `false` when told to stop meanwhile.
async fn is_undisturbed(wait: impl Future<Output = ()>, orders: &mut Orders) -> bool {
    tokio::pin!(wait);
    let mut signs = tokio::time::interval(SIGN_TIME);
    loop {
        tokio::select! {
            () = &mut wait => return true,
            // Else it would end a start that takes too long, and begin another.
            _ = signs.tick() => run_blocking(|| sd_notify::linger(PATIENCE)).await,
            order = orders.next() => if order == SignalOrder::Stop {
                tracing::info!("told to stop");
                tell(Phase::Stopping).await;
                return false;
            },
        }
    }
}
