//! How far a full-speed pass is: a bar on a terminal, a line now and then elsewhere, nothing where quiet is wanted.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    cli::terminal::output::{number, size, span, talk},
    files::scan::batch::ScanBatch,
    model::{
        clock::{Boottime, Clock},
        escape::escape_name,
    },
};

/// How often a line is printed where there is no terminal.
const LINE_TIME: Duration = Duration::from_secs(10);

/// Shows how far a pass is.
#[derive(Debug)]
pub(in crate::cli) struct Progress {
    way: ProgressWay,
    clock: Clock,
    began: Boottime,
    total: Option<u64>,
    looks: u64,
    bytes: u64,
}

#[derive(Debug)]
enum ProgressWay {
    Quiet,
    Lines { last: Boottime },
    Bar(ProgressBar),
}

/// Whether a bar would be seen.
pub(in crate::cli) fn has_bar(is_quiet: bool) -> bool {
    !is_quiet && io::stderr().is_terminal()
}

impl Progress {
    /// Begins; `total` is how many paths there will be, if that is known.
    pub(in crate::cli) fn begin(clock: Clock, total: Option<u64>, is_quiet: bool) -> Self {
        let began = clock.now().boottime;
        let way = match is_quiet {
            true => ProgressWay::Quiet,
            false if has_bar(is_quiet) => ProgressWay::Bar(bar(total)),
            false => ProgressWay::Lines { last: began },
        };
        Self { way, clock, began, total, looks: 0, bytes: 0 }
    }

    /// Takes note of what came in.
    pub(in crate::cli) fn count(&mut self, result: &ScanBatch) {
        self.looks += result.looks;
        self.bytes = self.bytes.saturating_add(result.bytes);
        let now = self.clock.now().boottime;
        match &mut self.way {
            ProgressWay::Bar(bar) => {
                bar.set_position(self.looks);
                let seconds = now.since(self.began).as_secs().max(1);
                bar.set_message(format!("{}, {}/s", size(self.bytes), number(self.looks / seconds)));
                for found in result.news.iter().flat_map(|news| &news.outcome.events) {
                    bar.println(format!("{} {}", found.event.category.word(), escape_name(&found.event.source)));
                }
            }
            ProgressWay::Lines { last } if now.since(*last) >= LINE_TIME => {
                *last = now;
                let of = self.total.map(|total| format!(" of about {}", number(total))).unwrap_or_default();
                talk(&format!("{}{of} entries, {} read", number(self.looks), size(self.bytes)));
            }
            ProgressWay::Lines { .. } | ProgressWay::Quiet => {}
        }
    }

    /// Ends, and says in words what it took.
    pub(in crate::cli) fn end(self) -> String {
        if let ProgressWay::Bar(bar) = &self.way {
            bar.finish_and_clear();
        }
        let took = self.clock.now().boottime.since(self.began);
        let took = if took < Duration::from_mins(2) { format!("{:.1} s", took.as_secs_f64()) } else { span(took) };
        format!("in {took}, {} read", size(self.bytes))
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = match total {
        Some(_) => "{wide_bar} {human_pos}/{human_len}, {msg}, {eta} left",
        None => "{spinner} {human_pos} entries, {msg}",
    };
    // A template that does not parse would be a mistake of ours; the default bar serves as well.
    if let Ok(style) = ProgressStyle::with_template(template) { bar.with_style(style) } else { bar }
}
