//! From fcheck and logcheck to integrityd and back: what is printed, what is taken over, and what is left alone.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::{Command, Output, Stdio},
};

use sha2::{Digest, Sha256};

use crate::support::{PROGRAM, Scratch, overwrite, wait_for};

/// The line of Debian's fcheck, and the lines of its logcheck.
const FCHECK_CRON: &str = "# fcheck\n30 */2\t* * *\troot\ttest -x /usr/sbin/fcheck && if ! nocache nice ionice -c3 /usr/sbin/fcheck -asxrf \
    /etc/fcheck/fcheck.cfg >/var/run/fcheck.out 2>&1; then mailx -s \"ALERT: [fcheck] `hostname --fqdn`\" root </var/run/fcheck.out ; \
    /usr/sbin/fcheck -cadsxlf /etc/fcheck/fcheck.cfg ; fi ; rm -f /var/run/fcheck.out\n";
const LOGCHECK_CRON: &str = "PATH=/usr/sbin:/usr/bin\nMAILTO=root\n\n\
    @reboot         logcheck    if [ -x /usr/sbin/logcheck ]; then nice -n10 /usr/sbin/logcheck -R; fi\n\
    2 * * * *       logcheck    if [ -x /usr/sbin/logcheck ]; then nice -n10 /usr/sbin/logcheck; fi\n";

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What an event is called.
fn action(event: &serde_json::Value) -> String {
    event["event"]["action"][0].as_str().unwrap_or_default().to_owned()
}

/// A machine with both tools in cron.
fn machine() -> Scratch {
    let scratch = Scratch::new();
    for directory in ["etc/cron.d", "etc/fcheck", "etc/logcheck/logcheck.logfiles.d", "var/lib/fcheck", "states"] {
        fs::create_dir_all(scratch.path(directory)).unwrap();
    }
    fs::write(scratch.path("etc/cron.d/fcheck"), FCHECK_CRON).unwrap();
    fs::write(scratch.path("etc/cron.d/logcheck"), LOGCHECK_CRON).unwrap();
    fs::write(scratch.path("etc/aliases"), "logcheck: root\n").unwrap();
    scratch
}

/// Runs `import` with `arguments` below the machine's root.
fn import(scratch: &Scratch, tool: &str, path: &str, more: &[&str]) -> Output {
    let (path, root) = (scratch.path(path), scratch.path(""));
    let mut arguments = vec!["import", tool, path.to_str().unwrap(), "--root", root.to_str().unwrap()];
    arguments.extend(more);
    run(&arguments)
}

/// What is printed, with the names of the scratch directory taken out.
fn printed(scratch: &Scratch, output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let whole = format!("{}--- stderr\n{}", text(&output.stdout), text(&output.stderr));
    // Comments are broken by their length, which is that of the scratch directory too.
    whole.replace(&scratch.path("").display().to_string(), "/scratch/")
}

fn is_good(scratch: &Scratch, configuration: &[u8]) {
    let path = scratch.path("made.conf");
    fs::write(&path, configuration).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let checked = run(&["config", "check", path.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}\n{}", text(configuration), text(&checked.stderr));
}

fn write_fcheck(scratch: &Scratch, lines: &str) {
    let root = scratch.path("");
    let root = root.display().to_string();
    let lines = lines.replace("ROOT", root.trim_end_matches('/'));
    fs::write(scratch.path("etc/fcheck/fcheck.cfg"), lines).unwrap();
}

fn write_logcheck(scratch: &Scratch, conf: &str, logs: &str) {
    let root = scratch.path("").display().to_string();
    let replaced = |text: &str| text.replace("ROOT", root.trim_end_matches('/'));
    fs::write(scratch.path("etc/logcheck/logcheck.conf"), replaced(conf)).unwrap();
    fs::write(scratch.path("etc/logcheck/logcheck.logfiles"), "# none here\n").unwrap();
    fs::write(scratch.path("etc/logcheck/logcheck.logfiles.d/a.logfiles"), replaced(logs)).unwrap();
}

#[test]
fn an_fcheck_cfg_becomes_areas_and_what_has_no_place_is_said() {
    let scratch = machine();
    for directory in ["tree/sub", "tree/flat", "tree/out"] {
        fs::create_dir_all(scratch.path(directory)).unwrap();
    }
    fs::write(scratch.path("tree/a.conf"), "x").unwrap();
    fs::write(scratch.path("etc/fcheck/more.cfg"), "HostName = \"web3\"\nReadDB = /cd/db\nCFInclude = ROOT/none\n")
        .unwrap();
    write_fcheck(
        &scratch,
        "# Directory = /no\n\
         DIRECTORY = ROOT/tree/ \t\n\
         Directory = ROOT/tree/flat\n\
         directory=ROOT/etc\n\
         File = ROOT/tree/a.conf\n\
         File = ROOT/tree/out/db\n\
         Directory = relative/\n\
         Exclusion = ROOT/tree/out/\n\
         Exclusion = ROOT/tree/*.bak/\n\
         Exclusion = ROOT/tree/sub\n\
         Exclusion = ROOT/tree/one[1]\n\
         $Signature = /usr/bin/sha256sum\n\
         Logger = /usr/bin/logger -tfcheck\n\
         TimeZone = GMT\n\
         Colour = \u{1b}[31mred\n\
         CFInclude = ROOT/etc/fcheck/more.cfg\n",
    );
    let output = import(&scratch, "fcheck", "etc/fcheck/fcheck.cfg", &[]);
    is_good(&scratch, &output.stdout);
    let shown = printed(&scratch, &output);
    for wanted in [
        "\nemail = root\n",
        "\nhostname = web3\n",
        "\nhash = sha256\n",
        "\nexclude = /scratch/tree/out/*\n",
        "\nexclude = /scratch/tree/\\*.bak/*\n",
        "\nexclude = /scratch/tree/one\\[1\\]\n",
        "\narea = /scratch/tree\nareamaxage = 2h\n",
        "\narea = /scratch/etc\narearecurse = no\nareamaxage = 2h\n",
        "#heartbeat = 1d\n",
        " entries with ",
        "/fcheck, line 2\n",
        "import fcheck --disable-cron",
        "not needed: TimeZone.",
        "Colour = \\x1b[31mred",
        "is a regular expression for fcheck",
    ] {
        assert!(shown.contains(wanted), "{wanted:?} is missing in\n{shown}");
    }
    // Part of an area that is gone into, excluded, relative, and only the directory itself.
    for unwanted in [
        "\narea = /scratch/tree/flat",
        "tree/out/db\n",
        "\narea = relative",
        "\nexclude = /scratch/tree/sub\n",
        "\u{1b}",
    ] {
        assert!(!shown.contains(unwanted), "{unwanted:?} stands in\n{shown}");
    }
    let comments = shown.lines().filter(|line| line.starts_with("# ")).collect::<String>();
    for said in ["no DataBase is named", "Logger", "ReadDB", "relative/", "tree/sub"] {
        assert!(comments.contains(said), "{said:?} is not said in\n{shown}");
    }
}

#[test]
fn a_logcheck_conf_becomes_rules_logs_and_a_hold_off() {
    let scratch = machine();
    write_logcheck(
        &scratch,
        "REPORTLEVEL=\"paranoid\"\nSENDMAILTO='logcheck'\nMAILASATTACH=1\nFQDN=0\nSUPPORT_CRACKING_IGNORE=1 # so\n\
         RULEDIR=\"ROOT/rules\"\nSTATEDIR=ROOT/states\nADDTAG=yes\nEVENTSSUBJECT=\"Odd things\"\nSORTUNIQ=1\nTMP=/tmp\n\
         DATE=\"$(touch ROOT/ran)\"\nif true; then touch ROOT/ran; fi\n",
        "# a comment\njournal\nROOT/syslog\nROOT/app/*.log\nROOT/syslog\nrelative\n",
    );
    fs::create_dir_all(scratch.path("run/log/journal")).unwrap();
    let output = import(&scratch, "logcheck", "etc/logcheck/logcheck.conf", &[]);
    is_good(&scratch, &output.stdout);
    let shown = printed(&scratch, &output);
    for wanted in [
        "\nemail = root\n",
        "\nlogrules = paranoid:/scratch/rules\n",
        "\nlog = journal\nlog = /scratch/syslog\nlog = /scratch/app/*.log\n",
        "\ncrackingignore = yes\n",
        "\nattach = always\n",
        "\nsubject = logcheck\n",
        "\nadopt = logcheck:/scratch/states\n",
        "\nlogreportholdoff = 1h\n",
        "\n#hostname = ",
        "`logcheck` is `root` by /etc/aliases",
        "/logcheck, line 4, 5\n",
        "ADDTAG",
        "EVENTSSUBJECT = `Odd things`",
        "if true; then touch",
    ] {
        assert!(shown.contains(wanted), "{wanted:?} is missing in\n{shown}");
    }
    assert_eq!(shown.matches("\nlog = ").count(), 3, "{shown}");
    assert!(!scratch.path("ran").exists());
}

#[test]
fn a_journal_is_not_read_where_there_is_none() {
    let scratch = machine();
    write_logcheck(&scratch, "RULEDIR=ROOT/rules\nSTATEDIR=ROOT/states\n", "ROOT/syslog\njournal\n");
    let journal = |wanted: &str| {
        let output = import(&scratch, "logcheck", "etc/logcheck/logcheck.conf", &[]);
        is_good(&scratch, &output.stdout);
        let shown = text(&output.stdout);
        assert!(shown.lines().any(|line| line == wanted), "{shown}");
        assert_eq!(shown.matches("log = journal").count(), 1, "{shown}");
        assert_eq!(shown.contains("has no journal"), wanted.starts_with('#'), "{shown}");
    };
    journal("#log = journal");
    fs::create_dir_all(scratch.path("var/log/journal")).unwrap();
    journal("log = journal");
}

#[test]
fn both_imports_stand_in_one_file() {
    let scratch = machine();
    fs::write(scratch.path("syslog"), "").unwrap();
    fs::create_dir_all(scratch.path("rules")).unwrap();
    write_fcheck(&scratch, "Directory = ROOT/tree/\n$Signature = /usr/bin/sha256sum\n");
    write_logcheck(&scratch, "SENDMAILTO=root\nRULEDIR=ROOT/rules\nSTATEDIR=ROOT/states\n", "ROOT/syslog\n");
    let fcheck = import(&scratch, "fcheck", "etc/fcheck/fcheck.cfg", &[]);
    let logcheck = import(&scratch, "logcheck", "etc/logcheck/logcheck.conf", &[]);
    for both in [[&fcheck.stdout[..], &logcheck.stdout], [&logcheck.stdout, &fcheck.stdout]] {
        is_good(&scratch, &both.concat());
        // Who gets the mails of both stands there twice, and that is nothing to speak of.
        let checked = run(&["config", "check", scratch.path("made.conf").to_str().unwrap()]);
        let said = text(&[checked.stdout, checked.stderr].concat());
        assert_eq!(text(&both.concat()).matches("\nemail = root\n").count(), 2);
        assert!(!said.contains("email") && !said.contains("repeat"), "{said}");
    }
    let doctor = run(&["--config", scratch.path("made.conf").to_str().unwrap(), "doctor"]);
    let said = text(&doctor.stdout);
    let configuration: Vec<&str> = said.lines().filter(|line| line.contains("configuration")).collect();
    assert!(!configuration.is_empty(), "{said}");
    assert!(configuration.iter().all(|line| !line.to_ascii_lowercase().contains("fail")), "{said}");
}

#[test]
fn a_list_that_cannot_be_read_costs_only_itself() {
    let scratch = machine();
    write_logcheck(&scratch, "", "ROOT/good.log\n");
    let made =
        Command::new("mkfifo").arg(scratch.path("etc/logcheck/logcheck.logfiles.d/f.logfiles")).status().unwrap();
    assert!(made.success());
    let output = import(&scratch, "logcheck", "etc/logcheck/logcheck.conf", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = printed(&scratch, &output);
    assert!(shown.contains("\nlog = /scratch/good.log\n"), "{shown}");
    assert!(shown.contains("\n# not carried over: ") && shown.contains("/f.logfiles does not exist"), "{shown}");
}

#[test]
fn the_way_back_is_open_when_integrityd_cannot_say_anything() {
    let scratch = machine();
    write_logcheck(&scratch, "", "ROOT/good.log\n");
    let table = scratch.path("etc/cron.d/logcheck");
    let before = fs::read(&table).unwrap();
    import(&scratch, "logcheck", "etc/logcheck/logcheck.conf", &["--disable-cron"]);
    assert_ne!(fs::read(&table).unwrap(), before);
    let nowhere = scratch.path("nowhere.conf");
    let options = ["--hand-back", "--config", nowhere.to_str().unwrap()];
    let back = import(&scratch, "logcheck", "etc/logcheck/logcheck.conf", &options);
    assert_ne!(back.status.code(), Some(0));
    assert!(text(&back.stderr).contains("logcheck's own positions stay as they are"), "{}", text(&back.stderr));
    assert_eq!(fs::read(&table).unwrap(), before, "nobody reads the logs");
}

#[test]
fn hostile_files_run_nothing_and_reach_no_terminal() {
    let scratch = machine();
    let evil = "SENDMAILTO=\"$(touch ROOT/ran)\"\nSENDMAILTO='unbalanced\nREPORTLEVEL=`touch ROOT/ran`\nRULEDIR=/x\u{1b}[2J\nA=B; touch ROOT/ran\n\
        SENDMAILTO=\"a@b\nbcc: c@d\"\n";
    write_logcheck(&scratch, evil, "/log\u{1b}]0;x\u{7}\n$(touch ROOT/ran)\n-x\n/a #b\n\"/quoted\"\n");
    write_fcheck(
        &scratch,
        "Directory = /x\u{1b}[2J/\nDirectory = /a #b/\nFile = \"/q\"\nDirectory = /../etc/\nFile = /$(touch ROOT/ran)\nExclusion = {/\nExclusion = /\\\nHostName = $(id)\n",
    );
    for (tool, path) in [("logcheck", "etc/logcheck/logcheck.conf"), ("fcheck", "etc/fcheck/fcheck.cfg")] {
        let output = import(&scratch, tool, path, &[]);
        assert_eq!(output.status.code(), Some(0));
        let talk = text(&output.stderr);
        assert!(talk.chars().all(|c| c == '\n' || !c.is_control()), "{talk:?}");
        for line in text(&output.stdout).lines().filter(|line| line.starts_with('#')) {
            assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
        }
        for line in text(&output.stdout).lines().filter(|line| line.starts_with("email") || line.starts_with("host")) {
            assert!(["email = root"].contains(&line), "{line:?}");
        }
        is_good(&scratch, &[&output.stdout[..], b"area = /etc\n"].concat());
    }
    assert!(!scratch.path("ran").exists());
    // A circle of includes ends; what is too large or no file is refused.
    write_fcheck(&scratch, "Directory = ROOT/tree/\nCFInclude = ROOT/etc/fcheck/fcheck.cfg\n");
    let circle = import(&scratch, "fcheck", "etc/fcheck/fcheck.cfg", &[]);
    assert!(text(&circle.stdout).contains("not read again"), "{}", text(&circle.stdout));
    fs::write(scratch.path("huge"), vec![b'#'; 5 << 20]).unwrap();
    assert!(Command::new("mkfifo").arg(scratch.path("pipe")).status().unwrap().success());
    for (tool, path) in
        [("fcheck", "huge"), ("fcheck", "pipe"), ("logcheck", "pipe"), ("fcheck", "none"), ("logcheck", "none")]
    {
        let output = import(&scratch, tool, path, &[]);
        assert_eq!(output.status.code(), Some(74), "{tool} {path}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn cron_lines_are_switched_off_and_on_again_byte_for_byte() {
    let scratch = machine();
    write_fcheck(&scratch, "Directory = ROOT/tree/\n");
    let table = scratch.path("etc/cron.d/fcheck");
    let other = format!("{LOGCHECK_CRON}3 * * * * root /usr/sbin/integrityd logcheck\n");
    fs::write(scratch.path("etc/crontab"), &other).unwrap();
    fs::set_permissions(&table, fs::Permissions::from_mode(0o640)).unwrap();
    let switch = |option: &str| import(&scratch, "fcheck", "etc/fcheck/fcheck.cfg", &[option]);
    for _ in 0..2 {
        let output = switch("--disable-cron");
        assert!(output.status.success());
        // How often it was run is known still.
        assert!(text(&output.stdout).contains("areamaxage = 2h"), "{}", text(&output.stdout));
        let off = fs::read_to_string(&table).unwrap();
        assert!(off.lines().all(|line| line.starts_with('#')), "{off}");
        assert_eq!(fs::metadata(&table).unwrap().permissions().mode() & 0o777, 0o640);
    }
    assert!(text(&switch("--hand-back").stderr).contains("switched on"));
    assert_eq!(fs::read_to_string(&table).unwrap(), FCHECK_CRON);
    assert_eq!(fs::read_to_string(scratch.path("etc/crontab")).unwrap(), other);
    assert_eq!(fs::read_to_string(scratch.path("etc/cron.d/logcheck")).unwrap(), LOGCHECK_CRON);
    // Nothing is left behind.
    assert_eq!(fs::read_dir(scratch.path("etc/cron.d")).unwrap().count(), 2);
    // A link is somebody else's file.
    fs::rename(&table, scratch.path("elsewhere")).unwrap();
    symlink(scratch.path("elsewhere"), &table).unwrap();
    let refused = switch("--disable-cron");
    assert_eq!(refused.status.code(), Some(74), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("is a link"));
    assert_eq!(fs::read_to_string(scratch.path("elsewhere")).unwrap(), FCHECK_CRON);
}

/// A line of fcheck's database about `path` as it is now.
fn record(path: &Path) -> String {
    let seen = fs::metadata(path).unwrap();
    let is_link = fs::symlink_metadata(path).unwrap().is_symlink();
    let signature = if seen.is_dir() {
        "Dir".to_owned()
    } else if seen.len() == 0 {
        "ZeroLength".to_owned()
    } else {
        let digest: String = Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}{digest}", if is_link { "SYMLINK:" } else { "" })
    };
    let (inode, mode, links) = (seen.ino(), seen.mode(), seen.nlink());
    let (uid, gid, size, ctime) = (seen.uid(), seen.gid(), seen.size(), seen.ctime());
    format!("{inode}!{mode}!{links}!{uid}!{gid}!{size}!{ctime}!{}!{signature}\n", path.display())
}

/// fcheck's database over `paths` in the tree.
fn database(scratch: &Scratch, paths: &[&str]) -> String {
    let records: String = paths.iter().map(|path| record(&scratch.tree().join(path))).collect();
    format!(
        "# - Host  vm\n# - OS  Linux\n# - Database Creation  Nov 22 00:30 2026\n# - FCheck by Michael A. Gumienny\n\
         # - - - - -> BEGIN Directory {}/ <- - - - -\n{records}# - - - - -> END Directories <- - - - -\n",
        scratch.tree().display()
    )
}

#[test]
fn what_changed_since_fchecks_last_run_is_reported_and_nothing_else() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    fs::create_dir_all(tree.join("sub")).unwrap();
    for name in ["same", "content", "mode", "gone", "sub/same", "turned"] {
        fs::write(tree.join(name), format!("of {name}")).unwrap();
    }
    fs::write(tree.join("empty"), "").unwrap();
    fs::write(tree.join("filled"), "").unwrap();
    symlink("same", tree.join("link")).unwrap();
    symlink("sub", tree.join("to-sub")).unwrap();
    symlink("nowhere", tree.join("dangling")).unwrap();
    fs::write(tree.join("new\nline"), "x").unwrap();
    symlink("same", tree.join("was-link")).unwrap();
    let known = [
        "same", "content", "mode", "gone", "sub", "sub/same", "turned", "empty", "filled", "link", "to-sub", "was-link",
    ];
    fs::write(scratch.path("fcheck.dbf"), database(&scratch, &known)).unwrap();
    fs::set_permissions(scratch.path("fcheck.dbf"), fs::Permissions::from_mode(0o600)).unwrap();
    overwrite(&tree.join("content"), "OF content");
    overwrite(&tree.join("filled"), "now");
    fs::set_permissions(tree.join("mode"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::remove_file(tree.join("gone")).unwrap();
    fs::write(tree.join("sub/added"), "x").unwrap();
    fs::remove_file(tree.join("turned")).unwrap();
    fs::create_dir(tree.join("turned")).unwrap();
    fs::remove_file(tree.join("was-link")).unwrap();
    fs::write(tree.join("was-link"), "of same").unwrap();
    scratch.configure(&format!("mail = stdout:\nadopt = fcheck:{}", scratch.path("fcheck.dbf").display()));
    assert!(scratch.ask(&["config", "check"]).status.success());
    let output = scratch.ask(&["run", "--once"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Vec<(String, String)> = scratch
        .history()
        .iter()
        .filter_map(|event| {
            let path = event["file"]["path"].as_str()?;
            let name = path.strip_prefix(tree.to_str().unwrap())?.trim_start_matches('/').to_owned();
            Some((action(event), name))
        })
        .collect();
    let mut found: Vec<(&str, &str)> = found.iter().map(|(action, name)| (action.as_str(), name.as_str())).collect();
    found.sort_unstable();
    let wanted = [
        ("added", "sub/added"),
        ("changed", "content"),
        ("changed", "filled"),
        ("changed", "mode"),
        ("removed", "gone"),
        ("retyped", "turned"),
        ("retyped", "was-link"),
    ];
    assert_eq!(found, wanted, "{}", text(&output.stdout));
    let notes: Vec<String> = scratch.history().iter().map(ToString::to_string).collect();
    assert_eq!(notes.iter().filter(|note| note.contains("taken over from fcheck")).count(), 1, "{notes:?}");
    // Once.
    overwrite(&tree.join("same"), "OF same");
    assert!(scratch.ask(&["run", "--once"]).status.success());
    let again = scratch.history();
    assert_eq!(again.iter().filter(|event| event.to_string().contains("taken over from fcheck")).count(), 1);
    assert!(again.iter().any(|event| event["file"]["path"].as_str().is_some_and(|path| path.ends_with("/same"))));
}

#[test]
fn an_area_that_has_a_baseline_is_named_once_with_what_to_do() {
    let scratch = Scratch::new();
    fs::write(scratch.tree().join("a"), "x").unwrap();
    fs::write(scratch.path("fcheck.dbf"), database(&scratch, &["a"])).unwrap();
    fs::set_permissions(scratch.path("fcheck.dbf"), fs::Permissions::from_mode(0o600)).unwrap();
    let other = scratch.path("other");
    fs::create_dir(&other).unwrap();
    let areas = format!("mail = stdout:\narea = {}\n", other.display());
    scratch.configure(&areas);
    assert!(scratch.ask(&["run", "--once"]).status.success());
    overwrite(&scratch.tree().join("a"), "y");
    scratch.configure(&format!("{areas}adopt = fcheck:{}", scratch.path("fcheck.dbf").display()));
    for _ in 0..2 {
        assert!(scratch.ask(&["run", "--once"]).status.success());
    }
    let notes: Vec<String> = scratch.history().iter().map(ToString::to_string).collect();
    let said: Vec<&String> = notes.iter().filter(|note| note.contains("not taken over from fcheck")).collect();
    let [said] = said.as_slice() else { panic!("{notes:?}") };
    for wanted in [scratch.tree().to_str().unwrap(), "has a baseline", "stop the daemon, rm ", "integrityd.sqlite*"] {
        assert!(said.contains(wanted), "{wanted:?} is missing in {said}");
    }
    // fcheck knew nothing of the other one.
    assert!(!said.contains(other.to_str().unwrap()), "{said}");
    // The remedy is one: nothing is left of the first baseline, and what fcheck knew is compared.
    for entry in fs::read_dir(scratch.path("state")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("integrityd.sqlite") {
            fs::remove_file(path).unwrap();
        }
    }
    overwrite(&scratch.tree().join("a"), "z");
    for _ in 0..2 {
        assert!(scratch.ask(&["run", "--once"]).status.success());
    }
    let history = scratch.history();
    let notes: Vec<String> = history.iter().map(ToString::to_string).collect();
    assert!(
        notes.iter().any(|note| note.contains(" taken over from fcheck") || note.contains("\"taken over from fcheck"))
    );
    assert!(!notes.iter().any(|note| note.contains("not taken over")), "{notes:?}");
    let is_changed = |event: &&serde_json::Value| action(event) == "changed";
    assert_eq!(history.iter().filter(is_changed).count(), 1, "{notes:?}");
}

#[test]
fn a_baseline_that_is_of_no_use_is_said_once_and_a_new_one_made() {
    let scratch = Scratch::new();
    fs::write(scratch.tree().join("a"), "x").unwrap();
    let md5 = database(&scratch, &["a"]);
    let digest = md5.lines().find_map(|line| line.rsplit_once("/a!")).unwrap().1.to_owned();
    let md5 = md5.replace(&digest, "d41d8cd98f00b204e9800998ecf8427e");
    fs::write(scratch.path("fcheck.dbf"), md5).unwrap();
    fs::set_permissions(scratch.path("fcheck.dbf"), fs::Permissions::from_mode(0o600)).unwrap();
    scratch.configure(&format!("mail = stdout:\nadopt = fcheck:{}", scratch.path("fcheck.dbf").display()));
    for _ in 0..2 {
        assert!(scratch.ask(&["run", "--once"]).status.success());
    }
    let history = scratch.history();
    let said = history.iter().filter(|event| event.to_string().contains("another program than sha256sum"));
    assert_eq!(said.count(), 1, "{history:?}");
    assert!(!history.iter().any(|event| action(event) == "added"), "{history:?}");
}

#[test]
fn positions_go_back_to_the_first_line_that_was_not_mailed() {
    let scratch = machine();
    let log = scratch.path("app.log");
    let line = |number: u32| format!("Nov 22 12:00:{number:02} h app: number {number}\n");
    fs::write(&log, line(0)).unwrap();
    for directory in ["rules", "mails"] {
        fs::create_dir(scratch.path(directory)).unwrap();
    }
    write_logcheck(
        &scratch,
        "SENDMAILTO=root\nRULEDIR=ROOT/rules\nSTATEDIR=ROOT/states\nLOCKFILE=ROOT/states/lock\n",
        "ROOT/app.log\nROOT/never.log\n",
    );
    scratch.configure(&format!(
        "mail = file:{}\nreporttime = 0\nlogreportholdoff = 1h\nlogchecktime = 1\nlogrules = server:{}\nlog = {}",
        scratch.path("mails").display(),
        scratch.path("rules").display(),
        log.display()
    ));
    let daemon = scratch.start();
    let has_begun = || scratch.history().iter().any(|event| event.to_string().contains("read from now on"));
    wait_for("the daemon", has_begun);
    let lines = || scratch.history().iter().filter(|event| action(event) == "system-event").count();
    let mailed = |words: &str| {
        fs::read_dir(scratch.path("mails"))
            .unwrap()
            .any(|mail| text(&fs::read(mail.unwrap().path()).unwrap()).contains(words))
    };
    fs::write(&log, [0, 1].map(line).concat()).unwrap();
    wait_for("the first line", || lines() == 1);
    daemon.signal("USR1");
    wait_for("its mail", || mailed("number 1"));
    wait_for("its delivery", || scratch.ask(&["queue", "list"]).status.code() == Some(0));
    // Within the hold-off: read, but not mailed.
    fs::write(&log, [0, 1, 2, 1].map(line).concat()).unwrap();
    wait_for("two more", || lines() == 3);
    let config = scratch.path("integrityd.conf");
    let back = || {
        import(
            &scratch,
            "logcheck",
            "etc/logcheck/logcheck.conf",
            &["--hand-back", "--config", config.to_str().unwrap()],
        )
    };
    let refused = back();
    assert_eq!(refused.status.code(), Some(75), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("stop it first"));
    write_fcheck(&scratch, "Directory = ROOT/tree/\n");
    import(&scratch, "fcheck", "etc/fcheck/fcheck.cfg", &["--disable-cron"]);
    let fcheck_back = || {
        let options = ["--hand-back", "--config", config.to_str().unwrap()];
        import(&scratch, "fcheck", "etc/fcheck/fcheck.cfg", &options)
    };
    let refused = fcheck_back();
    assert_eq!(refused.status.code(), Some(75), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("stop it first"));
    assert_ne!(fs::read_to_string(scratch.path("etc/cron.d/fcheck")).unwrap(), FCHECK_CRON);
    assert!(daemon.stop().success());
    fs::write(&log, [0, 1, 2, 1, 3].map(line).concat()).unwrap();
    let cron = scratch.path("etc/cron.d/logcheck");
    import(&scratch, "logcheck", "etc/logcheck/logcheck.conf", &["--disable-cron"]);
    assert_ne!(fs::read_to_string(&cron).unwrap(), LOGCHECK_CRON);
    let done = back();
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let name = format!("states/offset{}", log.display().to_string().replace('/', "."));
    let written = fs::read_to_string(scratch.path(&name)).unwrap();
    let offset = line(0).len() + line(1).len();
    assert_eq!(written, format!("{}\n{offset}\n", fs::metadata(&log).unwrap().ino()));
    assert!(text(&done.stderr).contains("2 lines before"), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("never.log: never read"), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("mailed to nobody yet: 2 events"), "{}", text(&done.stderr));
    let done = fcheck_back();
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("mailed to nobody yet: 2 events"), "{}", text(&done.stderr));
    assert_eq!(fs::read_to_string(scratch.path("etc/cron.d/fcheck")).unwrap(), FCHECK_CRON);
    assert_eq!(fs::read_to_string(&cron).unwrap(), LOGCHECK_CRON);
}

#[test]
fn a_database_of_2012_is_set_aside_and_that_is_said() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("state")).unwrap();
    fs::set_permissions(scratch.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    let old = rusqlite::Connection::open(scratch.database()).unwrap();
    let tables =
        "CREATE TABLE NodeInfo (path TEXT); CREATE TABLE PID (pid INTEGER); CREATE TABLE LogPosition (path TEXT);";
    old.execute_batch(tables).unwrap();
    drop(old);
    fs::set_permissions(scratch.database(), fs::Permissions::from_mode(0o644)).unwrap();
    scratch.configure("mail = stdout:");
    for _ in 0..2 {
        let output = scratch.ask(&["run", "--once"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert!(scratch.path("state/integrityd.sqlite.2012").exists());
    let said = |event: &serde_json::Value| event.to_string().contains("logs are read from their end");
    assert_eq!(scratch.history().iter().filter(|event| said(event)).count(), 1);
}

#[test]
fn a_removal_of_the_package_says_which_lines_of_cron_are_off() {
    let scratch = machine();
    write_fcheck(&scratch, "Directory = ROOT/tree/\n");
    let remove = |word: &str| {
        let script = format!("{}/init/debian/prerm", env!("CARGO_MANIFEST_DIR"));
        let root = scratch.path("");
        let root = root.to_str().unwrap().trim_end_matches('/');
        let output = Command::new("sh").args([&script, word]).env("DPKG_ROOT", root).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    assert_eq!(remove("remove"), "");
    import(&scratch, "fcheck", "etc/fcheck/fcheck.cfg", &["--disable-cron"]);
    let off = fs::read_to_string(scratch.path("etc/cron.d/fcheck")).unwrap();
    assert_eq!(remove("upgrade"), "");
    let said = remove("remove");
    assert!(said.contains("--hand-back"), "{said}");
    assert_eq!(fs::read_to_string(scratch.path("etc/cron.d/fcheck")).unwrap(), off);
    let command = said.lines().find(|line| line.trim_start().starts_with("sed ")).unwrap();
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
    assert_eq!(fs::read_to_string(scratch.path("etc/cron.d/fcheck")).unwrap(), FCHECK_CRON);
    assert_eq!(remove("remove"), "");
}
