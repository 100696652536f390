//! Mails: MIME, attachments, mailboxes, and the mails that are no reports.

pub mod attachment;
pub mod chain_statement;
pub mod emergency;
pub mod mbox;
pub mod mime;
pub mod notice;
pub(super) mod shorten;
pub mod test_mail;
