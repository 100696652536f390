//! The database connection: its files, schema, write buffer, errors and columns.

pub(super) mod columns;
pub mod connection;
pub mod error;
pub mod files;
pub mod notifiers;
pub(super) mod schema;
pub(super) mod write_buffer;
