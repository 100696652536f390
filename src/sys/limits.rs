//! The limits this process lives under.

use rustix::process::{Resource, getrlimit};

/// How many files may be open at once (`RLIMIT_NOFILE`, the soft limit); `None` without limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_may_be_open() {
        assert!(open_files().is_none_or(|most| most > 3));
    }
}
