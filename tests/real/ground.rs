//! What only root can make: owners, device nodes, files that root's own daemon must survive.

use std::{fs, process::Command, time::Duration};

use crate::support::{Scratch, sink::Sink, wait_for};

const FAST: &str = "filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1\n";

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

#[test]
fn owners_set_id_bits_and_device_nodes_are_told_precisely() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can change owners and make device nodes");
        return;
    }
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    let tree = scratch.tree();
    for name in ["owner", "group", "setuid", "node"] {
        fs::write(tree.join(name), "x").unwrap();
    }
    fs::remove_file(tree.join("node")).unwrap();
    run("mknod", &[tree.join("node").as_ref(), "c".as_ref(), "1".as_ref(), "3".as_ref()]);
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    std::os::unix::fs::chown(tree.join("owner"), Some(33), None).unwrap();
    std::os::unix::fs::chown(tree.join("group"), None, Some(33)).unwrap();
    run("chmod", &["4755".as_ref(), tree.join("setuid").as_ref()]);
    // Aside and renamed, so that the path is never empty.
    run("mknod", &[scratch.path("node").as_ref(), "c".as_ref(), "1".as_ref(), "5".as_ref()]);
    fs::rename(scratch.path("node"), tree.join("node")).unwrap();
    let text = || -> String { sink.mails().iter().map(crate::support::sink::Mail::text).collect() };
    let wanted = ["owner root → www-data", "group root → www-data", "set-user-ID", "rdev 1:3 → 1:5"];
    wait_for("all four", Duration::from_secs(20), || wanted.iter().all(|words| text().contains(words)));
    let text = text();
    for name in ["owner", "group", "setuid", "node"] {
        let path = format!("{}/{name} ", tree.display());
        assert_eq!(text.matches(&path).count(), 1, "{name}: {text}");
    }
    assert!(text.contains("HIGH"), "{text}");
    assert!(daemon.stop().success());
}

#[test]
fn a_second_daemon_and_a_foreign_configuration_are_refused() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let mut second = scratch.start();
    let mut code = None;
    wait_for("the refusal", Duration::from_secs(10), || {
        code = second.child.try_wait().unwrap().and_then(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(75), "{}", scratch.log());
    assert!(daemon.stop().success());
    run("chmod", &["666".as_ref(), scratch.path("integrityd.conf").as_ref()]);
    let refused = scratch.ask(&["run"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(77), "{words}");
    assert!(words.contains("chmod go-w"), "{words}");
}
