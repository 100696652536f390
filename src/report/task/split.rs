//! Takes a report that is too large back for one recipient and puts its parts into the queue, in one go with the store.

use crate::{
    model::clock::Moment,
    report::mail::{
        mime::MessageId,
        parts::{
            MailPart, PartPlan, divide, generation, has_attachment, is_counts, is_progress, lines_of, plan, replaced_by,
        },
    },
    store::{
        outbox::{
            parts::{NewPart, Piece},
            reports::{Delivery, ReportId},
        },
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Replaces the report of `delivery`, which is too large for `limit` bytes (where that is known), by smaller ones for its recipient.
/// Gives how many mails it has become; `None` when nothing smaller is left, and nothing has changed.
///
/// # Errors
/// [`StoreError`]; then nothing has changed.
pub(in crate::report) fn split(
    store: &mut Store,
    delivery: &Delivery,
    limit: Option<u64>,
    program: &str,
    now: Moment,
) -> Result<Option<usize>, StoreError> {
    let pieces = store.unsent_pieces(delivery)?;
    let Some(this) = pieces.iter().find(|piece| piece.id == delivery.report) else {
        // Somebody has given it up meanwhile.
        return Ok(Some(0));
    };
    let length = size(&this.bytes);
    let made = generation(&this.bytes);
    let plan = if is_counts(&this.subject) { PartPlan::Give } else { plan(length, this.parts, made, limit) };
    let origin = match &replaced_by(&this.bytes) {
        Some(id) => store.report_of(id)?.unwrap_or_else(|| this.clone()),
        None => this.clone(),
    };
    let mut lines = lines_of(pieces.iter().map(|piece| piece.bytes.as_slice()));
    let command = format!("{program} show report {}", origin.id.0);
    let is_attached = has_attachment(&this.bytes);
    if is_attached {
        lines.push(format!("WITHOUT ITS ATTACHMENT, which was too large: {command}"));
    }
    let division = Division { this, origin: &origin, lines: &lines, generation: made.saturating_add(1) };
    let bare = if is_attached { Some(division.bare(store)?) } else { None };
    let bare = bare.filter(|bare| is_progress(size(&bare.bytes), length, limit));
    let parts = match plan {
        PartPlan::Give => return Ok(None),
        _ if bare.is_some() => bare.into_iter().collect(),
        PartPlan::Divide(target) => division.parts(store, target)?,
        PartPlan::Count => Vec::new(),
    };
    let largest = parts.iter().map(|part| size(&part.bytes)).max();
    let parts = match largest {
        Some(largest) if is_progress(largest, length, limit) => parts,
        // A line that is longer than all that is taken stays as it is, however often it is tried.
        _ => vec![division.counts(store, &command)?],
    };
    let taken: Vec<ReportId> = pieces.iter().map(|piece| piece.id).collect();
    store.supersede(&delivery.recipient, &taken, &parts, now)?;
    Ok(Some(parts.len()))
}

/// What is divided.
struct Division<'a> {
    /// The mail that is too large.
    this: &'a Piece,
    /// The report it belongs to.
    origin: &'a Piece,
    /// All that still has to be brought.
    lines: &'a [String],
    /// The generation of what it becomes.
    generation: u32,
}

impl Division<'_> {
    /// Parts of at most `target` bytes, unless one line alone is longer.
    fn parts(&self, store: &Store, target: u64) -> Result<Vec<NewPart>, StoreError> {
        let first = store.next_report()?;
        let bodies = divide(self.lines, &self.this.bytes, target);
        let count = u32::try_from(bodies.len()).unwrap_or(u32::MAX);
        let part = |(number, body): (u32, &String)| {
            let message_id = part_id(store, ReportId(first.0 + i64::from(number) - 1), number, self.origin);
            let part = self.part((number, count), &message_id);
            NewPart { subject: part.subject(), bytes: part.compose(&self.this.bytes, body), message_id }
        };
        Ok((1..).zip(&bodies).map(part).collect())
    }

    /// The text in one mail, and nothing attached.
    fn bare(&self, store: &Store) -> Result<NewPart, StoreError> {
        let message_id = part_id(store, store.next_report()?, 1, self.origin);
        let bytes = self.part((1, 1), &message_id).compose_bare(&self.this.bytes, self.lines);
        Ok(NewPart { subject: self.origin.subject.clone(), bytes, message_id })
    }

    /// One mail with counts.
    fn counts(&self, store: &Store, command: &str) -> Result<NewPart, StoreError> {
        let message_id = part_id(store, store.next_report()?, 1, self.origin);
        let part = self.part((1, 1), &message_id);
        let bytes = part.compose_counts(&self.this.bytes, self.lines, command);
        Ok(NewPart { subject: part.subject(), bytes, message_id })
    }

    fn part<'a>(&'a self, place: (u32, u32), message_id: &'a str) -> MailPart<'a> {
        let Self { origin, generation, .. } = *self;
        MailPart { place, replaces: &origin.message_id, message_id, subject: &origin.subject, generation }
    }
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// An id of its own for a part, of the same host as the report's.
fn part_id(store: &Store, id: ReportId, part: u32, origin: &Piece) -> String {
    let host = origin.message_id.trim_end_matches('>').rsplit_once('@').map_or("", |(_, host)| host);
    MessageId { instance: store.uuid(), report: id.0.cast_unsigned(), part }.text(host)
}
