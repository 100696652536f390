//! What has only another name is one event, and what lies beneath it is told nothing of.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use integrityd::config::settings::config::OnChange;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    journeys::Journey,
    matrix::{actions, check, quick, told},
    support::{Scratch, overwrite},
};

fn pairs<const N: usize>(wanted: [(&str, &str); N]) -> Vec<(String, String)> {
    wanted.map(|(word, path)| (word.to_owned(), path.to_owned())).to_vec()
}

fn fill(scratch: &Scratch) {
    for directory in ["a/deep", "b"] {
        fs::create_dir_all(scratch.tree().join(directory)).unwrap();
        for number in 0..20 {
            fs::write(scratch.tree().join(directory).join(format!("f{number}")), format!("{number}")).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_walker_tells_each_move_once_whichever_end_it_meets_first() {
    let journey = Journey::new();
    let tree = journey.tree();
    journey.fill(70, b"x");
    fs::create_dir(tree.join("d6/sub")).unwrap();
    (0..30).for_each(|number| fs::write(tree.join(format!("d6/sub/f{number}")), "x").unwrap());
    let daemon = journey.start(quick(&journey));
    daemon.until_established().await;
    sleep(Duration::from_secs(70)).await;
    let mut wanted = Vec::new();
    // New names, and other directories beside.
    for (number, to) in [(7, "d0/new"), (14, "d0/other"), (1, "d2/here"), (9, "d3/there"), (2, "up")] {
        fs::rename(journey.file(number), tree.join(to)).unwrap();
        wanted.push(("moved".to_owned(), to.to_owned()));
    }
    sleep(Duration::from_mins(5)).await;
    // A whole directory, one into another, and one within that.
    fs::rename(tree.join("d5"), tree.join("e5")).unwrap();
    fs::rename(tree.join("d6"), tree.join("e5/d6")).unwrap();
    wanted.extend(["e5", "e5/d6"].map(|to| ("moved".to_owned(), to.to_owned())));
    sleep(Duration::from_mins(5)).await;
    overwrite(&tree.join("e5/d6/sub/f7"), "y");
    fs::remove_file(tree.join("e5/f0005")).unwrap();
    wanted
        .extend([("changed", "e5/d6/sub/f7"), ("removed", "e5/f0005")].map(|(word, path)| (word.into(), path.into())));
    sleep(Duration::from_mins(5)).await;
    let mut found = told(&journey, &daemon).await;
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    let mails = journey.mails().join("\n");
    assert!(mails.contains("/d5 → ") && mails.contains("/e5/d6"), "{mails}");
    assert!(mails.contains("directory, 42 entries in all"), "{mails}");
    daemon.stop().await;
}

#[test]
fn check_prints_one_line_for_a_moved_directory_and_init_stores_it() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fill(&scratch);
    assert!(scratch.ask(&["init", "-q"]).status.success());
    fs::rename(tree.join("a"), tree.join("c")).unwrap();
    let (code, found) = check(&scratch);
    assert_eq!((code, actions(&scratch, &found)), (4, pairs([("moved", "c")])));
    assert_eq!(found[0]["integrityd"]["previous"]["path"], tree.join("a").to_str().unwrap());
    assert_eq!(found[0]["integrityd"]["count"], 22);
    assert_eq!(found[0]["event"]["severity"], 20);
    let shown = String::from_utf8(scratch.ask(&["check"]).stdout).unwrap();
    let lines: Vec<&str> = shown.lines().filter(|line| line.contains("moved")).collect();
    assert_eq!(lines.len(), 1, "{shown}");
    assert!(shown.contains(&format!("{} → {}", tree.join("a").display(), tree.join("c").display())), "{shown}");
    // A change beneath is found at the same time.
    overwrite(&tree.join("c/deep/f3"), "9");
    let wanted = pairs([("changed", "c/deep/f3"), ("moved", "c")]);
    scratch.ask(&["init", "-q"]);
    let history = scratch.history();
    assert_eq!(actions(&scratch, &history), wanted);
    assert_eq!(check(&scratch), (0, Vec::new()));
    // It is found by its old path as well.
    let words = |arguments: &[&str]| String::from_utf8(scratch.ask(arguments).stdout).unwrap();
    assert!(words(&["history", "--path", tree.join("a").to_str().unwrap()]).contains(" → "));
    let moved = history.iter().find(|event| event["event"]["action"][0] == "moved").unwrap();
    let shown = words(&["show", &moved["integrityd"]["seq"].to_string()]);
    assert!(shown.contains(" → ") && shown.contains("22 entries in all"), "{shown}");
    assert!(scratch.ask(&["verify"]).status.success());
}

#[test]
fn what_moves_between_areas_moves_with_everything_beneath() {
    let scratch = Scratch::new();
    let other = scratch.path("other");
    fs::create_dir(&other).unwrap();
    scratch.configure(&format!("area = {}\nmail = stdout:", other.display()));
    fill(&scratch);
    assert!(scratch.ask(&["init", "-q"]).status.success());
    fs::rename(scratch.tree().join("a"), other.join("a")).unwrap();
    fs::rename(scratch.tree().join("b/f7"), other.join("f7")).unwrap();
    scratch.ask(&["init", "-q"]);
    let moved: Vec<String> = scratch
        .history()
        .iter()
        .filter(|event| event["event"]["dataset"] == "integrityd.file")
        .map(|event| format!("{} {}", event["event"]["action"][0], event["integrityd"]["area"]))
        .collect();
    let wanted = format!("\"moved\" \"{}\"", other.display());
    assert_eq!(moved, [wanted.clone(), wanted]);
    assert_eq!(check(&scratch), (0, Vec::new()));
    let status = scratch.status();
    let entries: Vec<u64> = [0, 1].map(|area| status["areas"][area]["entries"].as_u64().unwrap()).to_vec();
    assert_eq!(entries, [1 + 1 + 19, 1 + 22 + 1], "{status}");
}

#[test]
fn what_else_has_changed_is_told_with_the_move() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fill(&scratch);
    fs::create_dir(tree.join(".ssh")).unwrap();
    assert!(scratch.ask(&["init", "-q"]).status.success());
    fs::rename(tree.join("b/f1"), tree.join("b/plain")).unwrap();
    fs::set_permissions(tree.join("b/f2"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(tree.join("b/f2"), tree.join("b/mode")).unwrap();
    fs::set_permissions(tree.join("b/f3"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::rename(tree.join("b/f3"), tree.join("b/setuid")).unwrap();
    fs::rename(tree.join("b/f4"), tree.join(".ssh/authorized_keys")).unwrap();
    // Other content is another file.
    overwrite(&tree.join("b/f5"), "x");
    fs::rename(tree.join("b/f5"), tree.join("b/other")).unwrap();
    let (_, found) = check(&scratch);
    let mut rows: Vec<(String, u64, String)> = found
        .iter()
        .map(|event| {
            let path = event["file"]["path"].as_str().unwrap().rsplit('/').next().unwrap();
            let word = event["event"]["action"][0].as_str().unwrap();
            let changed = event["integrityd"]["changed"].as_array().map_or(String::new(), |names| {
                names.iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>().join(",")
            });
            (format!("{word} {path}"), event["event"]["severity"].as_u64().unwrap(), changed)
        })
        .collect();
    rows.sort();
    let wanted = [
        ("added other", 40, ""),
        ("moved authorized_keys", 70, ""),
        ("moved mode", 40, "perms"),
        ("moved plain", 20, ""),
        ("moved setuid", 70, "perms"),
        ("removed f5", 40, ""),
    ];
    assert_eq!(rows, wanted.map(|(what, severity, changed)| (what.to_owned(), severity, changed.to_owned())));
}

#[test]
fn a_hard_link_is_an_addition_and_only_the_last_name_moves() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fill(&scratch);
    assert!(scratch.ask(&["init", "-q"]).status.success());
    fs::hard_link(tree.join("b/f1"), tree.join("b/second")).unwrap();
    let (_, found) = check(&scratch);
    assert_eq!(actions(&scratch, &found), pairs([("added", "b/second"), ("changed", "b/f1")]));
    scratch.ask(&["init", "-q"]);
    // Two names for one that is gone: one of them is the move, the other an addition.
    fs::hard_link(tree.join("b/f2"), tree.join("b/one")).unwrap();
    fs::rename(tree.join("b/f2"), tree.join("b/two")).unwrap();
    let (_, found) = check(&scratch);
    let words: Vec<String> = actions(&scratch, &found).into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["added", "moved"]);
}

#[test]
fn a_directory_that_is_gone_does_not_count_what_was_moved_out_of_it() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fill(&scratch);
    assert!(scratch.ask(&["init", "-q"]).status.success());
    fs::rename(tree.join("a/deep/f3"), tree.join("b/kept")).unwrap();
    fs::remove_dir_all(tree.join("a")).unwrap();
    for words in [&["check", "--json"][..], &["init", "-q"]] {
        let output = scratch.ask(words);
        let text = String::from_utf8(output.stdout).unwrap();
        let events: Vec<Value> = if words[0] == "init" {
            scratch.history()
        } else {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        assert_eq!(actions(&scratch, &events), pairs([("moved", "b/kept"), ("removed", "a")]));
        let removed = events.iter().find(|event| event["event"]["action"][0] == "removed").unwrap();
        assert_eq!(removed["integrityd"]["count"], 21);
    }
    assert_eq!(check(&scratch), (0, Vec::new()));
}

#[test]
fn where_changes_are_not_accepted_a_move_is_a_removal_and_an_addition() {
    let scratch = Scratch::new();
    scratch.configure("areaonchange = keep\nmail = stdout:");
    let tree = scratch.tree();
    fill(&scratch);
    assert!(scratch.ask(&["init", "-q"]).status.success());
    fs::rename(tree.join("b/f1"), tree.join("b/new")).unwrap();
    let (_, found) = check(&scratch);
    assert_eq!(actions(&scratch, &found), pairs([("added", "b/new"), ("removed", "b/f1")]));
}

#[test]
fn an_arrow_in_a_name_does_not_pose_as_a_move() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fs::write(tree.join("x → y"), "x").unwrap();
    assert!(scratch.ask(&["init", "-q"]).status.success());
    fs::rename(tree.join("x → y"), tree.join("z")).unwrap();
    let shown = String::from_utf8(scratch.ask(&["check"]).stdout).unwrap();
    assert!(shown.contains(r"/x \u{2192} y → "), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn names_in_hand_of_a_directory_that_was_moved_are_told_by_its_new_path() {
    let journey = Journey::new();
    let tree = journey.tree();
    journey.fill(1400, b"x");
    let mut config = quick(&journey);
    config.rates.speedup = 2.0;
    let daemon = journey.start(config);
    daemon.until_established().await;
    // A round takes minutes: all directories are in hand with most of their names.
    sleep(Duration::from_secs(30)).await;
    fs::rename(tree.join("d5"), tree.join("e5")).unwrap();
    let moved = ("moved".to_owned(), "e5".to_owned());
    while !told(&journey, &daemon).await.contains(&moved) {
        sleep(Duration::from_secs(1)).await;
    }
    for file in fs::read_dir(tree.join("e5")).unwrap() {
        overwrite(&file.unwrap().path(), "y");
    }
    sleep(Duration::from_mins(15)).await;
    let found = told(&journey, &daemon).await;
    assert_eq!(found.iter().filter(|(_, path)| path.starts_with("d5")).count(), 0, "{found:?}");
    let changed = |(word, path): &&(String, String)| word == "changed" && path.starts_with("e5/");
    assert_eq!((found.len(), found.iter().filter(changed).count()), (201, 200));
    daemon.stop().await;
}

/// A user who owns most of an area must not be able to blind it by renaming what is his.
#[tokio::test(start_paused = true)]
async fn hostile_most_of_an_area_renamed_leaves_the_rest_watched() {
    let journey = Journey::new();
    let tree = journey.tree();
    for (name, files) in [("data", 150), ("rest", 20)] {
        fs::create_dir(tree.join(name)).unwrap();
        for number in 0..files {
            fs::write(tree.join(name).join(format!("f{number}")), format!("{name} {number}")).unwrap();
        }
    }
    let daemon = journey.start(quick(&journey));
    daemon.until_established().await;
    sleep(Duration::from_secs(70)).await;
    fs::create_dir_all(tree.join("far/away")).unwrap();
    for number in 0..150 {
        fs::rename(tree.join(format!("data/f{number}")), tree.join(format!("far/away/g{number}"))).unwrap();
    }
    overwrite(&tree.join("rest/f7"), "other");
    sleep(Duration::from_mins(10)).await;
    let found = told(&journey, &daemon).await;
    assert!(found.contains(&("changed".to_owned(), "rest/f7".to_owned())), "{found:?}");
    assert!(!found.iter().any(|(word, _)| word.ends_with("missing")), "{found:?}");
    daemon.stop().await;
}

#[test]
fn hostile_what_always_matters_is_named_when_the_directory_around_it_comes_or_goes() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fs::create_dir_all(tree.join("joe/ssh")).unwrap();
    fs::write(tree.join("joe/ssh/authorized_keys"), "key").unwrap();
    assert!(scratch.ask(&["init", "-q"]).status.success());
    let one = |scratch: &Scratch| {
        let (_, found) = check(scratch);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(scratch.ask(&["check", "--update", "-q"]).status.code().is_some());
        let reason = found[0]["event"]["reason"].as_str().unwrap_or_default().to_owned();
        (found[0]["event"]["kind"].as_str().unwrap().to_owned(), reason)
    };
    fs::rename(tree.join("joe/ssh"), tree.join("joe/.ssh")).unwrap();
    let (kind, reason) = one(&scratch);
    assert!(kind == "alert" && reason.contains("/joe/.ssh/authorized_keys"), "{kind}: {reason}");
    fs::rename(tree.join("joe"), tree.join("jim")).unwrap();
    let (kind, reason) = one(&scratch);
    assert!(kind == "alert" && reason.contains("/jim/.ssh/authorized_keys"), "{kind}: {reason}");
    fs::remove_dir_all(tree.join("jim")).unwrap();
    let (kind, reason) = one(&scratch);
    assert!(kind == "alert" && reason.contains("/jim/.ssh/authorized_keys"), "{kind}: {reason}");
}

#[tokio::test(start_paused = true)]
async fn where_changes_are_kept_a_directory_in_the_place_of_a_file_is_entered() {
    let journey = Journey::new();
    journey.fill(10, b"x");
    let mut config = quick(&journey);
    config.areas[0].on_change = OnChange::Keep;
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(Duration::from_secs(70)).await;
    let place = journey.file(3);
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    fs::write(place.join("within"), "x").unwrap();
    sleep(Duration::from_mins(5)).await;
    let found = told(&journey, &daemon).await;
    assert!(found.iter().any(|(word, path)| word == "added" && path.ends_with("/within")), "{found:?}");
    daemon.stop().await;
}
