//! A report makes no report: the short form of `.ci/long mailloop`, with Postfix.

use crate::mailing::{Log, POSTFIX, no_mail_follows_a_mail};

#[test]
fn what_postfix_logs_about_a_report_makes_no_other() {
    let _had = no_mail_follows_a_mail(POSTFIX, "smtp://127.0.0.1", Log::Files);
}

/// What puts a mail into its queue is started by the broker, behind a filter: `postdrop` gains the group of the queue by its set-group-ID bit.
#[test]
fn a_mail_goes_by_the_sendmail_program_of_postfix() {
    let _had = no_mail_follows_a_mail(POSTFIX, "sendmail:/usr/sbin/sendmail", Log::Files);
}
