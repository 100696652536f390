//! The tasks of one configuration: they begin together, are rung together, and end together at their safe points.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::Config,
    model::{clock::Moment, event::Channel},
    report::postmaster::Postmaster,
    store::{ailment::Ailment, database::Store, door::Db, error::with_causes},
};

/// How long the tasks may take to reach their safe points.
const STOP_TIME: Duration = Duration::from_secs(8);

/// What comes after a generation.
#[derive(Debug)]
pub(super) enum Turn {
    /// Another one, with these settings.
    Next(Box<Config>),
    /// Another one, over a database that was opened anew.
    Renew(Ailment),
    /// The end.
    Stop,
}

/// The tasks of one configuration.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) tasks: JoinSet<&'static str>,
    pub(super) stop: CancellationToken,
    pub(super) postmaster: Arc<Postmaster>,
    /// Rings the courier.
    pub(super) courier: Arc<Notify>,
}

impl Generation {
    /// Wakes everybody when a command beside us has written: a retried delivery, an accepted area.
    pub(super) async fn listen(&self, db: &Db, now: Moment) {
        match db.call(Store::have_others_written).await {
            Ok(false) => {}
            Ok(true) => {
                let bells = db.lock().bells();
                for channel in Channel::ALL {
                    bells.of(channel).notify_one();
                }
                self.courier.notify_one();
            }
            Err(error) => {
                db.troubles.note(&error, now);
                tracing::error!(error = %with_causes(&error), "others cannot be listened to");
            }
        }
    }

    /// Makes reports of everything that waits and has every queued delivery tried at once.
    pub(super) async fn send_now(&self, db: &Db, now: Moment) {
        for channel in Channel::ALL {
            let postmaster = Arc::clone(&self.postmaster);
            if let Err(error) = db.call(move |store| postmaster.batch(store, channel)).await {
                tracing::error!(error = %with_causes(&error), "no report could be made; its events wait");
            }
        }
        if let Err(error) = db.call(move |store| store.make_due(now)).await {
            tracing::error!(error = %with_causes(&error), "the queue waits as before");
        }
        self.courier.notify_one();
    }

    /// Ends all tasks at their safe points; what does not get there in time is dropped, the store keeps the truth.
    pub(super) async fn end(&mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIME, all).await.is_err() {
            tracing::warn!("some tasks did not end in time");
            self.tasks.shutdown().await;
        }
    }
}

/// A task that gives its name when it ends.
pub(super) async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}
