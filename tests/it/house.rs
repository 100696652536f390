//! The law of the house: imports go downstairs only, and each outside word lives in its room.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The floors, ground first; neighbours on a floor never import each other.
const FLOORS: &[&[&str]] = &[
    &["model"],
    &["config", "sys"],
    &["store", "export", "content", "tail"],
    &["files", "logs", "pids", "audit", "report", "actions"],
    &["daemon"],
    &["cli"],
];

/// Words and the only places they may stand in (paths below `src/` that begin so).
const WORDS: &[(&str, &[&str])] = &[
    ("rusqlite", &["store/"]),
    ("lettre", &["report/"]),
    ("blake3::", &["content/", "files/compare/comparison.rs", "files/remote/lookup.rs", "model/"]),
    ("SystemTime", &["model/"]),
    ("unsafe ", &["sys/"]),
    ("std::time::Instant", &[]),
    ("thread::sleep", &["content/racy.rs"]),
    ("println!", &["cli/"]),
    ("process::exit", &["main.rs"]),
    ("anyhow", &["cli/"]),
    ("#[allow", &[]),
    ("#![allow", &[]),
    ("todo!", &[]),
];

/// Lines of code, without tests, comments and blank lines, that a file may have.
const LONGEST_FILE: usize = 500;

/// Files that a folder may hold, its own front among them.
const MOST_FILES: usize = 15;

/// Types of one name in more than one file: what clap derives a command's options from, which is only ever named with its module.
const SHARED: &[&str] = &["Arguments", "Command", "ShowArguments"];

/// Yesterday's metaphors, which no file and no type may bear, since nobody would search for them.
const BANNED: &[&str] = &[
    "ahead",
    "ailment",
    "barn",
    "bells",
    "comings",
    "courier",
    "courtesy",
    "deaf",
    "deputy",
    "desk",
    "door",
    "ears",
    "errand",
    "eye",
    "eyes",
    "far",
    "fate",
    "fence",
    "fresh",
    "glance",
    "glimpse",
    "graves",
    "ground",
    "happening",
    "harvest",
    "intake",
    "itinerary",
    "keeper",
    "lane",
    "lay",
    "leave",
    "letter",
    "life",
    "office",
    "postmaster",
    "promises",
    "pulse",
    "quarantine",
    "restraint",
    "roll",
    "ruins",
    "scout",
    "sentry",
    "settle",
    "sheet",
    "sieve",
    "sight",
    "slip",
    "standing",
    "sweep",
    "tending",
    "tract",
    "upkeep",
    "visitor",
    "whereabouts",
    "witness",
];

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

/// All that a `use` of this tree names: `a::{b, c::D}` is `a::b` and `a::c::D`.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let words = |text: &str| -> Vec<String> {
        text.split("::").map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
    };
    let Some((front, inner)) = tree.split_once('{') else {
        return vec![words(tree.split(" as ").next().unwrap())];
    };
    let inner = &inner[..inner.rfind('}').unwrap()];
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, character) in inner.char_indices().chain([(inner.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let piece = inner[start..at].trim();
                start = at + 1;
                if !piece.is_empty() {
                    found.extend(leaves(piece).into_iter().map(|leaf| [words(front), leaf].concat()));
                }
            }
            _ => {}
        }
    }
    found
}

/// What follows the visibility of an item: `pub(in crate::a) fn f` is `fn f`.
fn without_visibility(item: &str) -> &str {
    let rest = match item.strip_prefix("pub(") {
        Some(scope) => scope.split_once(") ").map(|(_, rest)| rest),
        None => item.strip_prefix("pub "),
    };
    rest.unwrap_or(item)
}

/// All paths that code names: what it uses, and those in its body that begin with `crate` or `super`.
fn named(code: &str) -> Vec<Vec<String>> {
    let (mut found, mut body, mut start, mut used) = (Vec::new(), String::new(), 0, 0);
    for line in code.split_inclusive('\n') {
        if without_visibility(line.trim_start()).starts_with("use ") {
            let statement = code[start..].split_inclusive(';').next().unwrap();
            found.extend(leaves(statement.split_once("use ").unwrap().1.trim_end_matches(';')));
            used = start + statement.len();
        } else if start >= used {
            body.push_str(line);
        }
        start += line.len();
    }
    let is_part = |character: char| character.is_alphanumeric() || "_:$".contains(character);
    // A scope is no import.
    let body = body.replace("pub(in crate::", "pub(in ");
    for word in ["crate::", "super::"] {
        for (at, _) in body.match_indices(word).filter(|(at, _)| !body[..*at].ends_with(is_part)) {
            let path = &body[at..];
            found.extend(leaves(&path[..path.find(|character| !is_part(character)).unwrap_or(path.len())]));
        }
    }
    found
}

/// The rooms that code imports from the crate, by `crate::room` and by groups `crate::{room::…, …}`.
fn imported_rooms(code: &str) -> Vec<String> {
    let of_crate = named(code).into_iter().filter(|path| path[0] == "crate");
    let mut rooms: Vec<String> = of_crate.filter_map(|path| path.get(1).cloned()).collect();
    rooms.dedup();
    rooms
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

/// The module of a file below `src/`: `a/mod.rs` and `a.rs` are `a`.
fn module(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(if path == "lib" { "" } else { path });
    path.split('/').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Which files each file imports from, whatever the items are visible to.
fn imports(sources: &[Source]) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let files: BTreeSet<Vec<String>> = sources.iter().map(|source| module(&source.path)).collect();
    let of = |source: &Source| {
        let own = module(&source.path);
        let is_child = |name: &str| files.contains(&[own.clone(), vec![name.to_owned()]].concat());
        let mut paths = named(&source.code);
        if source.path.ends_with("mod.rs") {
            // A front names its folder's files without a prefix.
            let words = source.code.split(|end: char| !end.is_alphanumeric() && !"_:".contains(end));
            paths.extend(words.filter(|word| word.contains("::")).flat_map(leaves));
        }
        let absolute = |path: Vec<String>| match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "super" | "self" => {
                let up = path.iter().filter(|word| *word == "super").count();
                let rest = path.iter().skip_while(|word| *word == "super" || *word == "self").cloned();
                Some(own[..own.len().saturating_sub(up)].iter().cloned().chain(rest).collect())
            }
            child if is_child(child) => Some([own.clone(), path].concat()),
            _ => None,
        };
        let file = |path: Vec<String>| {
            let found = (0..=path.len()).rev().map(|end| path[..end].to_vec()).find(|file| files.contains(file));
            found.filter(|file| *file != own)
        };
        (own.clone(), paths.into_iter().filter_map(absolute).filter_map(file).collect())
    };
    sources.iter().map(of).collect()
}

/// The members of a circle, if there is one.
fn circle<T: Ord + Clone>(graph: &BTreeMap<T, BTreeSet<T>>) -> Vec<T> {
    let mut left = graph.clone();
    loop {
        // Whoever imports nothing that is left is in no circle.
        let ends: Vec<T> = left
            .iter()
            .filter(|(_, to)| !to.iter().any(|to| left.contains_key(to)))
            .map(|(from, _)| from.clone())
            .collect();
        if ends.is_empty() {
            // Nor is whom nothing that is left imports.
            let imported: BTreeSet<T> = left.values().flatten().cloned().collect();
            let before = left.len();
            left.retain(|from, _| imported.contains(from));
            if left.len() == before {
                return left.into_keys().collect();
            }
        }
        for end in &ends {
            left.remove(end);
        }
    }
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let imports = imports(&sources());
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 1000, "the imports were not found");
    let circle: Vec<String> = circle(&imports).iter().map(|file| file.join("/")).collect();
    assert!(circle.is_empty(), "in a circle: {}", circle.join(", "));
}

#[test]
fn within_a_room_imports_go_down_the_order_that_its_front_states() {
    let sources = sources();
    let imports = imports(&sources);
    let mut wrong = Vec::new();
    for front in sources.iter().filter(|source| source.path.ends_with("/mod.rs") && module(&source.path).len() == 1) {
        let room = module(&front.path);
        let inside = |path: &[String]| path.starts_with(&room) && path.len() > 1;
        let folders: BTreeSet<&String> =
            imports.keys().filter(|file| inside(file) && file.len() > 2).map(|file| &file[1]).collect();
        let stated = front.text.lines().find_map(|line| line.strip_prefix("//! Downwards: "));
        let order: Vec<&str> = stated.map_or(Vec::new(), |line| line.trim_end_matches('.').split(", ").collect());
        wrong.extend(
            folders
                .iter()
                .filter(|folder| !order.contains(&folder.as_str()))
                .map(|folder| format!("src/{}: where does {folder} stand?", front.path)),
        );
        let rank = |name: &str| order.iter().position(|stated| *stated == name);
        for (from, to) in
            imports.iter().filter(|(from, _)| inside(from)).flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
        {
            let (Some(above), Some(below)) =
                (rank(&from[1]), to.get(1).filter(|_| inside(to)).and_then(|name| rank(name)))
            else {
                continue;
            };
            if above > below {
                wrong.push(format!("{} imports {} from below", from.join("/"), to.join("/")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The types that a file defines, outside of its tests.
fn types(source: &Source) -> Vec<String> {
    let name = |line: &str| {
        let mut words = without_visibility(line).split_whitespace();
        matches!(words.next()?, "struct" | "enum" | "trait" | "type").then_some(())?;
        Some(words.next()?.split(|end: char| !end.is_alphanumeric()).next()?.to_owned())
    };
    source.code.lines().filter_map(name).collect()
}

#[test]
fn a_type_has_a_name_of_its_own_and_no_metaphor_for_one() {
    let sources = sources();
    let mut homes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for source in &sources {
        for name in types(source) {
            homes.entry(name).or_default().push(&source.path);
        }
    }
    assert!(homes.len() > 500, "the types were not found");
    let mut wrong: Vec<String> = homes
        .iter()
        .filter(|(name, files)| files.len() > 1 && !SHARED.contains(&name.as_str()))
        .map(|(name, files)| format!("{name} is in {}", files.join(", ")))
        .collect();
    let words = homes.keys().map(|name| (name.to_lowercase(), name.clone()));
    let stems = sources
        .iter()
        .filter_map(|source| Some((Path::new(&source.path).file_stem()?.to_str()?.to_owned(), source.path.clone())));
    wrong.extend(
        words
            .chain(stems)
            .filter(|(word, _)| BANNED.contains(&word.as_str()))
            .map(|(_, shown)| format!("{shown} is a metaphor")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_folder_holds_no_more_files_than_one_sees_at_once() {
    let mut folders: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources() {
        *folders
            .entry(source.path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned()))
            .or_default() += 1;
    }
    let full: Vec<_> = folders.iter().filter(|(_, files)| **files > MOST_FILES).collect();
    assert!(full.is_empty(), "{full:?}");
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
    let source =
        |path: &str, code: &str| Source { path: path.to_owned(), code: code.to_owned(), lines: 1, text: String::new() };
    let files = [
        source("a/mod.rs", "mod b;\nmod c;\nfn f() { b::g(); }"),
        source("a/b.rs", "use super::{c::{D as E, F}};\npub(in crate::a) fn g() {}"),
        source("a/c.rs", "struct D;\nfn h() { crate::a::f(); }"),
        source("d.rs", "#[cfg(unix)]\nuse crate::{\n    a::b::g,\n};\nfn i() {\n    use crate::a::c::h;\n}"),
    ];
    assert_eq!(imports(&files)[&module("d.rs")], BTreeSet::from([module("a/b.rs"), module("a/c.rs")]));
    let found: Vec<String> = circle(&imports(&files)).iter().map(|file| file.join("/")).collect();
    assert_eq!(found, ["a", "a/b", "a/c"]);
}
