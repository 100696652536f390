//! What we are made of, as it was when it was last looked at: the program, the settings that hold, the unit that starts it.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    model::clock::Timestamp,
    store::sqlite::{
        columns::needed_array,
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// One part of ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPart {
    /// Which.
    pub name: &'static str,
    /// BLAKE3 of it.
    pub digest: [u8; 32],
    /// What is compared with the next one, in words.
    pub detail: Vec<u8>,
    /// When it was first seen so.
    pub since: Timestamp,
}

pub(in crate::store) fn put_own_part(db: &Connection, part: &OwnPart) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO self_watch (name, digest, detail, since) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, detail = excluded.detail, since = excluded.since",
    )
    .and_then(|mut statement| statement.execute(params![part.name, part.digest, part.detail, part.since.as_nanos()]))
    .trying("note a part of the program")
    .map(|_rows| ())
}

impl Store {
    /// The part `name` of ourselves as it was last seen.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn own_part(&self, name: &'static str) -> Result<Option<OwnPart>, StoreError> {
        self.db
            .query_row("SELECT digest, detail, since FROM self_watch WHERE name = ?1", [name], |row| {
                Ok(OwnPart {
                    name,
                    digest: needed_array(row, 0)?,
                    detail: row.get(1)?,
                    since: Timestamp::from_nanos(row.get(2)?),
                })
            })
            .optional()
            .trying("read what the program was")
    }
}
