//! One look at full speed: the walker's look and judgement without its pace, against a row that is already in hand.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::io::Errno;

use crate::{
    content::{hasher::Evidence, racy::wait_out},
    files::{
        area::{
            path_limit::room,
            watched_areas::{WatchedArea, WatchedAreas},
        },
        compare::{
            comparison::{Comparison, without_content},
            finding::{Finding, Sighting},
            own_mail::{holds_only, new_part},
            shortage::{is_resource_exhausted, shortage},
        },
        remote::lookup::Lookup,
        scan::{
            batch::ScanBatch,
            content::{Purpose, Read},
            scope::{EnteredDir, Ids, KnownEntry, ScanPlace, Scope},
        },
        walk::{moves::Moves, record::piece},
    },
    model::{
        clock::Clock,
        event::{Category, Event, Severity},
        file::entry::{Entry, FileKind, HashState},
    },
    store::{
        events::outcome::ConditionalOutcome,
        sqlite::{connection::Store, error::StoreError},
    },
};

/// How often a file that changes while it is read is tried; a pass that is in a hurry does not wait between.
const TRIES: u32 = 3;

/// What a look needs.
#[derive(Debug)]
pub(in crate::files) struct ScanCheck<'a> {
    pub(in crate::files) watched: &'a WatchedArea,
    pub(in crate::files) areas: &'a WatchedAreas,
    pub(in crate::files) clock: &'a Clock,
    pub(in crate::files) scope: &'a Scope,
    /// What has only another name.
    pub(in crate::files) moves: &'a Moves,
    /// Whether unknown paths are learned instead of told.
    pub(in crate::files) is_learning: bool,
    /// Where ids come from; `None` when nothing is to be stored.
    pub(in crate::files) ids: Option<&'a Ids>,
    /// Whether only mails of ours were added to what is looked at.
    pub(in crate::files) is_own_mail: bool,
    pub(in crate::files) store: &'a mut Store,
    /// Used again for every file.
    pub(in crate::files) buffer: &'a mut Vec<u8>,
}

impl<'a> ScanCheck<'a> {
    pub(in crate::files) fn judge(&self) -> Comparison<'_> {
        Comparison {
            watched: self.watched,
            areas: self.areas,
            now: self.clock.now(),
            is_own_mail: self.is_own_mail,
            is_learning: self.is_learning,
            shows_all: self.ids.is_none(),
        }
    }

    /// Looks at `name` in `place` and adds what it finds to `batch`; gives the directory that is there, if it is one.
    pub(in crate::files) fn at(
        &mut self,
        place: &ScanPlace,
        (name, path, is_regular): (&[u8], &[u8], bool),
        known: KnownEntry,
        batch: &mut ScanBatch,
    ) -> Result<Option<EnteredDir>, StoreError> {
        self.is_own_mail = false;
        let known = self.known(place, name, known)?;
        let looked = catch_unwind(AssertUnwindSafe(|| {
            self.look(known.as_deref(), batch, |scan| {
                let wants_content = !scan.watched.settings.algorithms.is_empty();
                if is_regular && place.is_of_root && wants_content {
                    scan.areas.lookup_regular(scan.watched, path, &place.directory, name)
                } else {
                    scan.areas.lookup(scan.watched, path, &place.directory, name)
                }
            })
        }));
        let Ok(looked) = looked else {
            batch.add(self.fault(path));
            return Ok(None);
        };
        refuse_shortage(&looked, path)?;
        match looked {
            ScanLook::There(sighting) => {
                // A directory on the way to what is asked for is entered, not compared, as long as it is one.
                let is_on_way = !self.scope.covers(path) && sighting.seen().attributes.kind == FileKind::Directory;
                match known {
                    Some(entry) if is_on_way && entry.known.attributes.kind == FileKind::Directory => {
                        Ok(Some(EnteredDir { entry, is_new: false }))
                    }
                    known => self.settle(place, name, path, known, *sighting, batch),
                }
            }
            ScanLook::Silent => {
                // What hides it is told as a whole.
                if !self.areas.is_covered(path) {
                    batch.add(ScanBatch::silent(known.is_some()));
                }
                Ok(None)
            }
            ScanLook::Gone => {
                if let Some(known) = known {
                    batch.gone.push((known.id, path.to_vec()));
                }
                Ok(None)
            }
            ScanLook::Refused(errno) => {
                let state = HashState::Unreadable(errno.raw_os_error());
                batch.add(match known {
                    Some(known) => self.content_state(path, &known, state)?,
                    None => self.content_state(&place.path, &place.entry, state)?,
                });
                Ok(None)
            }
        }
    }

    /// Compares the root of an area; gives its row as it is now.
    pub(super) fn at_root(&mut self, root: &Entry, batch: &mut ScanBatch) -> Result<Entry, StoreError> {
        let path = self.watched.path.clone();
        if !self.scope.covers(&path) {
            return Ok(root.clone());
        }
        let looked = self.look(Some(root), batch, |scan| scan.areas.look_at_root(scan.watched));
        refuse_shortage(&looked, &path)?;
        let ScanLook::There(sighting) = looked else { return Ok(root.clone()) };
        batch.looks += 1;
        let finding = self.judge().of_known(&path, root, *sighting);
        Ok(*self.bring(&path, Box::new(root.clone()), finding, batch)?)
    }

    fn purpose<'b>(&self, known: Option<&'b Entry>) -> Purpose<'b>
    where
        'a: 'b,
    {
        Purpose { watched: self.watched, is_stored: self.ids.is_some(), known }
    }

    pub(in crate::files) fn known(
        &self,
        place: &ScanPlace,
        name: &[u8],
        known: KnownEntry,
    ) -> Result<Option<Box<Entry>>, StoreError> {
        Ok(match known {
            KnownEntry::Yes(entry) => Some(entry),
            KnownEntry::No => None,
            KnownEntry::Ask => self.store.entry_named(Some(place.entry.id), name)?.map(Box::new),
        })
    }

    /// Looks at what `lookup` leads to until it holds still.
    fn look(&mut self, known: Option<&Entry>, batch: &mut ScanBatch, lookup: impl Fn(&Self) -> Lookup) -> ScanLook {
        let mut last = ScanLook::Silent;
        for attempt in 1..=TRIES {
            let began = self.clock.now().wall;
            let (object, mut seen) = match lookup(self) {
                Lookup::Gone => return ScanLook::Gone,
                // Something was mounted in an area this very moment: now it is known what that hides.
                Lookup::Silent if matches!(self.areas.catch_up(self.store, self.clock.now()), Ok(true)) => {
                    last = ScanLook::Silent;
                    continue;
                }
                Lookup::Silent => return ScanLook::Silent,
                Lookup::Refused(errno) => return ScanLook::Refused(errno),
                Lookup::There(object, seen) => (object, seen),
            };
            match self.purpose(known).read(object, &mut seen, self.buffer, batch) {
                Read::Seen(sighting) => {
                    let is_unsure = sighting.is_racy(began);
                    if !is_unsure || attempt == TRIES {
                        return ScanLook::There(sighting);
                    }
                    last = ScanLook::There(sighting);
                    wait_out();
                }
                Read::Silent => return ScanLook::Silent,
                Read::Torn => {
                    let seen = without_content(&seen, known, HashState::Busy);
                    last = ScanLook::There(Box::new(Sighting::Whole(seen.into())));
                }
            }
        }
        last
    }

    fn settle(
        &mut self,
        place: &ScanPlace,
        name: &[u8],
        path: &[u8],
        known: Option<Box<Entry>>,
        sighting: Sighting,
        batch: &mut ScanBatch,
    ) -> Result<Option<EnteredDir>, StoreError> {
        batch.looks += 1;
        let seen = sighting.seen();
        if matches!(sighting, Sighting::Metadata(_)) || seen.hash_state == HashState::TooBig {
            batch.passed.left += 1;
            batch.passed.known += u64::from(known.is_some());
        }
        let is_directory = seen.attributes.kind == FileKind::Directory;
        self.is_own_mail = match &sighting {
            Sighting::Whole(evidence) => self.brings_own_mail((place, name, path), known.as_deref(), evidence)?,
            Sighting::Metadata(_) => false,
        };
        let entered = match known {
            None => self.meet(place, name, path, sighting.into_seen(), batch)?,
            Some(known) => {
                let was_directory = known.known.attributes.kind == FileKind::Directory;
                let finding = self.judge().of_known(path, &known, sighting);
                EnteredDir { entry: self.bring(path, known, finding, batch)?, is_new: !was_directory }
            }
        };
        Ok(is_directory.then_some(entered))
    }

    /// Whether what was seen, of which something is to be stored, differs by mails of ours only.
    fn brings_own_mail(
        &self,
        (place, name, path): (&ScanPlace, &[u8], &[u8]),
        known: Option<&Entry>,
        evidence: &Evidence,
    ) -> Result<bool, StoreError> {
        let is_news = !self.is_learning && known.is_none_or(|known| known.known != evidence.seen);
        let begin = new_part(known.map(|known| &known.known), evidence).filter(|_| is_news && self.ids.is_some());
        let Some(begin) = begin else { return Ok(false) };
        let seen = &evidence.seen.attributes;
        let ids = self.store.own_message_ids(seen.mtime)?;
        if ids.is_empty() {
            return Ok(false);
        }
        Ok(match self.areas.lookup(self.watched, path, &place.directory, name) {
            Lookup::There(object, _) => holds_only(&object, begin, seen, &ids),
            _ => false,
        })
    }

    /// Puts what a look at a known path has come to into the batch; gives the row as it is now.
    fn bring(
        &mut self,
        path: &[u8],
        known: Box<Entry>,
        finding: Finding,
        batch: &mut ScanBatch,
    ) -> Result<Box<Entry>, StoreError> {
        let next = match finding {
            Finding::News(news) => {
                let next = Box::new(news.next.clone());
                batch.news.push(piece(&self.judge(), self.store, path, *news)?);
                return Ok(next);
            }
            Finding::Same(id, checked) => {
                if self.ids.is_some() {
                    batch.same.push((id, checked));
                }
                known
            }
            Finding::Learned(next) => {
                if self.ids.is_some() {
                    batch.learned.push(Entry::clone(&next));
                }
                next
            }
        };
        if next.known.hash_state.is_trouble() {
            batch.passed.unreadable += 1;
            batch.passed.known += 1;
        }
        Ok(next)
    }

    /// A directory or file whose content cannot be read, or can be again.
    pub(in crate::files) fn content_state(
        &mut self,
        path: &[u8],
        known: &Entry,
        state: HashState,
    ) -> Result<ScanBatch, StoreError> {
        let mut batch = ScanBatch { looks: 1, ..ScanBatch::default() };
        match self.judge().of_state(path, known, state) {
            Finding::News(news) => batch.news.push(piece(&self.judge(), self.store, path, *news)?),
            Finding::Learned(next) if self.ids.is_some() => batch.learned.push(*next),
            Finding::Learned(_) | Finding::Same(..) => {}
        }
        Ok(batch)
    }

    /// A directory in which paths are too long to be looked at, or none are.
    pub(in crate::files) fn limit(
        &mut self,
        path: &[u8],
        known: &Entry,
        is_beyond: bool,
    ) -> Result<ScanBatch, StoreError> {
        let beyond = self.store.entries_longer(known.id, room(path))?;
        Ok(self.judge().of_limit(path, known, Some(is_beyond), beyond).map(ScanBatch::from).unwrap_or_default())
    }

    /// A panic at one path costs that path only.
    fn fault(&self, path: &[u8]) -> ScanBatch {
        let note = "a fault in integrityd: this path was not compared; please report it";
        let event =
            Event::new(Category::InternalError, Severity::High, self.clock.now(), path.to_vec()).with_note(note);
        ConditionalOutcome::new(None, vec![event.into()], Vec::new()).into()
    }
}

/// Ends the pass where it is short of something, rather than calling paths unreadable.
fn refuse_shortage(looked: &ScanLook, path: &[u8]) -> Result<(), StoreError> {
    let errno = match looked {
        ScanLook::Refused(errno) => errno.raw_os_error(),
        ScanLook::There(sighting) => match sighting.seen().hash_state {
            HashState::Unreadable(errno) => errno,
            _ => return Ok(()),
        },
        ScanLook::Gone | ScanLook::Silent => return Ok(()),
    };
    if is_resource_exhausted(errno) { Err(shortage(path, errno)) } else { Ok(()) }
}

/// What a look has shown.
enum ScanLook {
    Gone,
    Silent,
    Refused(Errno),
    There(Box<Sighting>),
}
