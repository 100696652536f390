//! From a batch of events to stored mails: who gets which events, rendered and composed, in one go with the store.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    os::unix::ffi::OsStrExt,
};

use jiff::tz::TimeZone;

use super::{
    batch::{Batch, Tally},
    fold::grown,
    gather::gather,
    mime::{Letter, MessageId, MimeError, check_address, compose},
    render::render,
    subject::in_counts,
    trouble::delivery_trouble,
    words::Times,
};
use crate::{
    config::settings::Config,
    model::{
        clock::{Clock, Moment},
        coverage::Coverage,
        event::{Category, Channel, Kind, StoredEvent},
    },
    store::{
        areas::{AreaRow, AreaState},
        database::Store,
        error::StoreError,
        events::{Range, Waiting},
        outbox::{NewReport, ReportId},
    },
    sys::users::Names,
};

/// Reports queued for every recipient beyond which new events stay unbatched. One recipient whose server refuses does not keep
/// the others from theirs.
pub const MOST_QUEUED: u64 = 50;

/// Events read beyond those that are listed, because they are folded into the lines of others.
const MOST_FOLDED: usize = 10_000;

/// Why a batch could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A mail could not be composed.
    #[error("a report could not be composed")]
    Compose(#[from] MimeError),
}

/// Recipients who get the same events: all of them, or those of some areas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readership {
    /// Mail addresses, at least one.
    pub recipients: Vec<String>,
    /// Paths of the areas whose events they get; `None` for all events.
    pub areas: Option<Vec<Vec<u8>>>,
}

/// Groups all recipients of a configuration by what they get. One who gets everything gets it once.
pub fn readerships(config: &Config) -> Vec<Readership> {
    let everything: BTreeSet<String> = config.recipients.iter().map(|to| full_address(to)).collect();
    let mut by_recipient: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for area in &config.areas {
        for to in area.recipients.iter().map(|to| full_address(to)).filter(|to| !everything.contains(to)) {
            by_recipient.entry(to).or_default().insert(area.path.as_os_str().as_bytes().to_vec());
        }
    }
    let mut by_areas: BTreeMap<BTreeSet<Vec<u8>>, Vec<String>> = BTreeMap::new();
    for (to, areas) in by_recipient {
        by_areas.entry(areas).or_default().push(to);
    }
    let general = Readership { recipients: everything.into_iter().collect(), areas: None };
    let particular = by_areas
        .into_iter()
        .map(|(areas, recipients)| Readership { recipients, areas: Some(areas.into_iter().collect()) });
    std::iter::once(general).filter(|general| !general.recipients.is_empty()).chain(particular).collect()
}

/// Checks that every mail of this configuration can be composed.
///
/// # Errors
/// [`MimeError`] names the first address that no mail can carry.
pub fn check_addresses(from: &str, readerships: &[Readership]) -> Result<(), MimeError> {
    let recipients = readerships.iter().flat_map(|readership| &readership.recipients);
    recipients.map(String::as_str).chain([from]).try_for_each(check_address)
}

/// The sender of a machine: `integrityd@` and its name, or `localhost` where the name fits into no address.
pub fn default_sender(host: &str) -> String {
    let sender = format!("integrityd@{}", host.trim_end_matches('.'));
    if check_address(&sender).is_ok() { sender } else { "integrityd@localhost".to_owned() }
}

/// A local name as a mail address.
pub fn full_address(to: &str) -> String {
    if to.contains('@') { to.to_owned() } else { format!("{to}@localhost") }
}

/// What all mails of this daemon have in common.
#[derive(Debug, Clone)]
pub struct Postmaster {
    /// The name of the machine.
    pub host: String,
    /// The sender.
    pub from: String,
    /// Who gets what.
    pub readerships: Vec<Readership>,
    /// Most items a section.
    pub lines: usize,
    /// The zone times are shown in.
    pub zone: TimeZone,
    /// The time.
    pub clock: Clock,
    /// How the commands are called that a mail names.
    pub program: String,
}

impl Postmaster {
    /// Makes everything that waits in `channel` into reports and stores them. `false` when nothing waits.
    ///
    /// # Errors
    /// [`BatchError`]; then nothing was stored and the events wait on.
    pub fn batch(&self, store: &mut Store, channel: Channel) -> Result<bool, BatchError> {
        let Some(waiting) = store.waiting(channel)? else {
            return Ok(false);
        };
        let now = self.clock.now();
        let notices = delivery_trouble(store, &Times::new(now.wall, &self.zone), &self.program)?;
        let names = Names::read(std::path::Path::new("/"));
        let mut reports: Vec<NewReport> = Vec::new();
        let mut counts = Vec::new();
        let first_id = store.next_report()?;
        for readership in &self.readerships {
            let id = ReportId(first_id.0 + i64::try_from(reports.len()).unwrap_or(0));
            if let Some((report, words)) =
                self.report(store, channel, &waiting, readership, id, now, &names, &notices)?
            {
                reports.push(report);
                counts.push(words);
            }
        }
        store.batch(channel, waiting.last_seq, now, &reports)?;
        for (report, words) in reports.iter().zip(counts) {
            // Nothing that others wrote: a log is read again, and a line of it that we repeat would be told again.
            tracing::info!("report {}: {words}", report.id.0);
        }
        Ok(true)
    }

    #[expect(clippy::too_many_arguments, reason = "one private step of batch, split off for its length")]
    fn report(
        &self,
        store: &Store,
        channel: Channel,
        waiting: &Waiting,
        readership: &Readership,
        id: ReportId,
        now: Moment,
        names: &Names,
        notices: &[String],
    ) -> Result<Option<(NewReport, String)>, BatchError> {
        let range =
            Range { channel, first: waiting.first_seq, last: waiting.last_seq, areas: readership.areas.clone() };
        let counts = store.count_in(&range)?;
        if counts.is_empty() {
            return Ok(None);
        }
        let lines = gather(store, &range, self.lines)?;
        let mut events = self.events(store, &range, self.lines)?;
        let grown = grown(store, &range, &events)?;
        if !grown.is_empty() {
            // What is folded into one line leaves room for others.
            let folded = grown.iter().fold(0, |sum: u64, grown| sum.saturating_add(grown.added));
            let more = usize::try_from(folded).unwrap_or(MOST_FOLDED).min(MOST_FOLDED);
            events = self.events(store, &range, self.lines.saturating_add(more))?;
        }
        let mut tally = Tally::default();
        for count in counts {
            tally.add_counted(count.category, count.severity, count.events);
        }
        for stored in &events {
            tally.cover(stored.seq, stored.event.found.wall);
        }
        for item in lines.iter().flat_map(|section| &section.items) {
            tally.cover(item.seq, item.last);
        }
        tally.cover(waiting.last_seq, waiting.first.wall);
        let rendered = render(&Batch {
            host: &self.host,
            now,
            zone: &self.zone,
            events: &events,
            lines: &lines,
            tally: &tally,
            limit: self.lines,
            grown: &grown,
            coverage: coverage(store)?,
            head: store.head()?.hash,
            names,
            notices,
            program: &self.program,
        });
        let message_id = MessageId { instance: store.uuid(), report: id.0.cast_unsigned(), part: 1 };
        let bytes = compose(&Letter {
            from: &self.from,
            to: &readership.recipients,
            subject: &rendered.subject,
            text: &rendered.text,
            host: &self.host,
            severity: rendered.severity,
            range: (tally.first_seq, tally.last_seq),
            date: now.wall,
            zone: &self.zone,
            id: message_id,
        })?;
        let report = NewReport {
            id,
            message_id: message_id.text(&self.host),
            severity: rendered.severity,
            subject: rendered.subject,
            bytes,
            recipients: readership.recipients.clone(),
            range,
        };
        Ok(Some((report, in_counts(&tally))))
    }

    /// The events of `range` that are listed, log lines aside: of each section as many as it may have.
    fn events(&self, store: &Store, range: &Range, most: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let mut events = Vec::new();
        for kind in [Kind::File, Kind::Own, Kind::Log, Kind::Process] {
            let categories: Vec<Category> = Category::ALL
                .iter()
                .copied()
                .filter(|category| category.kind() == kind && !category.is_line())
                .collect();
            // Only findings about files are folded.
            let most = if kind == Kind::File { most } else { self.lines };
            events.extend(store.events_in(range, &categories, most)?);
        }
        // What happened to one path stays in its order.
        events.sort_by(|one, other| {
            let key = |stored: &StoredEvent| (Reverse(stored.event.severity), stored.event.source.clone(), stored.seq);
            key(one).cmp(&key(other))
        });
        Ok(events)
    }
}

/// How well the baseline is kept; `None` where no area is watched.
fn coverage(store: &Store) -> Result<Option<Coverage>, StoreError> {
    let is_watched = |row: &AreaRow| row.state != AreaState::Unconfigured;
    if store.areas()?.iter().any(is_watched) { store.coverage().map(Some) } else { Ok(None) }
}
