//! A Debian system in namespaces of its own: nothing done in it leaves it, and when its first process dies all of it is gone.
//!
//! Its root is made of layers that are not written to, under an empty one in memory. It has no network but its own loopback, so
//! that ports are its own too.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use crate::{
    packages::need,
    support::{PROGRAM, wait_for},
};

/// Makes the root, enters it and waits for ever; what ends in between it takes in, as the first process has to.
const FIRST: &str = r#"
set -e
ip link set lo up
mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=1777 none tmp
mount -t tmpfs -o mode=755 none dev
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for node in null zero full random urandom tty; do mknod -m 666 "dev/$node" c $(stat -c '0x%t 0x%T' "/dev/$node"); done
hostname web3.example
mkdir -m 1777 run/lock
echo "127.0.0.1 web3.example web3 localhost" >etc/hosts
echo web3.example >etc/hostname
echo web3.example >etc/mailname
exec chroot . sh -c 'while sleep 0.1; do :; done'
"#;

/// Makes the root and boots its systemd, as the first process of a group of control of its own: it takes all of that for its own. The
/// filter of nspawn lets through what that of a real machine does.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
echo "127.0.0.1 web3.example web3 localhost" >"$1/root/etc/hosts"
echo web3.example >"$1/root/etc/hostname"
echo web3.example >"$1/root/etc/mailname"
for tree in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -e "$tree/cgroup.procs" ] || continue
    mkdir "$tree/$3"
    echo $$ >"$tree/$3/cgroup.procs"
done
exec systemd-nspawn --quiet --register=no --keep-unit --private-network --link-journal=no --console=pipe --hostname=web3 \
    --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
    --boot --directory "$1/root" >"$1/console" 2>&1
"#;

/// Where groups of control may be: alone, or each kind by itself.
const GROUPS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];

/// A system that runs; gone when it is dropped.
pub(crate) struct Machine {
    holder: Child,
    /// Its first process, as numbered outside.
    first: String,
    /// What its groups of control are called, if it has any.
    group: String,
    _place: tempfile::TempDir,
}

impl Machine {
    /// Starts one of these layers, the uppermost first.
    pub(crate) fn start(layers: &[PathBuf]) -> Self {
        let unshared = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"];
        let mut machine = Self::begin(layers, &unshared, FIRST);
        wait_for("the machine", || {
            machine.first = child_of(&machine.holder.id().to_string());
            // The last thing it does is to run a shell that knows nothing of us.
            let words = fs::read(format!("/proc/{}/cmdline", machine.first)).unwrap_or_default();
            words.starts_with(b"sh\0-c\0while")
        });
        machine
    }

    /// Boots the systemd of these layers and waits until it has started everything.
    pub(crate) fn boot(layers: &[PathBuf]) -> Self {
        // With numbers of its own, so that all of it ends with nspawn.
        let unshared = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let mut machine = Self::begin(layers, &unshared, BOOT);
        wait_for("the system", || {
            machine.first = child_of(&child_of(&machine.holder.id().to_string()));
            let state = machine.run("systemctl is-system-running").stdout;
            ["running", "degraded"].contains(&String::from_utf8_lossy(&state).trim())
        });
        machine
    }

    fn begin(layers: &[PathBuf], unshared: &[&str], script: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let layers: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
        let group = format!("integrityd-test{}", place.path().file_name().unwrap().to_str().unwrap());
        // It must not outlive a test that is killed and cleans up nothing.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "unshare"])
            .args(unshared)
            .args(["sh", "-c", script, "sh"])
            .arg(place.path())
            .arg(layers.join(":"))
            .arg(&group)
            .stdin(Stdio::null())
            .process_group(0);
        Self { holder: command.spawn().unwrap(), first: String::new(), group, _place: place }
    }

    /// Runs a script of the shell in it.
    pub(crate) fn run(&self, script: &str) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--pid", "--net", "--uts", "--ipc", "--root", "--wd"]);
        command.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]);
        command.args(["DEBIAN_FRONTEND=noninteractive", "sh", "-c", script]);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a script that must succeed; what it prints.
    pub(crate) fn must(&self, script: &str) -> String {
        let output = self.run(script);
        let said = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}: {}\n{text}\n{said}", output.status);
        text + &said
    }

    /// Packages may start services, as on a machine that was booted; without this they see no init system and leave it.
    pub(crate) fn allow_services(&self) {
        self.must("printf '#!/bin/sh\\nexit 0\\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d");
    }

    /// Whether a condition of the shell holds.
    pub(crate) fn holds(&self, condition: &str) -> bool {
        self.run(condition).status.success()
    }

    /// Where a file of its is seen from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.first))
    }

    pub(crate) fn write(&self, inside: &str, text: &str) {
        fs::write(self.path(inside), text).unwrap();
    }

    pub(crate) fn read(&self, inside: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(inside)).unwrap_or_default()).into_owned()
    }

    pub(crate) fn wait(&self, what: &str, condition: &str) {
        wait_for(what, || self.holds(condition));
    }

    /// Every object of the system with kind, mode, owner and what a link leads to, but for what any installation leaves behind: the
    /// books of dpkg and apt, their logs and caches.
    pub(crate) fn tree(&self) -> Vec<String> {
        let text = self.must(
            "find / -xdev \\( -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache -o -path /var/log/apt \\
             -o -path /var/log/dpkg.log -o -path /root/deb \\) -prune -o -printf '%p %y %m %U:%G %l\\n' | LC_ALL=C sort",
        );
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its first process dies with it, and with that one all others, and the mounts.
        let _killed = self.holder.kill();
        let _waited = self.holder.wait();
        for tree in GROUPS {
            let group = Path::new(tree).join(&self.group);
            let begun = std::time::Instant::now();
            // Its processes take a moment to be gone.
            while group.exists() && begun.elapsed() < Duration::from_secs(5) {
                remove_group(&group);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// The youngest child of a process, by their numbers.
fn child_of(process: &str) -> String {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    children.split_whitespace().last().unwrap_or_default().to_owned()
}

/// Removes a group of control and those in it, as far as nothing is in them any more.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        remove_group(&entry.path());
    }
    let _not_empty = fs::remove_dir(group);
}

/// What stands in `after` and not in `before`, and the other way round, with `+` and `-`.
pub(crate) fn difference(before: &[String], after: &[String]) -> Vec<String> {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), after.iter().collect());
    let gone = before.difference(&after).map(|line| format!("-{line}"));
    gone.chain(after.difference(&before).map(|line| format!("+{line}"))).collect()
}

/// Whether machines can be made here; says why not.
pub(crate) fn can_be_had() -> bool {
    let is_able = crate::support::is_root() && need("ip", "iproute2") && need("dpkg-deb", "dpkg");
    if !is_able {
        println!("skipped: a machine of its own needs root and Debian");
    }
    is_able
}

/// Packs the program under test; `None`, said aloud, when that cannot be done here.
pub(crate) fn package(directory: &Path) -> Option<PathBuf> {
    packed(directory, "deb", &["deb", "--no-build", "--fast"])
}

/// As [`package`], for the RPM.
pub(crate) fn rpm_package(directory: &Path) -> Option<PathBuf> {
    packed(directory, "generate-rpm", &["generate-rpm"])
}

fn packed(directory: &Path, tool: &str, arguments: &[&str]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = root.join("target/tools/bin");
    let search = std::env::var("PATH").unwrap_or_default();
    let search = format!("{}:{search}", tools.display());
    let is_there = |tool: &str| {
        let look = format!("command -v cargo-{tool}");
        Command::new("sh").args(["-c", &look]).env("PATH", &search).stdout(Stdio::null()).status().unwrap().success()
    };
    if !is_there(tool) {
        println!("skipped: cargo-{tool} is not there; .ci/long install puts it into target/tools");
        return None;
    }
    // Both pack what lies there, whatever it was built as.
    let built = directory.join("build/release");
    fs::create_dir_all(&built).unwrap();
    fs::copy(PROGRAM, built.join("integrityd")).unwrap();
    let stripped = Command::new("strip").arg(built.join("integrityd")).status();
    assert!(stripped.is_ok_and(|status| status.success()), "binutils are needed");
    let workshop = directory.join("build");
    let mut command = Command::new("cargo");
    command.args(arguments).arg("--output").arg(directory).current_dir(root).env("PATH", &search);
    command.env("CARGO_TARGET_DIR", &workshop);
    if tool == "generate-rpm" {
        command.arg("--target-dir").arg(&workshop);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ending = if tool == "deb" { "deb" } else { "rpm" };
    let mut files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == ending))
}
