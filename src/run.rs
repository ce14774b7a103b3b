//! One run, from the wish to the outcome.

use std::fs::File;
use std::io;
#[cfg(feature = "cli")]
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, IntoRawFd as _};

use log::warn;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, getppid, getsid};

use crate::config::Config;
use crate::error::Error;
use crate::news::News;
use crate::outcome::Outcome;
use crate::plan::{Adoption, Group, ParentDeath, Plan};
use crate::report::Report;
use crate::signal::{Signal, SignalSet};
use crate::spawn::{spawn, steps};
use crate::supervise::Supervisor;
use crate::surroundings::Surroundings;
use crate::sys::exec;
use crate::sys::process::{self, Forked};
use crate::sys::signals::{self, AllBlocked, ChildSignal, Origin, Received};

/// Runs a program as the caller wishes, and comes back when it has ended.
pub fn run(config: Config) -> Result<Outcome, Error> {
    if !process::has_one_thread() {
        return Err(Error::SeveralThreads);
    }
    let _caller = Caller::new();
    run_under(config, &AllBlocked::new(), &ChildSignal::new())
}

/// The same for a process that ends with the outcome. All signals stay blocked: one that comes when the program has
/// ended is too late for it, and must not change how this process ends.
#[cfg(feature = "cli")]
pub fn run_to_end(config: Config) -> Result<Outcome, Error> {
    let blocked = ManuallyDrop::new(AllBlocked::new());
    run_under(config, &blocked, &ManuallyDrop::new(ChildSignal::new()))
}

/// As `run`; but what is changed for it stays as long as the caller keeps the guards.
fn run_under(config: Config, blocked: &AllBlocked, child_signal: &ChildSignal) -> Result<Outcome, Error> {
    let plan = plan(config, blocked, child_signal)?;

    adopt_orphans(plan.adoption)?;
    (plan.tell)(&News::Adopting(plan.adoption));
    let early = plan.parent_death.map(watch_parent).transpose()?.flatten();
    let report = plan.report.as_ref().map(|to| Report::prepare(to, &plan)).transpose()?;
    let supervisor = Supervisor::new(&plan);
    give_up_terminal(plan.group);
    // What the terminal has sent the group by now, the program is too late for.
    let missed = if plan.group == Group::Shared { signals::pending() } else { SignalSet::EMPTY };
    let program = spawn(&plan)?;
    (plan.tell)(&News::Started(program, &plan));
    if !plan.embedded {
        let_go_of_what_is_the_programs();
    }
    let outcome = supervisor.supervise(program, early, missed);
    if let Some(report) = report {
        report.write(program, &outcome);
    }
    Ok(outcome)
}

/// Stays behind as the init of a child that goes on as this process; the child gets `None`, at once.
pub fn become_init() -> Result<Option<Outcome>, Error> {
    if !process::has_one_thread() {
        return Err(Error::SeveralThreads);
    }
    let (blocked, child_signal) = (AllBlocked::new(), ChildSignal::new());
    let plan = plan(Config::default(), &blocked, &child_signal)?;
    let supervisor = Supervisor::new(&plan);
    match process::fork().map_err(|errno| Error::step("start a process", errno))? {
        Forked::Child => {
            for step in steps(&plan)? {
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
        Forked::Parent { child } => {
            let_go_of_what_is_the_programs();
            let outcome = supervisor.supervise(child, None, SignalSet::EMPTY);
            // Nothing is put back: a signal that comes now would end this process before the status is told.
            std::mem::forget((blocked, child_signal));
            Ok(Some(outcome))
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
    plan(config, &AllBlocked::new(), &ChildSignal::new())
}

fn plan(config: Config, blocked: &AllBlocked, child_signal: &ChildSignal) -> Result<Plan, Error> {
    config.check().map_err(Error::Contradiction)?;
    let surroundings = Surroundings::read(&config, blocked, child_signal);
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

/// A terminal belongs to one session, so it must be free before the program's can have it.
fn give_up_terminal(group: Group) {
    if let Group::Session { terminal: Some(terminal) } = group
        && let Err(errno) = terminal.give_up()
    {
        warn!("cannot give the terminal up: {errno}; the program does not get it");
    }
}

/// Has the signal sent when the parent dies. A parent that died before counts: then the signal is given back
/// as received.
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
/// A process is born into its parent's session, and is in another only when it leads that. So a parent in
/// another session is one that adopted it. (An adopter in the same session cannot be told from a parent.)
fn is_orphan(parent_at_start: Option<Pid>) -> bool {
    let parent = getppid();
    let Some(parent_at_start) = parent_at_start else { return false };
    let session = getsid(None);
    let leads_session = session == Ok(nix::unistd::getpid());
    parent != parent_at_start || !leads_session && getsid(Some(parent)) != session
}

/// The program's descriptors are the program's: a pipe's reader must see end-of-file when the program closes
/// it, and a directory must be free to be unmounted. Only stderr is kept, for warnings.
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

/// Puts /dev/null in the place of stdin and stdout, and of a stderr that is closed: no descriptor of sexton's
/// is to be taken for one of those.
fn stand_in(null: File) {
    let stderr_is_closed = fcntl(io::stderr(), FcntlArg::F_GETFD) == Err(Errno::EBADF);
    let results =
        [dup2_stdin(&null), dup2_stdout(&null), if stderr_is_closed { dup2_stderr(&null) } else { Ok(()) }];
    for errno in results.into_iter().filter_map(Result::err) {
        warn!("cannot put /dev/null in a standard descriptor's place: {errno}");
    }
    if null.as_raw_fd() <= libc::STDERR_FILENO {
        // It was the first free one, and stays.
        let _ = null.into_raw_fd();
    }
}
