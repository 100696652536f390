//! Fresh Debian systems, made once by debootstrap and kept below target/: layers for machines.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{machine::can_be_had, packages::need};

/// Makes a layer over others: installs packages in it with a network, and starts nothing.
const ADD: &str = r#"
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount --rbind /dev dev
cp /etc/resolv.conf etc/resolv.conf
printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
chroot . apt-get update -q
chroot . apt-get install -yq --no-install-recommends $3
chroot . apt-get clean
rm usr/sbin/policy-rc.d
"#;

/// A systemd to be booted, a mail server, and the rules of logcheck.
const BOOTED: &str = "systemd systemd-sysv dbus postfix logcheck-database adduser init-system-helpers";

/// What an administrator has who watches a machine by cron: the tools that integrityd replaces, and a mail server.
const WATCHED: &str = "fcheck logcheck logcheck-database postfix cron iproute2 procps man-db";

fn quietly(command: &mut Command) -> bool {
    let output = command.stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        println!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

/// The release of Debian this machine has, whose libraries the program under test was linked with.
fn release() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name).map(|rest| rest.trim_matches('"').to_owned()))
    };
    (value("ID=").as_deref() == Some("debian")).then(|| value("VERSION_CODENAME=")).flatten()
}

/// Whether it is as it was made. One that came here in a copied target/ may belong to root alone: no mail server starts in it.
fn keeps_owners(layer: &Path) -> bool {
    fs::metadata(layer.join("usr/bin/passwd")).is_ok_and(|program| program.mode() & 0o4000 != 0)
}

/// The smallest Debian there is; `None`, said aloud, when it cannot be made here.
pub(crate) fn bare() -> Option<Vec<PathBuf>> {
    if !can_be_had() || !need("debootstrap", "debootstrap") {
        return None;
    }
    let Some(release) = release() else {
        println!("skipped: this is no Debian, so a fresh one would have other libraries");
        return None;
    };
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{release}"));
    let layer = place.join("bare");
    fs::create_dir_all(&place).unwrap();
    let alone = fs::File::create(place.join("lock")).unwrap();
    alone.lock().unwrap();
    if layer.exists() && !keeps_owners(&layer) {
        println!("{} was copied without its owners and modes: it is made again", place.display());
        for entry in fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
            fs::remove_dir_all(entry).unwrap();
        }
    }
    if !layer.exists() {
        let unfinished = place.join("bare.new");
        drop(fs::remove_dir_all(&unfinished));
        println!("a fresh Debian is made in {}: this takes minutes, once", layer.display());
        if !quietly(Command::new("debootstrap").arg("--variant=minbase").arg(&release).arg(&unfinished)) {
            println!("skipped: debootstrap cannot make a Debian here");
            return None;
        }
        fs::rename(unfinished, &layer).unwrap();
    }
    Some(vec![layer])
}

/// [`bare`] and the tools that integrityd replaces, with a mail server.
pub(crate) fn watched() -> Option<Vec<PathBuf>> {
    layer("watched", WATCHED)
}

/// [`bare`] with a systemd, which [`crate::machine::Machine::boot`] starts.
pub(crate) fn bootable() -> Option<Vec<PathBuf>> {
    if !need("systemd-nspawn", "systemd-container") {
        return None;
    }
    layer("booted", BOOTED)
}

/// [`bare`] and these packages, kept under a name; `None`, said aloud, when they cannot be had.
pub(crate) fn layer(name: &str, packages: &str) -> Option<Vec<PathBuf>> {
    let below = bare()?;
    let place = below[0].parent().unwrap();
    let alone = fs::File::create(place.join("lock")).unwrap();
    alone.lock().unwrap();
    let layer = place.join(name);
    if !layer.exists() {
        let unfinished = place.join(format!("{name}.new"));
        drop(fs::remove_dir_all(&unfinished));
        for part in ["upper", "work", "root"] {
            fs::create_dir_all(unfinished.join(part)).unwrap();
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", ADD, "sh"]);
        if !quietly(command.arg(&below[0]).arg(&unfinished).arg(packages)) {
            println!("skipped: packages cannot be installed in a fresh Debian here: {packages}");
            return None;
        }
        fs::rename(unfinished.join("upper"), &layer).unwrap();
        fs::remove_dir_all(unfinished).unwrap();
    }
    Some([vec![layer], below].concat())
}
