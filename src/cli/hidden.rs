//! Commands that nobody types: becoming a program without rights, and trying what the sandbox of `run` refuses.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use clap::Args;

use crate::{
    cli::{
        context::CliContext,
        terminal::{exit::Exit, output::Out},
    },
    config,
    daemon::sandbox_policy::{self, Sandbox},
    model::escape::escape_name,
    sys::{
        landlock::{self, Limits},
        process::{
            broker::SHOWN,
            privileges::{FoundPrivileges, ProcessKind, restrict},
            stat,
        },
    },
};

/// The command that tries the sandbox.
pub(super) const TRY: &str = "try-sandbox";

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Confined {
    /// The program and its arguments.
    #[arg(required = true, last = true)]
    program: Vec<OsString>,
}

/// Gives up writing and connecting, and becomes the program.
pub(super) fn confined(arguments: &Confined) -> anyhow::Result<Exit> {
    landlock::confine(&Limits { may_execute: true, ..Limits::default() })?;
    // What it keeps `doctor` shows.
    drop(restrict(ProcessKind::Reader, false));
    let [program, words @ ..] = arguments.program.as_slice() else { return Ok(Exit::Usage) };
    let mut command = Command::new(program);
    if program == "/proc/self/exe" {
        command.arg0(SHOWN);
    }
    Err(command.args(words).exec().into())
}

#[derive(Debug, Args)]
pub(super) struct Attempts {
    /// Open this file to write it, or make a file in this directory.
    #[arg(long)]
    write: Vec<PathBuf>,
    /// Run this program.
    #[arg(long)]
    execute: Vec<PathBuf>,
    /// Connect to this port of 127.0.0.1.
    #[arg(long)]
    connect: Vec<u16>,
    /// Listen on this port of 127.0.0.1.
    #[arg(long)]
    listen: Vec<u16>,
    /// Give this file the mode it has.
    #[arg(long)]
    mode: Vec<PathBuf>,
    /// Look which program this process runs.
    #[arg(long)]
    look: Vec<u32>,
}

/// Puts up the sandbox that `run` puts up, tries all these, and says of each what came of it.
pub(super) fn try_sandbox(source: &CliContext, attempts: &Attempts, out: &mut Out) -> anyhow::Result<Exit> {
    let config = config::load(&source.config)?;
    let mut limits = sandbox_policy::limits(&config);
    // Nothing is made to try.
    limits.writable.retain(|place| place.exists());
    match sandbox_policy::put_up(&config, &limits) {
        Ok(Sandbox { hold, .. }) => {
            out.line(&format!("landlock {} {}", hold.version, if hold.is_full { "full" } else { "partial" }))?;
        }
        Err(error) => {
            out.line(&format!("none {:#}", anyhow::Error::from(error)))?;
            return Ok(Exit::Findings);
        }
    }
    let status = FoundPrivileges::parse(&std::fs::read_to_string("/proc/self/status")?);
    for beyond in status.iter().flat_map(|found| found.beyond(&ProcessKind::Daemon.privileges())) {
        out.line(&format!("kept {beyond}"))?;
    }
    let shown = |path: &PathBuf| escape_name(path.as_os_str().as_encoded_bytes());
    for path in &attempts.write {
        out.line(&format!("write {} {}", shown(path), word(write(path))))?;
    }
    for program in &attempts.execute {
        let done = Command::new(program).spawn().and_then(|mut child| child.wait());
        out.line(&format!("execute {} {}", shown(program), word(done)))?;
    }
    for port in &attempts.connect {
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        out.line(&format!("connect {port} {}", word(TcpStream::connect_timeout(&place, PATIENCE))))?;
    }
    for port in &attempts.listen {
        out.line(&format!("listen {port} {}", word(TcpListener::bind((Ipv4Addr::LOCALHOST, *port)))))?;
    }
    for path in &attempts.mode {
        let done = std::fs::metadata(path).and_then(|found| std::fs::set_permissions(path, found.permissions()));
        out.line(&format!("mode {} {}", shown(path), word(done)))?;
    }
    for pid in &attempts.look {
        // Without the helper first: what the sandbox itself leaves.
        let own = std::fs::read_link(format!("/proc/{pid}/exe"));
        let asked = stat::executable(Path::new("/"), *pid).map_or("unknown".to_owned(), |exe| escape_name(&exe));
        out.line(&format!("look {pid} {}, by the helper {asked}", word(own)))?;
    }
    Ok(Exit::Fine)
}

/// Opens a file as it is, or makes one in a directory and takes it away again.
fn write(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return OpenOptions::new().write(true).open(path).map(drop);
    }
    let file = path.join(format!(".integrityd-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&file)?;
    std::fs::remove_file(file)
}

fn word<T>(done: io::Result<T>) -> String {
    match done {
        Ok(_) => "possible".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => "refused".to_owned(),
        Err(error) => format!("failed: {error}"),
    }
}
