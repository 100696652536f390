//! A slow mount behind its helper process: asked with a deadline, left alone when it does not answer, and tried again later.
//!
//! Whoever asks waits for a moment only. A question that outlasts it stays out; until it is answered or overdue nothing else is asked.
//! An overdue helper is killed but not waited for, since one that hangs in the kernel cannot be.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    config::settings::config::Helper,
    files::remote::{
        helper,
        protocol::{MountRequest, Response},
    },
    sys::{
        fs::mounts::Mount,
        process::{
            child::ChildHandle,
            framed::{FramedChild, now, reap},
        },
    },
};

/// With so many helpers that cannot be killed the mount is not tried again: none has come back from there.
const MOST_STUCK: usize = 3;

/// A slow mount.
#[derive(Debug)]
pub struct RemoteMount {
    /// The mount.
    pub mount: Mount,
    terms: Helper,
    graves: UnreapedHelpers,
    post: Mutex<MountState>,
}

/// Helpers of mounts that are gone, until they are gone themselves.
pub type UnreapedHelpers = Arc<Mutex<Vec<ChildHandle>>>;

#[derive(Debug, Default)]
struct MountState {
    line: Option<FramedChild>,
    stall: Option<Stall>,
    stuck: Vec<ChildHandle>,
    news: Option<Transition>,
    /// Why it was given up last.
    why: String,
    has_answered: bool,
}

/// A mount that does not answer.
#[derive(Debug, Clone, Copy)]
struct Stall {
    /// When it is tried again, on the monotonic clock.
    retry: Duration,
    wait: Duration,
}

/// What has become of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// It does not answer, for this reason.
    Stalled(String),
    /// It answers again.
    Back,
}

impl RemoteMount {
    /// A mount that nothing is known of yet.
    pub fn new(mount: Mount, terms: Helper, graves: UnreapedHelpers) -> Self {
        Self { mount, terms, graves, post: Mutex::default() }
    }

    /// Asks; `None` when there is no answer for now. Waits for a moment at most.
    pub(in crate::files) fn ask(&self, question: &MountRequest) -> Option<Response> {
        let mut post = self.post.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_free(&mut post) {
            return None;
        }
        self.put(&mut post, question);
        self.hear(&mut post, self.terms.patience)
    }

    /// Looks after what is out: answers that came late, deadlines, retries. Never waits.
    pub fn attend(&self) {
        let mut post = self.post.lock().unwrap_or_else(PoisonError::into_inner);
        reap(&mut post.stuck);
        if post.stall.is_some() && self.is_free(&mut post) {
            self.put(&mut post, &MountRequest::Look(Vec::new()));
            let _early = self.hear(&mut post, Duration::ZERO);
        }
    }

    /// What has become of it since this was asked last.
    pub fn news(&self) -> Option<Transition> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner).news.take()
    }

    /// Why it is known not to answer; `None` when it is not.
    pub fn stalled(&self) -> Option<String> {
        let post = self.post.lock().unwrap_or_else(PoisonError::into_inner);
        post.stall.map(|_| post.why.clone())
    }

    /// Whether it is known not to answer.
    pub fn is_stalled(&self) -> bool {
        self.post.lock().unwrap_or_else(PoisonError::into_inner).stall.is_some()
    }

    /// Whether something can be asked now.
    fn is_free(&self, post: &mut MountState) -> bool {
        if post.line.as_ref().is_some_and(|line| line.waiting().is_some()) && self.hear(post, Duration::ZERO).is_none()
        {
            return false;
        }
        reap(&mut post.stuck);
        match post.stall {
            // Between the question that found it answering and its answer.
            Some(_) if post.line.is_some() => true,
            Some(stall) if now() < stall.retry => false,
            Some(stall) if post.stuck.len() >= MOST_STUCK => {
                post.stall = Some(self.later(stall));
                false
            }
            _ => true,
        }
    }

    fn put(&self, post: &mut MountState, question: &MountRequest) {
        if post.line.is_none() {
            match FramedChild::start(&mut helper::command(&self.terms.program, &self.mount.point, self.mount.id)) {
                Ok(line) => post.line = Some(line),
                Err(error) => return self.stall(post, &format!("its helper cannot be started: {error}")),
            }
        }
        if let Some(line) = &mut post.line {
            line.ask(&question.encode());
        }
    }

    fn hear(&self, post: &mut MountState, most: Duration) -> Option<Response> {
        let line = post.line.as_mut()?;
        let answer = match line.recv(most) {
            Ok(Some(bytes)) => Response::decode(&bytes),
            Ok(None) => {
                if line.waiting().is_some_and(|waiting| waiting >= self.terms.deadline) {
                    self.stall(post, &format!("no answer for {} s", self.terms.deadline.as_secs()));
                }
                return None;
            }
            Err(error) => {
                self.stall(post, &format!("its helper has ended: {error}"));
                return None;
            }
        };
        if answer.is_none() {
            self.stall(post, "its helper gave an answer that is none");
        } else if post.stall.take().is_some() || !post.has_answered {
            // The first answer may end what was told before the last start.
            post.has_answered = true;
            post.news = Some(Transition::Back);
        }
        answer
    }

    /// Gives up for now.
    fn stall(&self, post: &mut MountState, why: &str) {
        if let Some(line) = post.line.take() {
            post.stuck.push(line.end());
            reap(&mut post.stuck);
        }
        if let Some(stall) = post.stall {
            post.stall = Some(self.later(stall));
            return;
        }
        why.clone_into(&mut post.why);
        post.news = Some(Transition::Stalled(why.to_owned()));
        let wait = self.terms.retry.0;
        post.stall = Some(Stall { retry: now().saturating_add(wait), wait });
    }

    fn later(&self, stall: Stall) -> Stall {
        let wait = (stall.wait * 2).min(self.terms.retry.1);
        Stall { retry: now().saturating_add(wait), wait }
    }
}

impl Drop for RemoteMount {
    fn drop(&mut self) {
        let post = self.post.get_mut().unwrap_or_else(PoisonError::into_inner);
        post.stuck.extend(post.line.take().map(FramedChild::end));
        self.graves.lock().unwrap_or_else(PoisonError::into_inner).append(&mut post.stuck);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

    use super::*;

    /// Answers that nothing is there, unless `flag` is: then it is silent.
    fn helper(directory: &Path) -> Helper {
        let program = directory.join("helper");
        let script = "#!/bin/sh\nwhile [ \"$(head -c 13 | wc -c)\" -eq 13 ]; do\n\
                      [ -e \"$0.flag\" ] && exec sleep 600\nprintf '\\0\\0\\0\\1\\1'\ndone\n";
        // Another process writes it: a descriptor of ours would be open in what another test starts just then.
        let done = Command::new("sh").args(["-c", "printf %s \"$1\" > \"$0\""]).arg(&program).arg(script).status();
        assert!(done.unwrap().success());
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        Helper {
            program,
            patience: Duration::from_millis(200),
            deadline: Duration::from_secs(1),
            retry: (Duration::from_millis(300), Duration::from_secs(1)),
        }
    }

    fn far(terms: Helper) -> RemoteMount {
        let mount = Mount {
            point: b"/nowhere".to_vec(),
            kind: "fuse.test".to_owned(),
            source: Vec::new(),
            root: Vec::new(),
            owner: None,
            id: 1,
            parent: 0,
        };
        RemoteMount::new(mount, terms, UnreapedHelpers::default())
    }

    fn wait_for_news(far: &RemoteMount) -> Transition {
        let begun = now();
        loop {
            far.attend();
            let _answer = far.ask(&MountRequest::Look(Vec::new()));
            if let Some(news) = far.news() {
                return news;
            }
            assert!(now().saturating_sub(begun) < Duration::from_secs(20), "no news");
        }
    }

    #[test]
    fn a_mount_that_does_not_answer_is_left_alone_and_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let far = far(helper(directory.path()));
        let flag = directory.path().join("helper.flag");
        while far.ask(&MountRequest::Look(Vec::new())) != Some(Response::Gone) {}
        // Perhaps it was late at first, on a busy machine.
        while far.news().is_some() {}
        fs::write(&flag, "").unwrap();
        let begun = now();
        assert_eq!(far.ask(&MountRequest::Look(Vec::new())), None);
        assert!(now().saturating_sub(begun) < Duration::from_millis(900), "whoever asks goes on soon");
        assert!(!far.is_stalled(), "it may still answer");
        assert!(matches!(wait_for_news(&far), Transition::Stalled(why) if why.contains("no answer for 1 s")));
        // Tried again in vain: no news.
        let begun = now();
        while now().saturating_sub(begun) < Duration::from_secs(2) {
            far.attend();
            assert_eq!((far.ask(&MountRequest::Look(Vec::new())), far.news()), (None, None));
        }
        fs::remove_file(&flag).unwrap();
        assert_eq!(wait_for_news(&far), Transition::Back);
    }

    #[test]
    fn a_helper_that_cannot_be_started_is_a_stall() {
        let terms = Helper { program: "/nonexistent/program".into(), ..Helper::default() };
        let far = far(terms);
        assert_eq!(far.ask(&MountRequest::Look(Vec::new())), None);
        assert!(matches!(far.news(), Some(Transition::Stalled(why)) if why.contains("cannot be started")));
    }

    #[test]
    fn what_answers_nonsense_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("helper");
        std::os::unix::fs::symlink("/bin/cat", &program).unwrap();
        // Called with the words of a helper, cat finds no such files and ends.
        let far = far(Helper { program, ..Helper::default() });
        assert_eq!(far.ask(&MountRequest::Look(Vec::new())), None);
        assert!(matches!(far.news(), Some(Transition::Stalled(why)) if why.contains("has ended")));
    }
}
