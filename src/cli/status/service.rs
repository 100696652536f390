//! How the daemon is started on this machine.

use std::path::Path;

/// Where a unit of the service manager lies, below the root.
const UNITS: [&str; 4] = [
    "etc/systemd/system/integrityd.service",
    "lib/systemd/system/integrityd.service",
    "usr/lib/systemd/system/integrityd.service",
    "usr/local/lib/systemd/system/integrityd.service",
];

/// The command that starts it: that of the service where one is installed below `root`, else the program itself.
pub(in crate::cli) fn command(root: &Path) -> &'static str {
    let is_there = |place: &str| root.join(place).exists();
    // A unit is nothing without the systemd that reads it.
    let has_unit = is_there("run/systemd/system") && UNITS.into_iter().any(is_there);
    if has_unit || is_there("etc/init.d/integrityd") { "service integrityd start" } else { "integrityd run" }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_service_that_is_installed_is_named() {
        for (places, wanted) in [
            (&["etc"][..], "integrityd run"),
            (&["usr/lib/systemd/system/integrityd.service"], "integrityd run"),
            (&["usr/lib/systemd/system/integrityd.service", "run/systemd/system"], "service integrityd start"),
            (&["etc/init.d/integrityd"], "service integrityd start"),
        ] {
            let root = tempfile::tempdir().unwrap();
            for place in places {
                fs::create_dir_all(root.path().join(place)).unwrap();
            }
            assert_eq!(command(root.path()), wanted, "{places:?}");
        }
    }
}
