//! Listing directories block by block; one over which our own code stumbles is left alone for a while.

use rustix::io::Errno;

use crate::{
    files::{
        remote::lookup::AccessError,
        walk::{
            checker::{Interrupt, PacedChecker},
            directory::open_directory,
            frontier::{OpenDir, PendingDir},
        },
    },
    model::file::entry::EntryId,
    store::db::run_blocking,
    sys::panic::catch_panic,
};

impl PacedChecker {
    /// Opens a directory for listing; `None` when it cannot be, or is left alone.
    pub(in crate::files) async fn open(&mut self, ahead: PendingDir) -> Result<Option<OpenDir>, Interrupt> {
        let Some(checker) = self.checker.clone() else { return Ok(None) };
        let entry = ahead.entry;
        if self.unlisted.holds(&entry, self.clock.now().boottime) {
            return Ok(None);
        }
        match run_blocking(move || catch_panic(|| open_directory(&checker, ahead))).await {
            Ok(opened) => Ok(opened?),
            Err(_caught) => self.leave_alone(entry).await,
        }
    }

    /// Reads the next block of a listing.
    pub(in crate::files) async fn refill(
        &mut self,
        mut open: OpenDir,
        most: usize,
    ) -> Result<Option<OpenDir>, Interrupt> {
        let entry = open.place.entry;
        let block = move || {
            let read = open.read_block(most);
            (open, read)
        };
        let Ok((mut open, read)) = run_blocking(move || catch_panic(block)).await else {
            return self.leave_alone(entry).await;
        };
        if read.is_ok() && !self.mind_limit(&mut open).await? {
            return self.leave_alone(entry).await;
        }
        match read {
            Err(AccessError::Errno(errno)) if errno != Errno::NOENT.raw_os_error() => {
                let errno = Errno::from_raw_os_error(errno);
                tracing::warn!(%errno, "a directory could not be listed to its end");
            }
            Err(_) => {}
            Ok(()) => self.unlisted.release(&entry),
        }
        Ok(Some(open))
    }

    /// Notes whether paths in a directory are too long; `false` when our own code has stumbled over that.
    async fn mind_limit(&mut self, open: &mut OpenDir) -> Result<bool, Interrupt> {
        let (Some(is_beyond), Some(checker)) = (open.limit(), self.checker.clone()) else { return Ok(true) };
        let (area, entry) = (open.place.area, open.place.entry);
        match run_blocking(move || catch_panic(|| checker.mind_limit(area, entry, Some(is_beyond)))).await {
            Ok(noted) => noted.map(|_was_news| true).map_err(Interrupt::from),
            Err(_caught) => Ok(false),
        }
    }

    /// Lists nothing in a directory for a while, and tells it.
    async fn leave_alone(&mut self, entry: EntryId) -> Result<Option<OpenDir>, Interrupt> {
        let (now, error_nag) = (self.clock.now(), self.error_nag);
        self.unlisted.set_aside(entry, now.boottime);
        let told = self.db.call(move |store| {
            let way = store.way_to(entry)?.unwrap_or_default();
            let path = way.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(&b'/');
            store.tell_fault(&path, "this directory is not listed for a while", now, error_nag)
        });
        told.await?;
        Ok(None)
    }
}
