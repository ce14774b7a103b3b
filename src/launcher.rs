//! The library's front end: a builder, and `become_init`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, Delivery, GroupWish, Leftovers, ReportTo, Reraise, Subreaper};
use crate::error::Error;
use crate::outcome::{End, Outcome};
use crate::signal::{Rewrite, Signal, SignalSet};
use crate::status::Remap;
use crate::sys::{process, signal_state};
use crate::users::UserWish;
use crate::{news, run};

/// Runs a program as sexton does: passes on every signal that this process receives, reaps every orphan, ends
/// what the program leaves behind, and returns how it ended.
///
/// Until [`run`](Launcher::run) returns, this process does nothing else: all its signals go to the program, and every
/// child it has is reaped. It must have one thread. What goes wrong after the start is a warning of the crate `log`.
///
/// There is an example in [the crate's documentation](crate).
#[derive(Clone, Debug)]
#[must_use = "a launcher does nothing until `run` is called"]
pub struct Launcher {
    config: Config,
}

impl Launcher {
    /// Runs this program: a path, or a name to look for in PATH.
    pub fn new(program: impl Into<OsString>) -> Launcher {
        // Rust ignores SIGPIPE before `main`, and that is not meant for other programs: like std's Command, an embedded
        // run gives the program the default action.
        Launcher { config: Config { program: program.into(), embedded: true, ..Config::default() } }
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Launcher {
        change(&mut self.config);
        self
    }

    /// Adds an argument; none by default. The program's name is not one of them. An argument that contains a NUL is an
    /// error of [`run`](Launcher::run) ([`Error::Nul`]).
    pub fn arg(self, argument: impl Into<OsString>) -> Launcher {
        self.with(|config| config.arguments.push(argument.into()))
    }

    /// Adds arguments, as [`arg`](Launcher::arg) does.
    pub fn args<A: Into<OsString>>(self, arguments: impl IntoIterator<Item = A>) -> Launcher {
        self.with(|config| config.arguments.extend(arguments.into_iter().map(Into::into)))
    }

    /// Where signals go; to the program alone by default. [`Delivery::Group`] together with [`GroupWish::Foreground`]
    /// is an error of `run`.
    pub fn deliver(self, to: Delivery) -> Launcher {
        self.with(|config| config.delivery = to)
    }

    /// The program's process group (setpgid(2)); by default this process's own as a shell's job, else a new one.
    pub fn group(self, group: GroupWish) -> Launcher {
        self.with(|config| config.group = group)
    }

    /// Sends `to` when `from` arrives, or nothing where `to` is `None`. By default every signal is sent on unchanged.
    /// Of several rewrites of one signal the last counts, and they do not chain. SIGKILL and SIGSTOP never arrive
    /// (signal(7)).
    pub fn rewrite(self, from: Signal, to: Option<Signal>) -> Launcher {
        self.with(|config| config.rewrites.insert(Rewrite { from, to }))
    }

    /// Whether orphans are adopted when this process is not PID 1; by default, if the kernel allows it
    /// (PR_SET_CHILD_SUBREAPER(2const)). With [`Subreaper::Required`] a refusal is an error of `run`.
    pub fn subreaper(self, subreaper: Subreaper) -> Launcher {
        self.with(|config| config.subreaper = subreaper)
    }

    /// Whether every reaped orphan is logged with its name, as a warning of the crate `log`; not by default.
    pub fn warn_on_reap(self, warn: bool) -> Launcher {
        self.with(|config| config.warn_on_reap = warn)
    }

    /// What happens to processes that are left when the program has ended, and how long they have between SIGTERM and
    /// SIGKILL; by default they are terminated, and have 5 seconds.
    pub fn leftovers(self, leftovers: Leftovers, grace: Duration) -> Launcher {
        self.with(|config| (config.leftovers, config.grace) = (leftovers, grace))
    }

    /// The signals that are stop requests, replacing earlier ones; SIGTERM by default. SIGKILL and SIGSTOP never arrive
    /// (signal(7)).
    pub fn stop_signals(self, signals: impl IntoIterator<Item = Signal>) -> Launcher {
        self.with(|config| config.stop_signals = signals.into_iter().collect::<SignalSet>())
    }

    /// Holds the first stop request back for this long; not at all by default. The second ends the delay.
    pub fn stop_delay(self, delay: Duration) -> Launcher {
        self.with(|config| config.stop_delay = delay)
    }

    /// Sends SIGKILL to the program and its tree this long after a stop request was passed on; never by default.
    pub fn kill_after(self, time: Duration) -> Launcher {
        self.with(|config| config.kill_after = Some(time))
    }

    /// Ends the program this long after [`run`](Launcher::run) was called; never by default. SIGKILL follows after
    /// [`kill_after`](Launcher::kill_after), or else after the grace. [`Outcome::timed_out`] is set then, and the exit
    /// code is 124, as with timeout(1).
    pub fn timeout(self, time: Duration) -> Launcher {
        self.with(|config| config.timeout = Some(time))
    }

    /// The signal that the program gets when its time is over; SIGTERM by default.
    pub fn timeout_signal(self, signal: Signal) -> Launcher {
        self.with(|config| config.timeout_signal = signal)
    }

    /// Where a report is written at the end, a line of JSON that README describes; nowhere by default. If it is clear
    /// before the start that it cannot be written, `run` fails; later that is a warning.
    pub fn report(self, to: ReportTo) -> Launcher {
        self.with(|config| config.report = Some(to))
    }

    /// Exchanges one exit code for another in [`Outcome::exit_code`]; none by default. 128 + N is the code of signal N.
    /// Of several remaps of one code the last counts, and they do not chain.
    pub fn remap(self, code: u8, new: u8) -> Launcher {
        self.with(|config| config.remaps.insert(Remap { code, new }))
    }

    /// Whether [`Outcome::end`] is the signal that ended the program, if one did; [`Reraise::Auto`] by default.
    pub fn reraise(self, reraise: Reraise) -> Launcher {
        self.with(|config| config.reraise = reraise)
    }

    /// The signal that this process receives when its own parent dies, until `run` returns; by default what is set
    /// already (PR_SET_PDEATHSIG(2const)).
    pub fn parent_death_signal(self, signal: Signal) -> Launcher {
        self.with(|config| config.parent_death_signal = Some(signal))
    }

    /// Runs the program as another user, with that user's HOME, USER and LOGNAME; as this process's own by default.
    /// This process needs the privilege for it (CAP_SETUID, CAP_SETGID, capabilities(7)). An unknown user is an error
    /// of `run` ([`Error::User`]).
    ///
    /// ```no_run
    /// let user = "app:staff".parse()?;
    /// let outcome = sexton::Launcher::new("server").user(user).run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn user(self, user: UserWish) -> Launcher {
        self.with(|config| config.user = Some(user))
    }

    /// Lets no exec give the program more privileges (PR_SET_NO_NEW_PRIVS(2const)); by default this is inherited.
    pub fn no_new_privs(self) -> Launcher {
        self.with(|config| config.no_new_privs = true)
    }

    /// Runs the program in this directory, by default in this process's. It goes there as its own user; if it cannot,
    /// that is an error of `run`.
    pub fn directory(self, directory: impl Into<PathBuf>) -> Launcher {
        self.with(|config| config.directory = Some(directory.into()))
    }

    /// Sets a variable for the program, replacing an inherited one; by default it inherits all. A NUL in either part is
    /// an error of `run` ([`Error::Nul`]).
    pub fn env(self, key: impl Into<OsString>, value: impl Into<OsString>) -> Launcher {
        self.with(|config| {
            let mut entry = key.into();
            entry.push("=");
            entry.push(value.into());
            config.set_variables.push(entry);
        })
    }

    /// Keeps a variable from being inherited; none by default. One that is set by [`env`](Launcher::env) stays.
    pub fn env_remove(self, key: impl Into<OsString>) -> Launcher {
        self.with(|config| config.unset_variables.push(key.into()))
    }

    /// Expands `${VAR}` and `${VAR:-default}` in the arguments, from the program's environment; by default they are
    /// taken literally. As in a shell, the default is for a variable that is unset or empty; `$${` stands for a plain
    /// `${`. A malformed `${` is an error of `run` ([`Error::Expand`]).
    pub fn expand_variables(self) -> Launcher {
        self.with(|config| config.expand_variables = true)
    }

    /// Runs the program, and returns when it and what it left behind have ended.
    ///
    /// # Errors
    /// When the program was not started. This process is then as it was before, except for a terminal that it gave up
    /// ([`GroupWish::Session`]). [`Error::exit_code`] is what sexton would exit with.
    pub fn run(self) -> Result<Outcome, Error> {
        run::run(self.config, news::tell)
    }
}

/// Makes a program that may be PID 1 of a container an ordinary process.
///
/// When this process is PID 1, it forks: the parent stays behind as the init, passes on signals, reaps orphans, and
/// ends as the child does. The child returns from this call, with default signal actions and without orphans. When this
/// process is not PID 1, nothing happens.
///
/// Call it first in `main`: before any thread is started, and before any descriptor is opened that the parent should
/// not hold too, as in [the crate's example](crate).
///
/// # Errors
/// When this process has several threads, or cannot fork.
pub fn become_init() -> Result<(), Error> {
    if !process::is_init() {
        return Ok(());
    }
    let Some(outcome) = run::become_init(news::tell)? else { return Ok(()) };
    if let End::Reraise(signal) = outcome.end {
        signal_state::die_of(signal);
    }
    std::process::exit(outcome.exit_code().into())
}
