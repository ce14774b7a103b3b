//! A hidden mode of the test binary: `behaviour --launch STEP... -- INIT ARGS...`.
//!
//! The tests have threads, so they must not allocate between a fork and an exec. This mode has one thread: it takes
//! the steps in order (see `take`) and becomes the init under test. Through the descriptor [`REPORT`] it tells the
//! test how far it got, one line each: `init PID` (the init's, seen from outside), `awaiting` (signals may be sent),
//! `exec` (everything is set up, exec is next), `error TEXT`, `survivors TEXT` (what the init left behind),
//! `status RAW` (the init's wait status).

use std::ffi::{CString, OsString};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, Gid, Pid, Uid, getppid, setgroups, setresgid, setresuid, setsid};

use super::raw::{self, Disposition};
use super::{containment, held_call, process, try_poll};

/// The launcher's descriptor for the pipe to the test. High, to be out of the way.
pub(crate) const REPORT: i32 = 900;
/// The first argument that asks for this mode.
pub(crate) const LAUNCH: &str = "--launch";
/// The first argument that asks for the mode of `queue_from_inside`.
pub(crate) const QUEUE: &str = "--queue";

type Result<T = ()> = std::result::Result<T, String>;

/// Becomes the init under test, or reports why not and ends.
pub(crate) fn main(words: Vec<OsString>) -> ! {
    let error = launch(words).expect_err("launch returns only when it failed");
    report(&format!("error {error}"));
    std::process::exit(125);
}

fn launch(words: Vec<OsString>) -> Result<std::convert::Infallible> {
    raw::close_range(3, REPORT.cast_unsigned() - 1);
    raw::close_range(REPORT.cast_unsigned() + 1, u32::MAX);
    raw::place_descriptor(REPORT, REPORT, true).map_err(|error| error.to_string())?;
    // Rust's runtime, and whatever started the tests (nohup, a CI runner), may ignore some.
    for signal in (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        raw::set_disposition(signal, Disposition::Default).map_err(|error| error.to_string())?;
    }
    let mut words = words.into_iter();
    for step in words.by_ref().take_while(|word| word != "--") {
        let step = step.to_str().ok_or("a step is not UTF-8")?;
        take(step).map_err(|error| format!("{step}: {error}"))?;
    }
    let words: Vec<CString> =
        words.map(|word| CString::new(word.as_bytes()).expect("an argument holds NUL")).collect();
    report("exec");
    let Err(error) = nix::unistd::execv(&words[0], &words);
    Err(format!("exec {:?}: {error}", words[0]))
}

fn report(line: &str) {
    let mut text = line.to_owned();
    text.push('\n');
    _ = nix::unistd::write(report_descriptor(), text.as_bytes());
}

fn report_descriptor() -> BorrowedFd<'static> {
    raw::borrow(REPORT)
}

/// Takes one step: `NAME` or `NAME=VALUE`.
fn take(step: &str) -> Result {
    let (name, value) = step.split_once('=').unwrap_or((step, ""));
    let number = || value.parse::<i32>().map_err(|error| error.to_string());
    let done: nix::Result<()> = match name {
        "session" => setsid().map(drop),
        "fork" => return fork_and_wait(),
        "cgroup" => {
            let path = PathBuf::from(value);
            // 0 stands for the writer.
            fs::write(path.join("cgroup.procs"), "0").map_err(|error| error.to_string())?;
            _ = CGROUP.set(path);
            Ok(())
        }
        "keeper" => return start_keeper(),
        "linger" => {
            _ = LINGER.set(PathBuf::from(value));
            Ok(())
        }
        "orphan" => return become_orphan(),
        "unshare" => return unshare_namespaces(value),
        "mount" => return change_mounts(value),
        "open" => return open(value),
        "terminal" => return take_terminal(value),
        "full" => raw::fill_pipe(number()?),
        // As some file systems do with RWF_NOWAIT.
        "hesitant-writes" => raw::refuse(libc::SYS_pwritev2, Errno::EAGAIN),
        // As Docker's seccomp profile does.
        "no-unshare" => raw::refuse(libc::SYS_unshare, Errno::EPERM),
        "no-signalfd" => raw::refuse(libc::SYS_signalfd4, Errno::ENOSYS),
        "no-waitid" => raw::refuse(libc::SYS_waitid, Errno::EPERM),
        "no-fcntl" => raw::refuse(libc::SYS_fcntl, Errno::EPERM),
        "no-ppoll" => raw::refuse(libc::SYS_ppoll, Errno::EPERM),
        "umask" => {
            umask(Mode::from_bits_truncate(
                u32::from_str_radix(value, 8).map_err(|error| error.to_string())?,
            ));
            Ok(())
        }
        held_call::HOLD => held_call::install().map(|listener| report(&format!("listener {listener}"))),
        // exec keeps it.
        "subreaper" => raw::become_subreaper(),
        "nice" => raw::set_niceness(number()?),
        "limit" => return limit(value),
        "user" => become_user(number()?.cast_unsigned()),
        "ignore" => raw::set_disposition(number()?, Disposition::Ignore),
        "mask" => raw::set_mask(u64::from_str_radix(value, 16).map_err(|error| error.to_string())?),
        "raise" => raw::kill(std::process::id().cast_signed(), number()?),
        "await" => {
            let signal = number()?;
            report("awaiting");
            while raw::pending().map_err(|error| error.to_string())? & raw::bit(signal) == 0 {
                std::thread::yield_now();
            }
            Ok(())
        }
        "listen-pid" => {
            raw::set_variable("LISTEN_PID", &std::process::id().to_string());
            Ok(())
        }
        "close" => {
            raw::close_descriptor(number()?);
            Ok(())
        }
        _ => return Err("unknown step".into()),
    };
    done.map_err(|error| error.to_string())
}

/// Continues in a child. The parent reports the child's PID, and its wait status when it ends. It holds none of the
/// child's descriptors, and kills the child when the test is gone.
fn fork_and_wait() -> Result {
    // Opened before the fork: the child may hide /dev in the mount namespace that both are in.
    let null =
        OpenOptions::new().read(true).write(true).open("/dev/null").map_err(|error| error.to_string())?;
    let child = match raw::fork_single_threaded().map_err(|error| error.to_string())? {
        ForkResult::Child => return Ok(()),
        ForkResult::Parent { child } => child,
    };
    let null = null.into_raw_fd();
    for standard in 0..3 {
        _ = raw::duplicate(null, standard);
    }
    raw::close_descriptor(null);
    report(&format!("init {child}"));
    let status = wait_or_kill(child).map_err(|error| error.to_string())?;
    if let Some(keeper) = KEEPER.get() {
        if let Some(path) = LINGER.get() {
            try_poll(Duration::from_secs(10), || path.exists().then_some(()));
        }
        report(&format!("survivors {}", survivors()));
        raw::kill(keeper.as_raw(), libc::SIGKILL).map_err(|error| error.to_string())?;
        // The kernel lets go of PID 1 when all others in its namespace are gone.
        raw::wait_raw(*keeper, true).map_err(|error| error.to_string())?;
    }
    report(&format!("status {status}"));
    std::process::exit(0);
}

static CGROUP: OnceLock<PathBuf> = OnceLock::new();
static KEEPER: OnceLock<Pid> = OnceLock::new();
/// What the init leaves behind lives on until there is such a file, for 10 s at most.
static LINGER: OnceLock<PathBuf> = OnceLock::new();

/// Starts a PID 1 for the new PID namespace. It reaps, and everything in the namespace ends with it: this contains an
/// init that is not PID 1.
fn start_keeper() -> Result {
    match raw::fork_single_threaded().map_err(|error| error.to_string())? {
        ForkResult::Parent { child } => {
            KEEPER.set(child).expect("there is one keeper");
            Ok(())
        }
        ForkResult::Child => {
            _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::SIGKILL);
            raw::close_range(0, u32::MAX);
            let every_child = Pid::from_raw(-1);
            let mut wait = nix::sys::signal::SigSet::empty();
            wait.add(nix::sys::signal::SIGCHLD);
            _ = wait.thread_block();
            loop {
                if !matches!(raw::wait_raw(every_child, true), Ok(Some(_))) {
                    _ = wait.wait();
                }
            }
        }
    }
}

/// What is left in the PID namespace besides its keeper. The launcher shares the mount namespace, and so /proc, with
/// the init.
///
/// The cgroup says whether anything is left: a listing of /proc misses a process that forks and exits.
fn survivors() -> String {
    const LAUNCHER_AND_KEEPER: u32 = 2;
    let Some(cgroup) = CGROUP.get() else { return String::new() };
    let none_left = || (containment::count(cgroup)? == LAUNCHER_AND_KEEPER).then_some(());
    if try_poll(Duration::from_millis(50), none_left).is_some() {
        return String::new();
    }
    let others = process::all().into_iter().filter(|process| process.pid != 1 && !process.is_zombie());
    let names: Vec<String> =
        others.take(20).map(|process| format!("{} {}", process.pid, process.name)).collect();
    format!(
        "{} processes, among them {names:?}",
        containment::count(cgroup).unwrap_or(0) - LAUNCHER_AND_KEEPER
    )
}

fn wait_or_kill(child: Pid) -> nix::Result<i32> {
    let ended = raw::open_pidfd(child)?;
    let mut waited = [
        PollFd::new(raw::borrow(ended), PollFlags::POLLIN),
        PollFd::new(report_descriptor(), PollFlags::empty()),
    ];
    while poll(&mut waited, PollTimeout::NONE).is_err() {}
    if waited[0].revents() != Some(PollFlags::POLLIN) {
        raw::kill(child.as_raw(), libc::SIGKILL)?;
    }
    raw::wait_raw(child, true).map(|status| status.expect("a wait that blocks has a status"))
}

/// Continues in a child whose parent is gone before the next step.
fn become_orphan() -> Result {
    let parent = Pid::this();
    match raw::fork_single_threaded().map_err(|error| error.to_string())? {
        ForkResult::Parent { child } => {
            report(&format!("init {child}"));
            std::process::exit(0);
        }
        ForkResult::Child => {
            while getppid() == parent {
                std::thread::yield_now();
            }
            Ok(())
        }
    }
}

fn unshare_namespaces(kinds: &str) -> Result {
    let flags = match kinds {
        "mount" => CloneFlags::CLONE_NEWNS,
        "pid" => CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS,
        "user" => CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUSER,
        _ => return Err("unknown namespace".into()),
    };
    let user = nix::unistd::geteuid();
    unshare(flags).map_err(|error| error.to_string())?;
    if flags.contains(CloneFlags::CLONE_NEWUSER) {
        _ = raw::set_dumpable();
        let write = |file: &str, text: &str| {
            fs::write(format!("/proc/self/{file}"), text).map_err(|error| format!("{file}: {error}"))
        };
        write("setgroups", "deny")?;
        write("uid_map", &format!("0 {user} 1"))?;
        write("gid_map", &format!("0 {} 1", nix::unistd::getegid()))?;
    }
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(|error| error.to_string())
}

fn change_mounts(change: &str) -> Result {
    let none: Option<&str> = None;
    let done = match change {
        "proc" => mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none),
        "no-proc" => umount2("/proc", MntFlags::MNT_DETACH),
        "no-dev" => mount(Some("none"), "/dev", Some("tmpfs"), MsFlags::empty(), none),
        "read-only" => {
            let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
            let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
            mount(Some("/"), "/", none, bind, none)
                .and_then(|()| nix::unistd::chroot("/"))
                .and_then(|()| mount(none, "/", none, read_only, none))
        }
        _ => match change.split_once(':') {
            Some(("noexec", path)) => {
                let noexec = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOEXEC;
                mount(Some(path), path, none, MsFlags::MS_BIND, none)
                    .and_then(|()| mount(none, path, none, noexec, none))
            }
            Some(("tmpfs", path)) => mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), none),
            _ => return Err("unknown mount".into()),
        },
    };
    done.map_err(|error| error.to_string())
}

/// `NUMBER:MODE:FLAG:PATH`, with MODE `r` or `w`, and FLAG `keep` or `cloexec`.
fn open(value: &str) -> Result {
    let mut words = value.splitn(4, ':');
    let mut word = || words.next().ok_or("too few words");
    let (number, mode, flag, path) = (word()?, word()?, word()?, word()?);
    let number = number.parse::<i32>().map_err(|error| error.to_string())?;
    let write = mode == "w";
    let file = OpenOptions::new().read(!write).write(write).create(write).mode(0o666).open(path);
    let file = file.map_err(|error| error.to_string())?.into_raw_fd();
    raw::place_descriptor(file, number, flag == "cloexec").map_err(|error| error.to_string())
}

/// Gets a controlling terminal, by opening it as the leader of a session without one (`tty_open_proc_set_tty` in the
/// kernel), and makes it stdin, stdout and stderr.
fn take_terminal(path: &str) -> Result {
    let terminal = OpenOptions::new().read(true).write(true).open(path).map_err(|error| error.to_string())?;
    let terminal = terminal.into_raw_fd();
    for standard in 0..3 {
        raw::duplicate(terminal, standard).map_err(|error| error.to_string())?;
    }
    raw::close_descriptor(terminal);
    Ok(())
}

/// `RESOURCE:SOFT:HARD`.
fn limit(value: &str) -> Result {
    let mut words = value.split(':');
    let resource = match words.next() {
        Some("nofile") => Resource::RLIMIT_NOFILE,
        Some("core") => Resource::RLIMIT_CORE,
        Some("sigpending") => Resource::RLIMIT_SIGPENDING,
        Some("stack") => Resource::RLIMIT_STACK,
        _ => return Err("unknown resource".into()),
    };
    let mut number = || match words.next() {
        Some("unlimited") => Ok(libc::RLIM_INFINITY),
        Some(word) => word.parse().map_err(|_| "not a number"),
        None => Err("too few words"),
    };
    setrlimit(resource, number()?, number()?).map_err(|error| error.to_string())
}

fn become_user(id: u32) -> nix::Result<()> {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)
}

/// The other hidden mode, `--queue PID SIGNAL COUNT UID`: queues signals from inside the PID namespace of `PID`,
/// where the receiver can see the sender's PID. It prints that PID when all are sent.
pub(crate) fn queue_from_inside(words: &[OsString]) -> ! {
    let numbers: Vec<i32> = words.iter().filter_map(|word| word.to_str()?.parse().ok()).collect();
    let [pid, signal, count, uid] = numbers[..] else { panic!("--queue takes four numbers") };
    let namespace = fs::File::open(format!("/proc/{pid}/ns/pid")).expect("cannot open the PID namespace");
    nix::sched::setns(&namespace, CloneFlags::CLONE_NEWPID).expect("cannot enter the PID namespace");
    match raw::fork_single_threaded().expect("cannot fork") {
        ForkResult::Parent { child } => {
            let status = raw::wait_raw(child, true).expect("cannot wait");
            std::process::exit(i32::from(status != Some(0)));
        }
        ForkResult::Child => {
            let (sender, uid) = (std::process::id().cast_signed(), uid.cast_unsigned());
            for value in 0..count {
                let payload = raw::Payload { value: value.cast_unsigned().into(), pid: sender, uid };
                raw::queue(1, signal, payload).expect("cannot queue a signal");
            }
            println!("{sender}");
            _ = std::io::stdout().flush();
            std::process::exit(0);
        }
    }
}
