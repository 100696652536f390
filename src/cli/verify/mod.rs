//! `verify`: whether the chain of events is whole, and whether it is the one that was mailed.
//!
//! Who can write the database can also make a chain anew that is whole in itself, or put back an older copy of everything. What was
//! mailed he cannot take back: each mail has the numbers of its events and the hash of the last, which stands for all before it.

mod mailbox;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cli::{
        context::CliContext,
        terminal::{
            exit::Exit,
            output::{Out, number},
        },
    },
    config::{
        self,
        settings::config::{Config, DEFAULT_MAX_DATABASE},
    },
    model::{
        clock::{Clock, Timestamp},
        escape::hex,
    },
    report::mail::chain_statement::{Statement, identity, statement},
    store::{
        events::prune::Keeping,
        outbox::{reports::ReportId, sent::InstanceState},
        sqlite::{connection::Store, error::StoreError},
    },
    sys::host,
};

/// Most recipients and foreign databases that are told apart in a mailbox.
const MOST_APART: usize = 1000;

/// Sent reports that are read at once.
const BLOCK: u32 = 500;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Compare with what was mailed: an mbox file, a Maildir, a directory of mails or one mail, best from another machine.
    /// Mails of others are passed over.
    #[arg(long, value_name = "MBOX|DIR")]
    mails: Option<PathBuf>,

    /// Also a report that was accepted after the newest of these mails is a finding, and one of which nobody knows whether it
    /// was pruned.
    #[arg(long, requires = "mails")]
    strict: bool,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(source: &CliContext, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let store = &source.open()?;
    let mut teller = VerifyTeller { is_json: arguments.json, findings: 0, out };
    match store.verify() {
        Ok(head) => {
            let kept = match store.checkpoint()? {
                Some(checkpoint) => {
                    format!("{} events, {} older ones pruned", head.seq - checkpoint.seq, checkpoint.seq)
                }
                None => format!("{} events", head.seq),
            };
            let words = format!("the chain is whole: {kept}, head {}", hex(&head.hash));
            teller.say(&words, &json!({ "chain": "whole", "seq": head.seq, "head": hex(&head.hash) }))?;
        }
        Err(error @ StoreError::Chain { seq, why }) => {
            teller.find(&error.to_string(), &json!({ "finding": "chain", "seq": seq, "reason": why }))?;
        }
        Err(error) => return Err(error.into()),
    }
    if let Some(path) = &arguments.mails {
        let now = Clock::System(host::boot_id(Path::new("/"))).now().wall;
        // Beside a database that was copied from elsewhere there may be none.
        let kept = config::load(&source.config).ok().map(|Config { report, .. }| {
            // Nobody may expect of a default that it takes out what is not old.
            let most = report.max_database.filter(|most| *most != DEFAULT_MAX_DATABASE);
            Keeping { retention: report.retention, most }.least()
        });
        let promise = kept.map(|kept| Promise { kept, now });
        let heard = HeardStatements { promise, is_strict: arguments.strict, ..HeardStatements::default() };
        compare(store, path, heard, &mut teller)?;
    }
    Ok(if teller.findings == 0 { Exit::Fine } else { Exit::Findings })
}

/// How long the events of a mail are kept at least, to be judged at `now`.
#[derive(Debug, Clone, Copy)]
struct Promise {
    kept: Duration,
    now: Timestamp,
}

impl Promise {
    /// Whether the events of a mail of `date` must still be there. A date to come is of a clock that was wrong, and says nothing.
    fn covers(&self, date: Timestamp) -> bool {
        date <= self.now && self.now.since(date) < self.kept
    }
}

/// Prints findings and notes, and counts the findings.
struct VerifyTeller<'a> {
    is_json: bool,
    findings: u64,
    out: &'a mut Out,
}

impl VerifyTeller<'_> {
    fn find(&mut self, words: &str, object: &Value) -> anyhow::Result<()> {
        self.findings += 1;
        self.say(words, object)
    }

    fn say(&mut self, words: &str, object: &Value) -> anyhow::Result<()> {
        if self.is_json { self.out.line(&object.to_string()) } else { self.out.line(words) }
    }
}

/// What the store says to a mail.
#[derive(Debug, PartialEq, Eq)]
enum ChainVerdict {
    Agrees,
    /// Its events are so old that they are no longer kept.
    Pruned,
    /// They were taken out though the mail is younger than events are kept.
    PrunedEarly,
    /// The last event it tells of is another one now.
    Rewritten([u8; 32]),
    /// The store ends before its last event.
    RolledBack(u64),
    /// The event or the report is not there though others behind it are.
    Missing(&'static str),
}

fn judge(store: &Store, mail: &Statement, promise: Option<Promise>) -> Result<ChainVerdict, StoreError> {
    let is_young = promise.zip(mail.date).is_some_and(|(promise, date)| promise.covers(date));
    let pruned = if is_young { ChainVerdict::PrunedEarly } else { ChainVerdict::Pruned };
    let last = mail.range.1;
    let newest = store.head()?.seq;
    if last > newest {
        return Ok(ChainVerdict::RolledBack(newest));
    }
    let begin = store.checkpoint()?.map_or(0, |checkpoint| checkpoint.seq);
    let is_pruned = last > 0 && last <= begin;
    if last > 0
        && let Some(head) = mail.head
    {
        match store.hash_at(last)? {
            Some(stored) if stored != head => return Ok(ChainVerdict::Rewritten(stored)),
            Some(_) => {}
            None if is_pruned => return Ok(pruned),
            None => return Ok(ChainVerdict::Missing("its last event")),
        }
    }
    match (store.has_report(&mail.message_id)?, is_pruned) {
        (true, _) => Ok(ChainVerdict::Agrees),
        (false, true) => Ok(pruned),
        (false, false) => Ok(ChainVerdict::Missing("the report")),
    }
}

/// All that the mails have said.
#[derive(Default)]
struct HeardStatements {
    promise: Option<Promise>,
    is_strict: bool,
    foreign: u64,
    /// Message-ID and head of those already judged.
    seen: HashSet<(String, Option<[u8; 32]>)>,
    ids: HashSet<String>,
    /// The numbers of the first and the last report.
    first: Option<i64>,
    last: i64,
    /// The report that each names as the one before it, with its own number.
    previous: HashMap<String, i64>,
    recipients: BTreeSet<String>,
    pruned: u64,
    others: BTreeMap<Uuid, u64>,
}

fn compare(
    store: &Store,
    path: &Path,
    mut heard: HeardStatements,
    teller: &mut VerifyTeller<'_>,
) -> anyhow::Result<()> {
    mailbox::each(path, &mut |mail| {
        match statement(mail) {
            Some(statement) => hear(store, statement, &mut heard, teller)?,
            None => heard.foreign += 1,
        }
        Ok(())
    })?;
    for (instance, mails) in &heard.others {
        tell_of_another(store, *instance, *mails, teller)?;
    }
    if heard.pruned > 0 {
        let unjudged =
            if heard.promise.is_some() { "" } else { "; without a configuration nobody knows whether too early" };
        let words = format!("note: {} tell of events that were pruned since{unjudged}", counted(heard.pruned, "mail"));
        teller.say(&words, &json!({ "note": "pruned", "mails": heard.pruned }))?;
    }
    tell_of_unknown(store, &heard, teller)?;
    tell_of_gaps(store, &heard, teller)?;
    if heard.seen.is_empty() && heard.others.is_empty() && store.queue_summary()?.sent > 0 {
        // An audit of the wrong place must not stay green for ever.
        let words = "NOTHING COMPARED: reports were sent, and none of them is here: is this their mailbox, and did they keep their Message-ID?";
        teller.find(words, &json!({ "finding": "nothing-compared" }))?;
    }
    let ours = heard.seen.len();
    let words = format!(
        "{} compared, {} of others passed over: {}",
        counted(u64::try_from(ours)?, "mail"),
        number(heard.foreign),
        counted(teller.findings, "finding")
    );
    let findings = teller.findings;
    teller.say(&words, &json!({ "mails": ours, "passed_over": heard.foreign, "findings": findings }))
}

fn counted(value: u64, what: &str) -> String {
    format!("{} {what}{}", number(value), if value == 1 { "" } else { "s" })
}

fn hear(
    store: &Store,
    mail: Statement,
    heard: &mut HeardStatements,
    teller: &mut VerifyTeller<'_>,
) -> anyhow::Result<()> {
    if !heard.seen.insert((mail.message_id.clone(), mail.head)) {
        // One copy a recipient.
        return Ok(());
    }
    if mail.instance != store.uuid() {
        if heard.others.len() < MOST_APART || heard.others.contains_key(&mail.instance) {
            *heard.others.entry(mail.instance).or_default() += 1;
        }
        return Ok(());
    }
    heard.first = Some(heard.first.map_or(mail.report, |first| first.min(mail.report)));
    heard.last = heard.last.max(mail.report);
    if let Some(previous) = &mail.previous {
        heard.previous.insert(previous.clone(), mail.report);
    }
    for recipient in &mail.recipients {
        if heard.recipients.len() < MOST_APART {
            heard.recipients.insert(recipient.clone());
        }
    }
    tell(&mail, &judge(store, &mail, heard.promise)?, heard, teller)?;
    heard.ids.insert(mail.message_id);
    Ok(())
}

fn tell(
    mail: &Statement,
    verdict: &ChainVerdict,
    heard: &mut HeardStatements,
    teller: &mut VerifyTeller<'_>,
) -> anyhow::Result<()> {
    let (first, last) = mail.range;
    let start = format!("report {} of events {first}-{last}: ", mail.report);
    let object = |finding: &str| {
        json!({ "finding": finding, "report": mail.report, "part": mail.part, "first": first, "last": last,
            "mailed": mail.head.map(|head| hex(&head)) })
    };
    match verdict {
        ChainVerdict::Agrees => Ok(()),
        ChainVerdict::Pruned => {
            heard.pruned += 1;
            Ok(())
        }
        ChainVerdict::PrunedEarly => {
            let words = format!(
                "{start}PRUNED EARLY: its events are gone though it is younger than events are kept (retention, maxdatabase): \
                 the clock or the settings were others, or they were taken out"
            );
            teller.find(&words, &object("pruned-early"))
        }
        ChainVerdict::Rewritten(stored) => {
            let mailed = mail.head.map(|head| hex(&head)).unwrap_or_default();
            let words = format!(
                "{start}REWRITTEN: event {last} was mailed with head {mailed}, the database has {}: it was changed, or the mail \
                 is forged",
                hex(stored)
            );
            let mut object = object("rewritten");
            if let Some(object) = object.as_object_mut() {
                object.insert("stored".to_owned(), hex(stored).into());
            }
            teller.find(&words, &object)
        }
        ChainVerdict::RolledBack(newest) => {
            let words = format!(
                "{start}ROLLED BACK: event {last} was mailed, the database ends at {newest}: an older copy of it was put back"
            );
            let mut object = object("rolled-back");
            if let Some(object) = object.as_object_mut() {
                object.insert("newest".to_owned(), (*newest).into());
            }
            teller.find(&words, &object)
        }
        ChainVerdict::Missing(what) => {
            let words = format!("{start}MISSING: {what} was mailed and is not in the database: it was taken out");
            teller.find(&words, &object("missing"))
        }
    }
}

/// Mails of a database that this one is not: a finding, unless an event tells of the change.
fn tell_of_another(store: &Store, instance: Uuid, mails: u64, teller: &mut VerifyTeller<'_>) -> anyhow::Result<()> {
    let many = counted(mails, "mail");
    let object = |key: &str| json!({ key: "another-database", "instance": instance.to_string(), "mails": mails });
    if let Some(fate) = store.fate(instance)? {
        let words = match fate {
            InstanceState::Adopted => "which was adopted".to_owned(),
            InstanceState::Lost(seq) => format!("which was lost: told in event {seq}"),
        };
        return teller.say(&format!("note: {many} of database {instance}, {words}"), &object("note"));
    }
    let words = format!(
        "TRUST LOST: {many} of database {instance}, this one is {}: it was begun anew or exchanged, or the mailbox has mails of \
         another machine",
        store.uuid()
    );
    teller.find(&words, &object("finding"))
}

/// Reports that others name as the one before them, and that are neither among the mails nor in the database.
fn tell_of_unknown(store: &Store, heard: &HeardStatements, teller: &mut VerifyTeller<'_>) -> anyhow::Result<()> {
    let (has_pruned, oldest) = (store.checkpoint()?.is_some(), store.oldest_report()?);
    let mut unknown: Vec<(i64, i64)> = Vec::new();
    for (id, by) in heard.previous.iter().filter(|(id, _)| !heard.ids.contains(*id)) {
        let Some((instance, report, _)) = identity(id) else { continue };
        // Reports go with their events, the oldest first.
        let is_oldest = oldest.is_none_or(|oldest| ReportId(report) < oldest);
        let may_be_pruned = has_pruned && is_oldest && !heard.is_strict;
        if instance == store.uuid() && Some(report) >= heard.first && !may_be_pruned && !store.has_report(id)? {
            unknown.push((report, *by));
        }
    }
    unknown.sort_unstable();
    for (report, by) in unknown {
        let words = format!(
            "report {report}: MISSING: report {by} names it as the one before it, and it is neither among these mails nor in the database: it was taken out"
        );
        teller.find(&words, &json!({ "finding": "missing", "report": report, "named_by": by }))?;
    }
    Ok(())
}

/// Reports that were accepted for somebody whose mails these are, and are not among them.
fn tell_of_gaps(store: &Store, heard: &HeardStatements, teller: &mut VerifyTeller<'_>) -> anyhow::Result<()> {
    let Some(first) = heard.first else { return Ok(()) };
    let recipients: Vec<String> = heard.recipients.iter().cloned().collect();
    let mut after = ReportId(first - 1);
    loop {
        let block = store.sent_to(&recipients, after, BLOCK)?;
        let Some(last) = block.last() else { return Ok(()) };
        after = last.id;
        for report in block.iter().filter(|report| !heard.ids.contains(&report.message_id)) {
            let (id, first, last) = (report.id.0, report.first_seq, report.last_seq);
            let words = format!("report {id} of events {first}-{last} was accepted and is not among these mails");
            let object = |key: &str| json!({ key: "not-in-mailbox", "report": id, "first": first, "last": last });
            // Of several recipients nobody knows whose mails these are.
            if id < heard.last && report.has_reached_all || heard.is_strict {
                let words = format!("NOT HERE: {words}: somebody has deleted it, or it never left this machine");
                teller.find(&words, &object("finding"))?;
            } else {
                teller.say(&format!("note: {words}"), &object("note"))?;
            }
        }
    }
}
