//! Terminals: a session on a pty, its keyboard and its screen.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll as poll_descriptors};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::unistd::pipe2;

use super::comparison;
use super::init::{describe, is_sextons, under_test};
use super::launcher::{LAUNCH, REPORT};
use super::output::Output;
use super::process::{self, Process};
use super::running::{Reaper, Running};
use super::{
    Ending, HeldCall, Mode, deadline, find_program, hold, poll, probe, raw, sexton_only, skip, try_poll,
};

/// What keys send in the modes of a new terminal (termios(3)).
pub(crate) const CTRL_C: &str = "\x03";
pub(crate) const CTRL_D: &str = "\x04";
pub(crate) const CTRL_Z: &str = "\x1a";
pub(crate) const CTRL_BACKSLASH: &str = "\x1c";

/// The end of every prompt. The status of the last command comes before it: `=130=> `.
const PROMPT: &str = "=> ";

/// A shell with job control, and without a line editor, which would draw on the screen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Dash,
    Zsh,
}

impl Shell {
    pub(crate) const ALL: &[Shell] = &[Shell::Bash, Shell::Dash, Shell::Zsh];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Shell::Bash => "bash",
            Shell::Dash => "dash",
            Shell::Zsh => "zsh",
        }
    }

    fn words(self) -> Vec<OsString> {
        let options: &[&str] = match self {
            Shell::Bash => &["--norc", "--noprofile", "--noediting", "-i"],
            Shell::Dash => &["-i"],
            Shell::Zsh => &[
                "-f",
                "-i",
                "-o",
                "shwordsplit",
                "+o",
                "zle",
                "+o",
                "notify",
                "+o",
                "promptsp",
                "+o",
                "promptcr",
            ],
        };
        let path = find_program(self.name()).unwrap_or_else(|| skip(format!("needs {}", self.name())));
        [path.into_os_string()].into_iter().chain(options.iter().map(Into::into)).collect()
    }

    fn prompt(self) -> &'static str {
        match self {
            Shell::Bash | Shell::Dash => "=$?=> ",
            Shell::Zsh => "=%?=> ",
        }
    }
}

/// What is put in front of each program of a scenario.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// Nothing: the reference.
    None,
    /// The init under test, with these options if it is sexton.
    Init(&'static str),
}

impl Wrapper {
    pub(crate) fn words(self) -> Vec<String> {
        let Wrapper::Init(options) = self else { return Vec::new() };
        if !options.is_empty() {
            sexton_only();
        }
        let text = |word: &OsString| word.to_str().expect("the init's path is UTF-8").to_owned();
        let mut words: Vec<String> = under_test().words.iter().map(text).collect();
        words.extend(options.split_whitespace().map(str::to_owned));
        assert!(!words.iter().any(|word| word.contains(' ')), "a shell would split {words:?}");
        words
    }
}

/// A session on a terminal of its own.
pub(crate) struct Terminal {
    /// Dropped first, because it shows the processes of a failed test, which a hang-up would end.
    pub(crate) running: Running,
    master: Option<PtyMaster>,
    /// Closed to hang up the terminal.
    hold: Option<OwnedFd>,
    /// How far `expect` has read the screen.
    read: usize,
    notes: Vec<String>,
    shell: Option<Shell>,
    compares_screen: bool,
}

impl Terminal {
    /// A shell as the session leader, at its first prompt. In its lines, `$W` is the wrapper and `$P` is
    /// terminal_probe.
    pub(crate) fn with_shell(shell: Shell, wrapper: Wrapper) -> Terminal {
        let mut terminal = Terminal::start(Mode::Child, &shell.words(), wrapper, &[("PS1", shell.prompt())]);
        terminal.shell = Some(shell);
        terminal.prompt();
        terminal
    }

    /// The same, and every exec of a file whose path ends so hangs.
    pub(crate) fn with_shell_and_held_exec(
        shell: Shell,
        wrapper: Wrapper,
        file: &str,
    ) -> (Terminal, HeldCall) {
        let environment = &[("PS1", shell.prompt())];
        let mut terminal = Terminal::start_with(Mode::Child, &shell.words(), wrapper, environment, &[hold()]);
        let held = HeldCall::exec(&terminal.running, file);
        terminal.shell = Some(shell);
        terminal.prompt();
        (terminal, held)
    }

    /// The wrapper and the program as the session leader; every exec of a file whose path ends so hangs.
    pub(crate) fn with_program_and_held_exec(
        mode: Mode,
        wrapper: Wrapper,
        program: &[&str],
        file: &str,
    ) -> (Terminal, HeldCall) {
        let terminal = Terminal::start_with(mode, &wrapped(wrapper, program), wrapper, &[], &[hold()]);
        let held = HeldCall::exec(&terminal.running, file);
        (terminal, held)
    }

    /// The wrapper and the program as the session leader.
    pub(crate) fn with_program(mode: Mode, wrapper: Wrapper, program: &[&str]) -> Terminal {
        Terminal::start(mode, &wrapped(wrapper, program), wrapper, &[("PS1", "=$?=> ")])
    }

    fn start(mode: Mode, words: &[OsString], wrapper: Wrapper, environment: &[(&str, &str)]) -> Terminal {
        Terminal::start_with(mode, words, wrapper, environment, &[])
    }

    /// With these steps of the launcher's before the last.
    fn start_with(
        mode: Mode,
        words: &[OsString],
        wrapper: Wrapper,
        environment: &[(&str, &str)],
        more_steps: &[&str],
    ) -> Terminal {
        if mode == Mode::Pid1 && !nix::unistd::geteuid().is_root() {
            skip("PID 1 without a user namespace needs root");
        }
        let (master, path) = open_pty();
        let (screen, hold) = Screen::of(&master);
        let steps: &[&str] =
            if mode.is_pid1() { &["unshare=pid", "fork", "session", "mount=proc"] } else { &["session"] };
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg(LAUNCH).args(steps).args([&format!("terminal={path}"), "limit=core:0:0", "mask=0"]);
        command
            .args(more_steps)
            .arg("--")
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/");
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_sextons(name)) {
            command.env_remove(name);
        }
        command.env("W", wrapper.words().join(" ")).env("P", probe("terminal_probe"));
        command
            .envs([("LC_ALL", "C"), ("TERM", "dumb"), ("HOME", "/nonexistent")])
            .envs(environment.iter().copied());
        let (report, write_end) = pipe2(OFlag::O_CLOEXEC).expect("cannot make a pipe");
        raw::pass_descriptor(&mut command, write_end.as_raw_fd(), REPORT);
        let launcher = command.spawn().expect("cannot start the launcher");
        drop(write_end);
        let reaper = if mode.is_pid1() { Reaper::Launcher } else { Reaper::Test };
        let outputs = [Output::of(File::from(report)), Output::of(screen), Output::default()];
        let mut running = Running::started(describe(words), mode, launcher, reaper, outputs, None);
        running.await_exec(&[]);
        let (master, hold) = (Some(master), Some(hold));
        Terminal { master, hold, running, read: 0, notes: Vec::new(), shell: None, compares_screen: true }
    }

    /// Presses keys.
    pub(crate) fn keys(&mut self, keys: &str) {
        let master = self.master.as_mut().expect("it is not hung up");
        master.write_all(keys.as_bytes()).expect("cannot write to the terminal");
    }

    /// Types a line, and waits for its echo: Ctrl-C discards what is not on the screen yet (`isig` in n_tty).
    pub(crate) fn line(&mut self, line: &str) {
        self.keys(&format!("{line}\n"));
        self.expect(&format!("{line}\r\n"));
    }

    /// Makes the shell list its jobs until it knows of this many that are stopped and that run: it may notice a stop
    /// a little later than /proc shows it.
    pub(crate) fn jobs(&mut self, stopped: usize, running: usize) {
        poll(
            &format!("the shell knows of {stopped} jobs that are stopped, and of {running} that run"),
            || {
                self.line("jobs");
                let list = self.text_before_prompt();
                let count = |words: [&str; 2]| {
                    list.lines().filter(|line| words.iter().any(|word| line.contains(word))).count()
                };
                let (are_stopped, run) = (count(["Stopped", "suspended"]), count(["Running", "running"]));
                ((are_stopped, run) == (stopped, running)).then_some(())
            },
        );
    }

    /// Makes the shell put a job in the foreground, and waits until it is there. The shell prints the job's command.
    pub(crate) fn fg(&mut self, line: &str, end_of_command: &str) {
        self.line(line);
        self.expect(&format!("{end_of_command}\r\n"));
        self.in_foreground();
    }

    /// Waits for the line of a program that says `ready`.
    pub(crate) fn ready(&mut self) {
        self.expect("ready\r\n");
    }

    /// Types a line, and waits for the next prompt. Returns the status that it shows.
    pub(crate) fn command(&mut self, line: &str) -> i32 {
        self.line(line);
        self.prompt()
    }

    /// Waits until the text appears on the screen, after what was waited for before.
    pub(crate) fn expect(&mut self, text: &str) {
        self.find(text);
    }

    /// Waits for the text, and returns what comes before it.
    fn find(&mut self, text: &str) -> String {
        let read = self.read;
        let new = |screen: &str| screen.get(read..).unwrap_or_default().find(text);
        if !self.running.stdout.text_until(deadline(), |screen| new(screen).is_some()) {
            panic!("not on the screen within {:?}: {text:?}", deadline());
        }
        let screen = self.running.stdout.text();
        let at = new(&screen).expect("it was there");
        self.read += at + text.len();
        screen[read..read + at].to_owned()
    }

    /// Waits for the shell's prompt, and returns the status in it.
    pub(crate) fn prompt(&mut self) -> i32 {
        let text = self.text_before_prompt();
        text.rsplit_once('=').and_then(|(_, status)| status.parse().ok()).expect("a prompt has a status")
    }

    fn text_before_prompt(&mut self) -> String {
        let mut text = self.find(PROMPT);
        while text.rsplit_once('=').is_none_or(|(_, status)| status.parse::<i32>().is_err()) {
            text.push_str(PROMPT);
            text.push_str(&self.find(PROMPT));
        }
        text
    }

    /// All that is on the screen.
    pub(crate) fn screen(&self) -> String {
        self.running.stdout.text()
    }

    /// Notes something that must be the same with and without the wrapper.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// For scenarios in which several processes write at the same time: only the notes are compared.
    pub(crate) fn ignore_screen(&mut self) {
        self.compares_screen = false;
    }

    /// The processes of the session, without its leader and without zombies.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mut processes = process::descendants_by_list(self.running.pid);
        processes.retain(|process| !process.is_zombie());
        processes
    }

    /// Waits until there are this many programs, and they and everything between them and the shell are in this
    /// state: a wrapper that behaves stops and continues with its program.
    pub(crate) fn settle(&self, programs: usize, state: char) {
        poll(&format!("{programs} programs and their inits are in state {state}"), || {
            let processes = self.processes();
            let is_program = |process: &&Process| process.name.starts_with("terminal_probe");
            let count = processes.iter().filter(is_program).count();
            let all = processes.iter().all(|process| process.state == state);
            (count == programs && all).then_some(())
        });
    }

    /// Waits until there are this many processes, all in this state.
    pub(crate) fn settle_all(&self, count: usize, state: char) {
        poll(&format!("{count} processes are in state {state}"), || {
            let processes = self.processes();
            let all = processes.iter().all(|process| process.state == state);
            (processes.len() == count && all).then_some(())
        });
    }

    /// Waits until this many programs are in this state, whatever others do.
    pub(crate) fn settle_programs(&self, programs: usize, state: char) {
        poll(&format!("{programs} programs are in state {state}"), || {
            let processes = self.processes();
            let is_program =
                |process: &&Process| process.name.starts_with("terminal_probe") && process.state == state;
            (processes.iter().filter(is_program).count() == programs).then_some(())
        });
    }

    /// Waits until the job has the terminal: the program's process group, or that of the init in front of it. (A
    /// shell does not say so when it puts a running job in the foreground.)
    pub(crate) fn in_foreground(&self) {
        poll("the job is in the foreground", || {
            let foreground = process::foreground_group(self.running.pid)?;
            let is_job = |process: &Process| !["bash", "dash", "zsh"].contains(&&*process.name);
            let mut jobs = self.processes().into_iter().filter(is_job);
            jobs.any(|process| process.group == foreground).then_some(())
        });
    }

    /// Waits until everything that the shell started has ended, and gives the shell time to reap it. It need not do
    /// so at once: dash reaps when it prints a prompt, and on a busy machine bash sometimes does too, despite the
    /// signal.
    pub(crate) fn all_gone(&self) {
        poll("the jobs are gone", || self.processes().is_empty().then_some(()));
        if self.shell != Some(Shell::Dash) {
            let none_is_left = || process::descendants_by_list(self.running.pid).is_empty().then_some(());
            _ = try_poll(Duration::from_secs(2), none_is_left);
        }
    }

    /// The PID of the only program.
    pub(crate) fn program(&self) -> i32 {
        let processes = self.processes();
        let program = processes.iter().find(|process| process.name.starts_with("terminal_probe"));
        program.expect("the program runs").pid
    }

    /// Sends a signal to the only program once it watches for it.
    pub(crate) fn send_watched(&self, signal: i32) {
        let program = self.program();
        poll("the program watches for the signal", || {
            Process::find(program)?.name.ends_with('+').then_some(())
        });
        self.send(program, signal);
    }

    pub(crate) fn send(&self, pid: i32, signal: i32) {
        raw::kill(pid, signal).unwrap_or_else(|error| panic!("cannot send {signal} to {pid}: {error}"));
    }

    /// The process group of the only job.
    pub(crate) fn job(&self) -> i32 {
        self.processes().first().expect("there is a job").group
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let master = self.master.as_ref().expect("it is not hung up");
        raw::set_window_size(master.as_raw_fd(), rows, columns).expect("cannot change the window's size");
    }

    /// Closes the terminal, as an emulator does when its window is closed.
    pub(crate) fn hang_up(&mut self) {
        self.hold = None;
        assert!(self.running.stdout.ends_within(deadline()), "the screen is still read");
        self.master = None;
    }

    /// How the session leader ends.
    pub(crate) fn ending(&mut self) -> Ending {
        let ending = self.running.wait();
        self.running.stdout.ends_within(deadline());
        ending
    }

    /// What must be the same: the notes, and the screen.
    pub(crate) fn transcript(&self) -> String {
        let notes = self.notes.join("\n");
        if !self.compares_screen {
            return notes;
        }
        format!("{}\n{notes}", comparison::comparable(&self.screen()))
    }
}

fn wrapped(wrapper: Wrapper, program: &[&str]) -> Vec<OsString> {
    let words = wrapper.words().into_iter().chain(program.iter().map(|word| (*word).to_owned()));
    words.map(OsString::from).collect()
}

/// The master, which shows what is written, and the path of the other side.
pub(crate) fn open_pty() -> (PtyMaster, String) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("cannot open a pty");
    grantpt(&master).expect("cannot grant access to the pty");
    unlockpt(&master).expect("cannot unlock the pty");
    raw::set_window_size(master.as_raw_fd(), 24, 80).expect("cannot set the window's size");
    let path = ptsname_r(&master).expect("the pty has a name");
    (master, path)
}

/// Reads what is written to the terminal, until that is to be hung up.
struct Screen {
    master: File,
    /// Reaches its end when the terminal is to be hung up.
    held: OwnedFd,
}

impl Screen {
    fn of(master: &PtyMaster) -> (Screen, OwnedFd) {
        let (held, hold) = pipe2(OFlag::O_CLOEXEC).expect("cannot make a pipe");
        let master = master.as_fd().try_clone_to_owned().expect("cannot duplicate a descriptor");
        (Screen { master: File::from(master), held }, hold)
    }
}

impl Read for Screen {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut descriptors = [
            PollFd::new(self.master.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.held.as_fd(), PollFlags::empty()),
        ];
        poll_descriptors(&mut descriptors, PollTimeout::NONE)?;
        if descriptors[1].any() == Some(true) {
            return Ok(0);
        }
        self.master.read(buffer)
    }
}
