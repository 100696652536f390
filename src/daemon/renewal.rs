//! Between two generations: the database is opened anew, however long that takes.

use std::time::Duration;

use super::signals::{Order, Orders};
use crate::{
    model::clock::Clock,
    store::{
        ailment::Ailment,
        door::Db,
        error::{StoreError, with_causes},
    },
};

/// The first and the longest wait between two attempts.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// Opens the database anew; tries until that succeeds. `false` when told to stop meanwhile.
///
/// # Errors
/// [`StoreError`] for what no waiting helps against: damage for the second time, another daemon, distrust.
pub(super) async fn renew(db: &Db, clock: &Clock, why: Ailment, orders: &mut Orders) -> Result<bool, StoreError> {
    tracing::error!(why = ?why, "the database is opened anew");
    let mut patience = RETRY.0;
    loop {
        let now = clock.now();
        match db.call(move |store| store.renew(why, now)).await {
            Ok(()) => {
                db.troubles.end_renewal();
                return Ok(true);
            }
            Err(error) if error.ailment().is_none() => return Err(error),
            Err(error) => {
                tracing::error!(error = %with_causes(&error), wait = ?patience, "the database cannot be opened anew");
            }
        }
        let rest = tokio::time::sleep(patience);
        tokio::pin!(rest);
        loop {
            tokio::select! {
                () = &mut rest => break,
                order = orders.next() => if order == Order::Stop {
                    return Ok(false);
                },
            }
        }
        patience = (patience * 2).min(RETRY.1);
    }
}
