//! Between two generations: the database is opened anew, however long that takes.

use std::time::Duration;

use crate::{
    daemon::{
        error::DaemonError,
        signals::{Orders, SignalOrder},
        store_monitor::EmergencyMailer,
    },
    model::clock::Clock,
    store::{
        db::{Db, run_blocking},
        recovery::{encountered::StoreTrouble, failure_kind::DbFailure},
        sqlite::error::{StoreError, with_causes},
    },
    sys::{landlock, sd_notify},
};

/// The first and the longest wait between two attempts.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// How often the service manager hears that we are at it.
const FEED_TIME: Duration = Duration::from_secs(5);

/// Opens the database anew; tries until that succeeds. `false` when told to stop meanwhile. What keeps it from succeeding is told by
/// `alarm`, once.
///
/// # Errors
/// [`DaemonError`] for what no waiting helps against: damage for the second time, another daemon, distrust, and a directory that the
/// sandbox does not know.
pub(super) async fn renew(
    db: &Db,
    clock: &Clock,
    why: DbFailure,
    orders: &mut Orders,
    alarm: EmergencyMailer,
) -> Result<bool, DaemonError> {
    tracing::error!(why = ?why, "the database is opened anew");
    let (mut patience, mut alarm, since) = (RETRY.0, Some(alarm), clock.now());
    loop {
        let now = clock.now();
        match db.call(move |store| store.renew(why, now)).await {
            Ok(()) => {
                db.troubles.end_renewal();
                return Ok(true);
            }
            Err(error) if is_out_of_reach(&error) => {
                if let Some(mut alarm) = alarm.take() {
                    let words = with_causes(&error);
                    alarm.raise(&StoreTrouble { since, failure: DbFailure::Unwritable, words, failures: 1 }, now);
                    alarm.send().await;
                }
                return Err(DaemonError::Displaced(error));
            }
            Err(error) if error.failure().is_none() => return Err(error.into()),
            Err(error) => {
                tracing::error!(error = %with_causes(&error), wait = ?patience, "the database cannot be opened anew");
                if let Some(mut alarm) = alarm.take() {
                    let words = with_causes(&error);
                    alarm.raise(&StoreTrouble { since, failure: DbFailure::Unwritable, words, failures: 1 }, now);
                    // A server that is slow holds up nothing here.
                    tokio::spawn(async move { alarm.send().await });
                }
            }
        }
        let rest = tokio::time::sleep(patience);
        tokio::pin!(rest);
        loop {
            run_blocking(sd_notify::feed).await;
            tokio::select! {
                () = &mut rest => break,
                () = tokio::time::sleep(FEED_TIME) => {}
                order = orders.next() => if order == SignalOrder::Stop {
                    return Ok(false);
                },
            }
        }
        patience = (patience * 2).min(RETRY.1);
    }
}

/// Whether the sandbox refuses what the rights of the user would allow: another directory lies where the state was at the start.
fn is_out_of_reach(error: &StoreError) -> bool {
    let is_denied = |source: &std::io::Error| source.kind() == std::io::ErrorKind::PermissionDenied;
    landlock::limits().is_some() && matches!(error, StoreError::Io { source, .. } if is_denied(source))
}
