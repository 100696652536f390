//! From text to values: both syntaxes, included files, addresses, mail URLs.

pub(super) mod address;
pub mod include;
pub(super) mod item;
pub(super) mod legacy;
mod mail_url;
pub(super) mod syntax;
mod toml;
pub(super) mod value;
