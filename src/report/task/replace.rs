//! Takes a report that is too large back for one recipient and puts a smaller one into the queue, in one go with the store.

use crate::{
    model::clock::Moment,
    report::mail::{
        mime::MessageId,
        shorten::{Replacement, is_smallest, replaced_by, target},
    },
    store::{
        outbox::{replacement::SmallerReport, reports::Delivery},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Replaces the report of `delivery`, which is too large for `limit` bytes (where that is known), by a smaller one for its recipient.
/// `false` when nothing smaller is left, and nothing has changed.
///
/// # Errors
/// [`StoreError`]; then nothing has changed.
pub(in crate::report) fn replace(
    store: &mut Store,
    delivery: &Delivery,
    limit: Option<u64>,
    program: &str,
    now: Moment,
) -> Result<bool, StoreError> {
    let this = store.stored_report(delivery.report)?;
    let length = u64::try_from(this.bytes.len()).unwrap_or(u64::MAX);
    if is_smallest(&this.subject, length, limit) {
        return Ok(false);
    }
    let origin = match replaced_by(&this.bytes) {
        Some(id) => store.report_of(&id)?.unwrap_or_else(|| this.clone()),
        None => this,
    };
    let host = origin.message_id.trim_end_matches('>').rsplit_once('@').map_or("", |(_, host)| host);
    let number = store.next_report()?.0.cast_unsigned();
    let message_id = MessageId { instance: store.uuid(), report: number, part: 1 }.text(host);
    let replacement = Replacement {
        report: &origin.bytes,
        subject: &origin.subject,
        replaces: &origin.message_id,
        message_id: &message_id,
        command: &format!("{program} show report {}", origin.id.0),
    };
    let (subject, bytes) = replacement.compose(target(length, limit));
    store.supersede(delivery, &SmallerReport { message_id, subject, bytes }, now)?;
    Ok(true)
}
