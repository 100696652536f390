//! Searching the events: the newest that match are found going back block by block, then shown going forward, so that neither
//! a long history nor a large `--limit` costs memory.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use globset::GlobMatcher;

use crate::{
    model::event::StoredEvent,
    store::{
        events::{append::Filter, history::HistoryOrder},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Events read at once.
const BLOCK: u32 = 500;

/// What is searched for.
#[derive(Debug)]
pub(in crate::cli) struct HistorySearch {
    /// Times, kind and severity; its limit is how many events are wanted.
    pub(in crate::cli) filter: Filter,
    /// Which paths; those that a summary stands for count too.
    pub(in crate::cli) glob: Option<GlobMatcher>,
}

/// Where the wanted events stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Span {
    /// The first number.
    first: u64,
    /// The last number.
    last: u64,
    /// Whether older ones match, too.
    pub(in crate::cli) is_cut: bool,
}

impl HistorySearch {
    /// Finds the span of numbers that holds the wanted events; `None` when nothing matches.
    pub(in crate::cli) fn span(&self, store: &Store) -> Result<Option<Span>, StoreError> {
        let last = store.head()?.seq;
        let mut span = None;
        let (mut end, mut found) = (last, 0_u32);
        loop {
            let block = store.history_block(&self.block(), (1, end), HistoryOrder::NewestFirst)?;
            for stored in &block {
                if !self.is_match(store, stored)? {
                    continue;
                }
                if found == self.filter.limit {
                    return Ok(span.map(|span| Span { is_cut: true, ..span }));
                }
                found += 1;
                span = Some(Span { first: stored.seq, last, is_cut: false });
            }
            match block.last() {
                Some(oldest) if oldest.seq > 1 => end = oldest.seq - 1,
                _ => return Ok(span),
            }
        }
    }

    /// Hands every wanted event of the span to `show`, in the order of their numbers.
    pub(in crate::cli) fn each(
        &self,
        store: &Store,
        span: Span,
        mut show: impl FnMut(&StoredEvent) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut begin = span.first;
        loop {
            let block = store.history_block(&self.block(), (begin, span.last), HistoryOrder::OldestFirst)?;
            for stored in &block {
                if self.is_match(store, stored)? {
                    show(stored)?;
                }
            }
            match block.last() {
                Some(newest) => begin = newest.seq + 1,
                None => return Ok(()),
            }
        }
    }

    /// The paths within a summary for whose sake it was found, at most `most`; none when its own path matches.
    pub(in crate::cli) fn within(
        &self,
        store: &Store,
        stored: &StoredEvent,
        most: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        match &self.glob {
            Some(glob) if !is_path(glob, &stored.event.source) => {
                store.members_like(stored.seq, &|path| is_path(glob, path), most)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn block(&self) -> Filter {
        Filter { limit: BLOCK, ..self.filter.clone() }
    }

    fn is_match(&self, store: &Store, stored: &StoredEvent) -> Result<bool, StoreError> {
        let Some(glob) = &self.glob else { return Ok(true) };
        if is_path(glob, &stored.event.source) {
            return Ok(true);
        }
        let is_summary = stored.event.members_digest.is_some();
        Ok(is_summary && !store.members_like(stored.seq, &|path| is_path(glob, path), 1)?.is_empty())
    }
}

fn is_path(glob: &GlobMatcher, path: &[u8]) -> bool {
    glob.is_match(OsStr::from_bytes(path))
}
