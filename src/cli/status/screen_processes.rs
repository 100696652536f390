//! The watched processes on the screen of `status`: one line each.

use crate::{
    cli::status::{
        column::{Column, TableStyle, shortened, style},
        level::StatusLevel,
    },
    model::{
        format::{number, span},
        process::Liveness,
    },
    store::health::{fact_processes::ProcessFacts, facts::Facts},
};

/// Narrower screens are shown without the names of programs.
const NAMES_FROM: usize = 76;

/// Most columns of a name.
const NAME: usize = 15;

/// The table.
pub(in crate::cli) fn processes(facts: &Facts, look: TableStyle) -> Vec<String> {
    let all = &facts.processes;
    let column =
        |title, is_right, cell: &dyn Fn(&ProcessFacts) -> String| Column::new(title, is_right, all.iter().map(cell));
    let none = || "-".to_owned();
    let mut columns = vec![
        column("PID", true, &|process| process.pid.map_or_else(none, |pid| pid.to_string())),
        column("UP", true, &|process| process.started.map_or_else(none, |at| span(facts.age(at)))),
        column("RESTARTS/24H", true, &|process| number(process.restarts)),
        column("STATE", false, &|process| {
            let words = process.words();
            if process.is_fine() { words } else { format!("{words} for {}", span(facts.age(process.since))) }
        }),
    ];
    if look.width >= NAMES_FROM {
        columns.insert(0, column("NAME", false, &|process| shortened(&process.name, NAME)));
    }
    let fixed: usize = columns.iter().map(|column| column.width() + 2).sum();
    let room = look.width.saturating_sub(fixed).max(10);
    columns.insert(0, column("PROCESS", false, &|process| shortened(&process.place(), room)));
    let row = |row: Option<usize>| {
        let cells: Vec<String> = columns.iter().map(|column| column.cell(row, column.width())).collect();
        let line = cells.join("  ").trim_end().to_owned();
        match row.and_then(|row| all.get(row)).filter(|process| !process.is_fine()) {
            Some(process) => {
                let is_grave = process.liveness != Liveness::Running;
                look.paint(&line, style(if is_grave { StatusLevel::Critical } else { StatusLevel::Warning }))
            }
            None => line,
        }
    };
    std::iter::once(row(None)).chain((0..all.len()).map(|place| row(Some(place)))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use unicode_width::UnicodeWidthStr as _;

    use super::*;
    use crate::{model::process::FileFault, store::health::facts::sample::facts};

    #[test]
    fn each_process_is_one_line_of_any_screen() {
        let mut facts = facts();
        let one = ProcessFacts {
            source: "/run/apache2.pid".to_owned(),
            container: String::new(),
            name: "apache2".to_owned(),
            pid: Some(9021),
            started: Some(facts.now.before(Duration::from_hours(984))),
            liveness: Liveness::Running,
            fault: None,
            since: facts.now.before(Duration::from_hours(2)),
            restarts: 3,
        };
        let gone = ProcessFacts { liveness: Liveness::Gone, pid: None, started: None, ..one.clone() };
        let inside = ProcessFacts { container: "web".to_owned(), fault: Some(FileFault::Empty), ..one.clone() };
        facts.processes = vec![one, ProcessFacts { source: "nginx.service".to_owned(), ..gone }, inside];
        for width in [60, 80, 120] {
            let lines = processes(&facts, TableStyle { width, is_coloured: false });
            assert_eq!(lines.len(), 4);
            assert!(width < 76 || lines.iter().all(|line| line.width() <= width), "{lines:#?}");
        }
        let lines = processes(&facts, TableStyle { width: 100, is_coloured: false });
        insta::assert_snapshot!(lines.join("\n"), @r"
        PROCESS                  NAME      PID    UP  RESTARTS/24H  STATE
        /run/apache2.pid         apache2  9021  41 d             3  running
        nginx.service            apache2     -     -             3  not running for 2 h
        /run/apache2.pid in web  apache2  9021  41 d             3  pid file invalid for 2 h
        ");
    }
}
