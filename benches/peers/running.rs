//! Starts candidates, and talks to the program under them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::time::ClockId;
use nix::unistd::Pid;

/// How long anything may take before it counts as failed.
const DEADLINE: Duration = Duration::from_secs(10);
/// The interval for polling what gives no notice of a change.
const GLANCE: Duration = Duration::from_micros(100);

/// A candidate with a program that answers. Killed when this is dropped.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

/// A command with stderr discarded.
pub fn command(words: &[OsString]) -> Command {
    let (program, arguments) = words.split_first().expect("the command line is empty");
    let mut command = Command::new(program);
    command.args(arguments).stderr(Stdio::null());
    command
}

impl Running {
    /// Starts the command and waits until the program is ready.
    pub fn start(words: &[OsString]) -> io::Result<Running> {
        let mut child = command(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is not a pipe");
        let mut running = Running { child, stdin, stdout };
        running.hear()?;
        Ok(running)
    }

    /// The process that was started: the init, or the bare program.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Tells the program to begin.
    pub fn say(&mut self) -> io::Result<()> {
        self.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(b"x"))
    }

    /// Waits for the program's next byte.
    pub fn hear(&mut self) -> io::Result<()> {
        let mut polled = [PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(DEADLINE).unwrap_or(PollTimeout::MAX);
        if poll(&mut polled, timeout)? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stdout.read_exact(&mut [0])
    }

    /// The processor time of this process alone, in microseconds.
    pub fn cpu_time(&self) -> io::Result<f64> {
        let time = ClockId::pid_cpu_clock_id(self.pid())?.now()?;
        Ok(Duration::from(time).as_secs_f64() * 1e6)
    }

    /// Waits until the program is the only child left.
    pub fn wait_for_orphans(&self) -> io::Result<()> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        until(|| Ok((fs::read_to_string(&path)?.split_whitespace().count() <= 1).then_some(())))
    }

    /// Tells the program to end, and waits for the process.
    pub fn end(mut self) -> io::Result<ExitStatus> {
        self.stdin = None;
        until(|| self.child.try_wait())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until `look` finds something or the time is up.
fn until<T>(mut look: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        sleep(GLANCE);
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// While this exists, the next process started is PID 1 of a new PID namespace.
pub struct NewPidNamespace {
    own: File,
}

impl NewPidNamespace {
    /// Fails without the privilege for it.
    pub fn new() -> io::Result<NewPidNamespace> {
        let own = File::open("/proc/self/ns/pid")?;
        unshare(CloneFlags::CLONE_NEWPID)?;
        Ok(NewPidNamespace { own })
    }
}

impl Drop for NewPidNamespace {
    fn drop(&mut self) {
        setns(&self.own, CloneFlags::CLONE_NEWPID).expect("cannot go back to this process's PID namespace");
    }
}
