//! The table of docs/torture.md and the mutants name tests and patches that are there.

use std::{collections::BTreeSet, fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The functions of a file as the test binary names them, behind `prefix`.
fn functions(file: &Path, prefix: &str) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let names = text.lines().filter_map(|line| {
        let line = line.trim_start().trim_start_matches("async ");
        let name = line.strip_prefix("fn ")?;
        Some(format!("{prefix}{}", name.split(['(', '<']).next()?))
    });
    names.collect()
}

/// Every function that may be a test: target and name.
fn tests() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for target in ["it", "real", "long", "faults"] {
        for entry in fs::read_dir(root().join("tests").join(target)).unwrap() {
            let path = entry.unwrap().path();
            let Some(stem) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".rs") else { continue };
            let prefix = if stem == "main" { String::new() } else { format!("{stem}::") };
            found.extend(functions(&path, &prefix).into_iter().map(|name| (target.to_owned(), name)));
        }
    }
    for entry in walkdir::WalkDir::new(root().join("src")) {
        let path = entry.unwrap().into_path();
        let Ok(inside) = path.strip_prefix(root().join("src")) else { continue };
        let Some(module) = inside.to_str().unwrap().strip_suffix(".rs") else { continue };
        let module = module.trim_end_matches("/mod").replace('/', "::");
        found.extend(functions(&path, &format!("{module}::tests::")).into_iter().map(|name| ("lib".to_owned(), name)));
        // Tests that lie in a file of their own.
        found.extend(functions(&path, &format!("{module}::")).into_iter().map(|name| ("lib".to_owned(), name)));
    }
    found
}

fn is_there(tests: &BTreeSet<(String, String)>, target: &str, filter: &str) -> bool {
    tests.iter().any(|(known, name)| known == target && name.contains(filter))
}

fn mutants() -> Vec<(String, String)> {
    let patches = fs::read_dir(root().join("tests/mutants")).unwrap().map(|entry| entry.unwrap().path());
    patches
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .map(|path| {
            (
                path.file_stem().unwrap().to_str().unwrap().to_owned(),
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into(),
            )
        })
        .collect()
}

#[test]
fn every_mutant_breaks_a_promise_that_a_test_holds() {
    let tests = tests();
    let mut wrong = Vec::new();
    for (name, patch) in mutants() {
        let line = |start: &str| patch.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
        let (promise, test) = (line("promise: "), line("test: "));
        let (Some(_), Some(test)) = (promise, test) else {
            wrong.push(format!("{name}: no promise or no test"));
            continue;
        };
        let (target, filter) = test.split_once(' ').unwrap_or((&test, ""));
        if !is_there(&tests, target.trim_start_matches("--"), filter.trim()) {
            wrong.push(format!("{name}: there is no test {test}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_torture_names_what_is_there() {
    let text = fs::read_to_string(root().join("docs/torture.md")).unwrap();
    let (tests, mutants) = (tests(), mutants());
    let mut wrong = Vec::new();
    let mut rows = BTreeSet::new();
    // What follows is another table.
    let text = text.split("<!-- troubles").next().unwrap();
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| row")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, _, shown, broken] = cells.as_slice() else {
            wrong.push(format!("not four cells: {row}"));
            continue;
        };
        rows.insert((*name).to_owned());
        for test in shown.split('`').map(str::trim).filter(|test| !test.is_empty()) {
            let (target, filter) = test.split_once(' ').unwrap_or((test, ""));
            if !is_there(&tests, target, filter) {
                wrong.push(format!("{name}: there is no test {test}"));
            }
        }
        for mutant in broken.split_whitespace().filter(|word| *word != "–") {
            if !mutants.iter().any(|(known, _)| known == mutant) {
                wrong.push(format!("{name}: there is no mutant {mutant}"));
            }
        }
    }
    let wanted = ["A1", "A22", "D1", "D7", "E1", "E14", "F1", "F5", "H1", "H6", "I1", "I6"];
    wrong.extend(wanted.iter().filter(|row| !rows.contains(**row)).map(|row| format!("row {row} is missing")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
