//! [S9]: whatever signals are sent without pause, the program's end is seen, a stop request is acted on and a deadline
//! kept.
//!
//! All of them run in a PID namespace that ends with them, as PID 1 and not: the senders must not outlive the init, or
//! they would send to whoever has its PID then.

use std::time::{Duration, Instant};

use crate::support::{Ending, Init, Mode, Running, Suite, deadline, measured, probe, process};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    for (name, test) in [
        ("the_end_is_seen", the_end_is_seen as fn(Mode)),
        ("the_end_is_seen_with_deliver_group", the_end_is_seen_with_deliver_group),
        ("the_end_is_seen_with_deliver_tree", the_end_is_seen_with_deliver_tree),
        ("the_end_is_seen_among_sigchlds", the_end_is_seen_among_sigchlds),
        ("the_end_is_seen_among_real_time_signals", the_end_is_seen_among_real_time_signals),
        ("kill_after_is_kept", kill_after_is_kept),
        ("a_timeout_is_kept", timeout_is_kept),
        ("a_real_time_stop_signal_is_acted_on", real_time_stop_signal),
        ("a_real_time_stop_signal_is_acted_on_in_a_storm", real_time_stop_signal_in_a_storm),
    ] {
        suite.alone_in_modes(&format!("floods::s9_{name}"), reaping, test);
    }
    let modes = &[Mode::Child, Mode::Subreaper, Mode::Pid1];
    suite.in_modes("floods::s9_what_cannot_be_passed_on_takes_no_memory", modes, no_memory_for_a_queue);
}

/// Those that the kernel hands out before SIGTERM and SIGCHLD.
const LOW: &[i32] = &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16];

/// RTMIN+3, which the flood's program does not ignore.
const RTMIN_3: i32 = 37;

/// What is promised is 100 ms. This is for a debug build on a busy machine; without fairness it takes many seconds.
const LATE: Duration = Duration::from_millis(500);

/// When a test gives up waiting for an end.
const NEVER: Duration = Duration::from_secs(12);

/// A program that two children of its own send these signals to, through the init, and others that sleep.
///
/// The more processes a signal goes to, the longer that takes, and the more signals come meanwhile. A subreaper looks for
/// each process of the tree in /proc, so fewer will do there; but one signal alone has to take as long as the others
/// together.
fn flood(mode: Mode, delivery: &str, options: &[&str], signals: &[i32]) -> Running {
    let sleepers = match signals {
        _ if delivery == "group" || mode.is_pid1() => 500,
        [_] => 200,
        _ => 50,
    };
    let words = [2, sleepers].into_iter().chain(signals.iter().copied()).map(|number| number.to_string());
    // What it tells takes time, too.
    let init = Init::new(mode).contained(600).options(["-v"]).world("open=2:w:keep:/dev/null");
    let init = init.options(["--deliver", delivery, "--leftovers", "kill"]).options(options);
    let mut running = init.program(probe("flood")).args(words).spawn();
    running.ready();
    running
}

/// How long the init takes from `start` to its end.
fn end(mut running: Running, start: Instant, ending: Ending) -> Duration {
    let Some(ended) = running.try_wait_for(NEVER) else { return start.elapsed() };
    let took = start.elapsed();
    assert_eq!(ended, ending);
    running.finish().assert_nothing_survives();
    took
}

/// Measures until three of five times were within the limit, and returns the longest of them. A stall of the machine hits
/// one or two; without fairness chance decides, and one may well be short.
#[track_caller]
fn mostly_within(limit: Duration, mut measure: impl FnMut() -> Duration) -> Duration {
    let mut all = Vec::new();
    loop {
        all.push(measure());
        let (in_time, late): (Vec<_>, Vec<_>) = all.iter().partition(|took| **took <= limit);
        assert!(late.len() < 3, "three times not within {limit:?}: {all:?}");
        if in_time.len() == 3 {
            return in_time.into_iter().max().expect("there are three");
        }
    }
}

/// The program exits, and the init kills what it leaves and ends.
fn expect_end(mode: Mode, delivery: &str, signals: &[i32]) {
    let took = mostly_within(LATE, || {
        let mut running = flood(mode, delivery, &[], signals);
        running.write_line("end");
        let bye = running.next_line();
        assert_eq!(bye.text, "bye");
        end(running, bye.at, Ending::Exited(7))
    });
    measured(&format!("flood, --deliver {delivery}, as {}: the end takes {took:?}", mode.name()));
}

fn the_end_is_seen(mode: Mode) {
    expect_end(mode, "program", LOW);
}

fn the_end_is_seen_with_deliver_group(mode: Mode) {
    expect_end(mode, "group", LOW);
}

fn the_end_is_seen_with_deliver_tree(mode: Mode) {
    expect_end(mode, "tree", LOW);
}

/// One that a process sends takes the place of the kernel's: only one is kept.
fn the_end_is_seen_among_sigchlds(mode: Mode) {
    expect_end(mode, "tree", &[17]);
}

fn the_end_is_seen_among_real_time_signals(mode: Mode) {
    expect_end(mode, "tree", &[34, 35, 36, 38, 50, 64]);
}

/// `at_least` is when the end is due.
fn expect_end_after(mode: Mode, at_least: Duration, mut run: impl FnMut() -> Duration) {
    let took = mostly_within(at_least + LATE, || {
        let took = run();
        assert!(took >= at_least, "too early: {took:?}");
        took
    });
    measured(&format!("flood as {}: what is due after {at_least:?} takes {took:?}", mode.name()));
}

/// The program ignores SIGTERM.
fn kill_after_is_kept(mode: Mode) {
    expect_end_after(mode, Duration::from_secs(1), || {
        let running = flood(mode, "tree", &["-k", "1s"], LOW);
        let start = Instant::now();
        running.signal(15);
        end(running, start, Ending::Exited(137))
    });
}

fn timeout_is_kept(mode: Mode) {
    expect_end_after(mode, Duration::from_secs(2), || {
        let start = Instant::now();
        let running = flood(mode, "tree", &["--timeout", "1s", "-k", "1s"], LOW);
        end(running, start, Ending::Exited(124))
    });
}

fn real_time_stop_signal(mode: Mode) {
    expect_end_after(mode, Duration::ZERO, || {
        let running = flood(mode, "tree", &["--stop-signal", "RTMIN+3"], LOW);
        let start = Instant::now();
        running.signal(RTMIN_3);
        end(running, start, Ending::Exited(128 + RTMIN_3))
    });
}

/// SIGCHLD comes again and again, and the kernel hands it out first.
fn real_time_stop_signal_in_a_storm(mode: Mode) {
    expect_end_after(mode, Duration::ZERO, || {
        let orphans = probe("make_orphans");
        let storm = format!("{} {} &", orphans.display(), u32::MAX);
        let init =
            Init::new(mode).contained(5_000).options(["--stop-signal", "RTMIN+3", "--leftovers", "kill"]);
        let mut running =
            init.shell(&format!("{storm} {storm} {storm} echo ready $$; exec sleep 1000")).spawn();
        running.ready();
        let start = Instant::now();
        running.signal(RTMIN_3);
        end(running, start, Ending::Exited(128 + RTMIN_3))
    });
}

/// For three seconds the program queues signals for the init, which come back to the program and find no room.
///
/// As root the test gives it a user of its own, because what is queued is counted for each user.
fn no_memory_for_a_queue(mode: Mode) {
    let mut init = Init::new(mode).world("limit=sigpending:10000:20000");
    if nix::unistd::geteuid().is_root() {
        init = init.user(1_000_000 + 4 * std::process::id() + mode as u32);
    }
    let mut running = init.program(probe("queue_signals")).args(["3"]).spawn();
    running.ready();
    process::wait_until_idle(running.pid);
    let memory = |running: &Running| process::anonymous_kib(running.pid).expect("it is the test's to read");
    let before = memory(&running);
    running.write_line("go");
    running.signal(15);
    let mut most = before;
    while !running.stdout.text_until(Duration::from_millis(20), |text| text.contains("sent ")) {
        most = most.max(memory(&running));
    }
    most = most.max(memory(&running));
    assert_eq!(running.next_line().text, "term", "it passes the queue");
    let sent = running.next_line().text.strip_prefix("sent ").and_then(|count| count.parse::<u64>().ok());
    let sent = sent.expect("the program says how many were accepted");
    assert!(sent >= 1_000, "only {sent} were sent");
    let growth = format!("memory: {before} KiB before, {most} KiB with {sent} signals sent in vain");
    assert!(most - before <= 1024, "{growth}");
    measured(&growth);
    let received = running.stdout.line(3, deadline()).map(|line| line.text);
    assert_eq!(received, Some(format!("received {sent}")));
    assert_eq!(running.wait(), Ending::Exited(0));
}
