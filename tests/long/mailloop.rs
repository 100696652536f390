//! A report makes no report, whatever takes it and wherever that is logged: each mail server in a Debian of its own, in real time.

use crate::mailing::{EXIM, Log, OPENSMTPD, POSTFIX, SENDMAIL, Server, no_mail_follows_a_mail};

fn by_both_logs(server: Server, ways: &[&str]) {
    for way in ways {
        for log in [Log::Files, Log::Journal] {
            let had = no_mail_follows_a_mail(server, way, log);
            println!(
                "{:<10} {way:<26} {log:<8?} {}",
                server.name,
                if had { "no mail follows a mail" } else { "not tried" }
            );
        }
    }
}

#[test]
fn mailloop_postfix() {
    by_both_logs(POSTFIX, &["auto", "smtp://127.0.0.1", "sendmail:/usr/bin/msmtp"]);
}

#[test]
fn mailloop_exim() {
    by_both_logs(EXIM, &["auto", "smtp://127.0.0.1"]);
}

#[test]
fn mailloop_opensmtpd() {
    by_both_logs(OPENSMTPD, &["auto", "smtp://127.0.0.1"]);
}

#[test]
fn mailloop_sendmail() {
    by_both_logs(SENDMAIL, &["auto", "smtp://127.0.0.1"]);
}
