//! [P7]: an exec that hangs hangs nothing else; and [S4]: what comes meanwhile is not lost.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::raw::{self, Payload};
use crate::support::{
    Ending, Finished, HeldCall, HeldExec, Init, Mode, Running, Suite, TemporaryDirectory, hold, probe,
    process, sexton_only, try_poll, under_test,
};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.in_modes("exec_hang::p7_timeout", MODES, timeout);
    suite.in_modes("exec_hang::p7_kill_after_the_timeout", MODES, kill_after_the_timeout);
    suite.in_modes("exec_hang::p7_sigterm_ends_it", MODES, sigterm_ends_it);
    suite.in_modes("exec_hang::p7_kill_after_sigterm", MODES, kill_after_sigterm);
    suite.in_modes("exec_hang::p7_orphans_are_reaped", reaping, orphans_are_reaped);
    suite.in_modes("exec_hang::s4_sent_meanwhile_reaches_it", MODES, sent_meanwhile);
    suite.in_modes("exec_hang::s4_sent_before_the_shell_runs_it", MODES, sent_before_the_shell_runs_it);
    suite.in_modes("exec_hang::s4_sent_before_the_group_is_there", MODES, sent_before_the_group_is_there);
    suite.in_modes("exec_hang::t3_the_program_finds_the_same_world", MODES, same_world);
    suite.in_modes("exec_hang::t2_streams_and_directory_are_the_programs", MODES, streams);
    suite.in_modes("exec_hang::p2_failures_are_explained_the_same", MODES, same_explanations);
    suite.in_modes("exec_hang::p2_refused", MODES, refused);
}

const MODES: &[Mode] = &[Mode::Child, Mode::Subreaper, Mode::Pid1];

/// How much later than due an end may come. An init that waits for the exec waits for ever.
const LATE: Duration = Duration::from_secs(3);

const RTMIN_1: i32 = 35;

/// When a test gives up waiting for an end.
const NEVER: Duration = Duration::from_secs(10);

/// A file whose exec hangs, and the directory that it is in.
struct Slow {
    held: HeldExec,
    file: PathBuf,
    _directory: TemporaryDirectory,
}

impl Slow {
    /// A copy of one of the examples.
    fn probe(name: &str) -> Slow {
        let directory = TemporaryDirectory::new();
        let file = directory.copy(probe(name), name);
        Slow { held: HeldExec::of(&file), file, _directory: directory }
    }
}

/// Starts the init with a program whose exec hangs, and waits until it does.
fn hanging(slow: &mut Slow, init: Init) -> Running {
    let running = init.program(&slow.file).spawn();
    let child = slow.held.wait();
    assert_eq!(process::Process::find(child).map(|child| child.parent), Some(running.pid));
    running
}

fn expect_end(mut running: Running, start: Instant, due: Duration, code: i32) {
    let ending = running.try_wait_for(NEVER);
    let took = start.elapsed();
    assert_eq!(ending, Some(Ending::Exited(code)), "after {took:?}");
    assert!((due..due + LATE).contains(&took), "due after {due:?}, but after {took:?}");
}

/// Every signal blocked: the program inherits that, and what ends it is SIGKILL.
fn blocked(mode: Mode) -> Init {
    Init::new(mode).mask(u64::MAX)
}

fn timeout(mode: Mode) {
    let mut slow = Slow::probe("print_signals");
    let start = Instant::now();
    let running = hanging(&mut slow, Init::new(mode).options(["--timeout", "1s", "-k", "1s"]));
    expect_end(running, start, Duration::from_secs(1), 124);
}

fn kill_after_the_timeout(mode: Mode) {
    let mut slow = Slow::probe("print_signals");
    let start = Instant::now();
    let running = hanging(&mut slow, blocked(mode).options(["--timeout", "1s", "-k", "1s"]));
    expect_end(running, start, Duration::from_secs(2), 124);
}

fn sigterm_ends_it(mode: Mode) {
    for options in [&[][..], &["--deliver", "group"], &["--deliver", "tree"]] {
        let mut slow = Slow::probe("print_signals");
        let running = hanging(&mut slow, Init::new(mode).contained(20).options(options));
        let start = Instant::now();
        running.signal(15);
        expect_end(running, start, Duration::ZERO, 143);
    }
}

fn kill_after_sigterm(mode: Mode) {
    let mut slow = Slow::probe("print_signals");
    let running = hanging(&mut slow, blocked(mode).options(["-k", "1s"]));
    let start = Instant::now();
    running.signal(15);
    expect_end(running, start, Duration::from_secs(1), 137);
}

/// The orphans are a sibling's of the program: the init has a child from before its start.
fn orphans_are_reaped(mode: Mode) {
    const BEFORE: &str = "exec 3<&0; { read line; exec $ORPHANS 200; } <&3 3<&- & exec 3<&-; exec \"$@\"";
    let shell = ["/bin/sh", "-c", BEFORE, "sh"].map(OsString::from);
    let mut slow = Slow::probe("print_signals");
    let init = Init::new(mode).env("ORPHANS", probe("make_orphans"));
    let mut running = hanging(&mut slow, init.instead(shell.iter().chain(&under_test().words)));
    running.write_line("go");
    assert_eq!(running.next_line().text, "done 200");
    let others = |running: &Running| process::children(running.pid).len() - 1;
    let reaped = try_poll(NEVER, || (others(&running) == 0).then_some(()));
    assert!(reaped.is_some(), "{} children besides the program", others(&running));
    slow.held.allow();
    running.ready();
    running.signal(15);
    assert_eq!(running.received().number, 15);
    assert_eq!(running.wait(), Ending::Exited(0));
}

fn sent_meanwhile(mode: Mode) {
    let mut slow = Slow::probe("print_signals");
    let running = hanging(&mut slow, blocked(mode));
    expect_all(running, slow.held);
}

/// The first exec fails and the shell's is the next: another process may be the program then.
fn sent_before_the_shell_runs_it(mode: Mode) {
    sexton_only();
    let directory = TemporaryDirectory::new();
    let file = directory.script("text", &format!("exec {}\n", probe("print_signals").display()));
    let mut slow = Slow { held: HeldExec::of(&file), file, _directory: directory };
    let running = hanging(&mut slow, blocked(mode));
    expect_all(running, slow.held);
}

/// The program is late to lead its group. They are pending when the init starts, so they are the first that it passes on.
fn sent_before_the_group_is_there(mode: Mode) {
    let signals = [1, 10, 12, 17, 64];
    let init = blocked(mode).options(["-g"]).pending(signals).world(hold());
    let mut running = init.program(probe("print_signals")).spawn();
    let held = HeldCall::setpgid(&running);
    held.wait_or(|| !running.stdout.bytes().is_empty());
    process::settle(running.pid);
    drop(held);
    running.ready();
    let mut missing = BTreeSet::from(signals);
    while !missing.is_empty() {
        let received = running.received_within(NEVER);
        let received = received.unwrap_or_else(|| panic!("missing: {missing:?}"));
        missing.remove(&received.number);
    }
}

/// Sends signals while the exec hangs, lets it go, and looks for them.
fn expect_all(mut running: Running, held: HeldExec) {
    const QUEUED: u64 = 50;
    let mut missing = BTreeSet::from([1, 10, 12, 17, 64]);
    missing.iter().for_each(|signal| running.signal(*signal));
    for value in 0..QUEUED {
        running.queue(RTMIN_1, Payload { value, pid: 1, uid: 0 });
    }
    process::settle(running.pid);
    held.allow();
    running.ready();
    let mut next = 0;
    while next < QUEUED || !missing.is_empty() {
        let received = running.received_within(NEVER);
        let received =
            received.unwrap_or_else(|| panic!("missing: {missing:?}, and queued ones from {next}"));
        if received.number == RTMIN_1 {
            assert_eq!(received.value, next);
            next += 1;
        } else {
            assert!(missing.remove(&received.number), "unexpected: {received:?}");
        }
    }
    running.signal(15);
    assert_eq!(running.wait(), Ending::Exited(0));
}

/// Runs it as it is, and with an exec that hangs for a while: what comes of it must be the same, but for the init's PID.
fn same_with_a_hang(file: &Path, init: impl Fn() -> Init) -> Finished {
    let seen = |finished: &Finished| {
        let told = finished.stderr.lines().map(|line| line.split_once("]: ").map_or(line, |(_, text)| text));
        (finished.ending, finished.stdout.clone(), told.map(str::to_owned).collect::<Vec<_>>())
    };
    let plain = init().run();
    let mut held = HeldExec::of(file);
    let running = init().spawn();
    held.wait();
    process::settle(running.pid);
    held.allow();
    let finished = running.finish();
    assert_eq!(seen(&finished), seen(&plain), "with a hang, and without");
    finished
}

fn same_world(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let file = directory.copy(probe("show_world"), "show_world");
    let init = || {
        let init =
            Init::new(mode).mask(raw::bit(10) | raw::bit(40)).ignore([13, 17]).directory(directory.path());
        init.world("umask=27")
            .world("open=7:r:keep:/etc/passwd")
            .env("A", "b")
            .program(&file)
            .args(["one", "two"])
    };
    let world = |finished: &Finished| {
        let mut world = finished.world();
        for changes in ["pid", "ppid", "process_group", "session"] {
            world[changes].take();
        }
        for descriptor in world["descriptors"].as_array_mut().expect("a list") {
            let target = descriptor["target"].as_str().unwrap_or_default();
            descriptor["target"] = target.split(':').next().unwrap_or_default().into();
        }
        world
    };
    let plain = world(&init().run());
    let mut held = HeldExec::of(&file);
    let running = init().spawn();
    held.wait();
    process::settle(running.pid);
    held.allow();
    assert_eq!(world(&running.finish()), plain, "with a hang, and without");
}

/// The init lets go of stdin and stdout and goes to the root while the program does not have them yet.
fn streams(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let script = "#!/bin/sh\nread -r line\necho \"$line\"\npwd\necho error >&2\nexit 3\n";
    let file = directory.script("script", script);
    let mut held = HeldExec::of(&file);
    let mut running = Init::new(mode).directory(directory.path()).program("./script").spawn();
    held.wait();
    process::settle(running.pid);
    running.write_line("a line");
    held.allow();
    let finished = running.finish();
    assert_eq!(finished.stdout, format!("a line\n{}\n", directory.path().display()));
    assert_eq!((finished.ending, finished.stderr.as_str()), (Ending::Exited(3), "error\n"));
}

/// What is said of a file is looked up from where the program would have been.
fn same_explanations(mode: Mode) {
    sexton_only();
    let directory = TemporaryDirectory::new();
    fs::create_dir(directory.join("sub")).expect("cannot make a directory");
    let broken = directory.script("sub/broken", "#!../nowhere/at/all\n");
    let foreign =
        directory.executable("sub/foreign", &fs::read("/proc/self/exe").map(foreign).expect("it is there"));
    let text = directory.script("sub/text", "echo \"$0 $1 in $PWD\"; exit 5\n");
    let below = |program: &str| Init::new(mode).directory(directory.path()).program(program);
    let beside = |program: &str| below(program).options(["-C", "sub"]);
    let in_path = |program: &str| beside(program).env("PATH", "/nowhere:../sub:/bin");
    for (file, program, code) in [(&broken, "broken", 126), (&foreign, "foreign", 126), (&text, "text", 5)] {
        let (inside, outside) = (format!("./{program}"), format!("sub/{program}"));
        for init in [&(|| below(&outside)) as &dyn Fn() -> Init, &|| beside(&inside), &|| in_path(program)] {
            let finished = same_with_a_hang(file, init);
            assert_eq!(finished.ending, Ending::Exited(code), "{program}");
            assert_eq!(finished.stderr.lines().count(), usize::from(code == 126), "{program}");
        }
    }
}

/// A program for another machine: the number of that in its ELF header (`e_machine`).
fn foreign(mut program: Vec<u8>) -> Vec<u8> {
    program.truncate(4096);
    program[18..20].copy_from_slice(&12345_u16.to_le_bytes());
    program
}

/// The exec fails after all, with EPERM.
fn refused(mode: Mode) {
    sexton_only();
    let mut slow = Slow::probe("print_signals");
    let running = hanging(&mut slow, Init::new(mode));
    process::settle(running.pid);
    slow.held.deny();
    let finished = running.finish();
    assert_eq!(finished.ending, Ending::Exited(126));
    let file = slow.file.to_str().expect("it is UTF-8");
    assert!(finished.stderr.contains(file), "{file} is not named: {}", finished.stderr);
}
