//! Which lines of mail servers our own mails have caused: such a line is counted and never reported, or each report would make the next.
//!
//! Nothing is believed for its tag alone. A line is ours when it has a queue id that the server has replied to us, or that another line
//! binds to a Message-ID of ours within a minute of its sending and that came from nowhere else; when it belongs to a connection that
//! carried such mails and no others; or, for a connection that has carried nothing (yet), when it came from this machine while we had
//! one: each attempt of ours excuses one connection. All is judged by the stamps of the lines, so a restart or a log that is read late
//! changes nothing.
//!
//! Pure. What one log has shown so far is kept only when the caller keeps [`Judged::next`], as it does when the lines were stored.

use std::collections::{BTreeSet, HashMap, VecDeque};

use jiff::tz::TimeZone;

use crate::{
    logs::own_mail::{
        attempts::{AFTER, HANDLING, OwnAttempt},
        server_lines::{LineOrigin, MailLine, Peer, Said, ServerQueue},
    },
    store::sources::own_mail::{LearnedMail, OwnMail, OwnMailLines},
};

/// Queue ids that one attempt may have.
const MOST_IDS: usize = 4;

/// Connections, and queue ids of others, that are remembered of a log.
const MOST_SESSIONS: usize = 64;
const MOST_FOREIGN: usize = 256;

/// What an attempt excuses once in each log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// A connection to this machine.
    Session,
    /// A connection from here to the next server.
    Outbound,
    /// A mail taken from a program, before its Message-ID is logged.
    Entry,
    /// What a client says of itself.
    Client,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    key: String,
    peer: Option<Peer>,
    at: i64,
    is_open: bool,
    /// The mails it carried.
    queue_ids: Vec<String>,
    /// Who sent them, where it is said within it.
    sender: Option<String>,
    /// Which attempt of ours it is.
    owner: Option<i64>,
}

/// What one log has shown so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::logs) struct Tracker {
    sessions: VecDeque<Session>,
    used: BTreeSet<(i64, Use)>,
    /// Queue ids of mails that came from others.
    foreign: VecDeque<String>,
}

/// What was decided about some lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a line about our own mail must be dropped"]
pub(in crate::logs) struct JudgedLine {
    /// For each line whether it is ours.
    pub(in crate::logs) is_own: Vec<bool>,
    /// What is to be stored with it, but for the count.
    pub(in crate::logs) own: OwnMailLines,
    /// What the log has shown afterwards.
    pub(in crate::logs) next: Tracker,
}

/// Who we are.
#[derive(Debug, Clone)]
pub(in crate::logs) struct Us<'a> {
    /// The zone of stamps that name none.
    pub(in crate::logs) zone: &'a TimeZone,
    /// The number of our user, as mail servers log it.
    pub(in crate::logs) uid: u32,
}

/// Lines being judged.
struct Trial<'a> {
    attempts: Vec<OwnAttempt<'a>>,
    /// Which attempts have a queue id.
    by_queue_id: HashMap<String, Vec<usize>>,
    sessions: Vec<Session>,
    used: BTreeSet<(i64, Use)>,
    foreign: VecDeque<String>,
    learned: Vec<LearnedMail>,
    us: Us<'a>,
}

impl Tracker {
    /// Decides about new lines of a log, in their order; `mails` are all attempts that are remembered, latest first. Cost O(lines × attempts)
    /// at worst.
    pub(in crate::logs) fn judge(&self, lines: &[Option<MailLine<'_>>], mails: &[OwnMail], us: &Us<'_>) -> JudgedLine {
        let mut trial = Trial::new(self, mails, us);
        let places: Vec<Option<usize>> = lines.iter().map(|line| trial.hear(line.as_ref()?)).collect();
        trial.settle();
        let is_own: Vec<bool> = lines
            .iter()
            .zip(places)
            .map(|(line, place)| line.as_ref().is_some_and(|line| trial.is_own(line, place)))
            .collect();
        let lines = u64::try_from(is_own.iter().filter(|is_own| **is_own).count()).unwrap_or(u64::MAX);
        let Trial { sessions, mut used, foreign, learned, .. } = trial;
        let mut sessions: VecDeque<Session> = sessions.into_iter().filter(|session| session.is_open).collect();
        sessions.drain(..sessions.len().saturating_sub(MOST_SESSIONS));
        let oldest = mails.last().map_or(i64::MAX, |mail| mail.id);
        used.retain(|(mail, _)| *mail >= oldest);
        JudgedLine { is_own, own: OwnMailLines { lines, learned }, next: Self { sessions, used, foreign } }
    }
}

impl<'a> Trial<'a> {
    fn new(tracker: &Tracker, mails: &'a [OwnMail], us: &Us<'a>) -> Self {
        let attempts: Vec<OwnAttempt<'_>> = mails.iter().rev().map(|mail| OwnAttempt::new(mail, us.zone)).collect();
        let mut by_queue_id: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, attempt) in attempts.iter().enumerate() {
            for (id, _) in &attempt.queue_ids {
                by_queue_id.entry(id.clone()).or_default().push(number);
            }
        }
        Self {
            attempts,
            by_queue_id,
            sessions: tracker.sessions.iter().cloned().collect(),
            used: tracker.used.clone(),
            foreign: tracker.foreign.clone(),
            learned: Vec::new(),
            us: us.clone(),
        }
    }

    /// Takes in what a line says; gives the place of its session, if it belongs to one.
    fn hear(&mut self, line: &MailLine<'_>) -> Option<usize> {
        if let Said::Queue(queue) = &line.said {
            self.learn(queue, line.at);
        }
        let key = line.session.as_deref()?;
        let peer = match line.said {
            Said::Connected(peer) | Said::Visited(peer) => Some(peer),
            _ => None,
        };
        let known = self.sessions.iter().rposition(|session| session.is_open && session.key == key);
        let place = if let Some(place) = known.filter(|_| peer.is_none()) {
            place
        } else {
            if let Some(before) = known.and_then(|place| self.sessions.get_mut(place)) {
                before.is_open = false;
            }
            self.sessions.push(Session {
                key: key.to_owned(),
                peer,
                at: line.at,
                is_open: true,
                queue_ids: Vec::new(),
                sender: None,
                owner: None,
            });
            self.sessions.len() - 1
        };
        let session = self.sessions.get_mut(place)?;
        match &line.said {
            Said::Disconnected | Said::Visited(_) => session.is_open = false,
            Said::Queue(queue) => {
                if !session.queue_ids.iter().any(|id| id == queue.id) {
                    session.queue_ids.push(queue.id.to_owned());
                }
                session.sender = session.sender.take().or_else(|| queue.sender.map(str::to_owned));
            }
            _ => {}
        }
        Some(place)
    }

    /// Takes in what a line says about a mail: whose it is, and whether it is over.
    fn learn(&mut self, queue: &ServerQueue<'_>, at: i64) {
        let is_foreign = match queue.origin {
            Some(LineOrigin::Address(address)) => !address.is_loopback(),
            Some(LineOrigin::User(user)) if user.bytes().all(|byte| byte.is_ascii_digit()) => {
                user.parse() != Ok(self.us.uid)
            }
            // Only root's name is known without asking.
            Some(LineOrigin::User(user)) => self.us.uid == 0 && user != "root",
            None => false,
        };
        if is_foreign {
            self.foreign.push_back(queue.id.to_owned());
            let excess = self.foreign.len().saturating_sub(MOST_FOREIGN);
            self.foreign.drain(..excess);
        }
        let owner = self.owner_of(queue.id, at);
        if let Some(id) = queue.message_id {
            match owner {
                // The number is used again, for a mail of somebody else.
                Some(owner) if !self.attempts.get(owner).is_some_and(|attempt| attempt.is_called(id)) => {
                    self.bind(owner, queue.id, Some(at - 2));
                }
                Some(_) => {}
                None if self.foreign.iter().any(|foreign| foreign == queue.id) => {}
                None => {
                    let fits = |attempt: &OwnAttempt<'_>| {
                        attempt.is_called(id)
                            && attempt.was_under_way(at, HANDLING)
                            && attempt.queue_ids.len() < MOST_IDS
                    };
                    if let Some(owner) = self.attempts.iter().position(fits) {
                        self.bind(owner, queue.id, None);
                    }
                }
            }
        }
        if let Some(owner) = owner.filter(|_| queue.is_over) {
            self.bind(owner, queue.id, Some(at));
        }
    }

    fn bind(&mut self, owner: usize, id: &str, until: Option<i64>) {
        let Some(attempt) = self.attempts.get_mut(owner) else { return };
        let known = self.by_queue_id.entry(id.to_owned()).or_default();
        if !known.contains(&owner) {
            known.push(owner);
        }
        let until = attempt.bind(id, until);
        self.learned.push(LearnedMail { mail: attempt.mail.id, queue_id: id.to_owned(), until });
    }

    /// Whose queue id this was then.
    fn owner_of(&self, id: &str, at: i64) -> Option<usize> {
        let owners = self.by_queue_id.get(id)?;
        owners.iter().copied().find(|owner| self.attempts.get(*owner).is_some_and(|attempt| attempt.has(id, at)))
    }

    /// Decides whose the sessions are: first those that have carried mails of ours, then those that may be what is left of our attempts.
    fn settle(&mut self) {
        for place in 0..self.sessions.len() {
            let Some(session) = self.sessions.get(place) else { continue };
            let owners: Option<Vec<usize>> = session.queue_ids.iter().map(|id| self.owner_of(id, session.at)).collect();
            let owner = owners.and_then(|owners| owners.first().copied()).and_then(|owner| self.attempts.get(owner));
            if let Some(id) = owner.map(|attempt| attempt.mail.id) {
                self.used.insert((id, Use::Session));
                self.give(place, Some(id));
            }
        }
        for place in 0..self.sessions.len() {
            let Some(session) = self.sessions.get(place) else { continue };
            let is_proven = session
                .owner
                .is_some_and(|_| session.queue_ids.iter().all(|id| self.owner_of(id, session.at).is_some()));
            if !is_proven {
                let owner = self.excuse(&session.clone());
                self.give(place, owner);
            }
        }
    }

    fn give(&mut self, place: usize, owner: Option<i64>) {
        if let Some(session) = self.sessions.get_mut(place) {
            session.owner = owner;
        }
    }

    /// The attempt that a session may be of which nothing shows whose it is: from here, while we had one.
    fn excuse(&mut self, session: &Session) -> Option<i64> {
        let (what, late) = match session.peer? {
            Peer::Local => (Use::Session, AFTER),
            Peer::Address(address) if address.is_loopback() => (Use::Session, AFTER),
            Peer::Address(_) => return None,
            Peer::Server => (Use::Outbound, HANDLING),
        };
        let has_mails = !session.queue_ids.is_empty();
        if session.queue_ids.iter().any(|id| self.foreign.contains(id)) {
            return None;
        }
        let fits = |attempt: &OwnAttempt<'_>| {
            let is_meant = session.owner == Some(attempt.mail.id) || !self.used.contains(&(attempt.mail.id, what));
            let is_sender =
                session.sender.as_ref().is_none_or(|sender| sender.eq_ignore_ascii_case(&attempt.mail.sender));
            is_meant
                && attempt.was_under_way(session.at, late)
                // Once it is known what the mail is called, a mail of another name is another's.
                && (!has_mails || !attempt.mail.message_id.is_empty() && attempt.queue_ids.is_empty() && is_sender)
        };
        let owner = self.attempts.iter().position(fits)?;
        let id = self.attempts.get(owner)?.mail.id;
        self.used.insert((id, what));
        if session.sender.is_some() {
            session.queue_ids.iter().for_each(|queue_id| self.bind(owner, queue_id, None));
        }
        Some(id)
    }

    fn is_own(&mut self, line: &MailLine<'_>, place: Option<usize>) -> bool {
        let owner = place.and_then(|place| self.sessions.get(place)?.owner);
        match &line.said {
            Said::Connected(_) | Said::Within | Said::Disconnected | Said::Visited(_) => owner.is_some(),
            Said::Queue(queue) => {
                owner.is_some() || self.owner_of(queue.id, line.at).is_some() || self.is_entry(queue, line.at)
            }
            Said::Refused([from, to]) => owner.is_some_and(|owner| {
                let mail = self.attempts.iter().find(|attempt| attempt.mail.id == owner).map(|attempt| attempt.mail);
                mail.is_some_and(|mail| is_from_to(mail, from, to))
            }),
            Said::Counted(at) => self.attempts.iter().any(|attempt| attempt.was_under_way(*at, AFTER)),
            Said::Message(id) => {
                self.attempts.iter().any(|attempt| attempt.mail.message_id == *id && attempt.is_alive(line.at))
            }
            Said::Client([from, to]) => self.spend(Use::Client, line.at, |mail| is_from_to(mail, from, to)),
        }
    }

    /// Whether a mail is taken in whose Message-ID was not logged yet: from our user and sender, while we handed one over.
    fn is_entry(&mut self, queue: &ServerQueue<'_>, at: i64) -> bool {
        let (Some(sender), Some(LineOrigin::User(_))) = (queue.sender, queue.origin) else { return false };
        if self.foreign.iter().any(|foreign| foreign == queue.id) {
            return false;
        }
        self.spend(Use::Entry, at, |mail| !mail.message_id.is_empty() && mail.sender.eq_ignore_ascii_case(sender))
    }

    /// Takes one use of an attempt that was under way then.
    fn spend(&mut self, what: Use, at: i64, fits: impl Fn(&OwnMail) -> bool) -> bool {
        let found = self.attempts.iter().find(|attempt| {
            attempt.was_under_way(at, AFTER) && !self.used.contains(&(attempt.mail.id, what)) && fits(attempt.mail)
        });
        found.map(|attempt| attempt.mail.id).is_some_and(|id| self.used.insert((id, what)))
    }
}

fn is_from_to(mail: &OwnMail, from: &str, to: &str) -> bool {
    mail.sender.eq_ignore_ascii_case(from) && mail.recipient.eq_ignore_ascii_case(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{logs::own_mail::server_lines::read, model::clock::Timestamp};

    /// 2026-11-30T13:47:03Z, when the captured mails were sent.
    const SENT: i64 = 1_796_046_423;
    const ID: &str = "<0b0c.1.1@web3.example>";
    const FROM: &str = "integrityd@web3.example";
    const TO: &str = "root@web3.example";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos((SENT + seconds) * 1_000_000_000)
    }

    fn mail(id: i64, message_id: &str, queue_ids: &[&str]) -> OwnMail {
        OwnMail {
            id,
            message_id: message_id.to_owned(),
            sender: FROM.to_owned(),
            recipient: TO.to_owned(),
            begun: at(0),
            ended: Some(at(1)),
            queue_ids: queue_ids.iter().map(|id| ((*id).to_owned(), None)).collect(),
        }
    }

    fn judge(tracker: &Tracker, lines: &[&str], mails: &[OwnMail]) -> JudgedLine {
        let zone = TimeZone::UTC;
        let lines: Vec<_> = lines.iter().map(|line| read(line.as_bytes(), &zone, at(2))).collect();
        tracker.judge(&lines, mails, &Us { zone: &zone, uid: 0 })
    }

    /// The lines that are reported of these, all at once and as they would be if each came in a poll of its own.
    fn reported<'a>(lines: &[&'a str], mails: &[OwnMail]) -> [Vec<&'a str>; 2] {
        let left =
            |is_own: &[bool]| lines.iter().zip(is_own).filter(|(_, own)| !**own).map(|(line, _)| *line).collect();
        let whole = left(&judge(&Tracker::default(), lines, mails).is_own);
        let (mut tracker, mut mails, mut each) = (Tracker::default(), mails.to_vec(), Vec::new());
        for line in lines {
            let judged = judge(&tracker, &[line], &mails);
            each.extend(judged.is_own);
            tracker = judged.next;
            for learned in judged.own.learned {
                let mail = mails.iter_mut().find(|mail| mail.id == learned.mail).unwrap();
                mail.queue_ids.retain(|(id, _)| *id != learned.queue_id);
                mail.queue_ids.push((learned.queue_id, learned.until));
            }
        }
        [whole, left(&each)]
    }

    /// What each server logged about one mail, and which queue id it had replied; sendmail programs reply none.
    const CAPTURED: [(&str, &[&str], &[&str]); 9] = [
        (
            "postfix by SMTP",
            &["5BEF868"],
            &[
                "2026-11-30T13:47:03.353561+00:00 web3 postfix/smtpd[205]: connect from web3.example[127.0.0.1]",
                "2026-11-30T13:47:03.377046+00:00 web3 postfix/smtpd[205]: 5BEF868: client=web3.example[127.0.0.1]",
                "2026-11-30T13:47:03.378703+00:00 web3 postfix/cleanup[209]: 5BEF868: message-id=<0b0c.1.1@web3.example>",
                "2026-11-30T13:47:03.380670+00:00 web3 postfix/qmgr[197]: 5BEF868: from=<integrityd@web3.example>, size=332, nrcpt=1 (queue active)",
                "2026-11-30T13:47:03.380768+00:00 web3 postfix/smtpd[205]: disconnect from web3.example[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
                "2026-11-30T13:47:03.390862+00:00 web3 postfix/local[210]: 5BEF868: to=<root@web3.example>, relay=local, delay=0.03, delays=0.02/0.01/0/0, dsn=2.0.0, status=sent (delivered to mailbox)",
                "2026-11-30T13:47:03.390984+00:00 web3 postfix/qmgr[197]: 5BEF868: removed",
            ],
        ),
        (
            "postfix by SMTP, in the journal",
            &["5BEF868"],
            &[
                "Nov 30 13:47:03 web3.example postfix/smtpd[205]: connect from localhost[127.0.0.1]",
                "Nov 30 13:47:03 web3.example postfix/smtpd[205]: 5BEF868: client=localhost[127.0.0.1]",
                "Nov 30 13:47:03 web3.example postfix/cleanup[209]: 5BEF868: message-id=<0b0c.1.1@web3.example>",
                "Nov 30 13:47:03 web3.example postfix/smtpd[205]: disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
                "Nov 30 13:47:03 web3.example postfix/qmgr[197]: 5BEF868: removed",
            ],
        ),
        (
            "postfix by its sendmail",
            &[],
            &[
                "2026-11-30T13:47:03.695787+00:00 web3 postfix/pickup[196]: A93B370: uid=0 from=<integrityd@web3.example>",
                "2026-11-30T13:47:03.696787+00:00 web3 postfix/cleanup[209]: A93B370: message-id=<0b0c.1.1@web3.example>",
                "2026-11-30T13:47:03.700156+00:00 web3 postfix/qmgr[197]: A93B370: from=<integrityd@web3.example>, size=265, nrcpt=1 (queue active)",
                "2026-11-30T13:47:03.700528+00:00 web3 postfix/local[210]: A93B370: to=<root@web3.example>, relay=local, delay=0.01, delays=0.01/0/0/0, dsn=2.0.0, status=sent (delivered to mailbox)",
                "2026-11-30T13:47:03.700774+00:00 web3 postfix/qmgr[197]: A93B370: removed",
            ],
        ),
        (
            "exim by SMTP",
            &["1xY1jU-00004m-2J"],
            &[
                "2026-11-30 13:47:03 1xY1jU-00004m-2J <= integrityd@web3.example H=(web3.example) [127.0.0.1] P=esmtp S=356 id=0b0c.1.1@web3.example",
                "2026-11-30 13:47:03 1xY1jU-00004m-2J => /var/mail/mail <root@web3.example> R=mail4root T=address_file",
                "2026-11-30 13:47:03 1xY1jU-00004m-2J Completed",
            ],
        ),
        (
            "exim by its sendmail, all selectors",
            &[],
            &[
                "2026-11-30 13:47:03.123 +0000 [318] 1xY1jZ-00004r-0y <= integrityd@web3.example U=root P=local S=328 id=0b0c.1.1@web3.example",
                "2026-11-30 13:47:03.124 +0000 [318] 1xY1jZ-00004r-0y => /var/mail/mail <root@web3.example> R=mail4root T=address_file",
                "2026-11-30 13:47:03.125 +0000 [318] 1xY1jZ-00004r-0y Completed",
            ],
        ),
        (
            "opensmtpd by SMTP",
            &["950ca7ca"],
            &[
                "2026-11-30T13:47:03.831610+00:00 web3 smtpd[42]: bf9fe09193c05cbd smtp connected address=127.0.0.1 host=web3.example",
                "2026-11-30T13:47:03.845158+00:00 web3 smtpd[42]: bf9fe09193c05cbd smtp message msgid=950ca7ca size=326 nrcpt=1 proto=ESMTP",
                "2026-11-30T13:47:03.845290+00:00 web3 smtpd[42]: bf9fe09193c05cbd smtp envelope evpid=950ca7caefadfe73 from=<integrityd@web3.example> to=<root@web3.example>",
                "2026-11-30T13:47:03.845342+00:00 web3 smtpd[42]: bf9fe09193c05cbd smtp disconnected reason=quit",
                "2026-11-30T13:47:03.846774+00:00 web3 smtpd[42]: bf9fe092e3fb5c50 mda delivery evpid=950ca7caefadfe73 from=<integrityd@web3.example> to=<root@web3.example> rcpt=<root@web3.example> user=root delay=0s result=Ok stat=Delivered",
            ],
        ),
        (
            "opensmtpd by its sendmail",
            &[],
            &[
                "2026-11-30T13:47:03.292798+00:00 web3 smtpd[42]: bf9fe096b3e393eb smtp connected address=local host=web3.example",
                "2026-11-30T13:47:03.294908+00:00 web3 smtpd[42]: bf9fe096b3e393eb smtp message msgid=d7a210a0 size=320 nrcpt=1 proto=ESMTP",
                "2026-11-30T13:47:03.295041+00:00 web3 smtpd[42]: bf9fe096b3e393eb smtp envelope evpid=d7a210a07b85d162 from=<integrityd@web3.example> to=<root@web3.example>",
                "2026-11-30T13:47:03.295507+00:00 web3 smtpd[42]: bf9fe096b3e393eb smtp disconnected reason=quit",
                "2026-11-30T13:47:03.297468+00:00 web3 smtpd[42]: bf9fe0977fa8c94b mda delivery evpid=d7a210a07b85d162 from=<integrityd@web3.example> to=<root@web3.example> rcpt=<root@web3.example> user=root delay=0s result=Ok stat=Delivered",
            ],
        ),
        (
            "sendmail by its program",
            &[],
            &[
                "2026-11-30T13:47:03.001870+00:00 web3 sendmail[120]: 6AUDnSdo000120: from=integrityd@web3.example, size=110, class=0, nrcpts=1, msgid=<0b0c.1.1@web3.example>, relay=root@localhost",
                "2026-11-30T13:47:03.058359+00:00 web3 sm-mta[121]: 6AUDnTGU000121: from=<integrityd@web3.example>, size=294, class=0, nrcpts=1, msgid=<0b0c.1.1@web3.example>, proto=ESMTP, daemon=MTA-v4, relay=web3.example [127.0.0.1]",
                "2026-11-30T13:47:03.058494+00:00 web3 sendmail[120]: 6AUDnSdo000120: to=root@web3.example, delay=00:00:01, xdelay=00:00:01, mailer=relay, pri=30110, relay=[127.0.0.1] [127.0.0.1], dsn=2.0.0, stat=Sent (6AUDnTGU000121 Message accepted for delivery)",
                "2026-11-30T13:47:03.060215+00:00 web3 sm-mta[122]: 6AUDnTGU000121: to=<root@web3.example>, delay=00:00:00, xdelay=00:00:00, mailer=local, pri=30498, dsn=2.0.0, stat=Sent",
            ],
        ),
        (
            "msmtp to a postfix elsewhere",
            &[],
            &[
                "2026-11-30T13:47:03.001870+00:00 web3 msmtp: host=mx.example.org tls=on auth=off from=integrityd@web3.example recipients=root@web3.example mailsize=320 smtpstatus=250 smtpmsg='250 2.0.0 Ok: queued as 5BEF868' exitcode=EX_OK",
            ],
        ),
    ];

    #[test]
    fn what_each_server_logs_about_our_mail_is_ours() {
        for (what, queue_ids, lines) in CAPTURED {
            let none: Vec<&str> = Vec::new();
            assert_eq!(reported(lines, &[mail(7, ID, queue_ids)]), [none.clone(), none], "{what}");
        }
    }

    #[test]
    fn without_a_mail_of_ours_all_of_it_is_reported() {
        for (what, _, lines) in CAPTURED {
            let all = lines.to_vec();
            assert_eq!(reported(lines, &[]), [all.clone(), all.clone()], "{what}");
            let another = OwnMail {
                sender: "other@h".to_owned(),
                begun: at(900),
                ended: Some(at(901)),
                ..mail(7, "<x@h>", &["other"])
            };
            assert_eq!(reported(lines, &[another]), [all.clone(), all], "{what}");
        }
    }

    /// Lines of others that look like ours, beside ours: of each, why it is none.
    #[test]
    fn look_alikes_stay_reported() {
        let ours = CAPTURED[0].2;
        for (why, lines) in [
            (
                "another client within the same second",
                vec![
                    "Nov 30 13:47:03 h postfix/smtpd[300]: connect from mx.example.org[192.0.2.7]",
                    "Nov 30 13:47:03 h postfix/smtpd[300]: disconnect from mx.example.org[192.0.2.7] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
                ],
            ),
            (
                "another connection from here: ours is known already",
                vec![
                    "Nov 30 13:47:03 h postfix/smtpd[300]: connect from localhost[127.0.0.1]",
                    "Nov 30 13:47:03 h postfix/smtpd[300]: disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
                ],
            ),
            (
                "another queue id",
                vec![
                    "Nov 30 13:47:03 h postfix/smtpd[205]: 6AAA868: client=localhost[127.0.0.1]",
                    "Nov 30 13:47:03 h postfix/qmgr[197]: 6AAA868: removed",
                    "Nov 30 13:47:03 h postfix/qmgr[197]: 5BEF8680: removed",
                ],
            ),
            (
                "our Message-ID in a mail from elsewhere",
                vec![
                    "Nov 30 13:47:03 h postfix/smtpd[300]: connect from evil[192.0.2.7]",
                    "Nov 30 13:47:03 h postfix/smtpd[300]: 7BBB868: client=evil[192.0.2.7]",
                    "Nov 30 13:47:03 h postfix/cleanup[209]: 7BBB868: message-id=<0b0c.1.1@web3.example>",
                    "Nov 30 13:47:03 h postfix/qmgr[197]: 7BBB868: removed",
                ],
            ),
            (
                "and from another user of this machine",
                vec![
                    "Nov 30 13:47:03 h postfix/pickup[196]: 7BBB868: uid=1000 from=<integrityd@web3.example>",
                    "Nov 30 13:47:03 h postfix/cleanup[209]: 7BBB868: message-id=<0b0c.1.1@web3.example>",
                    "2026-11-30 13:47:03 1xY1jU-00004m-2K <= integrityd@web3.example U=joe P=local S=356 id=0b0c.1.1@web3.example",
                ],
            ),
            (
                "our queue id in the words of another program, or in other words",
                vec![
                    "Nov 30 13:47:03 h evil[1]: 5BEF868: removed",
                    "Nov 30 13:47:03 h postfix[1]: 5BEF868: removed",
                    "Nov 30 13:47:03 h postfixx/qmgr[1]: 5BEF868: removed",
                    "Nov 30 13:47:03 h app: postfix/qmgr[197]: 5BEF868: removed",
                    "Nov 30 13:47:03 h postfix/qmgr[197]: warning: 5BEF868: removed",
                    "Nov 30 13:47:03 h postfix/smtpd[205]: disconnect from web3.example[127.0.0.1] and now for something else",
                    "Nov 30 13:47:03 h smtpd[42]: 5BEF868 smtp connected address=127.0.0.1 host=h",
                ],
            ),
            (
                "our queue id long before and after",
                vec![
                    "Nov 29 13:47:03 h postfix/qmgr[197]: 5BEF868: removed",
                    "Nov 30 13:57:03 h postfix/qmgr[197]: 5BEF868: from=<joe@web3.example>, size=1, nrcpt=1 (queue active)",
                ],
            ),
        ] {
            let all = [ours, &lines].concat();
            assert_eq!(reported(&all, &[mail(7, ID, &["5BEF868"])]), [lines.clone(), lines.clone()], "{why}");
        }
    }

    #[test]
    fn each_attempt_excuses_one_connection_that_carried_nothing() {
        let visit = |pid: i64, second: i64| {
            [
                format!("Nov 30 13:47:{second:02} h postfix/smtpd[{pid}]: connect from localhost[127.0.0.1]"),
                format!(
                    "Nov 30 13:47:{second:02} h postfix/smtpd[{pid}]: disconnect from localhost[127.0.0.1] quit=1 commands=1"
                ),
            ]
        };
        let lines = [visit(1, 3), visit(2, 3), visit(3, 20)].concat();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let asked = OwnMail { sender: String::new(), recipient: String::new(), ..mail(7, "", &[]) };
        assert_eq!(reported(&lines, std::slice::from_ref(&asked)), [lines[2..].to_vec(), lines[2..].to_vec()]);
        // What a greeting has begun was no mail of ours.
        let mail = [
            "Nov 30 13:47:03 h postfix/smtpd[205]: connect from localhost[127.0.0.1]",
            "Nov 30 13:47:03 h postfix/smtpd[205]: 5BEF868: client=localhost[127.0.0.1]",
            "Nov 30 13:47:03 h postfix/smtpd[205]: disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
        ];
        assert_eq!(judge(&Tracker::default(), &mail, &[asked]).is_own, [false; 3]);
    }

    #[test]
    fn a_line_that_is_read_before_the_answer_is_ours_as_well() {
        let begun = OwnMail { ended: None, ..mail(7, ID, &[]) };
        let [connect, client, id, ..] = CAPTURED[0].2 else { unreachable!() };
        let judged = judge(&Tracker::default(), &[connect, client], std::slice::from_ref(&begun));
        assert_eq!(judged.is_own, [true, true]);
        let judged = judge(&judged.next, &[id], &[begun]);
        assert_eq!((judged.is_own.as_slice(), judged.own.learned.len()), (&[true][..], 1));
        let disconnect = judge(&judged.next, &[CAPTURED[0].2[4]], &[mail(7, ID, &["5BEF868"])]);
        assert_eq!(disconnect.is_own, [true]);
    }

    #[test]
    fn a_refused_recipient_is_ours_and_that_of_another_is_not() {
        let line = |to: &str| {
            format!(
                "Nov 30 13:47:03 h postfix/smtpd[205]: NOQUEUE: reject: RCPT from localhost[127.0.0.1]: 550 5.1.1 <{to}>: Recipient address rejected: User unknown in local recipient table; from=<integrityd@web3.example> to=<{to}> proto=ESMTP helo=<web3.example>"
            )
        };
        let (ours, other) = (line(TO), line("joe@web3.example"));
        let connect = "Nov 30 13:47:03 h postfix/smtpd[205]: connect from localhost[127.0.0.1]";
        let disconnect = "Nov 30 13:47:03 h postfix/smtpd[205]: disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4";
        let judged = judge(&Tracker::default(), &[connect, &ours, &other, disconnect], &[mail(7, ID, &[])]);
        assert_eq!(judged.is_own, [true, true, false, true]);
    }

    #[test]
    fn what_postfix_counts_of_our_connection_is_ours() {
        let line = |count: &str, client: &str, at: &str| {
            format!("Nov 30 13:50:23 h postfix/anvil[9]: statistics: max {count}{client} at Nov 30 {at}")
        };
        let here = " for (smtp:127.0.0.1)";
        for (line, is_ours) in [
            (line("connection rate 1/60s", here, "13:47:03"), true),
            (line("connection count 1", " for (smtp:::1)", "13:47:03"), true),
            (line("cache size 1", "", "13:47:04"), true),
            (line("connection rate 2/60s", here, "13:47:03"), false),
            (line("connection rate 1/60s", " for (smtp:192.0.2.7)", "13:47:03"), false),
            (line("connection rate 1/60s", here, "13:48:03"), false),
            (line("connection rate 1/60s", here, "13:47:03 and more"), false),
        ] {
            assert_eq!(judge(&Tracker::default(), &[&line], &[mail(7, ID, &[])]).is_own, [is_ours], "{line}");
        }
    }

    #[test]
    fn what_is_kept_of_a_log_is_bounded() {
        let lines: Vec<String> = (0..1000)
            .flat_map(|number| {
                [
                    format!("Nov 30 13:47:03 h postfix/smtpd[{number}]: connect from evil[192.0.2.7]"),
                    format!("Nov 30 13:47:03 h postfix/smtpd[{number}]: 7BBB{number}: client=evil[192.0.2.7]"),
                ]
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let next = judge(&Tracker::default(), &lines, &[mail(7, ID, &["5BEF868"])]).next;
        assert_eq!((next.sessions.len(), next.foreign.len()), (MOST_SESSIONS, MOST_FOREIGN));
    }
}
