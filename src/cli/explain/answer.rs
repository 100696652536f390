//! The answer of `explain` in words. Lines of ours keep to 60 columns; untrusted text is never wrapped.

use std::{path::PathBuf, time::Duration};

use crate::{
    cli::terminal::output::{number, span},
    config::{
        settings::{attribute_groups::Growth, config::Config},
        write::effective::{Block, Effective, Given},
    },
    files::{
        area::{
            membership::{Membership, PathLink},
            watched_areas::{Exclusion, WatchedArea},
        },
        compare::diff::{COLLECTED, meaningful},
    },
    model::{
        escape::escape_name,
        event::StoredEvent,
        file::{
            attribute::{Attribute, AttributeSet},
            entry::{Entry, LONGEST_PATH},
        },
    },
    report::render::listing::EventListing,
};

/// Columns of our own lines.
const WIDTH: usize = 60;

/// Columns of the labels.
const LABEL: usize = 10;

/// All that is known of a path.
#[derive(Debug)]
pub(in crate::cli) struct Explained<'a> {
    pub(in crate::cli) path: Vec<u8>,
    pub(in crate::cli) config: &'a Config,
    pub(in crate::cli) effective: &'a Effective,
    pub(in crate::cli) membership: Membership<'a>,
    /// Areas that hold it too and leave it to an inner one.
    pub(in crate::cli) outer: Vec<Vec<u8>>,
    pub(in crate::cli) link: Option<PathLink>,
    pub(super) is_urgent: bool,
    pub(in crate::cli) stored: Stored,
    pub(in crate::cli) events: Vec<StoredEvent>,
}

/// What the database holds.
#[derive(Debug)]
pub(in crate::cli) enum Stored {
    /// There is none.
    NoDatabase(PathBuf),
    /// Nothing of this path.
    Nothing,
    /// This.
    Entry(Box<KnownPath>),
}

/// An entry of the baseline.
#[derive(Debug)]
pub(in crate::cli) struct KnownPath {
    pub(in crate::cli) entry: Entry,
    /// How many entries lie below a directory.
    pub(in crate::cli) below: Option<u64>,
    pub(in crate::cli) due: DueCheck,
}

/// When it is looked at again.
#[derive(Debug)]
pub(in crate::cli) enum DueCheck {
    /// Its area is in this state, in which nothing is looked at.
    Never(&'static str),
    /// It waits.
    Queued {
        /// So many wait longer.
        ahead: u64,
        /// The most it can take while the daemon runs.
        within: Duration,
        /// Whether the daemon runs; `None` when that cannot be told.
        is_running: Option<bool>,
    },
}

impl Explained<'_> {
    /// The answer in lines, ended; neutralised.
    pub(in crate::cli) fn text(&self, listing: &EventListing<'_>, program: &str) -> String {
        let mut lines = vec![escape_name(&self.path)];
        if let Some((at, watched)) = area_of(&self.membership) {
            let block = self.effective.areas().nth(at);
            label(&mut lines, "area", self.area_words(watched, block));
            label(&mut lines, "watched", vec![self.verdict(watched, block, program)]);
            label(&mut lines, "settings", settings(watched, block));
            label(&mut lines, "compares", wrap(&names(self.compared(watched))));
            label(&mut lines, "", self.ignored(watched));
            label(&mut lines, "", growth(watched));
            label(&mut lines, "mail to", self.recipients(watched));
            label(&mut lines, "urgent", vec![if self.is_urgent { "yes" } else { "no" }.to_owned()]);
        } else {
            label(&mut lines, "area", vec!["none: no area line of the configuration holds it".to_owned()]);
            if let Some(link) = &self.link {
                label(&mut lines, "", vec![through(link, program)]);
            }
        }
        match &self.stored {
            Stored::NoDatabase(path) => {
                let path = escape_name(path.as_os_str().as_encoded_bytes());
                label(&mut lines, "stored", vec![format!("there is no database yet ({path})")]);
            }
            Stored::Nothing if matches!(self.membership, Membership::InNoArea) => {}
            Stored::Nothing => label(&mut lines, "stored", vec!["nothing".to_owned()]),
            Stored::Entry(known) => {
                let mut stored = listing.entry(&known.entry);
                stored.extend(known.below.map(|below| match below {
                    1 => "1 entry below".to_owned(),
                    below => format!("{} entries below", number(below)),
                }));
                label(&mut lines, "stored", stored);
                label(&mut lines, "due", self.due(&known.due));
            }
        }
        if !self.events.is_empty() {
            label(&mut lines, "events", vec!["the last, oldest first".to_owned()]);
        }
        let events: String = self.events.iter().map(|stored| listing.event(stored)).collect();
        lines.join("\n") + "\n" + &events
    }

    /// What is compared at this very path; of a stored object only what counts for its kind.
    pub(in crate::cli) fn compared(&self, watched: &WatchedArea) -> AttributeSet {
        let set = watched.compared_at(&self.path).intersection(COLLECTED);
        match &self.stored {
            Stored::Entry(known) => {
                let kind = known.entry.known.attributes.kind;
                set.intersection(meaningful(kind, kind))
            }
            Stored::NoDatabase(_) | Stored::Nothing => set,
        }
    }

    fn area_words(&self, watched: &WatchedArea, block: Option<&Block>) -> Vec<String> {
        let source = block.and_then(|block| block.values("area").first()).map(source).unwrap_or_default();
        let outer = self.outer.iter().map(|outer| format!("area {} leaves it to this one", escape_name(outer)));
        [format!("{}{source}", escape_name(&watched.path))].into_iter().chain(outer).collect()
    }

    /// Whether the walk comes to it, and why not.
    fn verdict(&self, watched: &WatchedArea, block: Option<&Block>, program: &str) -> String {
        match &self.membership {
            Membership::InNoArea => "no".to_owned(),
            Membership::Watched { .. } => match self.link_beneath(watched) {
                Some(link) => format!("no: {}", through(link, program)),
                None => "yes".to_owned(),
            },
            Membership::Barred { mount, .. } if mount.kind.is_empty() => {
                format!("no: what belongs at {} is not mounted", escape_name(&mount.point))
            }
            Membership::Barred { mount, .. } => format!(
                "no: {} is mounted at {} and not entered",
                escape_name(mount.kind.as_bytes()),
                escape_name(&mount.point)
            ),
            Membership::LeftOut { at, why, .. } => match why {
                Exclusion::Excluded => self.excluded(watched, at, block),
                Exclusion::Own => format!("no: integrityd writes {} itself", escape_name(at)),
                Exclusion::OtherArea => format!("no: {} is an area of its own", escape_name(at)),
                Exclusion::TooLong => format!(
                    "no: its path is longer than {LONGEST_PATH} bytes (PATH_MAX), and paths beyond are not looked at"
                ),
                Exclusion::NotEntered => {
                    let source =
                        block.and_then(|block| block.values("arearecurse").first()).map(source).unwrap_or_default();
                    format!("no: directories are not entered, recurse = no{source}")
                }
            },
        }
    }

    fn excluded(&self, watched: &WatchedArea, at: &[u8], block: Option<&Block>) -> String {
        let pattern = watched.settings.excludes.pattern_covering(at).unwrap_or_default();
        let given = block.and_then(|block| block.values("exclude").iter().find(|given| given.value == pattern));
        let covers = if at == self.path { String::new() } else { format!(" covers {}", escape_name(at)) };
        format!("no: exclude {}{}{covers}", escape_name(pattern), given.map(source).unwrap_or_default())
    }

    /// A link between the root of the area and the path: the walk does not follow it.
    pub(super) fn link_beneath(&self, watched: &WatchedArea) -> Option<&PathLink> {
        self.link.as_ref().filter(|link| link.at.len() > watched.path.len())
    }

    /// What of the area's attributes does not count at this very path.
    fn ignored(&self, watched: &WatchedArea) -> Vec<String> {
        let here = watched.compared_at(&self.path);
        let top = self.effective.blocks.first();
        let given = |item: &str| {
            let values = top.map(|block| block.values(item)).unwrap_or_default();
            values.iter().find(|given| given.value == self.path)
        };
        let left: AttributeSet = watched
            .settings
            .attributes
            .iter()
            .filter(|attribute| !here.has(*attribute))
            .fold(AttributeSet::NONE, AttributeSet::with);
        let line = |item: &str, wanted: &[Attribute]| {
            let names: Vec<&str> = wanted.iter().filter(|it| left.has(**it)).map(|it| it.name()).collect();
            let given = given(item).filter(|_| !names.is_empty())?;
            Some(format!("not {}: {item}{}", names.join(" and "), source(given)))
        };
        let inode = line("noinode", &[Attribute::Inode]);
        inode.into_iter().chain(line("notime", &[Attribute::Mtime, Attribute::Ctime])).collect()
    }

    /// Who gets what concerns it, each once.
    pub(in crate::cli) fn recipients(&self, watched: &WatchedArea) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for address in self.config.recipients.iter().chain(&watched.settings.recipients) {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        all
    }

    fn due(&self, due: &DueCheck) -> Vec<String> {
        match due {
            DueCheck::Never(state) => vec![format!("not looked at: the area is {state}")],
            DueCheck::Queued { .. } if !matches!(self.membership, Membership::Watched { .. }) => {
                vec!["it leaves the baseline when its turn comes".to_owned()]
            }
            DueCheck::Queued { ahead, within, is_running } => {
                let waiting = match ahead {
                    0 => "next in the queue".to_owned(),
                    1 => "1 entry waits longer".to_owned(),
                    ahead => format!("{} entries wait longer", number(*ahead)),
                };
                let mut lines = vec![waiting, format!("within about {} at the present rates", span(*within))];
                if *is_running == Some(false) {
                    lines.push("once the daemon runs: it does not now".to_owned());
                }
                lines
            }
        }
    }
}

/// What is no change though it differs.
fn growth(watched: &WatchedArea) -> Vec<String> {
    let may_grow = watched.settings.growth == Growth::Nothing;
    may_grow.then(|| "files may grow while their old part stays".to_owned()).into_iter().collect()
}

/// The settings of the area that are no list, each with its source.
fn settings(watched: &WatchedArea, block: Option<&Block>) -> Vec<String> {
    let given = |name: &str| block.and_then(|block| block.values(name).first());
    let mut lines = Vec::new();
    for (name, word) in
        [("areahash", "hash"), ("areaonchange", "onchange"), ("arearecurse", "recurse"), ("areamaxage", "maxage")]
    {
        if let Some(given) = given(name) {
            let unused = name == "areahash" && watched.settings.algorithms.is_empty();
            let note = if unused { ", but content is not compared" } else { "" };
            lines.push(format!("{word} {}{}{note}", escape_name(&given.value), source(given)));
        }
    }
    let types = block.map(|block| block.values("areafstypes")).unwrap_or_default();
    lines.extend(types.iter().map(|given| format!("fstypes {}{}", escape_name(&given.value), source(given))));
    lines
}

/// Where a link on the way leads.
fn through(link: &PathLink, program: &str) -> String {
    let aim = link.real.as_deref().map(|real| format!("; ask for {program} explain {}", escape_name(real)));
    format!("{} is a symbolic link to {}{}", escape_name(&link.at), escape_name(&link.target), aim.unwrap_or_default())
}

fn source(given: &Given) -> String {
    format!(" ({})", given.source)
}

pub(in crate::cli) fn list(set: AttributeSet) -> Vec<&'static str> {
    set.iter().map(Attribute::name).collect()
}

fn names(set: AttributeSet) -> String {
    list(set).join(", ")
}

/// Adds `lines` behind and below a label.
fn label(out: &mut Vec<String>, name: &str, lines: Vec<String>) {
    for (at, line) in lines.into_iter().enumerate() {
        let name = if at == 0 { name } else { "" };
        out.push(format!("{name:<LABEL$}{line}"));
    }
}

/// Breaks `text` at blanks, so that it fits behind a label.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if LABEL + line.len() + word.len() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The number and the path of the area.
pub(in crate::cli) fn area_of<'a>(membership: &'a Membership<'_>) -> Option<(usize, &'a WatchedArea)> {
    match membership {
        Membership::InNoArea => None,
        Membership::Watched { area, watched }
        | Membership::LeftOut { area, watched, .. }
        | Membership::Barred { area, watched, .. } => Some((*area, watched)),
    }
}
