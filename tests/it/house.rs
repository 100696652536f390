//! The law of the house: imports go downstairs only, and each outside word lives in its room.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The floors, ground first; neighbours on a floor never import each other.
const FLOORS: &[&[&str]] = &[
    &["model"],
    &["config", "sys"],
    &["store"],
    &["files", "logs", "pids", "audit", "report", "actions"],
    &["daemon"],
    &["cli"],
];

/// Words and the only places they may stand in (paths below `src/` that begin so).
const WORDS: &[(&str, &[&str])] = &[
    ("rusqlite", &["store/"]),
    ("lettre", &["report/"]),
    ("blake3::", &["files/", "model/"]),
    ("SystemTime", &["model/"]),
    ("unsafe ", &["sys/"]),
    ("std::time::Instant", &[]),
    ("thread::sleep", &[]),
    ("println!", &["cli/"]),
    ("process::exit", &["main.rs"]),
    ("anyhow", &["cli/"]),
    ("#[allow", &[]),
    ("#![allow", &[]),
    ("todo!", &[]),
];

/// Lines of code, without tests, comments and blank lines, that a file may have.
const LONGEST_FILE: usize = 500;

struct Source {
    /// Its path below `src/`.
    path: String,
    /// Its code without tests and comments.
    code: String,
    lines: usize,
    text: String,
}

fn sources() -> Vec<Source> {
    fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &mut found);
    assert!(found.len() > 30, "the sources were not found");
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let body = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
            let code: Vec<&str> = body.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            Source {
                path: path.strip_prefix(&root).unwrap().display().to_string(),
                code: code.join("\n"),
                lines: code.iter().filter(|line| !line.trim().is_empty()).count(),
                text,
            }
        })
        .collect()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms that code imports from the crate, by `crate::room` and by groups `crate::{room::…, …}`.
fn imported_rooms(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut piece = String::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => {
                        rooms.push(std::mem::take(&mut piece));
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                piece.push(character);
            }
            rooms.push(piece);
        } else {
            rooms.push(rest.to_owned());
        }
    }
    rooms
        .iter()
        .map(|piece| {
            let word: String = piece
                .trim_start()
                .chars()
                .take_while(|character| character.is_alphanumeric() || *character == '_')
                .collect();
            word
        })
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn imports_go_downstairs_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some((room, _)) = source.path.split_once('/') else {
            continue;
        };
        let own = floor(room).unwrap_or_else(|| panic!("the room of src/{} stands on no floor", source.path));
        for imported in imported_rooms(&source.code) {
            let Some(other) = floor(&imported) else { continue };
            if imported != room && other >= own {
                wrong.push(format!("src/{} imports {imported}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn leaves_use_nothing_their_own_room_defines() {
    let sources = sources();
    let mut wrong = Vec::new();
    for source in &sources {
        let Some((room, file)) = source.path.split_once('/') else {
            continue;
        };
        if file == "mod.rs" {
            continue;
        }
        let Some(front) = sources.iter().find(|other| other.path == format!("{room}/mod.rs")) else {
            continue;
        };
        let defined = front.code.lines().filter_map(|line| {
            let line = line.strip_prefix("pub ")?;
            let mut words = line.split_whitespace();
            matches!(words.next()?, "struct" | "enum" | "fn" | "const" | "trait" | "type").then_some(())?;
            Some(words.next()?.split(['(', '<', ':', ';']).next()?.to_owned())
        });
        for name in defined {
            let by_super = format!("super::{name}");
            let by_crate = format!("crate::{room}::{name}");
            if source.code.contains(&by_super) || source.code.contains(&by_crate) {
                wrong.push(format!("src/{} uses {name} of src/{room}/mod.rs", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_word_lives_in_its_room() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (word, homes) in WORDS {
            let is_home = homes.iter().any(|home| source.path.starts_with(home));
            if !is_home && source.code.contains(word) {
                wrong.push(format!("src/{} says {word:?}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") {
            wrong.push(format!("src/{} does not begin with //!", source.path));
        }
        if source.lines > LONGEST_FILE {
            wrong.push(format!("src/{} has {} lines without its tests", source.path, source.lines));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_law_can_be_broken() {
    let code = "use crate::{\n    model::{clock::Clock, entry},\n    files::pace,\n};\nfn x() { crate::report::render::render(); }";
    assert_eq!(imported_rooms(code), ["model", "files", "report"]);
}
