//! How an init is started: a builder for the world that it is given.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::containment::PidsLimit;
use super::launcher::{LAUNCH, REPORT};
use super::output::Output;
use super::running::{Finished, Reaper, Running};
use super::skip;

/// What the init runs as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// An ordinary process that adopts nothing.
    Child,
    /// The subreaper of its descendants: sexton's default when it is not PID 1.
    Subreaper,
    /// PID 1 of a new PID namespace with its own /proc. Needs root.
    Pid1,
    /// The same, made by an unprivileged user in a user namespace.
    Pid1InUserNamespace,
}

impl Mode {
    pub(crate) const REAPING: &[Mode] = &[Mode::Subreaper, Mode::Pid1];
    pub(crate) const ALL: &[Mode] = &[Mode::Child, Mode::Subreaper, Mode::Pid1, Mode::Pid1InUserNamespace];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Child => "as_child",
            Mode::Subreaper => "as_subreaper",
            Mode::Pid1 => "as_pid1",
            Mode::Pid1InUserNamespace => "as_pid1_in_user_namespace",
        }
    }

    pub(crate) fn is_pid1(self) -> bool {
        matches!(self, Mode::Pid1 | Mode::Pid1InUserNamespace)
    }
}

/// The user that unprivileged tests run as: nobody.
pub(crate) const NOBODY: u32 = 65534;

/// The init under test.
pub(crate) struct UnderTest {
    pub(crate) words: Vec<OsString>,
    is_sexton: bool,
}

impl UnderTest {
    /// Its file, an absolute path.
    pub(crate) fn path(&self) -> &Path {
        Path::new(&self.words[0])
    }
}

pub(crate) fn under_test() -> &'static UnderTest {
    static UNDER_TEST: OnceLock<UnderTest> = OnceLock::new();
    UNDER_TEST.get_or_init(|| {
        if let Ok(command) = std::env::var("INIT_UNDER_TEST") {
            let mut words = command.split_whitespace();
            let name = words.next().expect("INIT_UNDER_TEST is empty");
            let path = find_program(name).unwrap_or_else(|| panic!("INIT_UNDER_TEST: no {name} in PATH"));
            let words = std::iter::once(path.into_os_string()).chain(words.map(OsString::from)).collect();
            return UnderTest { words, is_sexton: false };
        }
        let path = std::env::var_os("SEXTON_UNDER_TEST");
        let path = path.unwrap_or_else(|| env!("CARGO_BIN_EXE_sexton").into());
        let path = std::path::absolute(path).expect("the current directory exists");
        UnderTest { words: vec![path.into_os_string()], is_sexton: true }
    })
}

/// Skips the test when another init is tested.
pub(crate) fn sexton_only() {
    if !under_test().is_sexton {
        skip("tests sexton's own options or output");
    }
}

pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// One of the programs in examples/, which cargo builds next to the tests.
pub(crate) fn probe(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let profile = own.parent().and_then(Path::parent).expect("cargo puts tests into deps/");
    let path = profile.join("examples").join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --examples`", path.display());
    path
}

/// The words that run a script in a shell.
pub(crate) fn shell(script: &str) -> [OsString; 3] {
    ["/bin/sh".into(), "-c".into(), script.into()]
}

/// An init to be started. The default is a session leader of its own without a terminal, with nothing blocked or
/// ignored, stdin, stdout and stderr as pipes, and no other descriptor.
pub(crate) struct Init {
    mode: Mode,
    instead: Option<Vec<OsString>>,
    options: Vec<OsString>,
    command: Vec<OsString>,
    separator: bool,
    environment: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    family: Family,
    surroundings: Vec<String>,
    user: Option<u32>,
    signals: Vec<String>,
    mask: u64,
    pending: Vec<i32>,
    closed: Vec<i32>,
    read_stderr: bool,
    pids_limit: Option<PidsLimit>,
    linger: Option<PathBuf>,
}

/// Who the init's parent is, and whose session it is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    SessionLeader,
    SessionMember,
    Orphan,
}

impl Init {
    pub(crate) fn new(mode: Mode) -> Init {
        Init {
            mode,
            instead: None,
            options: Vec::new(),
            command: Vec::new(),
            separator: true,
            environment: Vec::new(),
            directory: None,
            family: Family::SessionLeader,
            surroundings: Vec::new(),
            user: None,
            signals: Vec::new(),
            mask: 0,
            pending: Vec::new(),
            closed: Vec::new(),
            read_stderr: true,
            pids_limit: None,
            linger: None,
        }
    }

    /// Starts this init, by its file and options, instead of the one under test.
    pub(crate) fn instead<W: Into<OsString>>(mut self, words: impl IntoIterator<Item = W>) -> Init {
        self.instead = Some(words.into_iter().map(Into::into).collect());
        self
    }

    /// sexton's own options: with another init the test is skipped.
    pub(crate) fn options<W: Into<OsString>>(mut self, options: impl IntoIterator<Item = W>) -> Init {
        let before = self.options.len();
        self.options.extend(options.into_iter().map(Into::into));
        if self.options.len() > before {
            sexton_only();
        }
        self
    }

    pub(crate) fn program(mut self, program: impl Into<OsString>) -> Init {
        self.command.push(program.into());
        self
    }

    pub(crate) fn args<W: Into<OsString>>(mut self, args: impl IntoIterator<Item = W>) -> Init {
        self.command.extend(args.into_iter().map(Into::into));
        self
    }

    /// `sh -c SCRIPT` as the program.
    pub(crate) fn shell(self, script: &str) -> Init {
        self.args(shell(script))
    }

    /// No `--` between the options and the program.
    pub(crate) fn without_separator(mut self) -> Init {
        self.separator = false;
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Init {
        if name.starts_with("SEXTON_") {
            sexton_only();
        }
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Init {
        self.environment.push((name.into(), None));
        self
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Init {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Not a session leader, and below a parent that can be killed: [`Running::kill_parent`].
    pub(crate) fn session_member(mut self) -> Init {
        self.family = Family::SessionMember;
        self
    }

    /// Its parent is gone before it starts.
    pub(crate) fn orphan(mut self) -> Init {
        self.family = Family::Orphan;
        self
    }

    /// A step of the launcher that changes something else in the world: `umask=27`, `mount=no-proc` ...
    pub(crate) fn world(mut self, step: impl Into<String>) -> Init {
        self.surroundings.push(step.into());
        self
    }

    pub(crate) fn user(mut self, id: u32) -> Init {
        self.user = Some(id);
        self
    }

    pub(crate) fn mask(mut self, mask: u64) -> Init {
        self.mask = mask;
        self
    }

    pub(crate) fn ignore(mut self, signals: impl IntoIterator<Item = i32>) -> Init {
        self.signals.extend(signals.into_iter().map(|signal| format!("ignore={signal}")));
        self
    }

    /// Signals that the test sends, and that are pending when the init starts. The mask must block them.
    pub(crate) fn pending(mut self, signals: impl IntoIterator<Item = i32>) -> Init {
        self.pending.extend(signals);
        self
    }

    /// The same, sent by the process that becomes the init.
    pub(crate) fn raised(mut self, signals: impl IntoIterator<Item = i32>) -> Init {
        self.signals.extend(signals.into_iter().map(|signal| format!("raise={signal}")));
        self
    }

    pub(crate) fn closed(mut self, descriptors: impl IntoIterator<Item = i32>) -> Init {
        self.closed.extend(descriptors);
        self
    }

    /// Stderr is a full pipe that nobody reads until the init has ended.
    pub(crate) fn full_stderr(mut self) -> Init {
        self.read_stderr = false;
        self.world("full=2")
    }

    /// For programs that fork wildly: at most `limit` processes, in a PID namespace that ends with the init even if
    /// it is not PID 1 there. Needs root. [`Finished::survivors`] has what was left in it.
    pub(crate) fn contained(mut self, limit: u32) -> Init {
        self.pids_limit = Some(PidsLimit::new(limit));
        self
    }

    /// Contained and not PID 1: what is left when it has ended lives on until there is such a file, for 10 s at most.
    pub(crate) fn lingering(mut self, file: &Path) -> Init {
        self.linger = Some(file.to_owned());
        self
    }

    /// Starts it and waits for its end.
    pub(crate) fn run(self) -> Finished {
        self.spawn().finish()
    }

    /// Starts it. When this returns, everything is set up, and the init's exec comes next.
    pub(crate) fn spawn(mut self) -> Running {
        if self.mode == Mode::Pid1 && !nix::unistd::geteuid().is_root() {
            skip("PID 1 without a user namespace needs root");
        }
        let words = self.init_words();
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg(LAUNCH).args(self.steps()).arg("--").args(&words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.set_environment(&mut command);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let (report, write_end) = pipe2(OFlag::O_CLOEXEC).expect("cannot make a pipe");
        super::raw::pass_descriptor(&mut command, write_end.as_raw_fd(), REPORT);
        let mut launcher = command.spawn().expect("cannot start the launcher");
        drop(write_end);
        let reaper = match (self.family, self.mode.is_pid1() || self.pids_limit.is_some()) {
            (Family::Orphan, false) => Reaper::Adopted,
            (Family::SessionLeader, false) => Reaper::Test,
            _ => Reaper::Launcher,
        };
        let stderr = launcher.stderr.take();
        let (stderr, unread) = if self.read_stderr { (stderr, None) } else { (None, stderr) };
        let stderr = stderr.map_or_else(Output::default, Output::of);
        let stdout = Output::of(launcher.stdout.take().expect("it was piped"));
        let report = Output::of(std::fs::File::from(report));
        let text = describe(&words);
        let mut running =
            Running::started(text, self.mode, launcher, reaper, [report, stdout, stderr], unread);
        running.pids_limit = self.pids_limit.take();
        running.await_exec(&self.pending);
        running
    }

    fn init_words(&self) -> Vec<OsString> {
        let mut words = self.instead.as_ref().unwrap_or(&under_test().words).clone();
        if self.instead.is_none() && under_test().is_sexton {
            words.extend((self.mode == Mode::Child).then(|| "--no-subreaper".into()));
            words.extend(self.options.iter().cloned());
            words.extend((self.separator && !self.command.is_empty()).then(|| "--".into()));
        }
        words.extend(self.command.iter().cloned());
        words
    }

    fn steps(&self) -> Vec<String> {
        let mut steps = Vec::<String>::new();
        let mut step = |words: &[&str]| steps.extend(words.iter().map(|word| (*word).to_owned()));
        if let Some(limit) = &self.pids_limit {
            step(&[&format!("cgroup={}", limit.path().display())]);
        }
        if let Some(file) = &self.linger {
            step(&[&format!("linger={}", file.display())]);
        }
        match self.mode {
            Mode::Child | Mode::Subreaper if self.pids_limit.is_some() => {
                step(&["unshare=pid", "keeper", "fork", "session", "mount=proc"]);
            }
            Mode::Child | Mode::Subreaper => {
                if self.surroundings.iter().any(|step| step.starts_with("mount=")) {
                    step(&["unshare=mount"]);
                }
                match self.family {
                    Family::SessionLeader => step(&["session"]),
                    Family::SessionMember => step(&["session", "fork"]),
                    Family::Orphan => step(&["session", "orphan"]),
                }
            }
            Mode::Pid1 => step(&["unshare=pid", "fork", "session", "mount=proc"]),
            Mode::Pid1InUserNamespace => {
                if nix::unistd::geteuid().is_root() {
                    step(&["user=65534"]);
                }
                step(&["unshare=user", "fork", "session", "mount=proc"]);
            }
        }
        steps.extend(self.surroundings.iter().cloned());
        steps.extend(self.user.map(|id| format!("user={id}")));
        steps.push(format!("mask={:x}", self.mask));
        steps.extend(self.signals.iter().cloned());
        steps.extend(self.pending.iter().map(|signal| format!("await={signal}")));
        steps.extend(self.closed.iter().map(|number| format!("close={number}")));
        steps
    }

    /// The test's own environment, without the variables that sexton reads.
    fn set_environment(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if is_sextons(&name) {
                command.env_remove(name);
            }
        }
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
}

pub(crate) fn is_sextons(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("SEXTON_") || name.starts_with("LISTEN_") || name == "INIT_UNDER_TEST"
}

/// The command for a message, cut if it is too long.
pub(crate) fn describe(words: &[OsString]) -> String {
    let shown: Vec<String> = words.iter().take(20).map(|word| format!("{word:?}")).collect();
    let more = words.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(" ") + &more
}
