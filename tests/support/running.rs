//! A running init, and one that has ended.

use std::io::Write;
use std::process::{Child, ChildStderr};
use std::time::{Duration, Instant};

use nix::libc;
use nix::unistd::Pid;

use super::containment::PidsLimit;
use super::output::{Line, Output};
use super::raw::{self, Payload};
use super::{Mode, deadline, poll, process, skip, suite, try_poll};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Exited(i32),
    Signaled { signal: i32, core: bool },
}

impl Ending {
    fn from_raw(status: i32) -> Ending {
        if libc::WIFEXITED(status) {
            Ending::Exited(libc::WEXITSTATUS(status))
        } else {
            Ending::Signaled { signal: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
        }
    }
}

/// What waits for the init, and so knows how it ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaper {
    /// The launcher became the init: it is the test's child.
    Test,
    /// The launcher is its parent, and reports.
    Launcher,
    /// Its parent is gone, and the test, which is a subreaper, has adopted it.
    Adopted,
}

/// A signal as print_signals printed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) number: i32,
    pub(crate) code: i32,
    pub(crate) value: u64,
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) at: Instant,
}

impl Received {
    fn parse(line: &Line) -> Received {
        let words: Vec<i64> = line.text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [number, code, value, pid, uid] = words[..] else { panic!("not a signal: {:?}", line.text) };
        let small = |number: i64| i32::try_from(number).expect("it was printed from an i32");
        let uid = u32::try_from(uid).expect("it was printed from a u32");
        let value = value.cast_unsigned();
        Received { number: small(number), code: small(code), value, pid: small(pid), uid, at: line.at }
    }
}

/// A running init. Dropping this kills it and everything below it.
pub(crate) struct Running {
    command: String,
    mode: Mode,
    launcher: Child,
    reaper: Reaper,
    report: Output,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    /// Stderr, if it is held open and not read.
    unread: Option<ChildStderr>,
    /// The init's PID as the test sees it.
    pub(crate) pid: i32,
    next_line: usize,
    ending: Option<Ending>,
    pub(crate) pids_limit: Option<PidsLimit>,
}

impl Running {
    pub(crate) fn started(
        command: String,
        mode: Mode,
        launcher: Child,
        reaper: Reaper,
        [report, stdout, stderr]: [Output; 3],
        unread: Option<ChildStderr>,
    ) -> Running {
        let pid = launcher.id().cast_signed();
        Running {
            command,
            mode,
            launcher,
            reaper,
            report,
            stdout,
            stderr,
            unread,
            pid,
            next_line: 0,
            ending: None,
            pids_limit: None,
        }
    }

    /// Waits until the launcher's next step is the exec of the init. On the way, sends the signals that are to be
    /// pending.
    pub(crate) fn await_exec(&mut self, pending: &[i32]) {
        if !pending.is_empty() {
            self.await_report("awaiting\n");
            pending.iter().for_each(|signal| self.signal(*signal));
        }
        self.await_report("exec\n");
    }

    /// What a line of the launcher's that begins so says.
    pub(crate) fn reported(&self, key: &str) -> Option<String> {
        self.report.text().lines().find_map(|line| line.strip_prefix(key).map(str::to_owned))
    }

    /// Waits for this line of the launcher's, and takes the init's PID from another.
    fn await_report(&mut self, line: &str) {
        let forks = self.reaper != Reaper::Test;
        let started = self.report.text_until(deadline(), |text| {
            text.contains("error ") || text.contains(line) && (!forks || text.contains("init "))
        });
        if let Some(error) = self.reported("error ") {
            let refused = self.mode == Mode::Pid1InUserNamespace
                && ["unshare", "mount", "fork", "exec"].iter().any(|step| error.starts_with(step));
            if refused {
                skip(format!("needs user namespaces: {error}"));
            }
            panic!("cannot start the init: {error}");
        }
        assert!(started, "the launcher is stuck: {:?}", self.report.text());
        if forks {
            let pid = self.reported("init ").and_then(|pid| pid.parse().ok());
            self.pid = pid.expect("the launcher reports a PID");
        }
    }

    pub(crate) fn next_line(&mut self) -> Line {
        let line = self.stdout.line(self.next_line, deadline());
        self.next_line += 1;
        line.unwrap_or_else(|| {
            panic!("stdout ended, or gave no line {} within {:?}", self.next_line, deadline())
        })
    }

    /// Waits for `ready PID`, and returns the PID as the program sees it.
    pub(crate) fn ready(&mut self) -> i32 {
        loop {
            if let Some(pid) = self.next_line().text.strip_prefix("ready ") {
                return pid.parse().expect("ready is followed by a PID");
            }
        }
    }

    /// The next signal that the program print_signals has received.
    pub(crate) fn received(&mut self) -> Received {
        let line = self.next_line();
        Received::parse(&line)
    }

    /// The same, if it comes within `limit`.
    pub(crate) fn received_within(&mut self, limit: Duration) -> Option<Received> {
        let line = self.stdout.line(self.next_line, limit)?;
        self.next_line += 1;
        Some(Received::parse(&line))
    }

    /// The PID, as the test sees it, of the program whose PID in its own namespace is `inner`.
    pub(crate) fn program_pid(&self, inner: i32) -> i32 {
        poll("the program is a child of the init", || {
            let children = process::children(self.pid);
            children.iter().map(|child| child.pid).find(|pid| process::inner_pid(*pid) == Some(inner))
        })
    }

    /// Writes to the program's stdin.
    pub(crate) fn write_line(&mut self, line: &str) {
        let stdin = self.launcher.stdin.as_mut().expect("stdin is a pipe");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("cannot write to stdin");
    }

    /// kill(2) to the init.
    pub(crate) fn signal(&self, signal: i32) {
        raw::kill(self.pid, signal).unwrap_or_else(|error| panic!("cannot send signal {signal}: {error}"));
    }

    pub(crate) fn queue(&self, signal: i32, payload: Payload) {
        raw::queue(self.pid, signal, payload)
            .unwrap_or_else(|error| panic!("cannot queue {signal}: {error}"));
    }

    /// Kills the launcher, which is the init's parent.
    pub(crate) fn kill_parent(&mut self) {
        assert!(self.reaper == Reaper::Launcher, "the test itself is the parent");
        self.launcher.kill().expect("cannot kill the init's parent");
        self.launcher.wait().expect("cannot wait for the init's parent");
        self.reaper = Reaper::Adopted;
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    fn try_wait(&mut self) -> Option<Ending> {
        if self.ending.is_none() {
            let status = match self.reaper {
                Reaper::Test | Reaper::Adopted => {
                    raw::wait_raw(Pid::from_raw(self.pid), false).ok().flatten()
                }
                Reaper::Launcher => {
                    let text = self.report.text();
                    text.lines().find_map(|line| line.strip_prefix("status ")?.parse().ok())
                }
            };
            self.ending = status.map(Ending::from_raw);
        }
        self.ending
    }

    pub(crate) fn wait(&mut self) -> Ending {
        poll("the init ends", || self.try_wait())
    }

    pub(crate) fn try_wait_for(&mut self, limit: Duration) -> Option<Ending> {
        try_poll(limit, || self.try_wait())
    }

    /// Waits for the end, and for all output unless a leftover holds the pipe.
    pub(crate) fn finish(mut self) -> Finished {
        let ending = self.wait();
        if let Some(stderr) = self.unread.take() {
            self.stderr = Output::of(stderr);
        }
        for output in [&self.stdout, &self.stderr] {
            output.ends_within(Duration::from_secs(10));
        }
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        let report = self.report.text();
        let survivors = report.lines().find_map(|line| line.strip_prefix("survivors ")).map(str::to_owned);
        Finished { command: self.command.clone(), ending, stdout, stderr, survivors }
    }

    /// Kills the init and what is below it, by PID, and reaps the test's children among them.
    fn end(&mut self) {
        let mut others = process::descendants(self.pid);
        if self.try_wait().is_none() {
            _ = raw::kill(self.pid, libc::SIGKILL);
            try_poll(deadline(), || self.try_wait());
        }
        // The test, a subreaper, has adopted what the init left behind, and knows it by its session.
        let test = std::process::id().cast_signed();
        others.extend(process::children(test).into_iter().filter(|process| process.session == self.pid));
        for process in &others {
            if process::Process::find(process.pid).is_some_and(|now| now.start == process.start) {
                _ = raw::kill(process.pid, libc::SIGKILL);
                let pid = Pid::from_raw(process.pid);
                try_poll(Duration::from_secs(1), || raw::wait_raw(pid, false).unwrap_or(Some(0)));
            }
        }
        if self.reaper != Reaper::Test {
            _ = self.launcher.kill();
            _ = self.launcher.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Running { command, ending, .. } = self;
            let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
            let state = ending.map_or("still running".to_owned(), |ending| format!("{ending:?}"));
            let tree = process::tree(self.pid);
            suite::explain_failure(&format!(
                "command: {command}\nstatus: {state}\nstdout: {}\nstderr: {}\nprocesses:\n{tree}",
                shorten(&stdout),
                shorten(&stderr)
            ));
        }
        self.end();
    }
}

/// An init that has ended by itself.
pub(crate) struct Finished {
    command: String,
    pub(crate) ending: Ending,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// What was left when the init had ended; empty if nothing was. Known only if it was contained and not PID 1 (after
    /// PID 1 the kernel leaves nothing).
    pub(crate) survivors: Option<String>,
}

impl Finished {
    /// Nothing was left when the init had ended.
    pub(crate) fn assert_nothing_survives(&self) {
        assert_eq!(self.survivors.as_deref().unwrap_or_default(), "", "left behind");
    }

    /// The JSON that show_world printed.
    pub(crate) fn world(&self) -> serde_json::Value {
        let line = self.stdout.lines().next().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("no world on stdout: {error}"))
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Finished { command, ending, stdout, stderr, .. } = self;
            let (stdout, stderr) = (shorten(stdout), shorten(stderr));
            suite::explain_failure(&format!(
                "command: {command}\nstatus: {ending:?}\nstdout: {stdout}\nstderr: {stderr}"
            ));
        }
    }
}

/// The start and the end of a long text.
fn shorten(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= 3000 {
        return text.to_owned();
    }
    let (start, end) = (&characters[..1500], &characters[characters.len() - 1500..]);
    format!("{} [...] {}", String::from_iter(start), String::from_iter(end))
}
