//! From values to settings: everything that concerns more than one value is asked here, and every answer that is no is kept
//! until all were asked.

use std::{path::PathBuf, time::Duration};

use crate::config::{
    build::{
        areas::areas,
        groups::{logs, processes},
        values::ValueSet,
    },
    read::{item::Findings, value::Value},
    schema::units::{format_rate, format_size},
    settings::{
        config::{
            Attach, Config, FirstRound, Helper, LogcheckSettings, MailSettings, MailWay, ONE_SLOW_CORE, Pooling, Rates,
            ReportSettings, SubjectStyle, TlsMode,
        },
        system_directories::SystemDirectories,
        urgent::UrgentList,
    },
};

/// The ceilings for promised ages, unless they are set: so many times the rates.
const CEILING: f64 = 50.0;

/// Makes settings of `sheet`. What it gives is to be used only when no fault was found.
pub(in crate::config) fn check(sheet: &ValueSet, findings: &mut Findings) -> Config {
    let recipients = sheet.texts("email");
    let urgent = urgent(sheet, findings);
    let rates = rates(sheet, findings);
    let mail = mail(sheet, findings);
    Config {
        recipients,
        database: sheet.path("database").unwrap_or_default(),
        hostname: sheet.text("hostname"),
        areas: areas(sheet, findings),
        urgent,
        system_directories: SystemDirectories::default(),
        rates,
        logs: logs(sheet, findings),
        logcheck: logcheck(sheet),
        processes: processes(sheet, findings),
        pid_check_time: sheet.span("pidchecktime").unwrap_or_default(),
        report: report(sheet),
        mail,
        helper: Helper::default(),
        adopt: if sheet.of_key("adopt").next().is_some() { sheet.texts("adopt") } else { Vec::new() },
        sources: Vec::new(),
        notices: Vec::new(),
    }
}

/// Whether `config` has anything to do.
pub(in crate::config) fn has_work(config: &Config) -> bool {
    !(config.areas.is_empty() && config.logs.is_empty() && config.processes.is_empty())
}

fn urgent(sheet: &ValueSet, findings: &mut Findings) -> UrgentList {
    let patterns = sheet.paths("urgent");
    UrgentList::new(&patterns).unwrap_or_else(|error| {
        // Each of them was compiled before; what is left is that all together are too large.
        if let Some(place) = sheet.place("urgent") {
            findings.fault(place, format!("the urgent paths: {error}"), "use fewer or simpler globs");
        }
        UrgentList::default()
    })
}

fn rates(sheet: &ValueSet, findings: &mut Findings) -> Rates {
    let files = sheet.number("filerate").unwrap_or_default();
    let bytes = sheet.number("byterate").unwrap_or_default();
    let is_paced = match sheet.value("firstround") {
        Some(Value::Text(word)) if word == "fast" => false,
        Some(Value::Text(word)) if word == "paced" => true,
        _ => sheet.place("filerate").or_else(|| sheet.place("byterate")).is_some(),
    };
    let ceilings = (sheet.number("maxfilerate"), sheet.number("maxbyterate"));
    let fast =
        FirstRound::Fast { looks: ceilings.0.unwrap_or(ONE_SLOW_CORE.0), bytes: ceilings.1.unwrap_or(ONE_SLOW_CORE.1) };
    let rates = Rates {
        first_round: if is_paced { FirstRound::Paced } else { fast },
        files,
        bytes,
        small_file: sheet.bytes("smallfiles").unwrap_or_default(),
        big_file: sheet.bytes("bigfiles").unwrap_or_default(),
        speedup: sheet.number("speedup").unwrap_or_default(),
        max_files: ceilings.0.unwrap_or(files * CEILING),
        max_bytes: ceilings.1.unwrap_or(bytes * CEILING),
        pressure: sheet.count("pressure").and_then(|count| u8::try_from(count).ok()).unwrap_or_default(),
    };
    let mut contradict = |name: &str, other: &str, value: String| {
        if let Some(place) = sheet.place(name).or_else(|| sheet.place(other)) {
            findings.fault(place, format!("`{name}` is below `{other}`"), format!("{other} is {value}; raise {name}"));
        }
    };
    if rates.max_files < rates.files {
        contradict("maxfilerate", "filerate", format_rate(rates.files));
    }
    if rates.max_bytes < rates.bytes {
        contradict("maxbyterate", "byterate", format_rate(rates.bytes));
    }
    if rates.big_file < rates.small_file {
        contradict("bigfiles", "smallfiles", format_size(rates.small_file));
    }
    rates
}

fn mail(sheet: &ValueSet, findings: &mut Findings) -> MailSettings {
    let way = match sheet.value("mail") {
        Some(Value::Mail(way)) => way,
        _ => MailWay::Auto,
    };
    let password_file = sheet.path("mailpasswordfile");
    let server = match &way {
        MailWay::Smtp(server) => Some(server),
        _ => None,
    };
    let user = server.and_then(|server| server.user.as_ref());
    // A faulty value was told already; what it would have meant is not known.
    let is_known = |name: &str| sheet.of_key(name).all(|entry| entry.value.is_some());
    if is_known("mail") && is_known("mailpasswordfile") {
        match (user, &password_file) {
            (Some(_), None) => {
                if let Some(place) = sheet.place("mail") {
                    findings.fault(
                        place,
                        "a user of the mail server, but no password",
                        "name its file in mailpasswordfile",
                    );
                }
            }
            (None, Some(_)) => {
                if let Some(place) = sheet.place("mailpasswordfile") {
                    findings.fault(
                        place,
                        "`mailpasswordfile` without a user",
                        "write the user into mail: smtp://user@host",
                    );
                }
            }
            _ => {}
        }
    }
    if let (Some(_), Some(TlsMode::None | TlsMode::Opportunistic), Some(place)) =
        (user, server.map(|server| server.tls), sheet.place("mail"))
    {
        findings.notice(
            place,
            "the password may go unprotected to the mail server",
            "take ?tls= away: required is the default",
        );
    }
    MailSettings {
        way,
        from: sheet.text("mailfrom"),
        password_file,
        send_timeout: sheet.span("sendtimeout").unwrap_or_default(),
        retry_base: sheet.span("retrybase").unwrap_or_default(),
        fallback_mbox: sheet.path("fallbackmbox"),
    }
}

fn report(sheet: &ValueSet) -> ReportSettings {
    let span = |name: &str| sheet.span(name).unwrap_or_default();
    let files = Pooling { report_time: span("reporttime"), hold_off: span("reportholdoff") };
    let or = |name: &str, default: Duration| sheet.span(name).unwrap_or(default);
    ReportSettings {
        files,
        logs: Pooling {
            report_time: or("logreporttime", files.report_time),
            hold_off: or("logreportholdoff", files.hold_off),
        },
        urgent_hold_off: span("urgentholdoff"),
        lines: sheet.count("reportlines").and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX),
        error_nag: span("errornag"),
        heartbeat: sheet.span("heartbeat"),
        cycle_report: sheet.span("cyclereport"),
        attach: match sheet.value("attach") {
            Some(Value::Attach(attach)) => attach,
            _ => Attach::Never,
        },
        subject: match sheet.text("subject").as_deref() {
            Some("logcheck") => SubjectStyle::Logcheck,
            _ => SubjectStyle::Own,
        },
        retention: span("retention"),
        max_database: sheet.bytes("maxdatabase"),
    }
}

fn logcheck(sheet: &ValueSet) -> LogcheckSettings {
    LogcheckSettings {
        has_layers: sheet.text("semantics").as_deref() != Some("flat"),
        has_cracking_ignore: sheet.is_set("crackingignore"),
        has_timestamp_alias: sheet.is_set("timestampalias"),
        is_broad_allowed: sheet.is_set("allowbroad"),
        check_time: sheet.span("logchecktime").unwrap_or_default(),
        rule_update: sheet.span("logruleupdate").unwrap_or_default(),
    }
}

/// The settings of nothing but defaults, with no area.
pub(in crate::config) fn defaults(database: PathBuf) -> Config {
    let mut config = check(&ValueSet::default(), &mut Findings::default());
    config.database = database;
    config
}
