//! What a report says of earlier ones that nobody has accepted.

use crate::{
    model::{
        escape::{escape_cut, escape_name_cut},
        format::{counted, number},
    },
    report::render::format::Times,
    store::{
        outbox::failures::DeliveryProblem,
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Longest recipient and longest answer that are shown, in characters.
const RECIPIENT: usize = 100;
const ANSWER: usize = 200;

/// The notices about earlier reports, one a recipient, neutralised.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub(in crate::report) fn delivery_trouble(
    store: &Store,
    times: &Times<'_>,
    program: &str,
) -> Result<Vec<String>, StoreError> {
    let (troubles, recipients) = store.troubles()?;
    let mut notices: Vec<String> = troubles.iter().map(|trouble| words(trouble, times)).collect();
    let told = u64::try_from(troubles.len()).unwrap_or(u64::MAX);
    if recipients > told {
        notices.push(format!("DELIVERY TROUBLE: and {} more recipients", number(recipients - told)));
    }
    if !notices.is_empty() {
        notices.push(format!("{program} queue list shows them"));
    }
    Ok(notices)
}

fn words(trouble: &DeliveryProblem, times: &Times<'_>) -> String {
    let parked = match trouble.parked {
        0 => String::new(),
        parked => format!(", {} of them given up", number(parked)),
    };
    format!(
        "DELIVERY TROUBLE: {} not accepted for {} since {}{parked}\nlast answer: {}",
        counted(trouble.deliveries, "report", "reports"),
        escape_name_cut(trouble.recipient.as_bytes(), RECIPIENT),
        times.short(trouble.since),
        escape_cut(trouble.reply.as_bytes(), ANSWER)
    )
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{model::clock::Timestamp, report::render::test_events::NOW};

    #[test]
    fn trouble_names_whom_since_when_how_much_and_why_and_nothing_can_forge_it() {
        let trouble = DeliveryProblem {
            recipient: "a\nb@x".to_owned(),
            deliveries: 3,
            parked: 1,
            since: Timestamp::from_nanos(NOW),
            reply: "550 no\r\nFILES\n\u{1b}[2J".to_owned(),
        };
        insta::assert_snapshot!(words(&trouble, &Times::new(Timestamp::from_nanos(NOW), &TimeZone::UTC)), @r"
        DELIVERY TROUBLE: 3 reports not accepted for a\nb@x since 13:10:02, 1 of them given up
        last answer: 550 no\x0d\nFILES\n\x1b[2J
        ");
    }
}
