//! What the documents show is true: links lead somewhere, commands can be given, settings can be set, figures are computed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use integrityd::store::events::{max_age_rate::Demand, path_status::Workload};

use crate::support::{PROGRAM, Scratch};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md and what lies in docs/, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let inside = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = inside.filter(|path| path.extension().is_some_and(|name| name == "md")).collect();
    paths.push(root().join("README.md"));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// A block between fences: the word behind the first one, and its lines.
fn fenced(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(word) = line.trim_start().strip_prefix("```") {
            let inner: Vec<&str> = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```")).collect();
            blocks.push((word.trim().to_owned(), inner.join("\n")));
        }
    }
    blocks
}

/// What stands between single backticks, outside of fences.
fn literals(text: &str) -> Vec<String> {
    let mut is_fenced = false;
    let outside = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        !is_fence && !is_fenced
    });
    let outside = outside.collect::<Vec<_>>().join("\n");
    outside.split('`').skip(1).step_by(2).map(|literal| literal.replace('\n', " ")).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in documents() {
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            seen += 1;
            let file = path.parent().unwrap().join(target.split('#').next().unwrap());
            if !file.exists() {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(seen > 10, "no links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The words of a shell, as far as documents use them: quotes, and nothing else.
fn words(line: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut quote = None;
    let mut is_inside = false;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                if !is_inside {
                    found.push(String::new());
                }
                is_inside = true;
            }
            (None, ' ') => is_inside = false,
            _ => {
                if !is_inside {
                    found.push(String::new());
                }
                is_inside = true;
                found.last_mut().unwrap().push(c);
            }
        }
    }
    found
}

/// The calls of integrityd in a line of a shell, each without what stands before and behind it.
fn calls(line: &str) -> Vec<Vec<String>> {
    let line = line.trim_start_matches("$ ").split(" #").next().unwrap();
    let mut found = Vec::new();
    for piece in line.split([';', '|', '&', '(', ')', '>', '<']) {
        let words = words(piece);
        let is_program = |word: &String| word == "integrityd" || word.ends_with("sbin/integrityd");
        let begin =
            words.iter().position(|word| !["sudo", "then", "do", "if"].contains(&word.as_str()) && !word.contains('='));
        if let Some(begin) = begin
            && words.get(begin).is_some_and(is_program)
        {
            found.push(words[begin + 1..].to_vec());
        }
    }
    found
}

/// The lines of a block that are typed: those behind a prompt where there is one, else all.
fn typed(block: &str) -> Vec<String> {
    let has_prompt = block.lines().any(|line| line.starts_with("$ "));
    block.lines().filter(|line| !has_prompt || line.starts_with("$ ")).map(str::to_owned).collect()
}

/// Words that stand for something else, with something in their place.
fn concrete(words: &[String]) -> Vec<String> {
    words
        .iter()
        .map(|word| match word.as_str() {
            "N" | "ID" | "SEQ" => "1".to_owned(),
            "SHELL" => "bash".to_owned(),
            "PAGE" => "integrityd".to_owned(),
            word => word.to_owned(),
        })
        .collect()
}

#[test]
fn every_command_that_is_shown_can_be_given() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in documents() {
        let in_blocks = fenced(&text).into_iter().filter(|(word, _)| ["", "sh", "console"].contains(&word.as_str()));
        let in_blocks = in_blocks.flat_map(|(_, block)| typed(&block));
        // Forms with a choice in brackets are for readers.
        let in_text = literals(&text).into_iter().filter(|literal| !literal.contains(['[', '…', '|']));
        for line in in_blocks.chain(in_text) {
            for call in calls(&line) {
                seen += 1;
                let mut arguments = concrete(&call);
                // An option that is only named wants its value.
                if arguments.last().is_some_and(|word| word == "--mails") {
                    arguments.push("mbox".to_owned());
                }
                let output = Command::new(PROGRAM).args(arguments).arg("--help").stdin(Stdio::null()).output().unwrap();
                if !output.status.success() {
                    let why = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
                    wrong.push(format!("{}: {line}: {why}", path.display()));
                }
            }
        }
    }
    assert!(seen > 60, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The examples of a page of the manual: lines that are indented by four blanks.
fn indented(text: &str) -> Vec<String> {
    text.split("\n\n")
        .filter(|block| block.starts_with("    ") && block.contains(" = "))
        .map(|block| block.lines().map(|line| line.trim_start().trim_start_matches('.')).collect::<Vec<_>>().join("\n"))
        .collect()
}

#[test]
fn every_configuration_that_is_shown_is_free_of_faults() {
    let scratch = Scratch::new();
    let mut shown: Vec<(String, String)> = Vec::new();
    for (path, text) in documents() {
        let blocks = fenced(&text).into_iter().filter(|(word, _)| ["conf", "toml"].contains(&word.as_str()));
        shown.extend(blocks.map(|(_, block)| (path.display().to_string(), block)));
    }
    let page = fs::read_to_string(root().join("src/cli/manual/integrityd.conf.txt")).unwrap();
    shown.extend(indented(&page).into_iter().map(|block| ("integrityd.conf(5)".to_owned(), block)));
    assert!(shown.len() > 10, "only {} were found", shown.len());
    for (place, block) in shown {
        let mut text = block.clone();
        let is_toml = block.lines().any(|line| line.starts_with('['));
        let has = |word: &str| block.lines().any(|line| line.split(['=', ' ']).next() == Some(word));
        // A part of a configuration is completed: it may show mails only.
        if is_toml && !block.contains("[[") {
            text += "\n[[area]]\npath = \"/etc\"\n";
        } else if !is_toml && !["area", "log", "pidfile", "unit"].into_iter().any(has) {
            text += "\narea = /etc\n";
        }
        fs::write(scratch.path("integrityd.conf"), &text).unwrap();
        let output = scratch.ask(&["config", "check"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{place}:\n{block}\n{said}");
    }
}

#[test]
fn the_table_of_rates_is_what_the_program_computes() {
    let text = fs::read_to_string(root().join("docs/tuning.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.ends_with(" |") && line.contains(" h "));
    let mut seen = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [entries, size, looks, bytes, hours] = cells.as_slice() else { continue };
        let number = |text: &str| text.replace(',', "").parse::<u64>().unwrap();
        let scaled = |text: &str| {
            let (value, unit) = text.split_once(' ').unwrap();
            number(value) * if unit == "GiB" { 1 << 30 } else { 1 << 10 }
        };
        let load = Workload { entries: number(entries), bytes: scaled(size) };
        let bytes = f64::from(u32::try_from(scaled(bytes)).unwrap());
        let round = Demand { looks: looks.parse().unwrap(), bytes }.round(load);
        assert_eq!(*hours, format!("{:.1} h", round.as_secs_f64() / 3600.0), "{row}");
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} rows were found");
    let day = Demand::of(Workload { entries: 86_400, bytes: 0 }, Duration::from_hours(24));
    assert!((day.looks - 1.5).abs() < 1e-9, "docs/tuning.md says 1.5 looks an entry");
}

#[test]
fn every_document_that_is_promised_is_there_and_none_is_forgotten() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for (path, _) in documents() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || readme.contains(&format!("docs/{name}")), "README.md does not name {name}");
    }
}
