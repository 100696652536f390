//! The Debian package on a copy of this machine, in namespaces of its own; on a fresh Debian: `.ci/long install`.

use std::{fs, path::PathBuf};

use crate::machine::{Machine, can_be_had, package};
use crate::packages::need;

/// Whatever bears the name, but for the package itself.
const TRACES: &str = "find /etc /run /usr /var -name '*integrityd*'; getent passwd integrityd; getent group integrityd; \
                      ps -eo comm,args | grep '^integrityd'; true";

#[test]
fn the_package_installs_starts_stops_and_is_purged_without_a_trace() {
    if !can_be_had() || !need("adduser", "adduser") || !need("update-rc.d", "init-system-helpers") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let Some(package) = package(place.path()) else { return };
    let machine = Machine::start(&[PathBuf::from("/")]);
    assert_eq!(machine.must(TRACES), "", "it is installed on this machine");
    fs::copy(&package, machine.path("/tmp/integrityd.deb")).unwrap();
    machine.allow_services();
    machine.must("dpkg -i /tmp/integrityd.deb");
    assert!(machine.must("service integrityd status").contains("runs"));
    assert_eq!(
        machine.must("stat -c '%a %U:%G' /etc/integrityd.conf /var/lib/integrityd"),
        "600 root:root\n700 root:root\n"
    );
    assert_eq!(machine.must("integrityd config check").lines().count(), 1);
    assert!(machine.holds("getent passwd integrityd && ls /etc/rc2.d/S*integrityd /etc/rc6.d/K*integrityd"));
    assert!(machine.holds("readlink /etc/systemd/system/multi-user.target.wants/integrityd.service"));
    machine.wait("the database", "test -s /var/lib/integrityd/integrityd.sqlite");

    machine.must("dpkg --remove integrityd");
    assert!(!machine.holds("pgrep -x integrityd"), "it was removed and runs");
    assert!(machine.holds("test -s /etc/integrityd.conf && test -s /var/lib/integrityd/integrityd.sqlite"));
    assert!(!machine.holds("test -e /usr/sbin/integrityd || test -e /usr/lib/systemd/system/integrityd.service"));

    machine.must("dpkg --purge integrityd");
    assert_eq!(machine.must(TRACES), "");
}
