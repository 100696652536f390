//! Which machine a database belongs to, so that a copy of it on another one does not go on as the same.

use rusqlite::{TransactionBehavior, params};
use uuid::Uuid;

use crate::{
    model::clock::Moment,
    store::{
        events::append::append,
        recovery::rollback_guard::{database_before, trust_lost},
        sqlite::{
            columns::array,
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

impl Store {
    /// Notes that this database is used on the machine with this digest of its id. Where it was used on another one it becomes another
    /// database, by a new id, and an event tells of it: mails of both are told apart.
    ///
    /// # Errors
    /// [`StoreError`] when the database or its mark cannot be written.
    pub fn settle_on(&mut self, machine: [u8; 32], now: Moment) -> Result<(), StoreError> {
        let known: Option<[u8; 32]> = self
            .db
            .query_row("SELECT machine FROM instance", [], |row| array(row, 0))
            .trying("read which machine the database belongs to")?;
        if known == Some(machine) {
            return Ok(());
        }
        let (before, is_another) = (self.uuid(), known.is_some());
        let id = if is_another { Uuid::new_v4() } else { before };
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        tx.execute("UPDATE instance SET machine = ?1, uuid = ?2", params![machine, id.as_bytes()])
            .trying("note which machine the database belongs to")?;
        if is_another {
            let words = format!(
                "the database comes from another machine, or this one got another id (machine-id(5)): it goes on as a new one, {id}\n\
                 its baseline is what was known there{}",
                database_before(before)
            );
            let event = trust_lost(&words, now);
            let seq = append(&tx, &[event.clone().into()])?;
            tx.commit().trying("note which machine the database belongs to")?;
            self.set_uuid(id);
            self.spread(seq, &event);
            return self.leave_mark();
        }
        tx.commit().trying("note which machine the database belongs to")
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        model::event::Category,
        store::{
            events::append::Filter,
            outbox::sent::InstanceState,
            sqlite::connection::Store,
            test_support::{now, scratch},
        },
    };

    #[test]
    fn a_copy_on_another_machine_is_another_database_and_says_so_once() {
        let (_directory, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let first = store.uuid();
        for machine in [[1; 32], [1; 32]] {
            store.settle_on(machine, now()).unwrap();
            assert_eq!((store.uuid(), store.head().unwrap().seq), (first, 0));
        }
        for machine in [[2; 32], [2; 32]] {
            store.settle_on(machine, now()).unwrap();
            assert_eq!(store.head().unwrap().seq, 1);
        }
        let second = store.uuid();
        assert_ne!(second, first);
        assert_eq!(store.fate(first).unwrap(), Some(InstanceState::Lost(1)));
        drop(store);
        let store = Store::open(&path, now()).unwrap();
        assert_eq!((store.uuid(), store.head().unwrap().seq), (second, 1), "its mark knows it");
        let told = store.history(&Filter { limit: 9, ..Filter::default() }).unwrap();
        assert_eq!(told[0].event.category, Category::TrustLost);
        store.verify().unwrap();
    }
}
