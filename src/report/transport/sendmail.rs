//! Reports by a sendmail program: run without a shell, with a hard end, and believed only when it ends with 0.
//!
//! The program runs in a process group of its own that is killed as a whole when its time is over or nobody waits any more:
//! Postfix's sendmail tries for ever when it may not run postdrop, and a shell script leaves its children behind.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, unix::AsyncFd},
    net::unix::pipe,
};

use crate::{
    model::escape::escape_name,
    report::transport::outcome::{SendError, shown},
    store::db::run_blocking,
    sys::{
        fs::ownership::{self, OwnershipError},
        process::{
            broker::{AllowedCommand, ArgPattern},
            child::{self, ChildHandle, ChildStdio},
        },
    },
};

/// Bytes of what the program says that are kept; the rest is read and forgotten.
const MOST_OUTPUT: usize = 8 * 1024;

/// How long the last words may take after the end of the program: a child of it may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a killed program may take to go; longer only in uninterruptible sleep. The runtime reaps it then.
const DYING: Duration = Duration::from_secs(2);

/// Where the program finds its helpers.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Exit codes that mean no for good (sysexits.h): the same mail will not be taken later either.
const REFUSALS: [(i32, &str); 5] =
    [(65, "EX_DATAERR"), (67, "EX_NOUSER"), (68, "EX_NOHOST"), (69, "EX_UNAVAILABLE"), (77, "EX_NOPERM")];

/// A sendmail program.
#[derive(Debug, Clone)]
pub struct Sendmail {
    program: PathBuf,
}

/// What a program has left behind: how it ended, what it said, and whether it had read the whole mail.
struct SendmailEnding {
    status: ExitStatus,
    said: Vec<u8>,
    has_read_all: bool,
}

impl Sendmail {
    /// The program at this absolute path; whether it is there is asked at each sending.
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// The program, made printable.
    pub fn name(&self) -> String {
        escape_name(self.program.as_os_str().as_encoded_bytes())
    }

    /// Hands `mail` (with CRLF line ends) over for one recipient: `PROGRAM -i -f FROM -- RECIPIENT`.
    ///
    /// # Errors
    /// [`SendError`] unless the program has read the whole mail and ended with 0 within `deadline`; a refusal for exit codes
    /// that mean no for good.
    pub async fn send(
        &self,
        from: &str,
        recipient: &str,
        mail: &[u8],
        deadline: Duration,
    ) -> Result<String, SendError> {
        if from.starts_with('-') {
            let from = shown(from.as_bytes());
            return Err(SendError::transient(format!(
                "the sender {from} could be taken for an option by {}: choose another for mailfrom",
                self.name()
            )));
        }
        let program = self.program.clone();
        match run_blocking(move || ownership::check_but_for_groups(&program)).await {
            // One that is not there is told by the attempt to run it.
            Ok(()) | Err(OwnershipError::Io { .. }) => {}
            Err(distrust) => {
                return Err(SendError::transient(format!("{} is not run: {distrust}", self.name())));
            }
        }
        let running = start(&self.program, from, recipient).map_err(|error| {
            let remedy = match error.kind() {
                // Only a broker ends before the program it was to start.
                io::ErrorKind::BrokenPipe => "restart integrityd",
                _ => "install a mail server or set another way (mail = …)",
            };
            SendError::transient(format!("{} cannot be run: {error}; {remedy}", self.name()))
        })?;
        match attend(running, unix_lines(mail), deadline).await {
            Ok(Some(ending)) => self.judge(&ending),
            Ok(None) => Err(SendError::transient(format!(
                "{} did not end within {deadline:?}; it was killed with all it had started",
                self.name()
            ))),
            Err(error) => Err(SendError::transient(format!("{} cannot be waited for: {error}", self.name()))),
        }
    }

    fn judge(&self, ending: &SendmailEnding) -> Result<String, SendError> {
        let said = first_line(&ending.said).map(|line| format!(": {line}")).unwrap_or_default();
        let name = self.name();
        let Some(code) = ending.status.code() else {
            let signal = ending.status.signal().unwrap_or_default();
            return Err(SendError::transient(format!("{name} was ended by signal {signal}{said}")));
        };
        if code == 0 {
            return if ending.has_read_all {
                Ok(format!("{name} has taken it{said}"))
            } else {
                Err(SendError::transient(format!("{name} ended before it had read the whole mail{said}")))
            };
        }
        match REFUSALS.iter().find(|(refusal, _)| *refusal == code) {
            Some((_, word)) => Err(SendError::refused(format!("{name} ended with {code} ({word}){said}"))),
            None if code == 75 => Err(SendError::transient(format!("{name} ended with 75 (EX_TEMPFAIL){said}"))),
            None => Err(SendError::transient(format!("{name} ended with {code}{said}"))),
        }
    }
}

/// What a broker may run: this sendmail program, as it is run here. It is bound by nothing of ours: it writes queues and connects.
pub fn permit(program: &Path) -> AllowedCommand {
    let is = |word: &str| ArgPattern::Is(word.into());
    AllowedCommand {
        program: program.as_os_str().to_os_string(),
        arguments: vec![is("-i"), is("-f"), ArgPattern::NoOption, is("--"), ArgPattern::Any],
        environment: environment(),
        is_free: true,
    }
}

fn environment() -> Vec<(OsString, OsString)> {
    let fixed = [("PATH", PATH), ("LANG", "C")].map(|(name, value)| (name.into(), value.into()));
    let zone = std::env::var_os("TZ").map(|zone| ("TZ".into(), zone));
    fixed.into_iter().chain(zone).collect()
}

/// A program that runs, with our ends of its pipes.
struct Running {
    life: AsyncFd<ChildHandle>,
    input: pipe::Sender,
    output: pipe::Receiver,
}

/// Starts the program; both its outputs come through one pipe, in their order.
fn start(program: &Path, from: &str, recipient: &str) -> io::Result<Running> {
    let ((stdin, input), (output, stdout)) = (io::pipe()?, io::pipe()?);
    let (input, output) = (pipe::Sender::from_owned_fd(input.into())?, pipe::Receiver::from_owned_fd(output.into())?);
    let mut command = Command::new(program);
    command.args(["-i", "-f", from, "--", recipient]).current_dir("/").env_clear().envs(environment());
    let ends = ChildStdio { input: stdin.into(), output: stdout.try_clone()?.into(), error: stdout.into() };
    // Our writing ends of the pipe go here: then the end of the program is the end of its words.
    let life = child::start(&mut command, ends)?.within_runtime()?;
    Ok(Running { life, input, output })
}

/// Feeds the program and waits for its end; `None` when it did not come in time. Dropped, it ends the program as well.
async fn attend(running: Running, mail: Vec<u8>, deadline: Duration) -> io::Result<Option<SendmailEnding>> {
    let Running { mut life, input, mut output } = running;
    let (mut said, mut has_read_all) = (Vec::new(), false);
    let status = {
        let talk = async {
            let fed = async { has_read_all = feed(input, &mail).await };
            tokio::join!(fed, listen(&mut output, &mut said));
        };
        tokio::pin!(talk);
        let whole = async {
            let mut has_said_all = false;
            loop {
                tokio::select! {
                    status = end_of(&mut life) => return (status, has_said_all),
                    () = &mut talk, if !has_said_all => has_said_all = true,
                }
            }
        };
        let Ok((status, has_said_all)) = tokio::time::timeout(deadline, whole).await else {
            life.get_ref().kill()?;
            // One that does not go is waited for later.
            drop(tokio::time::timeout(DYING, end_of(&mut life)).await);
            return Ok(None);
        };
        let status = status?;
        if !has_said_all && tokio::time::timeout(LAST_WORDS, &mut talk).await.is_err() {
            tracing::debug!("a child of the sendmail program holds its output open");
        }
        status
    };
    Ok(Some(SendmailEnding { status, said, has_read_all }))
}

/// Waits for the end of a program.
async fn end_of(life: &mut AsyncFd<ChildHandle>) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = life.get_mut().try_wait()? {
            return Ok(status);
        }
        let mut ready = life.readable().await?;
        ready.clear_ready();
    }
}

/// Writes the mail and closes; `false` when the program did not want all of it.
async fn feed(mut input: pipe::Sender, mail: &[u8]) -> bool {
    input.write_all(mail).await.is_ok()
}

/// Reads all that is said, so that nobody blocks, and keeps the first of it.
async fn listen(output: &mut pipe::Receiver, said: &mut Vec<u8>) {
    let mut piece = [0; 1024];
    while let Ok(length @ 1..) = output.read(&mut piece).await {
        let room = MOST_OUTPUT.saturating_sub(said.len());
        said.extend(piece.iter().take(length.min(room)));
    }
}

/// The first line that says anything, neutralised.
fn first_line(said: &[u8]) -> Option<String> {
    said.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty()).map(shown)
}

/// The mail with the line ends of the system, as sendmail programs read it; a CR that is no part of one stays.
fn unix_lines(mail: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(mail.len());
    let mut bytes = mail.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\r' || bytes.peek() != Some(&b'\n') {
            text.push(byte);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use super::*;
    use crate::report::render::test_events::put_program;

    const MAIL: &[u8] = b"Subject: x\r\n\r\n.\r\nb\rc\r\n";
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Fake {
        _directory: tempfile::TempDir,
        program: PathBuf,
    }

    impl Fake {
        fn new(script: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let program = put_program(directory.path(), "sendmail", script);
            Self { _directory: directory, program }
        }

        async fn send(&self, recipient: &str, deadline: Duration) -> Result<String, SendError> {
            Sendmail::new(self.program.clone()).send("from@example.org", recipient, MAIL, deadline).await
        }

        /// What the script has left in a file beside it.
        fn left(&self, name: &str) -> String {
            fs::read_to_string(self.program.with_extension(name)).unwrap()
        }

        /// What became of the mail, with the path of the program taken out of the words.
        async fn answer(script: &str) -> String {
            let fake = Self::new(script);
            let (word, reply) = match fake.send("to@example.org", PATIENCE).await {
                Ok(reply) => ("accepted", reply),
                Err(error) if error.is_refusal() => ("refused", error.reply),
                Err(error) => ("not now", error.reply),
            };
            format!("{word}: {}", reply.replace(&fake.program.display().to_string(), "sendmail"))
        }
    }

    /// Whether the process is there and more than a zombie.
    fn is_alive(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    async fn until_gone(pid: &str) {
        let begun = Instant::now();
        while is_alive(pid) {
            assert!(begun.elapsed() < Duration::from_secs(5), "what it had started goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn the_program_gets_the_mail_its_arguments_and_hardly_an_environment() {
        let fake = Fake::new("cat > $0.mail; printf '%s\\n' \"$@\" > $0.args; env > $0.env; pwd > $0.pwd");
        fake.send("-oQ/tmp@example.org", PATIENCE).await.unwrap();
        assert_eq!(fake.left("mail"), "Subject: x\n\n.\nb\rc\n");
        assert_eq!(fake.left("args"), "-i\n-f\nfrom@example.org\n--\n-oQ/tmp@example.org\n");
        assert_eq!(fake.left("pwd"), "/\n");
        for line in fake.left("env").lines() {
            let name = line.split('=').next().unwrap();
            assert!(["PATH", "LANG", "TZ", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name), "{line}");
        }
    }

    #[tokio::test]
    async fn the_exit_code_is_the_answer() {
        let mut all = Vec::new();
        for script in [
            "cat > $0.mail",
            "cat > $0.mail; echo queued as 4711",
            "cat > $0.mail; exit 75",
            "echo; echo no such user >&2; echo more; exit 67",
            "exit 65",
            "exit 68",
            "exit 69",
            "exit 77",
            "exit 1",
            "exit 64",
            "kill -9 $$",
            "printf '\\033[2J\\302\\233x\\n'; exit 75",
        ] {
            all.push(Fake::answer(script).await);
        }
        insta::assert_snapshot!(all.join("\n"), @r"
        accepted: sendmail has taken it
        accepted: sendmail has taken it: queued as 4711
        not now: sendmail ended with 75 (EX_TEMPFAIL)
        refused: sendmail ended with 67 (EX_NOUSER): no such user
        refused: sendmail ended with 65 (EX_DATAERR)
        refused: sendmail ended with 68 (EX_NOHOST)
        refused: sendmail ended with 69 (EX_UNAVAILABLE)
        refused: sendmail ended with 77 (EX_NOPERM)
        not now: sendmail ended with 1
        not now: sendmail ended with 64
        not now: sendmail was ended by signal 9
        not now: sendmail ended with 75 (EX_TEMPFAIL): \x1b[2J\u{009b}x
        ");
    }

    #[tokio::test]
    async fn endless_words_are_read_but_not_kept() {
        let answer = Fake::answer("head -c 10000000 /dev/zero | tr '\\0' x; cat > $0.mail; exit 75").await;
        assert!(answer.starts_with("not now: sendmail ended with 75 (EX_TEMPFAIL): xxx"), "{answer}");
        assert!(answer.len() < 1000, "{}", answer.len());
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_all_it_has_started() {
        let fake = Fake::new("sleep 30 & echo $! > $0.child; echo $$ > $0.pid; wait");
        let begun = Instant::now();
        let error = fake.send("to@example.org", Duration::from_millis(300)).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(!error.is_refusal() && error.reply.contains("did not end within 300ms"), "{error}");
        assert!(!Path::new(&format!("/proc/{}", fake.left("pid").trim())).exists(), "it was not reaped");
        until_gone(&fake.left("child")).await;
    }

    #[tokio::test]
    async fn nobody_waiting_ends_the_program_too() {
        let fake = Fake::new("sleep 30 & echo $! > $0.child; wait");
        tokio::time::timeout(Duration::from_millis(300), fake.send("to@example.org", PATIENCE)).await.unwrap_err();
        until_gone(&fake.left("child")).await;
    }

    #[tokio::test]
    async fn delivery_in_the_background_is_left_alone() {
        let fake = Fake::new("cat > $0.mail; sleep 4 & echo $! > $0.child; exit 0");
        fake.send("to@example.org", PATIENCE).await.unwrap();
        assert!(is_alive(&fake.left("child")));
    }

    #[tokio::test]
    async fn a_program_that_does_not_read_the_mail_has_not_taken_it() {
        let fake = Fake::new("exit 0");
        let mail = vec![b'x'; 1 << 20];
        let sendmail = Sendmail::new(fake.program.clone());
        let error = sendmail.send("from@example.org", "to@example.org", &mail, PATIENCE).await.unwrap_err();
        assert!(error.reply.ends_with("ended before it had read the whole mail"), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_or_must_not_be_run_is_told() {
        let fake = Fake::new("cat");
        let send = async |program: &Path, from: &str| {
            let sendmail = Sendmail::new(program.to_path_buf());
            let error = sendmail.send(from, "to@example.org", MAIL, PATIENCE).await.unwrap_err();
            assert!(!error.is_refusal());
            error.reply.replace(&fake.program.display().to_string(), "/usr/sbin/sendmail")
        };
        let mut all = vec![send(Path::new("/no/such/program"), "from@example.org").await];
        all.push(send(&fake.program, "-oQ/tmp@example.org").await);
        fs::set_permissions(&fake.program, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        all.push(send(&fake.program, "from@example.org").await);
        insta::assert_snapshot!(all.join("\n"), @r"
        /no/such/program cannot be run: No such file or directory (os error 2); install a mail server or set another way (mail = …)
        the sender -oQ/tmp@example.org could be taken for an option by /usr/sbin/sendmail: choose another for mailfrom
        /usr/sbin/sendmail is not run: /usr/sbin/sendmail is writable by group or others (mode 0777): chmod go-w /usr/sbin/sendmail
        ");
    }
}
