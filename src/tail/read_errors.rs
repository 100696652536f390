//! What stands in the way of reading a log, and where its name leads: each told when it begins and ends, at most once in `errornag`.
//!
//! Whoever may write in the directory of a log can make its name come and go every second. What was told and has passed is kept in
//! memory, and only what was stored as told counts: a poll that could not be stored tells the same again.

use std::time::Duration;

use crate::{
    model::{
        clock::Timestamp,
        log::position::{LogTrouble, Position, ReadRefusal},
    },
    tail::poll::{PollState, Retarget, TailEvent, TailSettings},
};

/// Notes where the name of the log leads. What is not told yet is compared with what was told last.
pub(super) fn note_target(round: &mut PollState<'_>, target: Option<Vec<u8>>, errornag: Duration) {
    let now = round.now;
    if round.poll.state.target == target {
        return;
    }
    if round.poll.state.position != Position::Unbegun {
        let old = round.poll.state.target.clone();
        let has_to_wait = |last: &Retarget| {
            let is_the_same = last.old == old && last.new == target;
            !is_the_same && is_recent(now, last.told, errornag)
        };
        if round.cache.retarget.as_ref().is_some_and(has_to_wait) {
            return;
        }
        round.cache.retarget = Some(Retarget { told: now, old: old.clone(), new: target.clone() });
        round.tell(TailEvent::Retargeted { old, new: target.clone() });
    }
    round.poll.state.target = target;
}

/// A clock that was set back makes nothing wait.
fn is_recent(now: Timestamp, told: Timestamp, errornag: Duration) -> bool {
    told <= now && now.since(told) < errornag
}

/// Notes whether the log can be read.
pub(super) fn note_trouble(round: &mut PollState<'_>, refusal: Option<ReadRefusal>, settings: &TailSettings) {
    let now = round.now;
    let before = round.poll.state.trouble;
    let past = &mut round.cache.troubles;
    past.retain(|(_, told)| is_recent(now, *told, settings.errornag));
    if let Some(LogTrouble { refusal: known, told: Some(told), .. }) = before
        && refusal != Some(known)
        && !past.iter().any(|(other, _)| *other == known)
    {
        past.push((known, told));
    }
    let was_told = |wanted: ReadRefusal| {
        past.iter().any(|(known, told)| *known == wanted && is_recent(now, *told, settings.errornag))
    };
    let Some(refusal) = refusal else {
        round.poll.state.trouble = None;
        if let Some(trouble) = before.filter(|trouble| trouble.told.is_some()) {
            round.tell(TailEvent::Back(trouble.refusal, trouble.since));
        }
        return;
    };
    let has_to_wait = was_told(refusal);
    let mut trouble = match before {
        Some(known) if known.refusal == refusal => known,
        Some(known) => LogTrouble { refusal, since: known.since, told: known.told.filter(|_| has_to_wait) },
        None => LogTrouble { refusal, since: now, told: None },
    };
    let grace = if refusal == ReadRefusal::Missing { settings.grace } else { Duration::ZERO };
    let is_due = match trouble.told {
        None => now.since(trouble.since) >= grace && !has_to_wait,
        Some(told) => now.since(told) >= settings.errornag,
    };
    if is_due {
        trouble.told = Some(now);
        round.tell(TailEvent::Trouble(refusal, trouble.since));
    }
    round.poll.state.trouble = Some(trouble);
}
