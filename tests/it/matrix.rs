//! What must hold in every situation a watched file can be in: one row each, with the test that holds it.
//!
//! | row | situation | test |
//! |---|---|---|
//! | 1 | changes while it is hashed | `files::observe` (unit), `passes::a_file_that_never_holds_still_costs_only_itself`, `hostile::a_file_that_is_always_being_written_does_not_hide_a_chmod` |
//! | 2 | vanishes midway | `row_02_…` |
//! | 3 | becomes another type of object | `row_03_…`, as a device `real::matrix::row_03_…`, `hostile::another_type_is_told_even_when_only_content_counts` |
//! | 4 | cannot be read | `row_04_…` (lease), `passes::what_cannot_be_read_is_said_by_init_and_check` |
//! | 5 | deep and long paths, any bytes | `passes::a_tree_deeper_and_broader_than_there_are_descriptors_is_seen_whole`, `names` |
//! | 6 | very many names in a directory | `passes::a_directory_too_large_to_be_held_is_compared_as_well` |
//! | 7 | hard links | `row_07_…`, `moves::a_hard_link_is_an_addition_and_only_the_last_name_moves` |
//! | 8 | sparse files | with the lane of big files |
//! | 9 | changed through a mapping, times forged | `row_09_…`, `attributes::each_attribute_changed_alone_is_one_event_that_names_it` |
//! | 10 | replaced with the same content | `row_10_…` |
//! | 11 | bind mounts, overlay | `real::matrix::row_11_…` |
//! | 12 | area missing, emptied, another, most of it removed | `row_12_…`, `journeys::a_missing_area_is_one_event_and_its_baseline_is_kept` |
//! | 13 | a subtree removed, added, moved | `row_13_…`, `journeys::a_removed_subtree_is_one_line_with_its_count`, `moves` |
//! | 14 | an area that is a link | `row_14_…`, `hostile::an_area_behind_a_link_is_noticed_when_the_link_turns` |
//! | 15 | excludes | `config::exclude` (unit), `hostile::what_is_excluded_later_leaves_with_one_notice` |
//! | 16 | first baseline | `row_16_…` |
//! | 17 | very many changes at once | `row_17_…` |
//! | 19 | changes while the daemon was down | `row_19_…`, `passes::init_learns_what_the_walker_would_and_reports_what_differs` |
//! | 20 | our own state in an area | `hostile::own_files_are_left_out_however_the_area_is_reached` |
//! | 21 | more attributes, another digest | `attributes::matrix_21_…`, `hostile::another_digest_is_learned_only_after_the_old_one_was_verified` |
//!
//! Each attribute alone: `attributes`, and `real::attributes` for what only root can set.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use integrityd::{
    config::settings::config::{Area, Config},
    store::events::append::Filter,
};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    journeys::{Daemonic, Journey},
    support::{Scratch, overwrite, put_back_mtime, sink::Sink},
};

/// Quick, and every finding mailed at once.
pub(crate) fn quick(journey: &Journey) -> Config {
    let mut config = journey.config();
    config.rates.files = 5.0;
    config.report.files.hold_off = Duration::ZERO;
    config
}

/// What was told of files: the word and the path beneath the tree.
pub(crate) async fn told(journey: &Journey, daemon: &Daemonic) -> Vec<(String, String)> {
    let tree = format!("{}/", journey.tree().display());
    let filter = Filter { limit: 100_000, ..Filter::default() };
    let events = daemon.db.call(move |store| store.history(&filter).unwrap()).await;
    events
        .iter()
        .filter(|stored| stored.event.category.kind().word() == "file")
        .map(|stored| {
            let path = String::from_utf8(stored.event.source.clone()).unwrap();
            (stored.event.category.word().to_owned(), path.strip_prefix(&tree).unwrap_or("").to_owned())
        })
        .collect()
}

/// Actions and paths beneath the tree, from lines of JSON.
pub(crate) fn actions<'a>(scratch: &Scratch, events: impl IntoIterator<Item = &'a Value>) -> Vec<(String, String)> {
    let tree = format!("{}/", scratch.tree().display());
    let mut all: Vec<(String, String)> = events
        .into_iter()
        .filter(|event| event["event"]["dataset"] == "integrityd.file")
        .map(|event| {
            let path = event["file"]["path"].as_str().unwrap_or_default();
            (
                event["event"]["action"][0].as_str().unwrap().to_owned(),
                path.strip_prefix(&tree).unwrap_or("").to_owned(),
            )
        })
        .collect();
    all.sort();
    all
}

/// What `check --json` finds, with its exit code.
pub(crate) fn check(scratch: &Scratch) -> (i32, Vec<Value>) {
    let output = scratch.ask(&["check", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn clear(tree: &Path, away: &Path) {
    fs::create_dir(away).unwrap();
    for entry in fs::read_dir(tree).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), away.join(entry.file_name())).unwrap();
    }
}

fn bring_back(tree: &Path, away: &Path) {
    for entry in fs::read_dir(away).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), tree.join(entry.file_name())).unwrap();
    }
}

/// An area is emptied, and what was in it comes back with three other contents. Beneath directories, or all in the root.
async fn empty_and_fill_again(is_flat: bool) {
    let journey = Journey::new();
    let tree = journey.tree();
    if is_flat {
        (0..400).for_each(|number| fs::write(tree.join(format!("f{number:04}")), "x").unwrap());
    } else {
        journey.fill(400, b"x");
    }
    let file = |number: usize| if is_flat { tree.join(format!("f{number:04}")) } else { journey.file(number) };
    let daemon = journey.start(quick(&journey));
    daemon.until_established().await;
    sleep(Duration::from_secs(70)).await;
    let away = journey.directory.path().join("away");
    clear(&tree, &away);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(told(&journey, &daemon).await, [("entries missing".to_owned(), String::new())]);
    let mail = journey.mails().join("\n");
    assert!(
        mail.contains("its baseline of 40") && mail.contains("400 of 401 entries are missing") == is_flat,
        "{mail}"
    );
    assert!(is_flat || mail.contains("407 of 408 entries are missing"), "{mail}");
    bring_back(&tree, &away);
    for number in [3, 33, 333] {
        fs::write(file(number), "changed while away").unwrap();
    }
    sleep(Duration::from_mins(5)).await;
    let mut news = told(&journey, &daemon).await.split_off(1);
    assert!(news.iter().any(|(word, _)| word == "entries back"), "{news:?}");
    news.retain(|(word, _)| word != "touched" && word != "entries back");
    let mut paths: Vec<String> = news.iter().map(|(_, path)| path.clone()).collect();
    paths.sort();
    let mut wanted: Vec<String> =
        [3, 33, 333].map(|number| file(number).strip_prefix(&tree).unwrap().display().to_string()).to_vec();
    wanted.sort();
    assert_eq!(paths, wanted, "{news:?}");
    assert!(news.iter().all(|(word, _)| word == "changed"), "{news:?}");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn row_12_an_emptied_area_is_one_event_and_what_comes_back_is_compared() {
    empty_and_fill_again(false).await;
}

#[tokio::test(start_paused = true)]
async fn row_12_an_emptied_area_without_directories_is_one_event_as_well() {
    empty_and_fill_again(true).await;
}

#[tokio::test(start_paused = true)]
async fn row_12_a_large_subtree_that_is_no_more_than_half_is_removed_not_suspended() {
    let journey = Journey::new();
    let tree = journey.tree();
    for (name, files) in [("large", 200), ("rest", 210)] {
        fs::create_dir(tree.join(name)).unwrap();
        (0..files).for_each(|number| fs::write(tree.join(name).join(format!("f{number}")), "x").unwrap());
    }
    let daemon = journey.start(quick(&journey));
    daemon.until_established().await;
    sleep(Duration::from_secs(70)).await;
    fs::remove_dir_all(tree.join("large")).unwrap();
    sleep(Duration::from_mins(5)).await;
    assert_eq!(told(&journey, &daemon).await, [("removed".to_owned(), "large".to_owned())]);
    daemon.stop().await;
}

#[test]
fn row_12_passes_over_an_emptied_area_tell_one_event_each_and_keep_the_baseline() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let (tree, away) = (scratch.tree(), scratch.path("away"));
    (0..400).for_each(|number| fs::write(tree.join(format!("f{number}")), "x").unwrap());
    assert!(scratch.ask(&["init", "-q"]).status.success());
    clear(&tree, &away);
    let missing = [("entries-missing".to_owned(), String::new())];
    let (code, found) = check(&scratch);
    assert_eq!((code, actions(&scratch, &found)), (8, missing.to_vec()));
    assert!(found[0]["event"]["reason"].as_str().unwrap().starts_with("400 entries are missing"), "{}", found[0]);
    for words in [&["check", "--update", "-q"][..], &["init", "-q"], &["run", "--once"]] {
        scratch.ask(words);
        assert_eq!(actions(&scratch, &scratch.history()), missing, "{words:?}");
    }
    bring_back(&tree, &away);
    fs::write(tree.join("f7"), "other").unwrap();
    scratch.ask(&["init", "-q"]);
    let news = scratch.history();
    let news: Vec<_> = actions(&scratch, &news).into_iter().filter(|(word, _)| word != "touched").collect();
    let wanted = [("changed", "f7"), ("entries-back", ""), ("entries-missing", "")];
    assert_eq!(news, wanted.map(|(word, path)| (word.to_owned(), path.to_owned())));
    // What was cleared on purpose is accepted with one event, and what was not reported before is reported.
    clear(&tree, &scratch.path("gone"));
    scratch.ask(&["init", "-q"]);
    fs::write(tree.join("new"), "x").unwrap();
    let before = scratch.history().len();
    assert!(scratch.ask(&["init", "--accept", tree.to_str().unwrap()]).status.success());
    assert_eq!(check(&scratch), (0, Vec::new()));
    let news = scratch.history().split_off(before);
    assert_eq!(actions(&scratch, &news), [("added".to_owned(), "new".to_owned())]);
    let accepted = news.last().unwrap()["event"]["reason"].to_string();
    assert!(news.len() == 2 && accepted.contains("1 added, 400 removed, 0 changed"), "{news:?}");
    assert!(scratch.ask(&["verify"]).status.success());
}

#[tokio::test(start_paused = true)]
async fn row_12_whoever_removes_his_own_files_stops_the_comparison_of_nothing_else() {
    let journey = Journey::new();
    let tree = journey.tree();
    let own = |number: usize| tree.join(format!("home/user/u{number}"));
    for (directory, name, files) in [("etc", "f", 60), ("home/user", "u", 200)] {
        fs::create_dir_all(tree.join(directory)).unwrap();
        (0..files).for_each(|number| fs::write(tree.join(directory).join(format!("{name}{number}")), "x").unwrap());
    }
    let daemon = journey.start(quick(&journey));
    daemon.until_established().await;
    sleep(Duration::from_secs(70)).await;
    (0..200).for_each(|number| fs::remove_file(own(number)).unwrap());
    sleep(Duration::from_mins(5)).await;
    let event = |word: &str, path: &str| (word.to_owned(), path.to_owned());
    assert_eq!(told(&journey, &daemon).await, [event("entries missing", "home/user")]);
    assert!(journey.mails().join("\n").contains("200 of 264 entries are missing"), "{:?}", journey.mails());
    fs::write(tree.join("etc/f7"), "evil").unwrap();
    fs::write(tree.join("etc/new"), "evil").unwrap();
    sleep(Duration::from_mins(5)).await;
    let mut news = told(&journey, &daemon).await.split_off(1);
    news.sort();
    assert_eq!(news, [event("added", "etc/new"), event("changed", "etc/f7")]);
    // A restart keeps it, and tells nothing again.
    daemon.stop().await;
    let daemon = journey.start(quick(&journey));
    sleep(Duration::from_mins(5)).await;
    assert_eq!(told(&journey, &daemon).await.len(), 3);
    let missing = daemon.db.call(|store| {
        let area = store.areas().unwrap()[0].id;
        (store.missing_paths(area, 1000).unwrap().len(), store.missing_counts().unwrap()[0].entries)
    });
    assert_eq!(missing.await, (200, 200));
    // What is back is compared with what it was.
    (0..200).for_each(|number| fs::write(own(number), if number == 9 { "other" } else { "x" }).unwrap());
    sleep(Duration::from_mins(5)).await;
    let mut news = told(&journey, &daemon).await.split_off(3);
    assert!(news.contains(&event("entries back", "")), "{news:?}");
    // A new file that is given its old inode number has only been touched.
    news.retain(|(word, _)| !["rewritten", "touched", "entries back"].contains(&word.as_str()));
    assert_eq!(news, [event("changed", "home/user/u9")]);
    assert_eq!(daemon.db.call(|store| store.missing_counts().unwrap()).await, []);
    daemon.stop().await;
}

#[test]
fn row_12_another_directory_in_place_of_the_root_is_one_event_and_its_differences() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    let fill = |content: &str| {
        (0..300).for_each(|number| fs::write(tree.join(format!("f{number}")), content).unwrap());
    };
    fill("x");
    assert!(scratch.ask(&["init", "-q"]).status.success());
    fs::rename(&tree, scratch.path("old")).unwrap();
    fs::create_dir(&tree).unwrap();
    fill("x");
    fs::write(tree.join("f7"), "other").unwrap();
    scratch.ask(&["init", "-q"]);
    let history = scratch.history();
    let news: Vec<_> = actions(&scratch, &history).into_iter().filter(|(word, _)| word != "rewritten").collect();
    let wanted = [("area-replaced", ""), ("changed", "f7")];
    assert_eq!(news, wanted.map(|(word, path)| (word.to_owned(), path.to_owned())));
}

/// Points the link at `path` elsewhere in one step.
fn retarget(path: &Path, target: &Path) {
    let aside = path.with_extension("aside");
    symlink(target, &aside).unwrap();
    fs::rename(aside, path).unwrap();
}

/// A release with as many files.
fn release(directory: &Path, files: usize) {
    fs::create_dir_all(directory).unwrap();
    (0..files).for_each(|number| fs::write(directory.join(format!("f{number}")), "x").unwrap());
}

#[tokio::test(start_paused = true)]
async fn row_14_an_area_that_is_a_link_is_watched_where_it_leads_and_a_retarget_is_told_within_minutes() {
    let journey = Journey::new();
    let (one, two) = (journey.directory.path().join("one"), journey.directory.path().join("two"));
    // A round over so many takes hours.
    release(&one, 500);
    release(&two, 500);
    fs::write(two.join("f7"), "other").unwrap();
    fs::remove_file(two.join("f8")).unwrap();
    fs::write(two.join("new"), "x").unwrap();
    let link = journey.directory.path().join("current");
    symlink("one", &link).unwrap();
    let mut config = quick(&journey);
    config.rates.files = 0.2;
    config.rates.speedup = 1000.0;
    config.areas = vec![Area::new(link.clone())];
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(Duration::from_secs(70)).await;
    retarget(&link, &two);
    sleep(Duration::from_mins(3)).await;
    let replaced = ("area replaced".to_owned(), String::new());
    assert!(told(&journey, &daemon).await.contains(&replaced));
    assert!(journey.mails().join("\n").contains("HIGH"), "{:?}", journey.mails());
    sleep(Duration::from_hours(2)).await;
    fs::write(one.join("f9"), "in the old release").unwrap();
    fs::write(two.join("f10"), "in the new release").unwrap();
    sleep(Duration::from_hours(6)).await;
    daemon.db.call(|store| store.flush().unwrap()).await;
    let filter = Filter { limit: 100_000, ..Filter::default() };
    let events = daemon.db.call(move |store| store.history(&filter).unwrap()).await;
    let mut news: Vec<(&str, String)> = events
        .iter()
        .filter(|stored| stored.event.category.kind().word() == "file")
        .map(|stored| (stored.event.category.word(), stored.event.source.clone()))
        .filter(|(word, _)| *word != "rewritten")
        .map(|(word, path)| (word, String::from_utf8(path).unwrap().rsplit('/').next().unwrap().to_owned()))
        .collect();
    news.sort();
    let wanted =
        [("added", "new"), ("area replaced", "current"), ("changed", "f10"), ("changed", "f7"), ("removed", "f8")];
    assert_eq!(news, wanted.map(|(word, name)| (word, name.to_owned())));
    daemon.stop().await;
}

#[test]
fn row_14_a_link_on_the_way_to_an_area_that_leads_elsewhere_is_one_event() {
    let scratch = Scratch::new();
    release(&scratch.path("one/app"), 5);
    release(&scratch.path("two/app"), 5);
    fs::write(scratch.path("two/app/f3"), "other").unwrap();
    symlink("one", scratch.path("link")).unwrap();
    scratch.configure(&format!("area = {}\nmail = stdout:", scratch.path("link/app").display()));
    assert!(scratch.ask(&["init", "-q"]).status.success());
    assert_eq!(check(&scratch), (0, Vec::new()));
    retarget(&scratch.path("link"), &scratch.path("two"));
    let told = |events: &[Value]| {
        let mut all: Vec<String> = events
            .iter()
            .filter(|event| event["event"]["dataset"] == "integrityd.file")
            .filter(|event| event["event"]["action"][0] != "rewritten")
            .map(|event| format!("{} {}", event["event"]["action"][0], event["file"]["path"]))
            .collect();
        all.sort();
        all.join(" ").replace(&scratch.path("").display().to_string(), "")
    };
    let wanted = r#""area-replaced" "link/app" "changed" "link/app/f3""#;
    let (_, found) = check(&scratch);
    assert_eq!(told(&found), wanted);
    let replaced = found.iter().find(|event| event["event"]["action"][0] == "area-replaced").unwrap();
    assert!(replaced["file"]["target_path"].as_str().unwrap().ends_with("/two/app"), "{replaced}");
    assert!(replaced["integrityd"]["previous"]["target_path"].as_str().unwrap().ends_with("/one/app"), "{replaced}");
    assert_eq!(replaced["event"]["severity"], 70);
    scratch.ask(&["init", "-q"]);
    assert_eq!(told(&scratch.history()), wanted, "stored once");
    assert_eq!(check(&scratch), (0, Vec::new()));
}

#[test]
fn row_14_a_link_to_something_else_altogether_is_one_event_with_all_that_is_gone_and_suspends_nothing() {
    let scratch = Scratch::new();
    release(&scratch.path("one"), 300);
    release(&scratch.path("two"), 0);
    fs::write(scratch.path("two/other"), "x").unwrap();
    symlink("one", scratch.path("link")).unwrap();
    let area = scratch.path("link");
    scratch.configure(&format!("area = {}\nmail = stdout:", area.display()));
    assert!(scratch.ask(&["init", "-q"]).status.success());
    retarget(&area, &scratch.path("two"));
    scratch.ask(&["init", "-q"]);
    let history = scratch.history();
    let news: Vec<&Value> = history
        .iter()
        .filter(|event| event["event"]["dataset"] == "integrityd.file" && event["event"]["action"][0] != "rewritten")
        .collect();
    let words: Vec<_> = news.iter().map(|event| event["event"]["action"][0].as_str().unwrap()).collect();
    assert_eq!(words, ["area-replaced", "added"], "{news:?}");
    assert_eq!(news[0]["integrityd"]["count"], 300);
    let shown = scratch.ask(&["show", &news[0]["integrityd"]["seq"].to_string()]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("/link/f299") && shown.contains("300 of 301 entries are not there"), "{shown}");
    assert_eq!(check(&scratch), (0, Vec::new()));
    // A link that leads nowhere is a missing area, and its baseline waits.
    fs::rename(scratch.path("two"), scratch.path("three")).unwrap();
    assert_eq!(check(&scratch).0, 8);
    fs::rename(scratch.path("three"), scratch.path("two")).unwrap();
    assert_eq!(check(&scratch), (0, Vec::new()));
    assert!(scratch.ask(&["verify"]).status.success());
}

/// The mails of `run --once` over a tree that was changed by `change`, and the scratch directory.
fn mailed(fill: impl Fn(&Path), change: impl Fn(&Path)) -> (Scratch, Vec<String>) {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("reporttime = 1h\nreportholdoff = 1d\n{}", sink.setting()));
    fill(&scratch.tree());
    assert!(scratch.ask(&["run", "--once"]).status.success());
    let before = sink.mails().len();
    change(&scratch.tree());
    assert!(scratch.ask(&["run", "--once"]).status.success());
    let mails = sink.mails().iter().skip(before).map(|mail| mail.text().clone()).collect();
    (scratch, mails)
}

fn write_all(directory: &Path, files: usize, content: &str) {
    (0..files).for_each(|number| fs::write(directory.join(format!("f{number}")), content).unwrap());
}

#[test]
fn row_17_5_000_files_changed_at_once_are_one_mail_with_the_exact_count_and_all_in_history() {
    let (scratch, mails) = mailed(|tree| write_all(tree, 5000, "x"), |tree| write_all(tree, 5000, "other"));
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains("5,000 changes to review"), "{}", &mails[0][..300]);
    assert!(mails[0].contains("…and 4,000 more (4,000 changed): "), "{}", &mails[0][mails[0].len() - 600..]);
    let history = scratch.history();
    assert_eq!(actions(&scratch, &history).iter().filter(|(word, _)| word == "changed").count(), 5000);
}

#[test]
fn row_10_1_153_files_rewritten_with_equal_content_are_one_line() {
    let replace = |tree: &Path| {
        for number in 0..1153 {
            fs::write(tree.join("aside"), "x").unwrap();
            fs::rename(tree.join("aside"), tree.join(format!("f{number}"))).unwrap();
        }
    };
    let (_scratch, mails) = mailed(|tree| write_all(tree, 1153, "x"), replace);
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains("  1,153 files rewritten with the same content\n"), "{}", mails[0]);
    assert!(!mails[0].contains("/f7"), "{}", mails[0]);
}

#[test]
fn row_13_a_new_directory_with_1_234_files_is_one_line_with_its_count_and_leaves_room_for_others() {
    let (scratch, mails) = mailed(
        |tree| write_all(tree, 30, "x"),
        |tree| {
            fs::create_dir(tree.join("app")).unwrap();
            write_all(&tree.join("app"), 1234, "x");
            write_all(tree, 30, "other");
        },
    );
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert!(mail.contains("and 1,234 files added below it: "), "{mail}");
    assert!(!mail.contains("/app/f") && !mail.contains("more ("), "{mail}");
    assert_eq!(mail.matches(" changed ").count(), 30, "{mail}");
    let history = scratch.history();
    assert_eq!(actions(&scratch, &history).iter().filter(|(word, _)| word == "added").count(), 1235);
}

#[tokio::test(start_paused = true)]
async fn row_13_a_new_directory_that_the_walker_meets_over_several_mails_is_one_line_in_each() {
    let journey = Journey::new();
    let tree = journey.tree();
    journey.fill(30, b"x");
    let mut config = quick(&journey);
    config.rates.speedup = 1.0;
    config.report.files.report_time = Duration::from_mins(2);
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(Duration::from_mins(5)).await;
    let before = journey.mails().len();
    fs::create_dir_all(tree.join("app/lib")).unwrap();
    write_all(&tree.join("app/lib"), 900, "x");
    sleep(Duration::from_mins(30)).await;
    let mails = journey.mails().split_off(before);
    assert!(mails.len() >= 2, "{mails:?}");
    let lines: Vec<&str> =
        mails.iter().flat_map(|mail| mail.lines()).filter(|line| line.contains("added below it")).collect();
    assert_eq!(lines.len(), mails.len(), "{mails:?}");
    let later = |mail: &String| mail.contains("/tree/app/  told of before\n    …and ");
    assert!(mails.iter().skip(1).all(later), "{mails:?}");
    assert!(!mails.join("\n").contains("/lib/f"), "{mails:?}");
    let counted: u64 = lines
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let numbers = words.iter().filter_map(|word| word.replace(',', "").parse::<u64>().ok());
            numbers.sum::<u64>()
        })
        .sum();
    // The directory itself has its line.
    assert_eq!(counted, 901, "{lines:?}");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn row_02_a_file_that_vanishes_while_it_is_read_is_one_removal() {
    let journey = Journey::new();
    let big = journey.tree().join("big");
    fs::write(&big, vec![7; 2_000_000]).unwrap();
    let mut config = quick(&journey);
    // Twenty seconds for each reading, and hardly anything else to do.
    config.rates.bytes = 100_000.0;
    config.rates.speedup = 1.0;
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(Duration::from_secs(70)).await;
    let before = daemon.looks().await;
    while daemon.looks().await == before {
        sleep(Duration::from_millis(200)).await;
    }
    sleep(Duration::from_secs(8)).await;
    fs::remove_file(&big).unwrap();
    sleep(Duration::from_mins(5)).await;
    assert_eq!(told(&journey, &daemon).await, [("removed".to_owned(), "big".to_owned())]);
    daemon.stop().await;
}

#[test]
fn row_03_what_becomes_another_type_is_told_so_and_never_opened() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    write_all(&tree, 5, "x");
    assert!(scratch.ask(&["init", "-q"]).status.success());
    (0..4).for_each(|number| fs::remove_file(tree.join(format!("f{number}"))).unwrap());
    rustix::fs::mknodat(rustix::fs::CWD, tree.join("f0"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    symlink("/etc/shadow", tree.join("f1")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("f2")).unwrap();
    fs::create_dir(tree.join("f3")).unwrap();
    // Opening the pipe would wait for a writer for ever.
    let begun = Instant::now();
    let (code, found) = check(&scratch);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(code, 4);
    let kinds: Vec<String> = found
        .iter()
        .map(|event| {
            format!(
                "{} {} {}",
                event["event"]["action"][0], event["integrityd"]["previous"]["type"], event["file"]["type"]
            )
        })
        .collect();
    let wanted = ["fifo", "symlink", "socket", "dir"].map(|kind| format!("\"retyped\" \"file\" \"{kind}\""));
    assert_eq!(kinds, wanted);
    assert!(found.iter().all(|event| event["integrityd"]["hash"]["blake3"].is_null()), "{found:?}");
}

#[test]
fn row_04_a_file_under_a_write_lease_is_unreadable_at_once_and_its_baseline_is_kept() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    write_all(&tree, 50, "x");
    assert!(scratch.ask(&["init", "-q"]).status.success());
    let script = "import fcntl, os, signal, sys\nsignal.signal(signal.SIGIO, signal.SIG_IGN)\n\
                  fd = os.open(sys.argv[1], os.O_RDWR)\nfcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
                  print('leased', flush=True)\nsys.stdin.read()\n";
    let child = Command::new("python3")
        .args(["-c", script])
        .arg(tree.join("f7"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: no python3 that takes a lease");
        return;
    };
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line == "leased\n" {
        let begun = Instant::now();
        let (code, found) = check(&scratch);
        assert!(begun.elapsed() < Duration::from_secs(10), "it waits for the lease");
        assert_eq!((code, actions(&scratch, &found)), (8, vec![("unreadable".to_owned(), "f7".to_owned())]));
    } else {
        println!("skipped: this file system gives no leases");
    }
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(check(&scratch), (0, Vec::new()), "the baseline was not kept");
}

#[test]
fn row_07_a_change_through_one_name_is_told_of_every_name() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fs::write(tree.join("one"), "x").unwrap();
    fs::hard_link(tree.join("one"), tree.join("two")).unwrap();
    assert!(scratch.ask(&["init", "-q"]).status.success());
    overwrite(&tree.join("two"), "y");
    let (_, found) = check(&scratch);
    let wanted = [("changed", "one"), ("changed", "two")];
    assert_eq!(actions(&scratch, &found), wanted.map(|(word, path)| (word.to_owned(), path.to_owned())));
    fs::remove_file(tree.join("one")).unwrap();
    let (_, found) = check(&scratch);
    let wanted = [("changed", "two"), ("removed", "one")];
    assert_eq!(actions(&scratch, &found), wanted.map(|(word, path)| (word.to_owned(), path.to_owned())));
}

#[test]
fn row_09_content_with_mtime_set_back_is_told_with_both_times() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let path = scratch.tree().join("f");
    fs::write(&path, "x").unwrap();
    assert!(scratch.ask(&["init", "-q"]).status.success());
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    overwrite(&path, "y");
    put_back_mtime(&path, time);
    let shown = String::from_utf8(scratch.ask(&["check"]).stdout).unwrap();
    assert!(shown.contains("content") && shown.contains("mtime unchanged"), "{shown}");
    assert!(shown.lines().any(|line| line.trim_start().starts_with("ctime ") && line.contains(" → ")), "{shown}");
    put_back_mtime(&path, std::time::UNIX_EPOCH);
    let shown = String::from_utf8(scratch.ask(&["check"]).stdout).unwrap();
    assert!(shown.contains("→ 1970-01-01") && shown.contains("ctime "), "{shown}");
}

#[test]
fn row_16_a_first_baseline_of_5_000_files_is_one_mail() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("reporttime = 1h\nreportholdoff = 1d\n{}", sink.setting()));
    write_all(&scratch.tree(), 5000, "x");
    assert!(scratch.ask(&["run", "--once"]).status.success());
    let mails = sink.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].subject().contains("baseline established, 5,001 entries in 1 area"), "{}", mails[0].subject());
    assert!(!mails[0].text().contains("/f7"), "{}", mails[0].text());
    // A new area of an installation that is known likewise.
    let other = scratch.path("other");
    fs::create_dir(&other).unwrap();
    write_all(&other, 500, "x");
    scratch.configure(&format!("area = {}\nreporttime = 1h\nreportholdoff = 1d\n{}", other.display(), sink.setting()));
    assert!(scratch.ask(&["run", "--once"]).status.success());
    let mails = sink.mails();
    assert_eq!(mails.len(), 2);
    assert!(mails[1].text().contains("501") && !mails[1].text().contains("/f7"), "{}", mails[1].text());
}

#[tokio::test(start_paused = true)]
async fn row_19_what_changed_while_the_daemon_was_down_is_found_by_its_rounds() {
    let journey = Journey::new();
    journey.fill(60, b"x");
    let daemon = journey.start(quick(&journey));
    daemon.until_established().await;
    daemon.stop().await;
    fs::write(journey.file(3), "other").unwrap();
    fs::remove_file(journey.file(4)).unwrap();
    fs::write(journey.tree().join("new"), "y").unwrap();
    let daemon = journey.start(quick(&journey));
    sleep(Duration::from_mins(5)).await;
    let mut found = told(&journey, &daemon).await;
    found.sort();
    let wanted = [("added", "new"), ("changed", "d3/f0003"), ("removed", "d4/f0004")];
    assert_eq!(found, wanted.map(|(word, path)| (word.to_owned(), path.to_owned())));
    daemon.stop().await;
}
