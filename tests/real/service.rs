//! As a service: by the SysV script with Debian's `service`, and as a user of its own with nothing but CAP_DAC_READ_SEARCH.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{PROGRAM, Running, Scratch, is_root, overwrite, sink::Sink, wait_for};

/// A user whom nobody else is.
const USER: u32 = 64_998;

/// In namespaces of its own, over copies of what it changes: `$1` a directory, `$2` the program, `$3` the script.
const SERVICE: &str = r#"
work=$1 program=$2 script=$3
mount -t tmpfs tmpfs "$work" || exit 99
for place in etc usr/sbin usr/local/sbin run var/lib var/log; do
    mkdir -p "$work/up/$place" "$work/work/$place"
    mount -t overlay overlay -o "lowerdir=/$place,upperdir=$work/up/$place,workdir=$work/work/$place" "/$place" || exit 99
done
rm -f /var/log/integrityd.log
conf=/etc/integrityd.conf
step() { name=$1; shift; out=$("$@" 2>&1); code=$?; printf '%s: %s | %s\n' "$name" $code "$(echo "$out" | tail -n 1 | sed 's/([0-9]*)/(PID)/')"; }
wait_for() { n=0; until grep -q "$1" /var/log/integrityd.log || [ $n -gt 200 ]; do sleep 0.1; n=$((n + 1)); done; }
install -m 755 "$script" /etc/init.d/integrityd
step not-installed service integrityd start
install -m 755 "$program" /usr/local/sbin/integrityd
step no-configuration service integrityd start
install -m 600 /dev/null $conf
printf 'filerate = 1\narea = /etc/init.d\nmail = file:/var/lib/mails\ndatabase = /var/lib/integrityd/integrityd.sqlite\n' >$conf
step not-started service integrityd status
step start service integrityd start
step started service integrityd status
step again service integrityd start
first=$(cat /run/integrityd.pid)
echo 'subject = logcheck' >>$conf
step reload service integrityd reload
wait_for 'the configuration was read again'
step reloaded grep -o 'the configuration was read again' /var/log/integrityd.log
step force-reload service integrityd force-reload
echo 'filerat = 2' >>$conf
step bad-reload service integrityd reload
step bad-restart service integrityd restart
step goes-on test "$(cat /run/integrityd.pid)" = "$first"
step still-runs service integrityd status
sed -i /filerat/d $conf
step restart service integrityd restart
step other test "$(cat /run/integrityd.pid)" != "$first"
kill -9 "$(cat /run/integrityd.pid)"; sleep 0.5
step killed service integrityd status
step after service integrityd start
step stop service integrityd stop
step stopped service integrityd status
step stop-again service integrityd stop
echo 'filerat = 2' >>$conf
step bad-start service integrityd start
step not-running service integrityd status
sed -i /filerat/d $conf
step idle-reload service integrityd reload
mv /usr/local/sbin/integrityd /usr/sbin/integrityd
step moved service integrityd start
step place readlink "/proc/$(cat /run/integrityd.pid)/exe"
mv /run/integrityd.pid /run/hidden
step second service integrityd start
step left test ! -e /run/integrityd.pid
mv /run/hidden /run/integrityd.pid
step end service integrityd stop
step wrong service integrityd frobnicate
step log-mode stat -c %a /var/log/integrityd.log
echo 'integrityd:x:64998:64998::/var/lib/integrityd:/usr/sbin/nologin' >>/etc/passwd
chown -R 64998:64998 /var/lib/integrityd
sed -i 's,/var/lib/mails,/var/lib/integrityd/mails,' $conf
setpriv --reuid 64998 --regid 64998 --clear-groups --inh-caps -all,+dac_read_search \
    --ambient-caps -all,+dac_read_search --bounding-set -all,+dac_read_search \
    integrityd run </dev/null >/tmp/own-user.$$ 2>&1 &
sleep 3
step own-user-doctor sh -c 'integrityd doctor | grep -c FAIL'
step own-user-shown sh -c 'integrityd doctor | grep -o "uid [0-9]* with CAP_DAC_READ_SEARCH"'
touch /etc/init.d/new
step own-user-update integrityd check --update /etc/init.d
step own-user-strangers find /var/lib/integrityd ! -user 64998
rm -f /tmp/own-user.$$
"#;

#[test]
fn debians_service_starts_reloads_and_stops_it_and_says_what_is_wrong() {
    if !is_root() {
        println!("skipped: namespaces need root");
        return;
    }
    let scratch = Scratch::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("init/integrityd.sysv");
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SERVICE, "sh"])
        .arg(scratch.tree())
        .args([Path::new(PROGRAM), &script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.code() == Some(99) {
        println!("skipped: no overlay can be mounted: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    insta::assert_snapshot!(text);
}

/// A program that every user can reach, and a state directory of this one.
fn for_user(scratch: &Scratch) -> std::path::PathBuf {
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let program = scratch.path("integrityd");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(scratch.path("state")).unwrap();
    fs::set_permissions(scratch.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    chown(scratch.path("state"), Some(USER), Some(USER)).unwrap();
    program
}

/// The daemon as a user with one capability.
fn start_as_user(scratch: &Scratch, program: &Path) -> Running {
    let log = fs::File::create(scratch.path("log")).unwrap();
    let user = USER.to_string();
    let child = Command::new("setpriv")
        .args(["--reuid", &user, "--regid", &user, "--clear-groups", "--inh-caps", "-all,+dac_read_search"])
        .args(["--ambient-caps", "-all,+dac_read_search", "--bounding-set", "-all,+dac_read_search"])
        .arg(program)
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .arg("run")
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    Running { child }
}

#[test]
fn a_user_of_its_own_reads_everything_and_writes_only_its_state() {
    if !is_root() {
        println!("skipped: another user needs root");
        return;
    }
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let program = for_user(&scratch);
    let secret = scratch.tree().join("secret");
    fs::write(&secret, "one").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(scratch.tree(), fs::Permissions::from_mode(0o700)).unwrap();
    let rules = scratch.path("rules");
    fs::create_dir_all(rules.join("ignore.d.server")).unwrap();
    let log = scratch.path("app.log");
    fs::write(&log, "").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();
    scratch.configure(&format!(
        "area = /etc\nfilerate = 20000\nbyterate = 1G\nlogchecktime = 1\nreporttime = 0\nreportholdoff = 0\nurgentholdoff = 0\n\
         logrules = {}\nlog = {}\n{}",
        rules.display(),
        log.display(),
        sink.setting()
    ));
    let stamp = scratch.path("stamp");
    fs::write(&stamp, "").unwrap();
    let daemon = start_as_user(&scratch, &program);
    scratch.wait_for_baseline();
    assert_eq!(fs::metadata(scratch.database()).unwrap().uid(), USER);
    wait_for("the digest of /etc/shadow", || {
        let told = String::from_utf8(scratch.ask(&["explain", "/etc/shadow"]).stdout).unwrap();
        told.contains("blake3")
    });
    overwrite(&secret, "two");
    overwrite(&log, "a line that no rule knows\n");
    wait_for("both mails", || {
        let all: String = sink.mails().iter().map(crate::support::sink::Mail::text).collect();
        all.contains("/tree/secret") && all.contains("a line that no rule knows")
    });
    let doctor = String::from_utf8(scratch.ask(&["doctor"]).stdout).unwrap();
    let wanted = format!("daemon user: uid {USER} with CAP_DAC_READ_SEARCH: it reads everything");
    assert!(doctor.contains(&wanted) && doctor.contains("known by number, start and name only"), "{doctor}");
    assert_eq!(scratch.ask(&["mail", "test"]).status.code(), Some(0));
    assert!(daemon.stop().success());
    let found = Command::new("find")
        .args(["/", "-xdev", "-newercm"])
        .arg(&stamp)
        .args(["-user", &USER.to_string(), "-not", "-path", "/proc/*"])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let state = scratch.path("state");
    let elsewhere: Vec<&str> = found.lines().filter(|path| !Path::new(path).starts_with(&state)).collect();
    assert!(found.contains("integrityd.sqlite"), "{found}");
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    let strangers: Vec<String> = fs::read_dir(&state)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.metadata().unwrap().uid() != USER)
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}
