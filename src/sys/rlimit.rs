//! The limits this process lives under.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files may be open at once (`RLIMIT_NOFILE`, the soft limit); `None` without limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the soft limit of open files to the hard one. What the system refuses stays as it is.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_may_be_open() {
        assert!(open_files().is_none_or(|most| most > 3));
    }
}
