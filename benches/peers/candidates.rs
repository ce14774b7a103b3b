//! What is compared: sexton, the installed peers, and two references.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::programs::Programs;

/// One way of running a program.
pub struct Candidate {
    /// The name in the tables.
    pub name: String,
    /// Why it is included.
    pub role: Role,
    /// The command in front of the program's own; empty for the bare program.
    pub command: Vec<OsString>,
    /// If it is not PID 1, it only execs the program and is gone.
    pub only_as_pid_1: bool,
}

/// Why a candidate is included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The program without any init.
    Bare,
    /// vfork, exec and wait in C: the least that any program starting another must do.
    Floor,
    /// sexton, or another build of it.
    Sexton,
    /// Another init.
    Peer,
}

impl Candidate {
    fn new(name: &str, role: Role, command: Vec<OsString>) -> Candidate {
        Candidate { name: name.to_owned(), role, command, only_as_pid_1: name == "pid1" }
    }

    /// Whether it passes signals on and stays until the program has ended.
    pub fn is_init(&self) -> bool {
        matches!(self.role, Role::Sexton | Role::Peer)
    }

    /// The whole command line to run `program`.
    pub fn running(&self, program: &[OsString]) -> Vec<OsString> {
        self.command.iter().chain(program).cloned().collect()
    }

    /// The init's executable.
    pub fn executable(&self) -> Option<&Path> {
        self.command.first().map(Path::new).filter(|_| self.is_init())
    }
}

/// The peers' names and options. Each adopts orphans if it can, so that none does less than sexton. dumb-init is
/// here twice: it alone gives the program its own session, and with that its own share of the processor (autogroup,
/// sched(7)). With `-c` it does not.
const PEERS: [(&str, &[&str]); 7] = [
    ("tini-static", &["-s", "--"]),
    ("tini", &["-s", "--"]),
    ("catatonit", &["--"]),
    ("dumb-init", &["--"]),
    ("dumb-init", &["-c", "--"]),
    ("tino", &["-s", "--"]),
    ("pid1", &["--"]),
];

/// All candidates that are installed. `others` are further builds of sexton, as `NAME=PATH`. A link by another
/// tool's name runs that tool's front end.
pub fn find(programs: &Programs, target: &Path, others: &[String]) -> Result<Vec<Candidate>, String> {
    let floor = vec![programs.path.clone().into(), "floor".into()];
    let mut found =
        vec![Candidate::new("bare", Role::Bare, Vec::new()), Candidate::new("C floor", Role::Floor, floor)];
    let default = env::var_os("SEXTON_UNDER_TEST").unwrap_or_else(|| env!("CARGO_BIN_EXE_sexton").into());
    found.push(sexton("sexton", default)?);
    for other in others {
        let (name, path) = other.split_once('=').ok_or_else(|| format!("{other:?} is not NAME=PATH"))?;
        found.push(sexton(name, path.into())?);
    }
    for (name, options) in PEERS {
        let Some(path) = installed(name, target) else { continue };
        let command = [path.into()].into_iter().chain(options.iter().map(OsString::from)).collect();
        let name = if options[0] == "-c" { format!("{name} -c") } else { name.to_owned() };
        found.push(Candidate::new(&name, Role::Peer, command));
    }
    Ok(found)
}

fn sexton(name: &str, path: OsString) -> Result<Candidate, String> {
    // Links are not resolved: their name chooses the front end.
    let path = std::path::absolute(&path).unwrap_or(path.into());
    if !path.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    Ok(Candidate::new(name, Role::Sexton, vec![path.into(), "--".into()]))
}

/// In PATH, or where `cargo install --root target/peers` puts it.
fn installed(name: &str, target: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain([target.join("peers/bin")]);
    places.map(|place| place.join(name)).find(|file| file.is_file())
}
