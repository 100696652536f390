//! Takes a report that is too large back for one recipient and puts its parts into the queue, in one go with the store.

use super::{
    mime::MessageId,
    part::{Part, Plan, divide, lines_of, plan, replaced_by},
};
use crate::{
    model::clock::Moment,
    store::{
        database::Store,
        error::StoreError,
        outbox::{Delivery, ReportId},
        parts::{NewPart, Piece},
    },
};

/// Replaces the report of `delivery`, which is too large for `limit` bytes (where that is known), by smaller ones for its recipient.
/// Gives how many mails it has become; `None` when nothing smaller is left, and nothing has changed.
///
/// # Errors
/// [`StoreError`]; then nothing has changed.
pub(super) fn split(
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
    let replaced = replaced_by(&this.bytes);
    let length = u64::try_from(this.bytes.len()).unwrap_or(u64::MAX);
    let plan = plan(length, this.parts, replaced.is_some(), limit);
    let origin = match &replaced {
        Some(id) => store.report_of(id)?.unwrap_or_else(|| this.clone()),
        None => this.clone(),
    };
    let lines = lines_of(pieces.iter().map(|piece| piece.bytes.as_slice()));
    let bodies = match plan {
        Plan::Give => return Ok(None),
        Plan::Divide(target) => divide(&lines, &this.bytes, target),
        Plan::Count => vec![String::new()],
    };
    let command = format!("{program} show report {}", origin.id.0);
    let first = store.next_report()?;
    let count = u32::try_from(bodies.len()).unwrap_or(u32::MAX);
    let parts: Vec<NewPart> = (1..)
        .zip(&bodies)
        .map(|(number, body)| {
            let id = ReportId(first.0 + i64::from(number) - 1);
            let message_id = part_id(store, id, number, &origin);
            let part = Part {
                place: (number, count),
                replaces: &origin.message_id,
                message_id: &message_id,
                subject: &origin.subject,
            };
            let bytes = match plan {
                Plan::Count => part.compose_counts(&this.bytes, &lines, &command),
                _ => part.compose(&this.bytes, body),
            };
            NewPart { subject: part.subject(), bytes, message_id }
        })
        .collect();
    let taken: Vec<ReportId> = pieces.iter().map(|piece| piece.id).collect();
    store.supersede(&delivery.recipient, &taken, &parts, now)?;
    Ok(Some(parts.len()))
}

/// An id of its own for a part, of the same host as the report's.
fn part_id(store: &Store, id: ReportId, part: u32, origin: &Piece) -> String {
    let host = origin.message_id.trim_end_matches('>').rsplit_once('@').map_or("", |(_, host)| host);
    MessageId { instance: store.uuid(), report: id.0.cast_unsigned(), part }.text(host)
}
