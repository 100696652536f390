//! From a batch of events to stored mails: who gets which events, rendered and composed, in one go with the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::ffi::OsStrExt,
    time::Duration,
};

use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::{
    config::settings::config::{Attach, Config, ReportSettings, SubjectStyle},
    export::ecs::Host,
    model::{
        clock::{Clock, Moment},
        event::Channel,
        file::coverage::Coverage,
        format::number,
    },
    report::{
        mail::{
            attachment::{Attachment, attachment},
            mime::{MessageId, MimeError, MimeMessage, check_address, compose_with},
        },
        render::{
            batch::{Batch, BatchTally},
            choice::{chosen, shares},
            format::Times,
            report::{Rendered, render, render_counts},
            sections::{collapse::grown, delivery_failures::delivery_trouble, log_section::gather},
            subject::{in_counts, logcheck_subject},
        },
    },
    store::{
        baseline::areas::{AreaRow, AreaState},
        events::append::{Range, WaitingEvents},
        outbox::reports::{NewReport, ReportId},
        sqlite::{connection::Store, error::StoreError},
    },
    sys::{fault_injection, panic::catch_panic, users::Names},
};

/// Reports queued for every recipient of a batch beyond which its events stay unbatched. One recipient whose server refuses does not keep
/// the others from theirs.
pub const MOST_QUEUED: u64 = 50;

/// Events read beyond those that are listed, because they are folded into the lines of others.
const MOST_FOLDED: usize = 10_000;

/// How often the program may end while it makes a report that a mail can hold.
const FALLS_OF_SMALL: u64 = 5;

/// Why a report is made in counts only: because our own code has stumbled, and because the program ended while it made it.
const FAULT: &str = "a fault in integrityd: this report could not be written in full";
const FALLEN: &str = "integrityd ended while it wrote this report in full, so these are only counts";

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
pub struct Audience {
    /// Mail addresses, at least one.
    pub recipients: Vec<String>,
    /// Paths of the areas whose events they get; `None` for all events.
    pub areas: Option<Vec<Vec<u8>>>,
}

/// Groups all recipients of a configuration by what they get. One who gets everything gets it once.
pub fn readerships(config: &Config) -> Vec<Audience> {
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
    let general = Audience { recipients: everything.into_iter().collect(), areas: None };
    let particular = by_areas
        .into_iter()
        .map(|(areas, recipients)| Audience { recipients, areas: Some(areas.into_iter().collect()) });
    std::iter::once(general).filter(|general| !general.recipients.is_empty()).chain(particular).collect()
}

/// Checks that every mail of this configuration can be composed.
///
/// # Errors
/// [`MimeError`] names the first address that no mail can carry.
pub fn check_addresses(from: &str, readerships: &[Audience]) -> Result<(), MimeError> {
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
pub struct ReportComposer {
    /// The name of the machine.
    pub host: String,
    /// The sender.
    pub from: String,
    /// Who gets what.
    pub readerships: Vec<Audience>,
    /// Most items a section.
    pub lines: usize,
    /// The zone times are shown in.
    pub zone: TimeZone,
    /// The time.
    pub clock: Clock,
    /// How the commands are called that a mail names.
    pub program: String,
    /// The form of the mails.
    pub form: MailForm,
}

/// The form of the mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailForm {
    /// When events are attached for machines.
    pub attach: Attach,
    /// Whose subjects.
    pub subject: SubjectStyle,
    /// The id of this machine; empty when unknown.
    pub machine: String,
    /// After how long a standing fault is told again.
    pub error_nag: Duration,
}

impl Default for MailForm {
    /// As it is without any setting.
    fn default() -> Self {
        let error_nag = Duration::from_hours(2);
        Self { attach: Attach::Never, subject: SubjectStyle::Own, machine: String::new(), error_nag }
    }
}

impl MailForm {
    /// The form that `settings` ask for, on the machine with this id.
    pub fn new(settings: &ReportSettings, machine: String) -> Self {
        Self { attach: settings.attach, subject: settings.subject, machine, error_nag: settings.error_nag }
    }
}

impl ReportComposer {
    /// Whether everybody whom the next batch of `channel` would be sent to has so many reports waiting that it had better wait, too.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn is_backlogged(&self, store: &Store, channel: Channel) -> Result<bool, StoreError> {
        let mut has_room = Vec::new();
        for readership in &self.readerships {
            if store.shortest_queue(&readership.recipients)? < MOST_QUEUED {
                has_room.push(readership);
            }
        }
        if has_room.len() == self.readerships.len() {
            return Ok(false);
        }
        let Some(waiting) = store.waiting(channel)? else {
            return Ok(false);
        };
        // An empty queue says nothing when its owner gets nothing of what waits.
        for readership in has_room {
            let range = waiting.range(channel, readership.areas.clone());
            if tally(store, &range, &waiting)?.severity().is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes everything that waits in `channel` into reports and stores them. `false` when nothing waits.
    ///
    /// # Errors
    /// [`BatchError`]; then nothing was stored and the events wait on.
    pub fn batch(&self, store: &mut Store, channel: Channel) -> Result<bool, BatchError> {
        let now = self.clock.now();
        let Some(waiting) = store.waiting(channel)? else {
            return Ok(false);
        };
        // What is missing is told with what is there.
        let is_whole = store.tell_gap(waiting.first_seq, waiting.last_seq, now)?;
        let waiting = if is_whole { waiting } else { store.waiting(channel)?.unwrap_or(waiting) };
        let notices = delivery_trouble(store, &Times::new(now.wall, &self.zone), &self.program)?;
        let names = Names::read(std::path::Path::new("/"));
        let mut reports: Vec<NewReport> = Vec::new();
        let (mut counts, mut has_fault) = (Vec::new(), false);
        let first_id = store.next_report()?;
        let falls = store.begin_report(channel, waiting.first_seq)?;
        for readership in &self.readerships {
            let id = ReportId(first_id.0 + i64::try_from(reports.len()).unwrap_or(0));
            let range = waiting.range(channel, readership.areas.clone());
            let tally = tally(store, &range, &waiting)?;
            if tally.severity().is_none() {
                continue;
            }
            // A fault of ours in a report must not keep its events from being told.
            let previous = store.last_report_to(&readership.recipients)?;
            let occasion =
                ReportOccasion { previous: previous.as_deref(), readership, id, now, names: &names, notices: &notices };
            let bare = |why: &str| {
                let rendered = render_counts(&self.host, &tally, &self.program, why);
                self.message(store.uuid(), &range, rendered, &occasion, None)
            };
            let report = if falls > self.falls_allowed(&tally) {
                bare(FALLEN)?
            } else {
                catch_panic(|| self.report(store, &range, &tally, &occasion)).unwrap_or_else(|_caught| {
                    has_fault = true;
                    Ok(bare(FAULT)?)
                })?
            };
            reports.push(report);
            counts.push(in_counts(&tally));
        }
        store.end_report(channel)?;
        store.batch(channel, waiting.last_seq, now, &reports)?;
        if has_fault {
            let item = format!("the report of {}", channel.name());
            store.tell_fault(item.as_bytes(), "it was sent in counts only", now, self.form.error_nag)?;
        }
        for (report, words) in reports.iter().zip(counts) {
            // Nothing that others wrote: a log is read again, and a line of it that we repeat would be told again.
            tracing::info!("report {}: {words}", report.id.0);
        }
        Ok(true)
    }

    /// How often the program may end while it makes a report before that is made in counts only. Where a mail could list everything
    /// somebody has ended it, or the power went; a larger one must not end it again.
    fn falls_allowed(&self, tally: &BatchTally) -> u64 {
        let total = tally.count(|_, _| true);
        if total <= u64::try_from(self.lines).unwrap_or(u64::MAX) { FALLS_OF_SMALL } else { 0 }
    }

    /// Renders and composes one report.
    fn report(
        &self,
        store: &Store,
        range: &Range,
        tally: &BatchTally,
        occasion: &ReportOccasion<'_>,
    ) -> Result<NewReport, BatchError> {
        fault_injection::strike("render", range.channel.name().as_bytes());
        let lines = gather(store, range, self.lines)?;
        let mut events = chosen(store, range, self.lines, 0)?;
        let grown = grown(store, range, &events)?;
        if !grown.is_empty() {
            // What is folded into one line leaves room for others.
            let folded = grown.iter().fold(0, |sum: u64, grown| sum.saturating_add(grown.added));
            let more = usize::try_from(folded).unwrap_or(MOST_FOLDED).min(MOST_FOLDED);
            drop(events);
            events = chosen(store, range, self.lines, more)?;
        }
        let shares = shares(store, range, tally, &events)?;
        let mut tally = tally.clone();
        for stored in &events {
            tally.cover(stored.seq, stored.event.found.wall);
        }
        for item in lines.iter().flat_map(|section| &section.items) {
            tally.cover(item.seq, item.last);
        }
        let mut rendered = render(&Batch {
            host: &self.host,
            now: occasion.now,
            zone: &self.zone,
            events: &events,
            lines: &lines,
            tally: &tally,
            limit: self.lines,
            grown: &grown,
            shares: &shares,
            coverage: coverage(store)?,
            // That of the last event told of: the chain may have gone on, and this is what the mail is a witness of.
            head: store.hash_at(range.last)?.unwrap_or(store.head()?.hash),
            names: occasion.names,
            notices: occasion.notices,
            program: &self.program,
        });
        if self.form.subject == SubjectStyle::Logcheck
            && let Some(subject) = logcheck_subject(&self.host, &tally, occasion.now.wall, &self.zone)
        {
            rendered.subject = subject;
        }
        let total = tally.count(|_, _| true);
        let attachment = if self.form.attach.is_wanted(total) { self.attachment(store, range)? } else { None };
        if let Some(cut) = attachment.as_ref().filter(|attachment| attachment.events < total) {
            let (first, all, program) = (number(cut.events), number(total), &self.program);
            rendered.text.push_str(&format!("ATTACHED  the first {first} of {all} events: {program} history --json\n"));
        }
        let told = Range { first: tally.first_seq, last: tally.last_seq, ..range.clone() };
        let report = self.message(store.uuid(), &told, rendered, occasion, attachment.as_ref())?;
        Ok(NewReport { range: range.clone(), ..report })
    }

    fn attachment(&self, store: &Store, range: &Range) -> Result<Option<Attachment>, StoreError> {
        attachment(store, range, &Host { name: self.host.clone(), id: self.form.machine.clone() })
    }

    /// A rendered report as a mail that tells of the events of `range`.
    pub(crate) fn message(
        &self,
        instance: Uuid,
        range: &Range,
        rendered: Rendered,
        occasion: &ReportOccasion<'_>,
        attachment: Option<&Attachment>,
    ) -> Result<NewReport, MimeError> {
        let ReportOccasion { readership, previous, id, now, .. } = *occasion;
        let message_id = MessageId { instance, report: id.0.cast_unsigned(), part: 1 };
        let message = MimeMessage {
            from: &self.from,
            to: &readership.recipients,
            subject: &rendered.subject,
            text: &rendered.text,
            host: &self.host,
            severity: rendered.severity,
            range: (range.first, range.last),
            date: now.wall,
            zone: &self.zone,
            previous,
            id: message_id,
        };
        let bytes = compose_with(&message, attachment)?;
        Ok(NewReport {
            id,
            message_id: message_id.text(&self.host),
            severity: rendered.severity,
            subject: rendered.subject,
            bytes,
            recipients: readership.recipients.clone(),
            range: range.clone(),
        })
    }
}

/// What one report is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReportOccasion<'a> {
    /// Who gets it.
    pub(crate) readership: &'a Audience,
    /// The Message-ID of the report before it for them.
    pub(crate) previous: Option<&'a str>,
    /// Its number.
    pub(crate) id: ReportId,
    /// When it is made.
    pub(crate) now: Moment,
    /// Who is who.
    pub(crate) names: &'a Names,
    /// What is said before all else.
    pub(crate) notices: &'a [String],
}

/// How many events of which class and weight `range` has.
fn tally(store: &Store, range: &Range, waiting: &WaitingEvents) -> Result<BatchTally, StoreError> {
    let mut tally = BatchTally::default();
    for count in store.count_in(range)? {
        tally.add_counted(count.category, count.severity, count.events);
    }
    if range.areas.is_none() {
        // Those who get everything can tell from the numbers that nothing is missing between two mails.
        tally.cover(waiting.first_seq, waiting.first.wall);
    }
    tally.cover(waiting.last_seq, waiting.first.wall);
    Ok(tally)
}

/// How well the baseline is kept; `None` where no area is watched.
fn coverage(store: &Store) -> Result<Option<Coverage>, StoreError> {
    let is_watched = |row: &AreaRow| row.state != AreaState::Unconfigured;
    if store.areas()?.iter().any(is_watched) { store.coverage().map(Some) } else { Ok(None) }
}
