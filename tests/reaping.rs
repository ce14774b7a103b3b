//! [R]: orphans are reaped, however many there are, and waiting costs nothing.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::raw::{self, Payload};
use crate::support::{
    Ending, Init, Mode, Running, Suite, TemporaryDirectory, deadline, find_program, measured, poll, probe,
    process, sexton_only, skip, under_test, within,
};

pub(crate) fn tests(suite: &mut Suite) {
    let pid1 = &[Mode::Pid1, Mode::Pid1InUserNamespace];
    let reaping = &[Mode::Subreaper, Mode::Pid1, Mode::Pid1InUserNamespace];
    suite.in_modes("reaping::r1_orphans_are_reaped", reaping, orphans_are_reaped);
    suite.in_modes("reaping::r1_orphan_that_outlives_its_parents", reaping, long_lived_orphan);
    suite.in_modes("reaping::r1_coalesced_sigchlds", reaping, coalesced_sigchlds);
    suite.in_modes("reaping::r1_orphans_with_sigchld_ignored", reaping, orphans_with_sigchld_ignored);
    suite.test("reaping::r1_subreaper_is_on_by_default", subreaper_is_on_by_default);
    suite.test("reaping::r1_no_subreaper_adopts_nothing", no_subreaper_adopts_nothing);
    suite.in_modes("reaping::r1_subreaper_option_is_harmless", pid1, subreaper_option_is_harmless);
    suite.alone_in_modes("reaping::r2_storm_of_20000_orphans", Mode::REAPING, storm);
    suite.alone_in_modes("reaping::r2_signal_latency_in_a_storm", Mode::REAPING, latency_in_a_storm);
    suite.in_modes("reaping::r3_idle_costs_nothing", Mode::REAPING, idle_costs_nothing);
    suite.in_modes("reaping::r4_warning_names_the_orphan", Mode::REAPING, warning_names_the_orphan);
    suite.alone_in_modes("reaping::r4_pid_name_and_status_belong_together", Mode::REAPING, exact_warnings);
    suite.test("reaping::r4_no_name_is_taken_from_a_foreign_proc", foreign_proc);
}

/// The init's children: the program, orphans, and zombies.
fn children_of(running: &Running) -> Vec<process::Process> {
    process::children(running.pid)
}

/// Waits until the init's only child is the program, alive.
fn only_the_program_is_left(running: &Running, program: i32) {
    let start = Instant::now();
    loop {
        let children = children_of(running);
        if children.iter().all(|child| child.pid == program && !child.is_zombie()) && !children.is_empty() {
            return;
        }
        let zombies = children.iter().filter(|child| child.is_zombie()).count();
        assert!(start.elapsed() < deadline(), "{} children are left, {zombies} zombies", children.len());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs make_orphans, and then print_signals in the same shell. Returns when the first is done and the second ready.
fn orphans_beside_a_program(init: Init, count: u32) -> (Running, i32) {
    let (orphans, program) = (probe("make_orphans"), probe("print_signals"));
    let script = format!("{} {count} && exec {} --keep", orphans.display(), program.display());
    let mut running = init.shell(&script).spawn();
    assert_eq!(running.next_line().text, format!("done {count}"));
    let inner = running.ready();
    let program = running.program_pid(inner);
    (running, program)
}

fn orphans_are_reaped(mode: Mode) {
    let (running, program) = orphans_beside_a_program(Init::new(mode), 50);
    only_the_program_is_left(&running, program);
}

fn orphans_with_sigchld_ignored(mode: Mode) {
    let (mut running, program) = orphans_beside_a_program(Init::new(mode).ignore([17]), 50);
    only_the_program_is_left(&running, program);
    running.signal(9);
    running.wait();
}

/// The orphan is adopted while it is alive, and dies when the test says so.
fn long_lived_orphan(mode: Mode) {
    let script = "exec 3<&0; (sh -c 'echo orphan; read line; exit 3' <&3 &); exec sleep 1000";
    let mut running = Init::new(mode).shell(script).spawn();
    assert_eq!(running.next_line().text, "orphan");
    let named = |name: &str| children_of(&running).into_iter().find(|child| child.name == name);
    let program = poll("the program is sleep", || named("sleep"));
    let orphan = poll("the init adopts the orphan", || named("sh"));
    running.write_line("die");
    poll("the orphan is reaped", || process::Process::find(orphan.pid).is_none().then_some(()));
    only_the_program_is_left(&running, program.pid);
}

/// 200 orphans die while the init is stopped: their SIGCHLDs become one.
fn coalesced_sigchlds(mode: Mode) {
    let (orphans, program) = (probe("make_orphans"), probe("print_signals"));
    let script = format!("read line; {} 200 && exec {} --keep", orphans.display(), program.display());
    let mut running = Init::new(mode).shell(&format!("echo started; {script}")).spawn();
    assert_eq!(running.next_line().text, "started");
    running.signal(19);
    let state = |state| move |process: process::Process| (process.state == state).then_some(());
    poll("the init is stopped", || process::Process::find(running.pid).and_then(state('T')));
    running.write_line("go");
    assert_eq!(running.next_line().text, "done 200");
    let inner = running.ready();
    let zombies = || children_of(&running).iter().filter(|child| child.is_zombie()).count();
    poll("all orphans are zombies, while the init is stopped", || (zombies() == 200).then_some(()));
    running.signal(18);
    let program = running.program_pid(inner);
    only_the_program_is_left(&running, program);
}

/// The PID of the process that adopts an orphan, and that of the init.
fn adopter_of_an_orphan(init: Init) -> (i32, i32) {
    let script = "exec 3<&0; (sh -c 'read line; exit 0' <&3 &); exec sleep 1000";
    let running = init.shell(script).spawn();
    poll("the program is sleep, and one shell is left: the orphan", || {
        let all = process::all().into_iter();
        let ours: Vec<_> = all.filter(|process| process.session == running.pid).collect();
        ours.iter().find(|process| process.name == "sleep")?;
        let shells: Vec<_> = ours.iter().filter(|process| process.name == "sh").collect();
        let [orphan] = shells[..] else { return None };
        Some((orphan.parent, running.pid))
    })
}

fn subreaper_is_on_by_default() {
    let (parent, init) = adopter_of_an_orphan(Init::new(Mode::Subreaper));
    assert_eq!(parent, init, "the init adopts its orphans");
}

fn no_subreaper_adopts_nothing() {
    crate::support::sexton_only();
    let (parent, init) = adopter_of_an_orphan(Init::new(Mode::Child));
    assert_ne!(parent, init);
    assert_eq!(parent, std::process::id().cast_signed(), "the test is the next subreaper");
}

fn subreaper_option_is_harmless(mode: Mode) {
    for option in ["-s", "--subreaper", "--no-subreaper"] {
        let (running, program) = orphans_beside_a_program(Init::new(mode).options([option]), 20);
        only_the_program_is_left(&running, program);
    }
}

const STORM: u32 = 20_000;

/// More orphans than a test has time to make.
const ENDLESS: u32 = u32::MAX;

/// A shell that warms up, waits for a line, starts the storm, and becomes print_signals.
fn storm_below_a_program(mode: Mode, size: u32) -> Running {
    let (orphans, program) = (probe("make_orphans"), probe("print_signals"));
    let (orphans, program) = (orphans.display(), program.display());
    let script = format!("{orphans} 2000; read line; {orphans} {size} & exec {program} --keep");
    let mut running = Init::new(mode).shell(&script).spawn();
    assert_eq!(running.next_line().text, "done 2000");
    running
}

fn storm(mode: Mode) {
    let mut running = storm_below_a_program(mode, STORM);
    poll("the warm-up is over", || (children_of(&running).len() == 1).then_some(()));
    let memory = |running: &Running| process::anonymous_kib(running.pid).expect("the test may read it");
    let before = memory(&running);
    running.write_line("go");
    let inner = running.ready();
    let program = running.program_pid(inner);
    let done = format!("done {STORM}\n");
    let ended = running.stdout.text_until(deadline(), |text| text.contains(&done));
    assert!(ended, "the storm is not over");
    only_the_program_is_left(&running, program);
    let after = memory(&running);
    assert!(after - before <= 64, "memory: {before} KiB before, {after} KiB after");
    measured(&format!("{STORM} orphans as {}: {before} KiB before, {after} KiB after", mode.name()));
    let finished = Init::new(mode).shell("exit 5").run();
    assert_eq!(finished.ending, Ending::Exited(5));
}

fn latency_in_a_storm(mode: Mode) {
    // What sexton promises under a flood of signals. A stall of the machine spoils some samples, but not their median.
    let promised = Duration::from_millis(100);
    let median = within(Duration::from_millis(10), promised, || median_latency_in_a_storm(mode));
    measured(&format!("signal in a storm as {}: median {median:?} of {SAMPLES}", mode.name()));
}

const SAMPLES: usize = 50;

fn median_latency_in_a_storm(mode: Mode) -> Duration {
    let mut running = storm_below_a_program(mode, ENDLESS);
    running.write_line("go");
    let inner = running.ready();
    let program = running.program_pid(inner);
    let mut latencies = [(); SAMPLES].map(|()| {
        let sent = Instant::now();
        running.queue(36, Payload { value: 0, pid: 1, uid: 0 });
        let received = running.received();
        assert_eq!(received.number, 36, "not SIGCHLD: the storm must go on");
        // Spreads the samples over the storm; nothing depends on it.
        std::thread::sleep(Duration::from_millis(5));
        received.at - sent
    });
    let source = process::children(program)[0].pid;
    raw::kill(source, 9).expect("cannot end the storm");
    only_the_program_is_left(&running, program);
    latencies.sort();
    latencies[SAMPLES / 2]
}

/// Measures for five seconds, once the start has settled.
fn idle_costs_nothing(mode: Mode) {
    let mut running = Init::new(mode).program(probe("ignore_sigterm")).spawn();
    running.ready();
    let switches = |running: &Running| process::context_switches(running.pid).expect("the init runs");
    process::wait_until_idle(running.pid);
    let before = switches(&running);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(switches(&running) - before, 0, "context switches in 5 s");
}

/// The inner sexton's program is PID 2, but in /proc PID 2 is the outer sexton's program, a shell.
fn foreign_proc() {
    sexton_only();
    let unshare = find_program("unshare").unwrap_or_else(|| skip("needs unshare"));
    let script = format!("{} --pid --fork {} -v true; :", unshare.display(), under_test().path().display());
    let finished = Init::new(Mode::Pid1).shell(&script).run();
    assert_eq!(finished.stderr.lines().next(), Some("sexton[1]: info: started 2"), "{}", finished.stderr);
}

fn warning_names_the_orphan(mode: Mode) {
    for option in ["-w", "--warn-on-reap"] {
        // The shell that exits with 7 first stops itself, until the test sees that the init has adopted it.
        let script = "(sh -c 'echo orphan $$; kill -STOP $$; exit 7' &) ; exec sleep 1000";
        let mut running = Init::new(mode).options([option, "--log-format", "json"]).shell(script).spawn();
        let inner = running.next_line().text.split(' ').nth(1).map(str::to_owned);
        let inner = inner.expect("the orphan prints its PID");
        let stopped = |child: &process::Process| child.name == "sh" && child.state == 'T';
        let orphan = poll("a stopped orphan", || children_of(&running).into_iter().find(stopped));
        raw::kill(orphan.pid, 18).expect("cannot continue the orphan");
        let told = running.stderr.text_until(deadline(), |text| {
            text.lines().any(|line| {
                let entry: Value = serde_json::from_str(line).unwrap_or_default();
                let message = entry["message"].as_str().unwrap_or_default();
                let words: Vec<&str> = message.split(|letter: char| !letter.is_alphanumeric()).collect();
                let all = [inner.as_str(), "sh", "7"].iter().all(|word| words.contains(word));
                all && entry["level"].as_str().is_some_and(|level| level.eq_ignore_ascii_case("warn"))
            })
        });
        assert!(told, "no warning names {inner}, sh and 7");
    }
}

/// Orphans of three makers die while others are looked at. Each is told of once, with what is its own. (In a PID namespace
/// of their own no PID comes twice.)
fn exact_warnings(mode: Mode) {
    const EACH: usize = 3_000;
    let directory = TemporaryDirectory::new();
    let told = directory.join("told");
    let maker = format!("{} --named {EACH}", probe("make_orphans").display());
    let script =
        format!("{maker} & {maker} & {maker} & wait; exec {} --keep", probe("print_signals").display());
    // Into a file, because a pipe may be full.
    let init =
        Init::new(mode).contained(2_000).options(["-w"]).world(format!("open=2:w:keep:{}", told.display()));
    let mut running = init.shell(&script).spawn();
    let inner = running.ready();
    only_the_program_is_left(&running, running.program_pid(inner));
    let told = fs::read_to_string(&told).expect("the init has written to it");
    let (mut pids, mut wrong) = (BTreeSet::new(), Vec::new());
    for line in told.lines() {
        let (_, message) = line.split_once("]: ").unwrap_or_default();
        let words: Vec<&str> = message.split(|letter: char| !letter.is_alphanumeric()).collect();
        let numbers: Vec<u32> = words.iter().filter_map(|word| word.parse().ok()).collect();
        let is_right = matches!(numbers[..], [pid, status] if status == pid % 251
            && words.contains(&&*format!("o{pid}")) && pids.insert(pid));
        if !is_right {
            wrong.push(line);
        }
    }
    let count = wrong.len();
    wrong.truncate(5);
    assert_eq!(count, 0, "of {} lines, among them {wrong:#?}", told.lines().count());
    assert_eq!(pids.len(), 3 * EACH, "each orphan is named");
}
