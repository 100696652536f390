//! A fault of our own code at one item: told once, and again after a while only.

use std::time::Duration;

use crate::{
    model::{
        clock::Moment,
        event::{Category, Event, Severity},
    },
    store::{
        events::outcome::Outcome,
        sqlite::{connection::Store, error::StoreError},
    },
};

/// The event that says what became of an item that our code has stumbled over.
pub fn fault(item: &[u8], becomes: &str, now: Moment) -> Event {
    let note = format!("a fault in integrityd: {becomes}; the log says more, please report it");
    Event::new(Category::InternalError, Severity::High, now, item.to_vec()).with_note(note)
}

impl Store {
    /// Tells of a fault at `item`, unless it was told within `error_nag`.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn tell_fault(
        &mut self,
        item: &[u8],
        becomes: &str,
        now: Moment,
        error_nag: Duration,
    ) -> Result<(), StoreError> {
        if self.was_told_since(Category::InternalError, item, now.wall.before(error_nag))? {
            return Ok(());
        }
        self.commit(&Outcome::tell(fault(item, becomes, now))).map(|_seq| ())
    }
}
