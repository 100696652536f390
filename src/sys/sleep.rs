//! Waiting by the boot clock.
//!
//! tokio's timers stand still while the machine is suspended, so no sleep is longer than half a minute; then the clock is
//! asked again.

use std::time::Duration;

use crate::model::clock::{Boottime, Clock};

const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Waits for `span` by the boot clock.
pub async fn rest(clock: &Clock, span: Duration) {
    wait_until(clock, clock.now().boottime.after(span)).await;
}

/// Waits until the boot clock shows `due`.
pub async fn wait_until(clock: &Clock, due: Boottime) {
    loop {
        let left = due.since(clock.now().boottime);
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}
