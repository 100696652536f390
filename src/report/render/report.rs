//! A batch of events as a report: a verdict, what changed, how well was looked, and where to read on.
//!
//! To be read in ten seconds on a phone, and complete for the one who digs: the gravest comes first, one item has
//! one line of verdict with its evidence indented below, whatever is left out is counted and the command that shows
//! it is named. Headings stand at the left margin; nothing that others can write ever does, so that no file name can
//! pose as one.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use crate::{
    model::{
        escape::{escape_cut, escape_name_cut, hex},
        event::{Category, Kind, Severity, StoredEvent},
        file::coverage::Coverage,
        format::{VALUE_LIMIT, counted, number},
        originator::{Originator, OriginatorKey},
    },
    report::render::{
        batch::{Batch, BatchTally, FileShare},
        format::{INDENT, Times, WIDTH, flow, note_lines, span, wrapped},
        sections::{collapse::Folds, file_item, log_lines, log_section::SECTIONS, processes, self_events},
        subject,
    },
};

/// Most lines about what could not be read.
const UNREADABLE: usize = 10;

/// Originators of what is left out that are named.
const MOST_NAMED: usize = 3;

/// Events that `history` shows when it is not told how many.
const HISTORY_LIMIT: u64 = 1000;

/// Columns given to paths, at least and at most.
const PATH_COLUMNS: (usize, usize) = (20, 44);

/// A report as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The verdict: one line of at most 150 characters.
    pub subject: String,
    /// The greatest weight in it; of a batch without events `Low`.
    pub severity: Severity,
    /// The body: lines that end in `\n`, without any other control character.
    pub text: String,
}

/// Renders a batch. Pure: the same batch gives the same bytes. Cost O(n log n) in the number of events.
pub fn render(batch: &Batch<'_>) -> Rendered {
    let times = Times::new(batch.now.wall, batch.zone);
    let page = ReportPage::new(batch, &times);
    let mut blocks = vec![page.headline(), page.attention()];
    let (lines, logs) = (page.lines(), page.words("LOGS", &page.logs, is_log_word));
    let (files, own) = (page.files(), page.words("INTEGRITYD", &page.own, is_own));
    let is_grave =
        |events: &[&StoredEvent]| events.first().is_some_and(|stored| stored.event.severity >= Severity::High);
    let (first, last) = if is_grave(&page.own) { (own, Vec::new()) } else { (Vec::new(), own) };
    blocks.push(first);
    let (system, alerts): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|(category, _)| *category == Category::SystemEvent);
    let system = system.into_iter().map(|(_, block)| block);
    blocks.extend(alerts.into_iter().map(|(_, block)| block));
    if is_grave(&page.logs) {
        blocks.push(logs);
        blocks.extend(system);
    } else {
        blocks.extend(system);
        blocks.push(logs);
    }
    blocks.extend([files, page.processes(), last]);
    blocks.push(page.footer());
    blocks.retain(|block| !block.is_empty());
    let mut text = blocks.into_iter().map(|block| wrapped(&block).join("\n")).collect::<Vec<_>>().join("\n\n");
    text.push('\n');
    Rendered { subject: subject::subject(batch), severity: batch.tally.severity().unwrap_or(Severity::Low), text }
}

/// A report in counts alone: what is sent when our own code has stumbled over the whole one, in the words of `why`.
pub(crate) fn render_counts(host: &str, tally: &BatchTally, program: &str, why: &str) -> Rendered {
    let host = escape_cut(host.as_bytes(), subject::HOST_LIMIT);
    let events = tally.count(|_, _| true);
    let verdict = format!("{}, in counts only", counted(events, "event", "events"));
    let classes = tally.by_category(|_, _| true).into_iter();
    let classes: String =
        classes.map(|(category, count)| format!("  {}\n", subject::counted_words(category, count))).collect();
    let text = format!(
        "{host}   {verdict}\n\nATTENTION\n  {why}; please report it\n\n\
         EVENTS\n{classes}\nMORE  {program} history   {program} show {}\n",
        tally.last_seq
    );
    let severity = tally.severity().unwrap_or(Severity::Low);
    Rendered { subject: format!("[integrityd] {host}: {verdict}"), severity, text }
}

/// A report in the making.
struct ReportPage<'a> {
    batch: &'a Batch<'a>,
    times: &'a Times<'a>,
    /// The command that lists everything this report is about.
    history: String,
    /// File events to be listed, the best claim to a place first.
    files: Vec<&'a StoredEvent>,
    /// Events about processes, gravest first.
    processes: Vec<&'a StoredEvent>,
    /// Events about logs and rules in our words, gravest first.
    logs: Vec<&'a StoredEvent>,
    /// Events about ourselves, gravest first.
    own: Vec<&'a StoredEvent>,
    /// Events about promised ages.
    promises: Vec<&'a StoredEvent>,
}

impl<'a> ReportPage<'a> {
    fn new(batch: &'a Batch<'a>, times: &'a Times<'a>) -> Self {
        let listed = |is_wanted: fn(Category) -> bool| {
            let is_listed =
                |stored: &&StoredEvent| is_wanted(stored.event.category) && stored.event.severity > Severity::Count;
            batch.events.iter().filter(is_listed).collect::<Vec<_>>()
        };
        let gravest_first = |is_wanted| {
            let mut events = listed(is_wanted);
            events.sort_by_key(|stored| as_shown(stored));
            events
        };
        let history = match batch.tally.earliest {
            Some(at) => format!("{} history --since '{}'", batch.program, times.since(at)),
            None => format!("{} history", batch.program),
        };
        let files = listed(|category| category.kind() == Kind::File);
        Self {
            batch,
            times,
            history,
            files,
            processes: gravest_first(is_process),
            logs: gravest_first(is_log_word),
            own: gravest_first(is_own),
            promises: gravest_first(Category::is_coverage),
        }
    }

    fn headline(&self) -> Vec<String> {
        let host = escape_cut(self.batch.host.as_bytes(), subject::HOST_LIMIT);
        let (head, verdict) = (format!("{host}   {}", self.times.headline()), subject::verdict(self.batch));
        let width = head.chars().count() + 3 + verdict.chars().count();
        if width <= WIDTH { vec![format!("{head}   {verdict}")] } else { vec![head, format!("  {verdict}")] }
    }

    fn attention(&self) -> Vec<String> {
        let mut lines = vec!["ATTENTION".to_owned()];
        for notice in self.batch.notices {
            lines.extend(
                note_lines(notice.as_bytes(), &format!("{} status", self.batch.program))
                    .into_iter()
                    .map(|line| format!("  {line}")),
            );
        }
        if lines.len() > 1 { lines } else { Vec::new() }
    }

    /// The sections of log lines, with their classes.
    fn lines(&self) -> Vec<(Category, Vec<String>)> {
        let Batch { tally, program, .. } = self.batch;
        let logged = tally.count(|category, _| category.kind() == Kind::Log);
        // What `history` shows by itself would leave the first of them out.
        let limit = if logged > HISTORY_LIMIT { format!(" --limit {logged}") } else { String::new() };
        let history = format!("{} --kind log{limit}", self.history);
        SECTIONS
            .iter()
            .filter_map(|category| self.batch.lines.iter().find(|section| section.category == *category))
            .map(|section| {
                let total = tally.count(|category, _| category == section.category);
                (section.category, log_lines::section(section, total, self.times, program, &history))
            })
            .collect()
    }

    fn files(&self) -> Vec<String> {
        let (mut unreadable, listable): (Vec<&StoredEvent>, Vec<&StoredEvent>) =
            self.files.iter().partition(|stored| is_unreadable(stored.event.category, stored.event.severity));
        let folds = Folds::find(&listable, self.batch.grown, &self.history);
        let (hidden, mut listed): (Vec<&StoredEvent>, Vec<&StoredEvent>) =
            listable.into_iter().partition(|stored| folds.hides(stored.seq));
        listed.truncate(self.batch.limit.max(1));
        listed.sort_by_key(|stored| as_shown(stored));
        // What is folded into a directory that was itself cut is not told either.
        let told: Vec<&StoredEvent> = listed.iter().chain(folds.told(&listed, &hidden)).copied().collect();
        let unreadable_total = self.batch.tally.count(is_unreadable);
        unreadable.truncate(UNREADABLE);
        unreadable.sort_by_key(|stored| as_shown(stored));
        let shown_unreadable = &unreadable;
        let rows: Vec<&StoredEvent> = listed.iter().chain(shown_unreadable).copied().collect();
        let layout = file_item::Layout {
            times: self.times,
            names: self.batch.names,
            program: self.batch.program,
            mark: self.mark_columns(),
            path: path_columns(&rows),
        };
        let mut lines = vec!["FILES".to_owned()];
        for stored in &listed {
            file_item::lines(stored, folds.of(stored.seq), &layout, &mut lines);
        }
        for (path, folded) in folds.earlier() {
            let path = escape_name_cut(path, VALUE_LIMIT);
            lines.extend([format!("  {path}/  told of before"), folded.line()]);
        }
        lines.extend(self.left_out(&told, &folds.unread(&listed).collect::<Vec<_>>()));
        for stored in shown_unreadable {
            file_item::lines(stored, None, &layout, &mut lines);
        }
        let more = unreadable_total.saturating_sub(u64::try_from(shown_unreadable.len()).unwrap_or(u64::MAX));
        if more > 0 {
            lines.push(format!("  …and {} more could not be read: {}", number(more), self.history));
        }
        let counts = subject::count_only(self.batch);
        if !counts.is_empty() {
            lines.push(format!("  {}", counts.join(" · ")));
        }
        if lines.len() > 1 { lines } else { Vec::new() }
    }

    /// What happened to each watched process.
    fn processes(&self) -> Vec<String> {
        let items = processes::items(&self.processes);
        let mut lines = vec!["PROCESSES".to_owned()];
        let mut told = 0;
        for item in items.iter().take(self.batch.limit.max(1)) {
            item.lines(self.times, self.batch.program, self.mark_columns(), &mut lines);
            told += item.len();
        }
        let total = self.batch.tally.count(|category, severity| is_process(category) && severity > Severity::Count);
        let more = total.saturating_sub(u64::try_from(told).unwrap_or(u64::MAX));
        if more > 0 {
            lines.push(format!("  …and {} more: {} --kind pid", number(more), self.history));
        }
        if lines.len() > 1 { lines } else { Vec::new() }
    }

    /// Says how many of which class, and most of them whose, are neither listed nor counted in the line of a directory.
    fn left_out(&self, told: &[&StoredEvent], unread: &[(u64, (Vec<u8>, OriginatorKey))]) -> Vec<String> {
        let mut left = self.batch.tally.by_category(|category, severity| {
            category.kind() == Kind::File && severity > Severity::Count && !is_unreadable(category, severity)
        });
        take_out(&mut left, told);
        if let Some(added) = left.get_mut(&Category::Added) {
            *added = unread.iter().fold(*added, |rest, (more, _)| rest.saturating_sub(*more));
        }
        left.retain(|_, count| *count > 0);
        let total: u64 = left.values().fold(0, |sum, count| sum.saturating_add(*count));
        let classes: Vec<String> =
            left.iter().map(|(category, count)| format!("{} {}", number(*count), category.word())).collect();
        if total == 0 {
            return Vec::new();
        }
        let mut lines = vec![format!("  …and {} more ({}): {}", number(total), classes.join(", "), self.history)];
        lines.extend(self.whose(told, unread).into_iter().map(|words| format!("{INDENT}{words}")));
        lines
    }

    /// Whose most of what is left out is, a line each: `6,900 of alice in /home/alice`.
    fn whose(&self, told: &[&StoredEvent], unread: &[(u64, (Vec<u8>, OriginatorKey))]) -> Vec<String> {
        let mut shown: HashMap<(&[u8], OriginatorKey), u64> = HashMap::new();
        for stored in told {
            *shown.entry((&stored.event.area, Originator::of(&stored.event).key())).or_default() += 1;
        }
        for (more, (area, key)) in unread {
            *shown.entry((area, *key)).or_default() += more;
        }
        let left_of = |one: &FileShare| {
            let told = shown.get(&(one.area.as_slice(), one.key)).copied().unwrap_or(0);
            one.events.saturating_sub(told)
        };
        let mut left: Vec<(u64, &FileShare)> =
            self.batch.shares.iter().map(|one| (left_of(one), one)).filter(|(count, _)| *count > 0).collect();
        left.sort_by_key(|(count, _)| Reverse(*count));
        let words = left.iter().take(MOST_NAMED).map(|(count, one)| {
            let owner = one.owner.map_or_else(|| "unknown owners".to_owned(), |uid| self.batch.names.user(uid));
            format!("{} of {owner} in {}", number(*count), escape_name_cut(&one.directory, VALUE_LIMIT))
        });
        words.collect()
    }

    /// Events in our own words, `listed` and gravest first, of the classes for which `is_wanted` holds.
    fn words(&self, title: &str, listed: &[&StoredEvent], is_wanted: fn(Category) -> bool) -> Vec<String> {
        let mut lines = vec![title.to_owned()];
        let shown = listed.get(..self.batch.limit.max(1)).unwrap_or(listed);
        for stored in shown {
            self_events::lines(stored, self.times, self.batch.program, self.mark_columns(), &mut lines);
        }
        let total = self.batch.tally.count(|category, severity| is_wanted(category) && severity > Severity::Count);
        let more = total.saturating_sub(u64::try_from(shown.len()).unwrap_or(u64::MAX));
        if more > 0 {
            lines.push(format!("  …and {} more: {}", number(more), self.history));
        }
        let counted_only =
            self.batch.tally.by_category(|category, severity| is_wanted(category) && severity == Severity::Count);
        let words: Vec<String> =
            counted_only.into_iter().map(|(category, count)| subject::counted_words(category, count)).collect();
        if !words.is_empty() {
            lines.push(format!("  {}", words.join(" · ")));
        }
        if lines.len() > 1 { lines } else { Vec::new() }
    }

    fn footer(&self) -> Vec<String> {
        let tally = self.batch.tally;
        let range = match (tally.first_seq, tally.last_seq) {
            (0, 0) => "no events".to_owned(),
            (first, last) if first == last => number(first),
            (first, last) => format!("{}–{}", number(first), number(last)),
        };
        let show =
            if tally.last_seq > 0 { format!("{} show {}", self.batch.program, tally.last_seq) } else { String::new() };
        // Side by side where there is room.
        let gap = match (show.is_empty(), "MORE  ".len() + self.history.len() + 3 + show.len() <= WIDTH) {
            (true, _) => "",
            (false, true) => "   ",
            (false, false) => "\n      ",
        };
        let mut lines: Vec<String> = self.batch.coverage.iter().map(|coverage| self.coverage(coverage)).collect();
        lines.extend(self.promises());
        lines.push(format!("SEQ  {range}  head {}", hex(&self.batch.head)));
        lines.push(format!("MORE  {}{gap}{show}", self.history));
        lines
    }

    /// How well the baseline is kept.
    fn coverage(&self, coverage: &Coverage) -> String {
        let mut checks = vec![counted(coverage.entries, "entry", "entries")];
        if let Some(oldest) = coverage.oldest {
            checks.push(format!("oldest check {}", span(self.batch.now.wall.since(oldest))));
        }
        let line = format!("COVERAGE  {}", checks.join(", "));
        let reasons = [
            ("busy", coverage.busy),
            ("too big", coverage.too_big),
            ("unreadable", coverage.unreadable),
            ("not read yet", coverage.unread),
        ];
        let missing = reasons.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
        if missing == 0 {
            return line;
        }
        let words: Vec<String> = reasons
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| format!("{word} {}", number(*count)))
            .collect();
        format!("{line} · not hashed: {} ({})", number(missing), words.join(", "))
    }

    /// Promised ages that are or will be broken.
    fn promises(&self) -> Vec<String> {
        let shown = self.promises.get(..self.batch.limit.max(1)).unwrap_or(&self.promises);
        let mut lines = Vec::new();
        for stored in shown {
            let path = escape_name_cut(&stored.event.source, VALUE_LIMIT);
            let first = match stored.event.category {
                Category::CoverageLate => format!("  late: {path}"),
                _ => format!("  at risk: {path}"),
            };
            let note = escape_cut(&stored.event.note, VALUE_LIMIT);
            let parts: Vec<String> = note.split("; ").map(str::to_owned).collect();
            flow(format!("{first}  "), &parts, &mut lines);
        }
        let total = self.batch.tally.count(|category, severity| category.is_coverage() && severity > Severity::Count);
        let more = total.saturating_sub(u64::try_from(shown.len()).unwrap_or(u64::MAX));
        if more > 0 {
            lines.push(format!("  …and {} more: {}", number(more), self.history));
        }
        lines
    }

    fn mark_columns(&self) -> usize {
        let all = self.files.iter().chain(&self.processes).chain(&self.logs).chain(&self.own);
        all.map(|stored| stored.event.severity.mark().len()).max().unwrap_or(0).max(4)
    }
}

fn is_own(category: Category) -> bool {
    category.kind() == Kind::Own && !category.is_coverage()
}

fn is_process(category: Category) -> bool {
    category.kind() == Kind::Process
}

fn is_log_word(category: Category) -> bool {
    category.kind() == Kind::Log && !category.is_line()
}

fn is_unreadable(category: Category, severity: Severity) -> bool {
    category == Category::Unreadable && severity == Severity::Low
}

/// The order within a section: the gravest first, then by number.
fn as_shown(stored: &StoredEvent) -> (Reverse<Severity>, u64) {
    (Reverse(stored.event.severity), stored.seq)
}

fn take_out(left: &mut BTreeMap<Category, u64>, told: &[&StoredEvent]) {
    for stored in told {
        if let Some(count) = left.get_mut(&stored.event.category) {
            *count = count.saturating_sub(1);
        }
    }
    left.retain(|_, count| *count > 0);
}

/// The width of the column of paths: the widest that fits, so that a few short paths stand close to their class.
fn path_columns(rows: &[&StoredEvent]) -> usize {
    let (least, most) = PATH_COLUMNS;
    rows.iter()
        .map(|stored| file_item::shown_path(&stored.event).chars().count())
        .filter(|columns| *columns <= most)
        .max()
        .unwrap_or(least)
        .clamp(least, most)
}

#[cfg(test)]
mod tests {
    use jiff::tz::{TimeZone, offset};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::file::{
            attribute::Attribute,
            entry::{FileKind, Observation},
        },
        report::render::{
            batch::BatchTally,
            test_events::{
                added, added_directory, ago, any_event, changed, event, gathered, hostile, look, now, stored, unwrapped,
            },
        },
        sys::users::Names,
    };

    fn render_all(events: &[StoredEvent], limit: usize, notices: &[String]) -> Rendered {
        render_some(events, &BatchTally::of(events), limit, notices)
    }

    fn render_some(events: &[StoredEvent], tally: &BatchTally, limit: usize, notices: &[String]) -> Rendered {
        render(&Batch {
            host: "web3.example",
            now: now(),
            zone: &TimeZone::fixed(offset(1)),
            events,
            lines: &gathered(events, limit),
            tally,
            limit,
            grown: &[],
            shares: &[],
            coverage: Some(Coverage {
                entries: 412_118,
                oldest: Some(ago(181_440)),
                busy: 1,
                too_big: 2,
                unreadable: 0,
                unread: 0,
            }),
            head: [0x9f; 32],
            names: &Names::parse(b"root:x:0:\nalice:x:1000:\n", b"root:x:0:\nadm:x:4:\n"),
            notices,
            program: "integrityd",
        })
    }

    fn mail(rendered: &Rendered) -> String {
        format!("{}\n\n{}", rendered.subject, rendered.text)
    }

    fn ordinary_day() -> Vec<StoredEvent> {
        let mut sudoers = added(48_102, b"/etc/sudoers.d/90-tmp");
        sudoers.event.severity = Severity::High;
        let edit = |new: &mut Observation| {
            new.attributes.size = 1851;
            new.digests.blake3 = Some([0x9c; 32]);
            (new.attributes.mtime, new.attributes.ctime) = (ago(600), ago(598));
        };
        let list = [Attribute::Size, Attribute::Content, Attribute::Mtime, Attribute::Ctime];
        let nginx = changed(48_103, b"/etc/nginx/nginx.conf", &list, edit);
        let mut release = event(Category::Removed, Severity::Normal, b"/opt/app/releases/2026-11-20");
        release.old = Some(look(FileKind::Directory, 0o755, 4096, 0));
        release.count = 1234;
        release.members_digest = Some([0x0d; 32]);
        let mut closed = event(Category::Unreadable, Severity::Low, b"/etc/ssl/private/key.pem");
        closed.note = b"Permission denied (os error 13)".to_vec();
        let mut events = vec![nginx, stored(48_104, release), stored(48_105, closed), sudoers];
        let small = |seq, category| stored(seq, event(category, Severity::Count, b"/etc/quiet"));
        events.extend((48_110..48_122).map(|seq| small(seq, Category::Rewritten)));
        events.extend((48_122..48_125).map(|seq| small(seq, Category::Touched)));
        events
    }

    #[test]
    fn an_ordinary_day() {
        insta::assert_snapshot!(mail(&render_all(&ordinary_day(), 1000, &[])), @"
        [integrityd] web3.example: 3 changes to review (1 high)

        web3.example   Sat 21 Nov 2026 14:10:02 +0100   3 changes to review (1 high)

        FILES
          HIGH  /etc/sudoers.d/90-tmp          added    -rw-r--r-- root:root 34 B
                between 13:58:02 and 14:03:11
                blake3 9c9c9c9c9c9c9c9c
          ---   /etc/nginx/nginx.conf          changed  size 1,832 → 1,851, content,
                mtime, ctime
                between 13:58:02 and 14:03:11
                blake3 e3e3e3e3e3e3e3e3 → 9c9c9c9c9c9c9c9c
                mtime 2026-11-20 10:23:22 → 14:00:02
                ctime 2026-11-20 10:23:22 → 14:00:04
          ---   /opt/app/releases/2026-11-20/  removed  directory, 
            ↳ 1,234 entries in all
                between 13:58:02 and 14:03:11
                each of the 1,234: integrityd show 48104
          low   /etc/ssl/private/key.pem       unreadable  Permission denied (os 
            ↳ error 13),
                14:03:11
          12 files rewritten with the same content · 3 touched (times only)

        COVERAGE  412,118 entries, oldest check 2.1 d · not hashed: 3 (busy 1, too big 2)
        SEQ  48,102–48,124  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 48124
        ");
    }

    #[test]
    fn one_grave_item_is_named_in_the_subject() {
        let list = [Attribute::Perms, Attribute::Uid, Attribute::Gid, Attribute::Ctime];
        let mut shell = changed(48_131, b"/usr/local/bin/backup", &list, |new| {
            new.attributes.perms = 0o6755;
            (new.attributes.uid, new.attributes.gid) = (1000, 4);
            new.attributes.ctime = new.attributes.ctime.after(std::time::Duration::from_nanos(5));
        });
        shell.event.severity = Severity::High;
        insta::assert_snapshot!(mail(&render_all(&[shell], 1000, &[])), @"
        [integrityd] web3.example: HIGH /usr/local/bin/backup changed

        web3.example   Sat 21 Nov 2026 14:10:02 +0100   1 change to review (1 high)

        FILES
          HIGH  /usr/local/bin/backup  changed  perms 0644 → 6755, owner root → alice,
                group root → adm, ctime
                set-user-ID: whoever runs it acts as alice
                set-group-ID: whoever runs it acts as group adm
                between 13:58:02 and 14:03:11
                ctime 2026-11-20 10:23:22.000000000 → 2026-11-20 10:23:22.000000005

        COVERAGE  412,118 entries, oldest check 2.1 d · not hashed: 3 (busy 1, too big 2)
        SEQ  48,131  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 48131
        ");
    }

    #[test]
    fn a_new_baseline() {
        let mut done = event(Category::BaselineEstablished, Severity::Normal, b"");
        (done.area, done.count) = (Vec::new(), 134_750);
        done.note = b"/etc\n/usr\n/srv/www".to_vec();
        let notices = ["The mail server refused alice@example.org since 13:02: 550 no such user\nintegrityd queue list shows 3 reports".to_owned()];
        insta::assert_snapshot!(mail(&render_all(&[stored(2, done)], 1000, &notices)), @"
        [integrityd] web3.example: baseline established, 134,750 entries in 3 areas

        web3.example   Sat 21 Nov 2026 14:10:02 +0100
          baseline established, 134,750 entries in 3 areas

        ATTENTION
          The mail server refused alice@example.org since 13:02: 550 no such user
          integrityd queue list shows 3 reports

        INTEGRITYD
          ---   baseline established · 134,750 entries · 14:03:11
                /etc
                /usr
                /srv/www

        COVERAGE  412,118 entries, oldest check 2.1 d · not hashed: 3 (busy 1, too big 2)
        SEQ  2  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 2
        ");
    }

    #[test]
    fn lost_trust_comes_first() {
        let mut lost = event(Category::TrustLost, Severity::Critical, b"/var/lib/integrityd/integrityd.db");
        lost.area = Vec::new();
        lost.note = b"database restarted at seq 1 (was 48,112)".to_vec();
        let events = [added(1, b"/etc/passwd-"), stored(2, lost)];
        insta::assert_snapshot!(mail(&render_all(&events, 1000, &[])), @"
        [integrityd] web3.example: TRUST LOST: database restarted at seq 1 (was 48,112), 1 change to review

        web3.example   Sat 21 Nov 2026 14:10:02 +0100
          TRUST LOST: database restarted at seq 1 (was 48,112), 1 change to review

        INTEGRITYD
          CRITICAL  trust lost · 14:03:11 · /var/lib/integrityd/integrityd.db
                database restarted at seq 1 (was 48,112)

        FILES
          ---       /etc/passwd-          added    -rw-r--r-- root:root 34 B
                between 13:58:02 and 14:03:11
                blake3 9c9c9c9c9c9c9c9c

        COVERAGE  412,118 entries, oldest check 2.1 d · not hashed: 3 (busy 1, too big 2)
        SEQ  1–2  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 2
        ");
    }

    #[test]
    fn links_devices_and_other_types() {
        let mut link = event(Category::Retyped, Severity::Normal, b"/etc/resolv.conf");
        link.changed = crate::model::file::attribute::AttributeSet::of(&[Attribute::Type, Attribute::Size]);
        link.old = Some(look(FileKind::Regular, 0o644, 92, 0xe3));
        link.new = Some(look(FileKind::Symlink, 0o777, 9, 0));
        let target = changed(11, b"/etc/alternatives/vi", &[Attribute::Target], |new| {
            new.attributes.target = Some(b"/tmp/a\x1b[2J b".to_vec());
        });
        let mut node = event(Category::Added, Severity::High, b"/etc/.disk");
        let mut disk = look(FileKind::BlockDevice, 0o660, 0, 0);
        (disk.attributes.rdev, disk.attributes.gid) = (8 << 32 | 1, 4);
        node.new = Some(disk);
        let mut gone = event(
            Category::Removed,
            Severity::Normal,
            b"/etc/a very long name that was chosen by nobody in particular/but is there.conf",
        );
        gone.old = Some(look(FileKind::Regular, 0o600, 123_456, 0xaa));
        let hostile = added(14, b"/etc/x\nFILES\n  ---   /etc/ok   \xff ");
        let events = [stored(10, link), target, stored(12, node), stored(13, gone), hostile];
        insta::assert_snapshot!(mail(&render_all(&events, 1000, &[])), @r#"
        [integrityd] web3.example: 5 changes to review (1 high)

        web3.example   Sat 21 Nov 2026 14:10:02 +0100   5 changes to review (1 high)

        FILES
          HIGH  /etc/.disk            added    brw-rw---- root:adm block device 8:1
                between 13:58:02 and 14:03:11
          ---   /etc/resolv.conf      retyped  file → symlink to "../target"
                between 13:58:02 and 14:03:11
                blake3 e3e3e3e3e3e3e3e3 → none
          ---   /etc/alternatives/vi  changed  target "" → "/tmp/a\x1b[2J b"
                between 13:58:02 and 14:03:11
          ---   /etc/a very long name that was chosen by nobody in particular/but is 
            ↳ there.conf
                removed  was -rw------- root:root 123,456 B
                between 13:58:02 and 14:03:11
                blake3 aaaaaaaaaaaaaaaa
          ---   /etc/x\nFILES\n \x20--- \x20\x20/etc/ok \x20\x20\xff\x20
                added  -rw-r--r-- root:root 34 B
                between 13:58:02 and 14:03:11
                blake3 9c9c9c9c9c9c9c9c

        COVERAGE  412,118 entries, oldest check 2.1 d · not hashed: 3 (busy 1, too big 2)
        SEQ  10–14  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 14
        "#);
    }

    #[test]
    fn much_is_folded_cut_and_announced() {
        let mut events = vec![added_directory(1, b"/opt/app"), added_directory(2, b"/opt/app/lib")];
        events.extend((0..1500).map(|file| added(file + 3, format!("/opt/app/lib/f{file}").as_bytes())));
        events.extend((0..15).map(|file| added(file + 2000, format!("/etc/new-{file}").as_bytes())));
        events.extend((0..41).map(|file| {
            stored(file + 3000, event(Category::Unreadable, Severity::Low, format!("/root/{file}").as_bytes()))
        }));
        let mut tally = BatchTally::of(&events);
        tally.add_counted(Category::Changed, Severity::Normal, 7000);
        insta::assert_snapshot!(mail(&render_some(&events, &tally, 4, &[])), @"
        [integrityd] web3.example: 8,517 changes to review

        web3.example   Sat 21 Nov 2026 14:10:02 +0100   8,517 changes to review

        FILES
          ---   /opt/app/             added    directory drwxr-xr-x root:root
                between 13:58:02 and 14:03:11
            …and 1,500 files and 1 directory added below it: integrityd history --since '2026-11-21 14:03'
          ---   /etc/new-0            added    -rw-r--r-- root:root 34 B
                between 13:58:02 and 14:03:11
                blake3 9c9c9c9c9c9c9c9c
          ---   /etc/new-1            added    -rw-r--r-- root:root 34 B
                between 13:58:02 and 14:03:11
                blake3 9c9c9c9c9c9c9c9c
          ---   /etc/new-2            added    -rw-r--r-- root:root 34 B
                between 13:58:02 and 14:03:11
                blake3 9c9c9c9c9c9c9c9c
          …and 7,012 more (12 added, 7,000 changed): integrityd history --since '2026-11-21 14:03'
          low   /root/0               unreadable  14:03:11
          low   /root/1               unreadable  14:03:11
          low   /root/2               unreadable  14:03:11
          low   /root/3               unreadable  14:03:11
          low   /root/4               unreadable  14:03:11
          low   /root/5               unreadable  14:03:11
          low   /root/6               unreadable  14:03:11
          low   /root/7               unreadable  14:03:11
          low   /root/8               unreadable  14:03:11
          low   /root/9               unreadable  14:03:11
          …and 31 more could not be read: integrityd history --since '2026-11-21 14:03'

        COVERAGE  412,118 entries, oldest check 2.1 d · not hashed: 3 (busy 1, too big 2)
        SEQ  1–3,040  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 3040
        ");
    }

    #[test]
    fn only_counts() {
        let events: Vec<_> =
            ordinary_day().into_iter().filter(|stored| stored.event.severity == Severity::Count).collect();
        let rendered = render_all(&events, 1000, &[]);
        assert_eq!(
            rendered.subject,
            "[integrityd] web3.example: 12 files rewritten with the same content, 3 touched (times only)"
        );
        assert_eq!(rendered.severity, Severity::Count);
        assert!(
            rendered.text.contains("\nFILES\n  12 files rewritten with the same content · 3 touched (times only)\n")
        );
    }

    #[test]
    fn nothing_at_all_is_still_a_report() {
        let rendered = render_all(&[], 1000, &["The outbox is full".to_owned()]);
        assert_eq!(rendered.subject, "[integrityd] web3.example: 1 notice");
        assert!(rendered.text.contains("\n\nATTENTION\n  The outbox is full\n\nCOVERAGE  412,118 entries"));
        assert!(rendered.text.contains("\nSEQ  no events  head 9f9f"));
    }

    #[test]
    fn a_folded_path_below_a_cut_directory_is_counted_as_left_out() {
        let mut events = vec![added(1, b"/etc/first"), added_directory(2, b"/opt/app")];
        events.extend((0..30).map(|file| added(file + 3, format!("/opt/app/{file}").as_bytes())));
        let text = render_all(&events, 1, &[]).text;
        assert!(text.contains("…and 31 more (31 added): integrityd history --since"), "{text}");
    }

    fn is_harmless(text: &str) -> bool {
        text.chars().all(|c| c == '\n' || !crate::model::escape::is_hidden(c))
    }

    /// Lines at the left margin are ours: the head line, headings and the footer.
    fn margin_is_ours(text: &str) -> bool {
        let heads = [
            "web3.example   ",
            "ATTENTION",
            "SECURITY ALERTS (cracking)",
            "SECURITY EVENTS (violations)",
            "SYSTEM EVENTS",
            "LOGS",
            "FILES",
            "PROCESSES",
            "INTEGRITYD",
            "COVERAGE  ",
            "SEQ  ",
            "MORE  ",
        ];
        text.lines()
            .filter(|line| !line.is_empty() && !line.starts_with("  "))
            .all(|line| heads.iter().any(|head| line.starts_with(head)))
            && heads.iter().all(|head| text.lines().filter(|line| line.starts_with(head)).count() <= 1)
    }

    /// In the sections of log lines what stands in the fifth column is ours, whatever was logged.
    fn remarks_are_ours(text: &str) -> bool {
        let titles = ["SECURITY ALERTS (cracking)", "SECURITY EVENTS (violations)", "SYSTEM EVENTS"];
        let ours = ["×", "a line of ", "an empty line", "…", "↳ "];
        text.split("\n\n")
            .filter(|block| titles.iter().any(|title| block.lines().next() == Some(title)))
            .flat_map(str::lines)
            .filter_map(|line| line.strip_prefix("    ").filter(|rest| !rest.starts_with(' ')))
            .all(|rest| ours.iter().any(|word| rest.starts_with(word)))
    }

    proptest! {
        #[test]
        fn no_event_can_break_a_report(
            events in prop::collection::vec(any_event(), 0..12),
            limit in 0_usize..6,
            notice in hostile(),
        ) {
            let events: Vec<_> = (1..).zip(events).map(|(seq, event)| stored(seq, event)).collect();
            let rendered = render_all(&events, limit, &[String::from_utf8_lossy(&notice).into_owned()]);
            prop_assert!(is_harmless(&rendered.text), "{}", rendered.text);
            prop_assert!(margin_is_ours(&rendered.text), "{}", rendered.text);
            prop_assert!(remarks_are_ours(&rendered.text), "{}", rendered.text);
            prop_assert!(is_harmless(&rendered.subject) && !rendered.subject.contains('\n'));
            prop_assert!(rendered.subject.chars().count() <= 150);
        }

        #[test]
        fn every_path_is_listed_exactly_once_or_counted(
            events in prop::collection::vec((any_event(), hostile()), 0..30),
            limit in 1_usize..40,
        ) {
            let events: Vec<_> = (1..).zip(events).map(|(seq, (mut event, tail))| {
                event.source = [format!("/item{seq:04}~").into_bytes(), tail].concat();
                stored(seq, event)
            }).collect();
            let text = unwrapped(&render_all(&events, limit, &[]).text);
            let told = |stored: &&StoredEvent| text.matches(&format!("/item{:04}~", stored.seq)).count();
            let listable: Vec<_> = events.iter().filter(|stored| {
                stored.event.category.kind() == Kind::File && stored.event.severity > Severity::Count
            }).collect();
            prop_assert!(listable.iter().all(|stored| told(stored) <= 1));
            let silent = u64::try_from(listable.iter().filter(|stored| told(stored) == 0).count()).unwrap();
            let announced: u64 = text.lines()
                .skip_while(|line| *line != "FILES").take_while(|line| !line.is_empty())
                .filter_map(|line| line.strip_prefix("  …and "))
                .map(|line| line.split(' ').next().unwrap().replace(',', "").parse::<u64>().unwrap())
                .sum();
            prop_assert_eq!(silent, announced, "{}", text);
        }
    }
}
