//! Faults on demand, for tests of what happens then: nothing of this is in a program that is built without the feature `faults`.
//!
//! `INTEGRITYD_FAULT` lists them, separated by blanks: `look:NAME`, `list:NAME`, `line:WORD`, `log:NAME`, `pid:NAME`, `render:CHANNEL` and
//! `send:RECIPIENT` panic where that item is handled; `fall:CHANNEL`
//! ends the program where a report is made; `end:TASK`, `panic:TASK` and `stall:TASK` let a task end, panic or stand still (its name
//! with `-` for blanks); `patience:SECONDS` is what one step may take.

#[cfg(feature = "faults")]
use std::sync::OnceLock;

#[cfg(feature = "faults")]
fn wanted() -> &'static [(String, String)] {
    static WANTED: OnceLock<Vec<(String, String)>> = OnceLock::new();
    WANTED.get_or_init(|| {
        let text = std::env::var("INTEGRITYD_FAULT").unwrap_or_default();
        let pairs = text.split_whitespace().filter_map(|word| word.split_once(':'));
        pairs.map(|(kind, item)| (kind.to_owned(), item.to_owned())).collect()
    })
}

/// Whether this fault is wanted for this item.
#[cfg(feature = "faults")]
pub fn is_wanted(kind: &str, item: &[u8]) -> bool {
    wanted().iter().any(|(known, name)| known == kind && item.ends_with(name.as_bytes()))
}

/// Whether this fault is wanted for this item: never.
#[cfg(not(feature = "faults"))]
pub const fn is_wanted(_kind: &str, _item: &[u8]) -> bool {
    false
}

/// Panics when this fault is wanted for this item.
#[cfg(feature = "faults")]
#[expect(clippy::panic, reason = "that is what it is for")]
pub fn strike(kind: &str, item: &[u8]) {
    if kind == "render" && is_wanted("fall", item) {
        std::process::abort();
    }
    if is_wanted(kind, item) {
        std::panic::panic_any(format!("a fault was wanted: {kind} {}", String::from_utf8_lossy(item)));
    }
}

/// Does nothing.
#[cfg(not(feature = "faults"))]
pub const fn strike(_kind: &str, _item: &[u8]) {}

/// The seconds that one step of a task may take, instead of the usual.
#[cfg(feature = "faults")]
pub fn patience() -> Option<u64> {
    wanted().iter().find(|(kind, _)| kind == "patience").and_then(|(_, seconds)| seconds.parse().ok())
}

/// Nothing but the usual.
#[cfg(not(feature = "faults"))]
pub const fn patience() -> Option<u64> {
    None
}
