//! One run, from the wish to the outcome.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, IntoRawFd as _};

use log::warn;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, getpid, getppid, getsid};

use crate::config::Config;
use crate::error::Error;
use crate::news::{News, Tell};
use crate::outcome::Outcome;
use crate::plan::{Adoption, Group, ParentDeath, Plan};
use crate::report::Report;
use crate::signal::Signal;
use crate::spawn;
use crate::supervise::Supervisor;
use crate::surroundings::Surroundings;
use crate::sys::signal_state::SignalGuard;
use crate::sys::signals::{self, Origin, Received};
use crate::sys::{exec, process};

/// Runs a program as the caller wishes, and comes back when it has ended. The process is then as it was before.
pub fn run(config: Config, tell: Tell) -> Result<Outcome, Error> {
    if !process::has_one_thread() {
        return Err(Error::SeveralThreads);
    }
    let _caller = Caller::new();
    run_under(config, tell, &SignalGuard::new())
}

/// The same for a process that ends with the outcome.
#[cfg(feature = "cli")]
pub fn run_to_end(config: Config, tell: Tell) -> Result<Outcome, Error> {
    let signals = SignalGuard::new();
    let result = run_under(config, tell, &signals);
    signals.keep();
    result
}

fn run_under(config: Config, tell: Tell, signals: &SignalGuard) -> Result<Outcome, Error> {
    let plan = plan(config, signals)?;

    adopt_orphans(plan.adoption)?;
    tell(&News::Adopting(plan.adoption));
    let early = plan.parent_death.map(watch_parent).transpose()?.flatten();
    let report = plan.config.report.as_ref().map(|to| Report::prepare(to, &plan)).transpose()?;
    let image = spawn::prepare(&plan)?;
    let mut supervisor = Supervisor::new(&plan, tell);
    if let Group::Session(session) = plan.group {
        session.give_up_terminal();
    }
    let explain = |candidate, errno| spawn::explain(&plan, &image, candidate, errno).encode();
    let started = exec::start(&image, &explain).map_err(|errno| Error::step("start a process", errno))?;
    if plan.group == Group::Shared {
        // The terminal may have sent them to the whole group before the program was in it. (Looked at before the fork, one
        // could come in between. One that came since is pending in the child too, which takes it once.)
        supervisor.missed(signals::pending());
    }
    let program = started.program;
    tell(&News::Started(program, &plan));
    if !plan.config.embedded {
        let_go_of_what_is_the_programs();
    }
    match supervisor.supervise(program, early, &|ending| started.failure(ending)) {
        Ok(outcome) => {
            if let Some(report) = report {
                report.write(program, &outcome);
            }
            Ok(outcome)
        }
        Err(failure) => Err(spawn::error(&plan, &image, failure)),
    }
}

/// Stays behind as the init of a child that goes on as this process; the child gets `None`, at once.
pub fn become_init(tell: Tell) -> Result<Option<Outcome>, Error> {
    if !process::has_one_thread() {
        return Err(Error::SeveralThreads);
    }
    let signals = SignalGuard::new();
    let plan = plan(Config::default(), &signals)?;
    let supervisor = Supervisor::new(&plan, tell);
    match process::fork().map_err(|errno| Error::step("start a process", errno))? {
        ForkResult::Child => {
            for step in spawn::steps(&plan)? {
                // The group and the terminal are all there is, and either can be done without.
                if let Err(errno) = exec::take(&step) {
                    warn!("cannot take the step {step:?}: {errno}");
                }
            }
            if plan.listen_pid.is_some() {
                process::take_sockets_over();
            }
            Ok(None)
        }
        ForkResult::Parent { child } => {
            let_go_of_what_is_the_programs();
            let outcome = supervisor.supervise(child, None, &|_| None).ok();
            signals.keep();
            Ok(outcome)
        }
    }
}

/// What the caller's process was, and is made again.
struct Caller {
    is_child_subreaper: bool,
    parent_death_signal: Option<Signal>,
}

impl Caller {
    fn new() -> Caller {
        Caller {
            is_child_subreaper: process::is_child_subreaper(),
            parent_death_signal: process::parent_death_signal(),
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // They succeeded before.
        let _ = process::set_child_subreaper(self.is_child_subreaper);
        let _ = process::set_parent_death_signal(self.parent_death_signal);
    }
}

/// What would be done; nothing is.
#[cfg(feature = "cli")]
pub fn plan_only(config: Config) -> Result<Plan, Error> {
    plan(config, &SignalGuard::new())
}

fn plan(config: Config, signals: &SignalGuard) -> Result<Plan, Error> {
    config.check().map_err(Error::Contradiction)?;
    let surroundings = Surroundings::read(&config, signals);
    Plan::new(config, &surroundings)
}

fn adopt_orphans(adoption: Adoption) -> Result<(), Error> {
    let Adoption::Subreaper { required } = adoption else { return Ok(()) };
    match process::set_child_subreaper(true) {
        Err(errno) if required => Err(Error::step("become a child subreaper", errno)),
        Err(errno) => {
            warn!("cannot become a child subreaper: {errno}; orphans of the program are not reaped");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Has the signal sent when the parent dies. If the parent has died before, the signal counts as received and is given
/// back.
#[cold]
#[inline(never)]
fn watch_parent(death: ParentDeath) -> Result<Option<Received>, Error> {
    process::set_parent_death_signal(Some(death.signal))
        .map_err(|errno| Error::step(format!("have {} sent when the parent dies", death.signal), errno))?;
    let received = Received { signal: death.signal, origin: Origin::Process(Pid::from_raw(0)) };
    Ok(is_orphan(death.parent).then_some(received))
}

/// Whether this process's parent is not the one that started it, as far as can be told.
///
/// A process is born into its parent's session, and leaves it only by leading another. So a parent in another session
/// is one that adopted it. (An adopter in the same session cannot be told from a parent.)
fn is_orphan(parent_at_start: Option<Pid>) -> bool {
    let parent = getppid();
    let Some(parent_at_start) = parent_at_start else { return false };
    let session = getsid(None);
    let leads_session = session == Ok(getpid());
    parent != parent_at_start || !leads_session && getsid(Some(parent)) != session
}

/// The program's descriptors are the program's: a pipe's reader must see end-of-file when the program closes it, and a
/// file system must be free to be unmounted when the program has left it. Only stderr is kept, for warnings.
fn let_go_of_what_is_the_programs() {
    process::close_descriptors_from_three();
    match File::options().read(true).write(true).open("/dev/null") {
        Ok(null) => stand_in(null),
        Err(error) => {
            warn!("cannot open /dev/null: {error}; sexton's stdin and stdout are closed instead");
            process::close_standard_input_and_output();
        }
    }
    if let Err(errno) = chdir(c"/") {
        warn!("cannot go to /: {errno}; sexton's working directory stays in use");
    }
}

/// Puts /dev/null in the place of stdin and stdout, and of stderr where that is closed: no other descriptor of sexton's
/// must get their numbers.
fn stand_in(null: File) {
    let stderr_is_closed = fcntl(io::stderr(), FcntlArg::F_GETFD) == Err(Errno::EBADF);
    let results =
        [dup2_stdin(&null), dup2_stdout(&null), if stderr_is_closed { dup2_stderr(&null) } else { Ok(()) }];
    for errno in results.into_iter().filter_map(Result::err) {
        warn!("cannot put /dev/null in a standard descriptor's place: {errno}");
    }
    if null.as_raw_fd() <= libc::STDERR_FILENO {
        // It took the first free number, one of the three, and keeps it.
        let _ = null.into_raw_fd();
    }
}
