//! Logs: every line once, in order, whatever rotates, truncates, replaces or hides the files they stand in; the
//! journal as such lines; and the rules of logcheck, which of them a line matches.
//!
//! Downwards: suggest, logcheck, group, own_mail, rules, pattern, journal, line.

pub mod group;
pub mod journal;
pub mod line;
pub mod logcheck;
mod own_mail;
pub mod pattern;
pub mod rules;
pub mod suggest;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::config::{Config, LogGroup},
    logs::{
        group::{context::Surroundings, log_group::Group, sources::LogSource},
        logcheck::take_over::{forget_others, inherit},
    },
    model::{
        clock::{Boottime, Clock, Moment},
        health::TroubleKind,
        keepalive::Keepalive,
    },
    store::{
        db::run_blocking,
        sqlite::{
            connection::Store,
            error::{StoreError, with_causes},
        },
    },
    sys::sleep,
};

/// The first and the longest wait after the store has failed.
const STORE_RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// The task that reads logs.
#[derive(Debug)]
pub struct Tailer {
    /// The settings.
    pub config: Arc<Config>,
    /// The store, and what is known of this process.
    pub surroundings: Surroundings,
    /// The time.
    pub clock: Clock,
    /// Beats with each chunk.
    pub pulse: Keepalive,
    /// When to end.
    pub stop: CancellationToken,
}

/// The groups of a generation, and when their rules were looked at.
struct LogGroups {
    groups: Vec<Box<Group>>,
    rules_checked: Boottime,
}

impl Tailer {
    /// Reads all logs every few seconds until told to stop. A failing store makes it wait; what could not be stored is read again. The
    /// first wait is only `phase` of the others, 0 to 1 (0 counts as 1).
    pub async fn run(self, phase: f64) {
        let mut patience = STORE_RETRY.0;
        let mut part = if phase > 0.0 { phase } else { 1.0 };
        let mut groups = None;
        loop {
            self.pulse.beat();
            let rest = match self.step(&mut groups, Some(self.config.logcheck.check_time)).await {
                Ok(has_more) => {
                    patience = STORE_RETRY.0;
                    let whole = self.config.logcheck.check_time;
                    if has_more { Duration::ZERO } else { whole.mul_f64(std::mem::replace(&mut part, 1.0)) }
                }
                Err(error) => {
                    tracing::error!(error = %with_causes(&error), wait = ?patience, "the logs cannot be read on; they wait");
                    self.surroundings.db.troubles.note(&error, self.clock.now());
                    patience = (patience * 2).min(STORE_RETRY.1);
                    patience / 2
                }
            };
            if self.stop.run_until_cancelled(sleep::rest(&self.clock, rest)).await.is_none() {
                break;
            }
        }
        self.count_hits(groups).await;
    }

    /// Stores how often rules were found since the last time.
    async fn count_hits(&self, groups: Option<LogGroups>) {
        let Some(mut groups) = groups else { return };
        let now = self.clock.now();
        let count = move || groups.groups.iter_mut().try_for_each(|group| group.count_hits(now));
        if let Err(error) = run_blocking(count).await {
            tracing::error!(error = %with_causes(&error), "the last hits of rules were not counted");
        }
    }

    /// Reads everything that is there now, once.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; what could not be stored will be read again.
    pub async fn run_once(&self) -> Result<(), StoreError> {
        let mut groups = None;
        self.step(&mut groups, None).await?;
        self.count_hits(groups).await;
        Ok(())
    }

    /// Goes round once, for about `most`; gives whether there is more to read at once.
    async fn step(&self, kept: &mut Option<LogGroups>, most: Option<Duration>) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let Some(mut groups) = kept.take() else {
            // It has been looked for logs and rules just now.
            let mut groups = self.settle_in().await?;
            let read = self.read_all(&mut groups, most).await;
            *kept = Some(groups);
            return read;
        };
        let is_time = now.boottime.since(groups.rules_checked) >= self.config.logcheck.rule_update;
        if is_time {
            groups.rules_checked = now.boottime;
        }
        let read = match self.look_after_all(&mut groups, now, is_time).await {
            Ok(()) => self.read_all(&mut groups, most).await,
            Err(error) => Err(error),
        };
        *kept = Some(groups);
        read
    }

    /// Looks for new logs, and when it is time for changed rules.
    async fn look_after_all(&self, groups: &mut LogGroups, now: Moment, is_time: bool) -> Result<(), StoreError> {
        let mut has_new_rules = false;
        let mut done = Ok(());
        for number in 0..groups.groups.len() {
            match groups.job(number, move |group| look_after(group, now, is_time)).await {
                Ok(has_changed) => has_new_rules |= has_changed,
                Err(error) => done = Err(error),
            }
        }
        if has_new_rules {
            let owned = |(file, text): (&[u8], &[u8])| (file.to_vec(), text.to_vec());
            let rules: Vec<_> = groups.groups.iter().flat_map(|group| group.rules()).map(owned).collect();
            let know = move |store: &mut Store| store.know_rules(rules.iter().map(|(f, t)| (&**f, &**t)), now.wall);
            done = done.and(self.surroundings.db.call(know).await);
            let off: Vec<_> = groups.groups.iter().filter_map(|group| group.rules_off()).collect();
            let note = move |store: &mut Store| store.set_troubles(TroubleKind::RuleOff, &off, now.wall);
            done = done.and(self.surroundings.db.call(note).await);
        }
        done
    }

    /// Brings groups, rules and positions together.
    async fn settle_in(&self) -> Result<LogGroups, StoreError> {
        let (config, surroundings, clock) = (Arc::clone(&self.config), self.surroundings.clone(), self.clock.clone());
        run_blocking(move || {
            let now = clock.now();
            let new = |settings: &LogGroup| Group::new(settings, &config, &surroundings, now).map(Box::new);
            let mut groups = group::sources::merged(&config.logs).iter().map(new).collect::<Result<Vec<_>, _>>()?;
            inherit(&groups, &config.adopt, &surroundings.db, now)?;
            forget_others(&mut surroundings.db.lock(), &groups)?;
            let rules = groups.iter().flat_map(|group| group.rules());
            surroundings.db.lock().know_rules(rules, now.wall)?;
            for group in &mut groups {
                group.begin()?;
                group.tell_standing(now)?;
            }
            let off: Vec<_> = groups.iter().filter_map(|group| group.rules_off()).collect();
            surroundings.db.lock().set_troubles(TroubleKind::RuleOff, &off, now.wall)?;
            Ok(LogGroups { groups, rules_checked: now.boottime })
        })
        .await
    }

    /// Goes round the logs, a chunk of each at a time, until all are at their end or `most` is over: then it is time to look for changed
    /// rules and new logs. Gives whether there is more.
    async fn read_all(&self, groups: &mut LogGroups, most: Option<Duration>) -> Result<bool, StoreError> {
        let begun = self.clock.now().boottime;
        let mut waiting: Vec<(usize, LogSource)> = (0..)
            .zip(&groups.groups)
            .flat_map(|(number, group)| group.sources().into_iter().map(move |source| (number, source)))
            .collect();
        while !waiting.is_empty() && !self.stop.is_cancelled() {
            let mut left = Vec::new();
            for (number, source) in waiting {
                if self.stop.is_cancelled() {
                    return Ok(false);
                }
                self.pulse.beat();
                let (clock, log) = (self.clock.clone(), source.clone());
                if groups.job(number, move |group| group.poll(&log, clock.now())).await? {
                    left.push((number, source));
                }
            }
            waiting = left;
            if most.is_some_and(|most| self.clock.now().boottime.since(begun) >= most) {
                return Ok(!waiting.is_empty());
            }
        }
        Ok(false)
    }
}

impl LogGroups {
    /// Lends a group to a blocking job.
    async fn job<T: Send + 'static>(
        &mut self,
        number: usize,
        work: impl FnOnce(&mut Group) -> T + Send + 'static,
    ) -> T {
        // The last one takes its place meanwhile.
        let mut group = self.groups.swap_remove(number);
        let (group, result) = run_blocking(move || {
            let result = work(&mut group);
            (group, result)
        })
        .await;
        self.groups.push(group);
        let last = self.groups.len() - 1;
        self.groups.swap(number, last);
        result
    }
}

fn look_after(group: &mut Group, now: Moment, is_time: bool) -> Result<bool, StoreError> {
    group.look_around(now)?;
    if is_time { group.refresh(now) } else { Ok(false) }
}
