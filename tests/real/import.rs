//! The switch from the installed fcheck(8) and logcheck(8), and the way back to them.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{
    packages::need,
    support::{PROGRAM, Scratch, is_root, overwrite, wait_for},
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn import(scratch: &Scratch, tool: &str, path: &Path, more: &[&str]) -> Vec<u8> {
    let root = scratch.path("");
    let (path, root) = (path.to_str().unwrap(), root.to_str().unwrap());
    let mut arguments = vec!["import", tool, path, "--root", root];
    arguments.extend(more);
    let output = run(PROGRAM, &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    output.stdout
}

/// What an event is called.
fn action(event: &serde_json::Value) -> String {
    event["event"]["action"][0].as_str().unwrap_or_default().to_owned()
}

/// A configuration made of what was imported and of where a test keeps its things.
fn configure(scratch: &Scratch, imported: &[u8], more: &str) {
    let path = scratch.path("integrityd.conf");
    let own = format!("database = {}\npressure = 0\nhostname = web3.example\n{more}\n", scratch.database().display());
    fs::write(&path, [imported, own.as_bytes()].concat()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let checked = scratch.ask(&["config", "check"]);
    assert!(checked.status.success(), "{}\n{}", text(&checked.stderr), text(imported));
}

/// The paths in fcheck's database.
fn paths_of_fcheck(database: &Path) -> BTreeSet<PathBuf> {
    let lines = fs::read(database).unwrap();
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| line.first().is_some_and(u8::is_ascii_digit));
    lines.map(|line| PathBuf::from(text(line.split(|byte| *byte == b'!').nth(7).unwrap()))).collect()
}

/// The paths in ours.
fn paths_of_ours(database: &Path) -> BTreeSet<PathBuf> {
    let db = rusqlite::Connection::open(database).unwrap();
    let mut statement = db
        .prepare(
            "WITH RECURSIVE way (id, path) AS (SELECT id, CAST(name AS TEXT) FROM entry WHERE parent = 0 UNION ALL
             SELECT entry.id, way.path || '/' || CAST(entry.name AS TEXT) FROM entry JOIN way ON entry.parent = way.id)
             SELECT path FROM way",
        )
        .unwrap();
    statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(|path| PathBuf::from(path.unwrap())).collect()
}

/// A tree with what fcheck has a way of its own with, and its configuration.
fn fcheck_tree(scratch: &Scratch) -> PathBuf {
    let tree = scratch.tree();
    for directory in ["deep/er", "flat/below", "out/in", "only", "lib", "pro.cache"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    for name in [
        "deep/a",
        "deep/er/b c",
        "deep/.hidden",
        "flat/c",
        "flat/below/d",
        "out/e",
        "out/in/f",
        "only/g",
        "lib/h",
        "left-out",
        "single",
        "deep/it's",
        "pro.cache/x",
        "processed",
    ] {
        fs::write(tree.join(name), format!("of {name}")).unwrap();
    }
    fs::write(tree.join("deep/empty"), "").unwrap();
    symlink("a", tree.join("deep/link")).unwrap();
    symlink("er", tree.join("deep/to-er")).unwrap();
    symlink("nowhere", tree.join("deep/dangling")).unwrap();
    symlink("lib", tree.join("lib64")).unwrap();
    assert!(run("mkfifo", &[tree.join("deep/fifo").to_str().unwrap()]).status.success());
    let configuration = scratch.path("fcheck.cfg");
    let lines = "# a comment\n Directory = ROOT/deep/ \nDIRECTORY=ROOT/flat\nDirectory = ROOT/out/\nDirectory = ROOT\n\
        Directory = ROOT/lib64/\nDirectory = ROOT/deep/er\nFile = ROOT/single\nFile = ROOT/out/e\nFile = ROOT/only\n\
        Exclusion = ROOT/out/\nExclusion = ROOT/left-out\nExclusion = ROOT/deep/er/b\nExclusion = ROOT/deep/er\n\
        Exclusion = ROOT/pro/\nDataBase = BASE\n$Signature = /usr/bin/sha256sum\nTimeZone = GMT\nSystem = Unix\n";
    let database = scratch.path("fcheck.dbf");
    let lines = lines.replace("ROOT", tree.to_str().unwrap()).replace("BASE", database.to_str().unwrap());
    fs::write(&configuration, lines).unwrap();
    configuration
}

fn without_adoption(imported: &[u8]) -> Vec<u8> {
    let lines = imported.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"adopt = "));
    lines.collect::<Vec<_>>().concat()
}

#[test]
fn what_fcheck_watched_is_watched_and_what_changed_since_its_last_run_is_told() {
    if !is_root() || !need("fcheck", "fcheck") {
        println!("skipped: this needs root and fcheck");
        return;
    }
    let scratch = Scratch::new();
    let configuration = fcheck_tree(&scratch);
    let tree = scratch.tree();
    let made = run("fcheck", &["-cadsxf", configuration.to_str().unwrap()]);
    assert!(made.status.success(), "{}", text(&made.stdout));
    let imported = import(&scratch, "fcheck", &configuration, &[]);
    assert!(text(&imported).contains("\nadopt = fcheck:"), "{}", text(&imported));
    // Without what fcheck knew: the same paths are found.
    configure(&scratch, &without_adoption(&imported), "mail = stdout:");
    assert_eq!(scratch.ask(&["init", "--quiet"]).status.code(), Some(0));
    let theirs = paths_of_fcheck(&scratch.path("fcheck.dbf"));
    let mut ours = paths_of_ours(&scratch.database());
    let more: Vec<PathBuf> = ours.difference(&theirs).cloned().collect();
    // The roots of areas themselves, a link that leads nowhere, and a directory whose exclusion is that of its name alone.
    let expected: Vec<PathBuf> = ["", "deep/dangling", "deep/er", "lib64"].iter().map(|name| tree.join(name)).collect();
    let expected: BTreeSet<PathBuf> =
        expected.iter().map(|path| PathBuf::from(text(path.as_os_str().as_bytes()).trim_end_matches('/'))).collect();
    for path in &more {
        assert!(expected.contains(path), "{} is watched, but not by fcheck", path.display());
        ours.remove(path);
    }
    let missing: Vec<_> = theirs.difference(&ours).filter(|path| !more.contains(path)).collect();
    assert!(missing.is_empty(), "{missing:?} are not watched\n{}", text(&imported));
    // With it: what has changed since is told by the first look.
    fs::remove_dir_all(scratch.path("state")).unwrap();
    overwrite(&tree.join("deep/a"), "OF deep/a");
    fs::set_permissions(tree.join("flat/c"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::remove_file(tree.join("deep/it's")).unwrap();
    fs::write(tree.join("deep/er/new"), "x").unwrap();
    overwrite(&tree.join("out/e"), "OF");
    configure(&scratch, &imported, "mail = stdout:");
    assert!(scratch.ask(&["run", "--once"]).status.success());
    let mut found: Vec<(String, String)> = scratch
        .history()
        .iter()
        .filter_map(|event| {
            let path = event["file"]["path"].as_str()?.strip_prefix(tree.to_str().unwrap())?.to_owned();
            Some((action(event), path))
        })
        .collect();
    found.sort();
    let wanted = [("added", "/deep/er/new"), ("changed", "/deep/a"), ("changed", "/flat/c"), ("removed", "/deep/it's")];
    assert_eq!(found, wanted.map(|(action, path)| (action.to_owned(), path.to_owned())));
}

#[test]
fn logcheck_reports_exactly_the_lines_that_were_not_mailed() {
    if !is_root() || !need("logcheck", "logcheck") || !need("setpriv", "util-linux") {
        println!("skipped: this needs root, logcheck and setpriv");
        return;
    }
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    for directory in
        ["states", "lock", "tmp", "rules/ignore.d.server", "rules/cracking.d", "rules/violations.d", "lists", "mails"]
    {
        fs::create_dir_all(scratch.path(directory)).unwrap();
    }
    for directory in ["states", "lock", "tmp"] {
        assert!(run("chown", &["logcheck:", scratch.path(directory).to_str().unwrap()]).status.success());
    }
    let root = scratch.path("").display().to_string();
    let root = root.trim_end_matches('/');
    fs::write(scratch.path("rules/ignore.d.server/local"), " app: harmless\n").unwrap();
    fs::write(
        scratch.path("logcheck.conf"),
        format!(
            "REPORTLEVEL=server\nRULEDIR={root}/rules\nSTATEDIR={root}/states\nLOCKDIR={root}/lock\nLOCKFILE={root}/lock/l\nTMP={root}/tmp\nINTRO=0\n\
             LOGFILES_LIST={root}/logcheck.logfiles\nLOGFILES_LIST_D={root}/lists\n"
        ),
    )
    .unwrap();
    let log = scratch.path("app.log");
    fs::write(scratch.path("logcheck.logfiles"), format!("{}\n", log.display())).unwrap();
    let stamp = |second: u32, words: &str| format!("Nov 22 12:00:{second:02} h app: {words}\n");
    let mut lines = vec![stamp(0, "reported by logcheck")];
    let write = |lines: &[String]| fs::write(&log, lines.concat()).unwrap();
    write(&lines);
    let logcheck = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "logcheck", "--regid", "logcheck", "--init-groups", "/usr/sbin/logcheck", "-o", "-c"]);
        let output = command.arg(scratch.path("logcheck.conf")).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(logcheck().contains("reported by logcheck"));
    // There: the daemon goes on where logcheck was.
    let imported = import(&scratch, "logcheck", &scratch.path("logcheck.conf"), &[]);
    let mails = scratch.path("mails");
    let more = format!("mail = file:{}\nlogreportholdoff = 1h\nlogreporttime = 0\nlogchecktime = 1", mails.display());
    configure(&scratch, &imported, &more);
    lines.push(stamp(1, "between both"));
    write(&lines);
    let daemon = scratch.start();
    let told = || scratch.history().iter().filter(|event| action(event) == "system-event").count();
    let mailed = |words: &str| {
        fs::read_dir(&mails).unwrap().any(|mail| text(&fs::read(mail.unwrap().path()).unwrap()).contains(words))
    };
    wait_for("the line between both", || told() == 1);
    daemon.signal("USR1");
    wait_for("its mail", || mailed("between both"));
    wait_for("its delivery", || scratch.ask(&["queue", "list"]).status.code() == Some(0));
    // Within the hold-off: read, but mailed to nobody.
    lines.extend([stamp(2, "harmless"), stamp(3, "not mailed"), stamp(4, "harmless"), stamp(5, "not mailed")]);
    write(&lines);
    wait_for("two lines", || told() == 3);
    assert!(daemon.stop().success());
    lines.push(stamp(6, "after the end"));
    write(&lines);
    // Back, with a rotation before logcheck runs.
    let config = scratch.path("integrityd.conf");
    import(
        &scratch,
        "logcheck",
        &scratch.path("logcheck.conf"),
        &["--hand-back", "--config", config.to_str().unwrap()],
    );
    fs::rename(&log, scratch.path("app.log.1")).unwrap();
    fs::write(&log, stamp(7, "in the new file")).unwrap();
    let report = logcheck();
    let reported: Vec<&str> = report.lines().filter(|line| line.contains(" app: ")).collect();
    let wanted = [&lines[3], &lines[5], &lines[6], &stamp(7, "in the new file")].map(|line| line.trim_end().to_owned());
    assert_eq!(reported, wanted, "{report}");
    assert_eq!(logcheck(), "");
}
