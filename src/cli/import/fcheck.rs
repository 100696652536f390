//! `import fcheck`: what fcheck.cfg and fcheck's line in cron say, as settings.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    cli::import::config_text::{ConfigText, quoted},
    config::{
        foreign::fcheck::{Fcheck, FcheckLine, FcheckPlace, Word},
        schema::units::format_span,
        write::legacy_line::legacy_line,
    },
    model::escape::escape_name,
};

/// What of a regular expression is more than the text itself. A dot is nearly always meant as one.
const SPECIAL: &[u8] = b"*+?()[]{}|^$\\";

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum FcheckKind {
    /// A directory, or a link to one.
    Directory,
    /// Something else.
    Other,
}

/// What lies at a path; `None` when nothing does.
pub(in crate::cli) type FcheckLook<'a> = &'a dyn Fn(&Path) -> Option<FcheckKind>;

/// How fcheck is run from cron.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Cron {
    /// Where that stands, to be shown.
    pub(in crate::cli) place: String,
    /// The longest time between two runs.
    pub(super) interval: Option<Duration>,
    /// The switches of the run that checks.
    pub(super) switches: String,
    /// Who gets its mail.
    pub(in crate::cli) recipient: Option<String>,
}

/// An area to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ImportPlan<'a> {
    path: Vec<u8>,
    recurses: bool,
    /// Whether only what lies in it is looked at.
    is_flat: bool,
    line: &'a FcheckLine,
    notes: Vec<String>,
}

/// Writes the settings; `baseline` is what can be said about fcheck's database: its path when it can be taken over, else why not.
pub(in crate::cli) fn write(
    text: &mut ConfigText,
    fcheck: &Fcheck,
    cron: Option<&Cron>,
    baseline: &Result<PathBuf, String>,
    look: FcheckLook<'_>,
) {
    head(text, fcheck, cron);
    digests(text, fcheck, cron, baseline);
    let exclusions: Vec<&FcheckLine> = fcheck.all(Word::Exclusion).collect();
    text.gap();
    let mut patterns = BTreeSet::new();
    for line in &exclusions {
        exclude(text, line, &mut patterns, look);
    }
    areas(text, fcheck, cron, &exclusions, look);
    tail(text, fcheck);
}

fn head(text: &mut ConfigText, fcheck: &Fcheck, cron: Option<&Cron>) {
    if let Some(cron) = cron {
        let recipient = cron.recipient.as_deref().filter(|name| legacy_line("email", name.as_bytes()).is_ok());
        text.say(&format!("Who gets fcheck's mail, by {}.", cron.place));
        text.item("email", recipient.unwrap_or("root").as_bytes());
        if cron.interval.is_none() {
            text.say("How often cron runs fcheck was not understood: areamaxage after an area says within what time all of it is looked at.");
        }
        if cron.switches.contains('i') {
            text.say("fcheck -i compares no times; they are compared here, unless areaattributes = -mtime,-ctime follows an area.");
        }
        if !cron.switches.contains('x') {
            text.say("fcheck without -x compares no owners and links; they are compared here.");
        }
    } else {
        text.say("No line of cron runs fcheck, so how often it is run and who gets its mail is not known.");
        text.item("email", b"root");
    }
    if let Some(line) = fcheck.last(Word::Hostname) {
        let name = line.value.trim_ascii();
        let name = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name);
        text.item("hostname", name);
    }
    text.say("fcheck is silent when nothing has changed, and when it did not run. A mail of life tells the two apart:");
    text.raw("#heartbeat = 1d");
}

/// The program that digests, by its last name.
fn signature(fcheck: &Fcheck) -> Option<&[u8]> {
    let value = fcheck.last(Word::Signature)?.value.as_slice();
    value.rsplit(|byte| *byte == b'/').next()
}

fn digests(text: &mut ConfigText, fcheck: &Fcheck, cron: Option<&Cron>, baseline: &Result<PathBuf, String>) {
    text.gap();
    let signs = cron.is_none_or(|cron| cron.switches.contains('s'));
    let words = match signature(fcheck) {
        _ if !signs => "fcheck without -s reads no content; here it is digested by BLAKE3.".to_owned(),
        Some(b"sha256sum" | b"sha512sum") => String::new(),
        Some(other) => {
            format!("not carried over: Signature {}; content is digested by BLAKE3 here.", quoted(other))
        }
        None => "fcheck has no Signature; content is digested by BLAKE3 here.".to_owned(),
    };
    if !words.is_empty() {
        text.say(&words);
    } else if signature(fcheck) == Some(b"sha512sum") {
        text.item("hash", b"sha512");
    } else {
        text.item("hash", b"sha256");
    }
    let path = match baseline {
        Ok(path) => path,
        Err(why) => {
            let words = format!("fcheck's baseline is not taken over: {why}. A new one is made at the first start.");
            text.say(&words);
            return;
        }
    };
    text.say(
        "What fcheck knew is taken over at the first start, so that what has changed since its last run is reported.",
    );
    text.item("adopt", &[b"fcheck:", path.as_os_str().as_encoded_bytes()].concat());
}

/// Writes what an `Exclusion` leaves out.
fn exclude(text: &mut ConfigText, line: &FcheckLine, patterns: &mut BTreeSet<Vec<u8>>, look: FcheckLook<'_>) {
    let value = line.value.as_slice();
    let Some(directory) = value.strip_suffix(b"/") else {
        // fcheck leaves out this very path, and what is below it only where that is named by a `/` at the end.
        if look(&path(value)) == Some(FcheckKind::Directory) {
            return text.say(&format!(
                "not carried over: {} leaves out the directory itself and nothing in it; it is compared here.",
                said(line)
            ));
        }
        let pattern = if value.iter().any(|byte| is_glob(*byte)) { escaped(value) } else { value.to_owned() };
        return pattern_line(text, pattern, patterns);
    };
    if value.iter().any(|byte| SPECIAL.contains(byte)) {
        text.say(&format!(
            "{} is a regular expression for fcheck; here the text itself is left out, and * in an exclude stands for any part of a name:",
            said(line)
        ));
    }
    // The directory itself was compared, what is in it was not.
    let pattern = if str::from_utf8(directory).is_ok() {
        [&escaped(directory), &b"/*"[..]].concat()
    } else {
        directory.to_owned()
    };
    pattern_line(text, pattern, patterns);
}

fn pattern_line(text: &mut ConfigText, pattern: Vec<u8>, patterns: &mut BTreeSet<Vec<u8>>) {
    if !patterns.contains(&pattern) {
        text.item("exclude", &pattern);
        patterns.insert(pattern);
    }
}

fn is_glob(byte: u8) -> bool {
    b"*?[]{}\\".contains(&byte)
}

/// A path as the glob that means nothing else.
fn escaped(path: &[u8]) -> Vec<u8> {
    path.iter().flat_map(|byte| is_glob(*byte).then_some(b'\\').into_iter().chain([*byte])).collect()
}

fn areas(
    text: &mut ConfigText,
    fcheck: &Fcheck,
    cron: Option<&Cron>,
    exclusions: &[&FcheckLine],
    look: FcheckLook<'_>,
) {
    let mut plans: Vec<ImportPlan<'_>> = Vec::new();
    for line in &fcheck.lines {
        match plan(line, look) {
            None => {}
            Some(Err(why)) => text.say(&format!("not carried over: {}: {why}.", said(line))),
            Some(Ok(new)) => {
                if let Some(by) = left_out_by(&new, exclusions) {
                    text.say(&format!("not carried over: {}: {} leaves it out.", said(line), quoted(&by.value)));
                } else if let Some(known) = plans.iter_mut().find(|known| known.path == new.path) {
                    known.recurses |= new.recurses;
                } else {
                    plans.push(new);
                }
            }
        }
    }
    for plan in &plans {
        text.gap();
        // Where areas lie in each other the innermost holds; fcheck looked at what is below it all the same.
        let covers = |other: &&ImportPlan<'_>| other.recurses && is_beneath(&plan.path, &other.path);
        if let Some(outer) = plans.iter().find(covers).filter(|_| !plan.recurses) {
            text.say(&format!("{} is part of the area {}.", said(plan.line), escape_name(&outer.path)));
            continue;
        }
        plan.notes.iter().for_each(|note| text.say(note));
        if !text.item("area", &plan.path) {
            continue;
        }
        if plan.is_flat {
            text.item("arearecurse", b"no");
        }
        if let Some(interval) = cron.and_then(|cron| cron.interval) {
            text.item("areamaxage", format_span(interval).as_bytes());
        }
    }
}

/// The area that a line names; `None` when it names none.
fn plan<'a>(line: &'a FcheckLine, look: FcheckLook<'_>) -> Option<Result<ImportPlan<'a>, &'static str>> {
    if !matches!(line.word, Word::Directory | Word::File) {
        return None;
    }
    let value = line.value.as_slice();
    if value.first() != Some(&b'/') {
        return Some(Err("it is no absolute path"));
    }
    // As fcheck has it, `/` alone is not gone into, and neither is what ends like the name of a drive.
    let recurses = line.word == Word::Directory && value.ends_with(b"/") && value != b"/" && !value.ends_with(b":/");
    let path = normal(value);
    let kind = look(&self::path(&path));
    let mut notes = Vec::new();
    match (line.word, kind) {
        (_, None) => notes.push("Nothing is there now; that is reported once.".to_owned()),
        (Word::Directory, Some(FcheckKind::Other)) => {
            notes.push(format!("{} is no directory: fcheck checks nothing there. It is checked here.", said(line)));
        }
        _ => {}
    }
    let is_directory = kind.map_or(line.word == Word::Directory, |kind| kind == FcheckKind::Directory);
    Some(Ok(ImportPlan { recurses, is_flat: is_directory && !recurses, line, notes, path }))
}

/// The `Exclusion` by which fcheck compares nothing of this area.
fn left_out_by<'a>(plan: &ImportPlan<'_>, exclusions: &[&'a FcheckLine]) -> Option<&'a FcheckLine> {
    let whole = [plan.path.as_slice(), b"/"].concat();
    let is_file = plan.line.word == Word::File;
    exclusions.iter().copied().find(|line| match line.value.ends_with(b"/") {
        true if is_file => plan.path.starts_with(&line.value),
        true => whole.starts_with(&line.value),
        false => is_file && plan.path == line.value,
    })
}

fn is_beneath(path: &[u8], root: &[u8]) -> bool {
    root == b"/" && path != b"/" || path.strip_prefix(root).is_some_and(|rest| rest.starts_with(b"/"))
}

/// A path without doubled and trailing slashes.
fn normal(value: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    [b"/", parts.join(&b'/').as_slice()].concat()
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes))
}

/// A line in words.
fn said(line: &FcheckLine) -> String {
    quoted(&[line.word.name().as_bytes(), b" = ", &line.value].concat())
}

/// What has no place here.
fn tail(text: &mut ConfigText, fcheck: &Fcheck) {
    text.gap();
    let names = |words: &[Word]| {
        let set: Vec<&str> =
            words.iter().filter(|word| fcheck.last(**word).is_some()).map(|word| word.name()).collect();
        (!set.is_empty()).then(|| set.join(", "))
    };
    if let Some(set) = names(&[Word::ReadDatabase, Word::WriteDatabase]) {
        text.say(&format!("not carried over: {set}. There is one database; `integrityd verify --mails` compares it with what was mailed."));
    }
    if let Some(set) = names(&[Word::Logger, Word::AuthLogger]) {
        text.say(&format!("not carried over: {set}. What is found is mailed, and stands in the daemon's own log."));
    }
    if let Some(set) = names(&[Word::TimeZone, Word::System, Word::FileTyper]) {
        text.say(&format!("not needed: {set}."));
    }
    for odd in &fcheck.odd {
        text.say(&format!("not carried over: {}, {}: it {}.", shown(&odd.place), quoted(&odd.text), odd.why));
    }
}

fn shown(place: &FcheckPlace) -> String {
    format!("{}:{}", escape_name(place.file.as_os_str().as_encoded_bytes()), place.line)
}

/// What the command of a line of cron says: the switches of the run that checks, and who gets a mail.
pub(in crate::cli) fn cron(place: String, interval: Option<Duration>, command: &[u8]) -> Cron {
    let command = String::from_utf8_lossy(command).into_owned();
    let words: Vec<&str> = command.split_whitespace().collect();
    let runs = |pair: &&[&str]| pair.first().is_some_and(|word| word.ends_with("/fcheck") || *word == "fcheck");
    let switches = words.windows(2).filter(runs).filter_map(|pair| pair.get(1)?.strip_prefix('-'));
    // The run that makes the baseline has a c.
    let switches = switches.filter(|switches| !switches.contains('c')).map(str::to_owned).next().unwrap_or_default();
    let is_mailer = |word: &&str| matches!(word.rsplit('/').next(), Some("mail" | "mailx" | "mutt"));
    let after = words.iter().position(is_mailer).and_then(|at| words.get(at + 1..));
    let end = |word: &&&str| word.starts_with(['<', ';', '|', '&', '>']);
    let recipient =
        after.and_then(|words| words.iter().take_while(|word| !end(word)).last()).map(|word| (*word).to_owned());
    Cron { place, interval, switches, recipient }
}
