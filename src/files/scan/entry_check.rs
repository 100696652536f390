//! One look at full speed: the walker's look and judgement without its pace, against a row that is already in hand.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::io::Errno;

use crate::{
    config::settings::urgent::UrgentList,
    content::hasher::Evidence,
    files::{
        area::{
            path_limit::{changes, room, state_of},
            watched_areas::{WatchedArea, WatchedAreas},
        },
        compare::{
            big_file::of_metadata,
            own_mail::{holds_only, new_part},
            shortage::{is_resource_exhausted, shortage},
            verdict::{Comparison, EntryVerdict, collected, untold, without_content},
        },
        remote::lookup::{FileHandle, Lookup},
        scan::{
            batch::{ScanBatch, news},
            content::{Purpose, Read},
            scope::{EnteredDir, Ids, KnownEntry, ScanPlace, Scope},
        },
        walk::{moves::Moves, record::leaves_children},
    },
    model::{
        clock::Clock,
        event::{Category, Event, Severity},
        file::entry::{Attributes, Entry, FileKind, HashState, Observation},
    },
    store::{
        baseline::members::Members,
        events::outcome::{StateChange, StoredFinding},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// How often a file that changes while it is read is tried; a pass that is in a hurry does not wait between.
const TRIES: u32 = 3;

/// What a look needs.
#[derive(Debug)]
pub(in crate::files) struct ScanCheck<'a> {
    pub(in crate::files) tract: &'a WatchedArea,
    pub(in crate::files) ground: &'a WatchedAreas,
    pub(in crate::files) urgent: &'a UrgentList,
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
        Comparison { tract: self.tract, urgent: self.urgent, now: self.clock.now(), is_own_mail: self.is_own_mail }
    }

    /// Looks at `name` in `place` and adds what it finds to `harvest`; gives the directory that is there, if it is one.
    pub(in crate::files) fn at(
        &mut self,
        place: &ScanPlace,
        name: &[u8],
        path: &[u8],
        known: KnownEntry,
        harvest: &mut ScanBatch,
    ) -> Result<Option<EnteredDir>, StoreError> {
        self.is_own_mail = false;
        let known = self.known(place, name, known)?;
        let looked = catch_unwind(AssertUnwindSafe(|| self.look((place, name, path), known.as_deref(), harvest)));
        let Ok(looked) = looked else {
            harvest.add(self.fault(path));
            return Ok(None);
        };
        refuse_shortage(&looked, path)?;
        match looked {
            ScanLook::There(evidence) => {
                // A directory on the way to what is asked for is entered, not compared, as long as it is one.
                let is_on_way = !self.scope.covers(path) && evidence.seen.attributes.kind == FileKind::Directory;
                match known {
                    Some(entry) if is_on_way && entry.known.attributes.kind == FileKind::Directory => {
                        Ok(Some(EnteredDir { entry, is_new: false }))
                    }
                    known => self.settle(place, name, path, known, *evidence, harvest),
                }
            }
            ScanLook::Left(seen) => {
                harvest.looks += 1;
                harvest.passed.left += 1;
                harvest.passed.known += u64::from(known.is_some());
                match known {
                    Some(known) => self.left(path, &known, *seen, harvest)?,
                    None => drop(self.meet(place, name, path, *seen, harvest)?),
                }
                Ok(None)
            }
            ScanLook::Silent => {
                // What hides it is told as a whole.
                if !self.ground.is_covered(path) {
                    harvest.add(ScanBatch::silent(known.is_some()));
                }
                Ok(None)
            }
            ScanLook::Gone => {
                if let Some(known) = known {
                    harvest.gone.push((known.id, path.to_vec()));
                }
                Ok(None)
            }
            ScanLook::Refused(errno) => {
                let state = HashState::Unreadable(errno.raw_os_error());
                harvest.add(match known {
                    Some(known) => self.content_state(path, &known, state),
                    None => self.content_state(&place.path, &place.entry, state),
                });
                Ok(None)
            }
        }
    }

    /// Judges the root of an area, which was looked at already; gives its row as it is now.
    pub(super) fn at_root(
        &mut self,
        object: &FileHandle,
        seen: &Attributes,
        root: &Entry,
        harvest: &mut ScanBatch,
    ) -> Result<Entry, StoreError> {
        let path = self.tract.path.clone();
        let mut seen = seen.clone();
        let whole = match self.purpose(Some(root)).read(object, &mut seen, self.buffer, harvest) {
            Read::Whole(whole) => *whole,
            Read::Left(whole) => (*whole).into(),
            Read::Torn => without_content(&seen, Some(root), HashState::Busy).into(),
            Read::Silent => return Ok(root.clone()),
        };
        if !self.scope.covers(&path) {
            return Ok(root.clone());
        }
        harvest.looks += 1;
        let verdict = self.again(&path, root, whole);
        let next = verdict.next.clone();
        self.bring(&path, root, verdict, harvest)?;
        Ok(next)
    }

    fn purpose<'b>(&self, known: Option<&'b Entry>) -> Purpose<'b>
    where
        'a: 'b,
    {
        Purpose { tract: self.tract, is_stored: self.ids.is_some(), known }
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

    fn look(
        &mut self,
        (place, name, path): (&ScanPlace, &[u8], &[u8]),
        known: Option<&Entry>,
        harvest: &mut ScanBatch,
    ) -> ScanLook {
        let mut last = ScanLook::Silent;
        for _attempt in 0..TRIES {
            let (object, mut seen) = match self.ground.glance(self.tract, path, &place.directory, name) {
                Lookup::Gone => return ScanLook::Gone,
                // Something was mounted in an area this very moment: now it is known what that hides.
                Lookup::Silent if matches!(self.ground.catch_up(self.store, self.clock.now()), Ok(true)) => {
                    last = ScanLook::Silent;
                    continue;
                }
                Lookup::Silent => return ScanLook::Silent,
                Lookup::Refused(errno) => return ScanLook::Refused(errno),
                Lookup::There(object, seen) => (object, seen),
            };
            match self.purpose(known).read(&object, &mut seen, self.buffer, harvest) {
                Read::Whole(whole) => return ScanLook::There(whole),
                Read::Left(whole) => return ScanLook::Left(whole),
                Read::Silent => return ScanLook::Silent,
                Read::Torn => last = ScanLook::There(Box::new(without_content(&seen, known, HashState::Busy).into())),
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
        evidence: Evidence,
        harvest: &mut ScanBatch,
    ) -> Result<Option<EnteredDir>, StoreError> {
        harvest.looks += 1;
        let seen = &evidence.seen;
        if seen.hash_state == HashState::TooBig {
            harvest.passed.left += 1;
            harvest.passed.known += u64::from(known.is_some());
        }
        let is_directory = seen.attributes.kind == FileKind::Directory;
        self.is_own_mail = self.brings_own_mail((place, name, path), known.as_deref(), &evidence)?;
        let Some(known) = known else {
            let entered = self.meet(place, name, path, evidence.seen, harvest)?;
            return Ok(is_directory.then_some(entered));
        };
        if self.is_as_known(&known, seen) {
            if self.ids.is_some() {
                harvest.same.push((known.id, self.clock.now().wall));
            }
            return Ok(is_directory.then_some(EnteredDir { entry: known, is_new: false }));
        }
        let verdict = self.again(path, &known, evidence);
        let is_new = known.known.attributes.kind != FileKind::Directory;
        let entered = is_directory.then(|| EnteredDir { entry: Box::new(verdict.next.clone()), is_new });
        self.bring(path, &known, verdict, harvest)?;
        Ok(entered)
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
        Ok(match self.ground.glance(self.tract, path, &place.directory, name) {
            Lookup::There(object, _) => holds_only(&object, begin, seen, &ids),
            _ => false,
        })
    }

    /// Judges a known file whose content was left unread: it does not count as checked.
    fn left(
        &mut self,
        path: &[u8],
        known: &Entry,
        seen: Observation,
        harvest: &mut ScanBatch,
    ) -> Result<(), StoreError> {
        let verdict = self.again(path, known, seen.into());
        let is_theirs = self.ids.is_some() && !self.tract.accepts_changes();
        let verdict = if is_theirs { of_metadata(verdict, known) } else { verdict };
        let next = Entry { checked: known.checked, ..verdict.next };
        self.bring(path, known, EntryVerdict { next, ..verdict }, harvest)
    }

    /// Whether a look shows nothing that the judge would have to think about: what most looks show.
    fn is_as_known(&self, known: &Entry, seen: &Observation) -> bool {
        known.known == *seen
            && known.reported.is_none()
            && !seen.hash_state.is_trouble()
            && collected(seen).is_within(known.recorded)
            && (self.ids.is_none() || seen.digests.algorithms() == self.tract.settings.algorithms)
    }

    /// Judges a known path. A pass that stores nothing shows every difference and everything unreadable, told before or not.
    fn again(&self, path: &[u8], known: &Entry, evidence: Evidence) -> EntryVerdict {
        let state = evidence.seen.hash_state;
        let is_told = known.reported.is_some() || known.known.hash_state == state && state.is_trouble();
        if self.ids.is_none() && is_told {
            return self.judge().again(path, &untold(known, state), evidence);
        }
        self.judge().again(path, known, evidence)
    }

    /// Puts a verdict about a known path into the harvest.
    fn bring(
        &mut self,
        path: &[u8],
        known: &Entry,
        verdict: EntryVerdict,
        harvest: &mut ScanBatch,
    ) -> Result<(), StoreError> {
        let EntryVerdict { next, events } = verdict;
        if events.is_empty() {
            if next.known.hash_state.is_trouble() {
                harvest.passed.unreadable += 1;
                harvest.passed.known += 1;
            }
            if self.ids.is_some() {
                let is_same =
                    next.known == known.known && next.recorded == known.recorded && next.reported == known.reported;
                if is_same {
                    harvest.same.push((next.id, next.checked));
                } else {
                    harvest.learned.push(next);
                }
            }
            return Ok(());
        }
        let (mut found, mut changes) = (Vec::new(), Vec::new());
        for mut event in events {
            let mut members = Members::default();
            if event.category == Category::Retyped && leaves_children(known, &next) {
                members = Members::tree(known, path);
                event.count = self.store.entries_below(known.id)? + 1;
                changes.push(StateChange::RemoveChildren(known.id));
            }
            found.push(StoredFinding { event, members });
        }
        changes.push(StateChange::Put(Box::new(next)));
        harvest.news.push(news(Some(known), found, changes));
        Ok(())
    }

    /// A directory or file whose content cannot be read, or can be again.
    pub(in crate::files) fn content_state(&mut self, path: &[u8], known: &Entry, state: HashState) -> ScanBatch {
        let mut harvest = ScanBatch { looks: 1, ..ScanBatch::default() };
        let untold = untold(known, state);
        let asked = if self.ids.is_none() { &untold } else { known };
        let EntryVerdict { next, events } = self.judge().content_state(path, asked, state);
        if events.is_empty() || self.is_learning {
            if self.ids.is_some() && next.known != known.known {
                harvest.learned.push(next);
            }
            return harvest;
        }
        let events = events.into_iter().map(StoredFinding::from).collect();
        let changes = vec![StateChange::Put(Box::new(next))];
        harvest.news.push(news(Some(known), events, changes));
        harvest
    }

    /// A directory in which paths are too long to be looked at, or none are.
    pub(in crate::files) fn limit(
        &mut self,
        path: &[u8],
        known: &Entry,
        is_beyond: bool,
    ) -> Result<ScanBatch, StoreError> {
        let beyond = self.store.entries_longer(known.id, room(path))?;
        let untold = untold(known, HashState::PATHS_TOO_LONG);
        let asked = if self.ids.is_none() { &untold } else { known };
        let is_marked = asked.known.hash_state == HashState::PATHS_TOO_LONG;
        let state = if is_beyond == is_marked { asked.known.hash_state } else { state_of(is_beyond) };
        let EntryVerdict { next, events } = self.judge().limited(path, asked, state, beyond);
        if events.is_empty() {
            return Ok(ScanBatch::default());
        }
        let events = events.into_iter().map(StoredFinding::from).collect();
        Ok(news(Some(known), events, changes(path, next, beyond)).into())
    }

    /// A panic at one path costs that path only.
    fn fault(&self, path: &[u8]) -> ScanBatch {
        let note = "a fault in integrityd: this path was not compared; please report it";
        let event =
            Event::new(Category::InternalError, Severity::High, self.clock.now(), path.to_vec()).with_note(note);
        news(None, vec![event.into()], Vec::new()).into()
    }
}

/// Ends the pass where it is short of something, rather than calling paths unreadable.
fn refuse_shortage(looked: &ScanLook, path: &[u8]) -> Result<(), StoreError> {
    let errno = match looked {
        ScanLook::Refused(errno) => errno.raw_os_error(),
        ScanLook::There(evidence) => match evidence.seen.hash_state {
            HashState::Unreadable(errno) => errno,
            _ => return Ok(()),
        },
        ScanLook::Gone | ScanLook::Silent | ScanLook::Left(_) => return Ok(()),
    };
    if is_resource_exhausted(errno) { Err(shortage(path, errno)) } else { Ok(()) }
}

/// What a look has shown.
enum ScanLook {
    Gone,
    Silent,
    Refused(Errno),
    There(Box<Evidence>),
    /// Without its content, which is left to the daemon.
    Left(Box<Observation>),
}
