//! A report makes no report: the short form of `.ci/long mailloop`, with Postfix.

use crate::mailing::{Log, POSTFIX, no_mail_follows_a_mail};

#[test]
fn what_postfix_logs_about_a_report_makes_no_other() {
    let _had = no_mail_follows_a_mail(POSTFIX, "smtp://127.0.0.1", Log::Files);
}
