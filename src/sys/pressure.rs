//! How much others wait for the disks: pressure stall information (`Documentation/accounting/psi.rst`).

use std::{fs, path::Path};

/// The share of the last ten seconds, in per cent, in which some task waited for input or output; `None` where the kernel does not tell.
pub fn io_pressure(root: &Path) -> Option<f64> {
    parse(&fs::read_to_string(root.join("proc/pressure/io")).ok()?)
}

/// The share of the last ten seconds, in per cent, in which some task waited for a processor; `None` where the kernel does not tell.
pub fn cpu_pressure(root: &Path) -> Option<f64> {
    parse(&fs::read_to_string(root.join("proc/pressure/cpu")).ok()?)
}

fn parse(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let share = some.split_ascii_whitespace().find_map(|field| field.strip_prefix("avg10="))?;
    share.parse().ok().filter(|share: &f64| share.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pressure_of_the_last_ten_seconds_is_found() {
        let text = "some avg10=12.41 avg60=18.85 avg300=7.28 total=1041212483\nfull avg10=0.50 avg60=0.17 avg300=0.27 total=1\n";
        assert_eq!(parse(text), Some(12.41));
        for broken in ["", "full avg10=0.50 avg60=0\n", "some avg10=\n", "some avg10=nan\n"] {
            assert_eq!(parse(broken), None, "{broken:?}");
        }
        assert_eq!(io_pressure(Path::new("/nonexistent")), None);
    }
}
