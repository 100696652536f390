//! Which entries of the journal this daemon wrote itself: they never become lines, or each report would make the next.
//!
//! Only fields that begin with an underscore decide: journald takes them from the kernel, and no program can forge them
//! (systemd.journal-fields(7)). A tag alone proves nothing, and neither does a pid alone: an older boot had it too, and so had
//! another process before us.

use crate::{
    logs::journal::export_format::{ExportEntry, Field},
    model::{
        clock::{BootId, Timestamp},
        escape::hex,
    },
};

/// The unit this daemon runs as, and the tag it logs with.
const UNIT: &[u8] = b"integrityd.service";
const TAG: &[u8] = b"integrityd";

/// This process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Its number.
    pub pid: u32,
    /// The boot it runs in.
    pub boot: BootId,
    /// When it was started.
    pub since: Timestamp,
}

fn says(field: Option<&Field>, value: &[u8]) -> bool {
    field.is_some_and(|field| field.bytes == value)
}

impl Own {
    /// Whether this process, or an earlier one of the same unit, has written `entry`.
    pub fn wrote(&self, entry: &ExportEntry) -> bool {
        let since = u64::try_from(self.since.as_nanos() / 1000).unwrap_or(0);
        let is_us = says(entry.pid.as_ref(), self.pid.to_string().as_bytes())
            && says(entry.boot.as_ref(), hex(&self.boot.0).as_bytes())
            && entry.realtime >= since;
        // What else runs in the unit, as the sendmail program it starts, has another tag.
        is_us || says(entry.unit.as_ref(), UNIT) && says(entry.identifier.as_ref(), TAG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "a field may be missing")]
    fn field(text: &str) -> Option<Field> {
        Some(Field { bytes: text.as_bytes().to_vec(), length: 0 })
    }

    #[test]
    fn only_what_cannot_be_forged_counts() {
        let own = Own { pid: 812, boot: BootId([0xab; 16]), since: Timestamp::from_nanos(5_000_000) };
        let ours =
            ExportEntry { pid: field("812"), boot: field(&"ab".repeat(16)), realtime: 5000, ..ExportEntry::default() };
        assert!(own.wrote(&ours));
        let unit = ExportEntry { unit: field("integrityd.service"), ..ExportEntry::default() };
        assert!(own.wrote(&ExportEntry { identifier: field("integrityd"), ..unit.clone() }));
        for other in [
            ExportEntry { identifier: field("integrityd"), comm: field("integrityd"), pid: field("9"), ..ours.clone() },
            ExportEntry { identifier: field("integrityd"), claimed_pid: field("812"), pid: None, ..ours.clone() },
            ExportEntry { boot: field(&"cd".repeat(16)), ..ours.clone() },
            ExportEntry { realtime: 4999, ..ours.clone() },
            ExportEntry { identifier: field("postfix/sendmail"), ..unit },
            ExportEntry { unit: field("user@1000.service"), identifier: field("integrityd"), ..ExportEntry::default() },
        ] {
            assert!(!own.wrote(&other), "{other:?}");
        }
    }
}
