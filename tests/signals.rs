//! [S]: every signal reaches the program, with what it carries.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::support::launcher::QUEUE;
use crate::support::raw::{self, Payload};
use crate::support::{Ending, Init, Mode, Running, Suite, deadline, poll, probe, process, try_poll};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.in_modes("signals::s1_all_62_signals_reach_the_program", Mode::ALL, all_62_signals);
    suite.in_modes("signals::s1_all_62_signals_with_all_blocked", reaping, all_62_signals_with_all_blocked);
    suite.in_modes("signals::s2_sent_sigchld_is_forwarded", Mode::ALL, sent_sigchld_is_forwarded);
    suite.in_modes("signals::s2_sigchld_of_the_kernel_is_not", reaping, kernels_sigchld_is_not_forwarded);
    suite.in_modes("signals::s3_500_queued_signals_keep_everything", reaping, queued_signals_keep_everything);
    suite.in_modes("signals::s3_none_of_500_queued_signals_is_lost", reaping, no_queued_signal_is_lost);
    suite.in_modes("signals::s4_pending_at_the_start_reaches_it", reaping, pending_at_the_start);
    suite.in_modes("signals::s4_raised_before_the_start_reaches_it", reaping, raised_before_the_start);
    suite.in_modes("signals::s4_sent_during_the_start_reaches_it", reaping, sent_during_the_start);
    suite.in_modes("signals::s4_pending_at_the_start_reaches_the_group", reaping, pending_for_the_group);
    suite.in_modes("signals::s4_pending_at_the_start_reaches_the_tree", reaping, pending_for_the_tree);
    suite.in_modes("signals::s5_program_alone_by_default", reaping, program_alone_by_default);
    suite.in_modes("signals::s5_group_gets_it_with_deliver_group", reaping, group_gets_it);
    suite.in_modes("signals::s6_rewrite", reaping, rewrite);
    suite.in_modes("signals::s6_rewrite_to_nothing", reaping, rewrite_to_nothing);
    suite.in_modes("signals::s6_rewrites_are_not_chained", reaping, rewrites_are_not_chained);
    suite.in_modes("signals::s7_names_of_signals", &[Mode::Subreaper], names_of_signals);
    suite.in_modes("signals::s8_signals_while_the_program_ends", reaping, signals_while_the_program_ends);
}

/// KILL and STOP cannot be caught.
fn catchable() -> impl Iterator<Item = i32> {
    (1..=64).filter(|signal| ![9, 19].contains(signal))
}

fn print_signals(init: Init) -> Running {
    let mut running = init.program(probe("print_signals")).args(["--keep"]).spawn();
    running.ready();
    running
}

/// Sends the signals one at a time, and waits for each. The message has all that are missing.
fn send_all(mut running: Running) {
    let mut missing = BTreeSet::new();
    for signal in catchable() {
        running.signal(signal);
        // The first missing signal has failed the test: no need to wait as long for others.
        let limit = if missing.is_empty() { deadline() } else { Duration::from_secs(1) };
        if !arrives(&mut running, signal, limit) {
            missing.insert(signal);
            go_on(&running);
        }
        assert!(running.is_running(), "signal {signal} ended the init; not received so far: {missing:?}");
    }
    assert!(missing.is_empty(), "not received: {missing:?}");
}

fn arrives(running: &mut Running, signal: i32, limit: Duration) -> bool {
    while let Some(received) = running.received_within(limit) {
        if received.number == signal {
            return true;
        }
        // From `go_on`, which continued an init that had stopped itself.
        assert_eq!(received.number, 18, "sent {signal}, received {received:?}");
    }
    false
}

/// Continues an init that a signal stopped instead of being forwarded, and its program.
fn go_on(running: &Running) {
    let below = process::descendants(running.pid).into_iter();
    for process in process::Process::find(running.pid).into_iter().chain(below) {
        if process.state == 'T' {
            _ = raw::kill(process.pid, 18);
        }
    }
}

fn all_62_signals(mode: Mode) {
    send_all(print_signals(Init::new(mode)));
}

fn all_62_signals_with_all_blocked(mode: Mode) {
    send_all(print_signals(Init::new(mode).mask(u64::MAX)));
}

fn sent_sigchld_is_forwarded(mode: Mode) {
    let mut running = print_signals(Init::new(mode));
    for _ in 0..3 {
        running.signal(17);
        let received = running.received();
        assert_eq!(received.number, 17);
        assert!(received.code <= 0, "sent by a process, not the kernel: {received:?}");
    }
}

/// Orphans die; the next signal that the program gets is one that is sent after that.
fn kernels_sigchld_is_not_forwarded(mode: Mode) {
    let orphans =
        format!("{} 20 & exec {} --keep", probe("make_orphans").display(), probe("print_signals").display());
    let mut running = Init::new(mode).shell(&orphans).spawn();
    let mut done = false;
    let mut ready = false;
    while !(done && ready) {
        let line = running.next_line().text;
        done |= line.starts_with("done");
        ready |= line.starts_with("ready");
    }
    poll("only the program is left", || (process::children(running.pid).len() == 1).then_some(()));
    running.signal(10);
    loop {
        let received = running.received();
        // The program's own child has ended too, and for that the kernel sends the program SIGCHLD.
        if received.number == 17 {
            assert!(received.code > 0, "a SIGCHLD was passed on: {received:?}");
            continue;
        }
        assert_eq!(received.number, 10);
        return;
    }
}

const COUNT: u64 = 500;
const RTMIN_1: i32 = 35;
/// Made up, so that it is not the init's own.
const SENDERS_USER: u32 = 4242;

fn queued_signals_keep_everything(mode: Mode) {
    let mut running = print_signals(Init::new(mode));
    let (sender, first_value) = if mode.is_pid1() {
        (queue_from_inside(&running), 0)
    } else {
        let pid = std::process::id().cast_signed();
        // More than 32 bits: the whole pointer is kept.
        let first_value = 1 << 40;
        for value in first_value..first_value + COUNT {
            running.queue(RTMIN_1, Payload { value, pid, uid: SENDERS_USER });
        }
        (pid, first_value)
    };
    for value in first_value..first_value + COUNT {
        let received = running.received();
        assert_eq!((received.number, received.code), (RTMIN_1, -1), "{received:?}");
        let payload = Payload { value: received.value, pid: received.pid, uid: received.uid };
        assert_eq!(payload, Payload { value, pid: sender, uid: SENDERS_USER });
    }
}

/// Sends from inside the namespace: from outside, the sender's PID would be 0. Returns the sender's PID.
fn queue_from_inside(running: &Running) -> i32 {
    let test = std::env::current_exe().expect("this program has a path");
    let numbers =
        [running.pid.cast_unsigned().into(), RTMIN_1.cast_unsigned().into(), COUNT, SENDERS_USER.into()];
    let numbers = numbers.map(|number: u64| number.to_string());
    let sent = Command::new(test).arg(QUEUE).args(numbers).output().expect("cannot start the sender");
    assert!(sent.status.success(), "the sender failed: {}", String::from_utf8_lossy(&sent.stderr));
    String::from_utf8_lossy(&sent.stdout).trim().parse().expect("the sender prints its PID")
}

fn no_queued_signal_is_lost(mode: Mode) {
    let mut running = print_signals(Init::new(mode));
    for value in 0..COUNT {
        running.queue(RTMIN_1, Payload { value, pid: 1, uid: 0 });
    }
    for count in 0..COUNT {
        let received = running.received_within(deadline());
        assert_eq!(received.map(|received| received.number), Some(RTMIN_1), "after {count} signals");
    }
}

/// All signals are blocked from before the init's exec, and those pending must reach the program.
fn expect_pending(mode: Mode, init: fn(Init) -> Init) {
    for run in 0..25 {
        let mut running = print_signals(init(Init::new(mode).mask(u64::MAX)));
        let mut missing = BTreeSet::from([10, 17, 34, 64]);
        while !missing.is_empty() {
            let received = running.received_within(deadline());
            let Some(received) = received else { panic!("run {run}: not received: {missing:?}") };
            missing.remove(&received.number);
        }
    }
}

fn pending_at_the_start(mode: Mode) {
    expect_pending(mode, |init| init.pending([10, 17, 34, 64]));
}

/// Whoever sends before the program has its own group sends to nobody.
fn pending_for_the_group(mode: Mode) {
    expect_pending(mode, |init| init.options(["-g"]).pending([10, 17, 34, 64]));
}

fn pending_for_the_tree(mode: Mode) {
    expect_pending(mode, |init| init.options(["--deliver", "tree"]).contained(20).pending([10, 17, 34, 64]));
}

/// As in `sh -c 'kill -USR1 $$; exec init ...'`: the sender's PID is the init's own.
fn raised_before_the_start(mode: Mode) {
    expect_pending(mode, |init| init.raised([10, 17, 34, 64]));
}

/// 100 runs in each mode, with queued signals sent from the init's exec until its program is ready.
fn sent_during_the_start(mode: Mode) {
    for run in 0..100 {
        let init = Init::new(mode).mask(u64::MAX).program(probe("print_signals")).args(["--keep"]);
        let mut running = init.spawn();
        let mut sent = 0;
        while sent < 1_000 && running.stdout.bytes().is_empty() {
            running.queue(RTMIN_1, Payload { value: sent, pid: 1, uid: 0 });
            sent += 1;
            std::thread::sleep(Duration::from_micros(50));
        }
        running.ready();
        for count in 0..sent {
            let received = running.received_within(deadline());
            let number = received.map(|received| received.number);
            assert_eq!(number, Some(RTMIN_1), "run {run}: {count} of {sent} received");
        }
    }
}

/// A program and its child. On SIGUSR1 each prints which it is.
const FAMILY: &str = "
    trap 'echo program' USR1
    (trap 'echo child; exit' USR1; trap 'echo alive; exit' USR2; echo one; while :; do sleep 0.05; done) &
    echo two
    while :; do wait; sleep 0.05; done";

fn family(init: Init) -> Running {
    let mut running = init.shell(FAMILY).spawn();
    let mut lines = [running.next_line().text, running.next_line().text];
    lines.sort();
    assert_eq!(lines, ["one", "two"]);
    running
}

fn program_alone_by_default(mode: Mode) {
    let mut running = family(Init::new(mode));
    running.signal(10);
    assert_eq!(running.next_line().text, "program");
    // If the child had got USR1 too, it would print `child` before it answers USR2.
    let below = process::descendants(running.pid);
    let child = below.iter().find(|process| process.parent == below[0].pid).expect("the program has a child");
    raw::kill(child.pid, 12).expect("cannot send USR2 to the program's child");
    assert_eq!(running.next_line().text, "alive");
}

fn group_gets_it(mode: Mode) {
    for options in [&["-g"][..], &["--deliver", "group"]] {
        let mut running = family(Init::new(mode).options(options));
        running.signal(10);
        let mut lines = [running.next_line().text, running.next_line().text];
        lines.sort();
        assert_eq!(lines, ["child", "program"]);
    }
}

/// Sends the first of each pair and expects the second.
fn expect_rewrites(init: Init, pairs: &[(i32, i32)]) {
    let mut running = print_signals(init);
    for (sent, expected) in pairs {
        running.signal(*sent);
        assert_eq!(running.received().number, *expected, "after {sent}");
    }
}

fn rewrite(mode: Mode) {
    let options = ["-r", "TERM:QUIT", "--rewrite", "hup:SIGUSR1", "--rewrite=RTMIN+1:64", "-r", "CHLD:3"];
    let pairs = [(15, 3), (1, 10), (35, 64), (17, 3), (12, 12)];
    expect_rewrites(Init::new(mode).options(options), &pairs);
}

fn rewrite_to_nothing(mode: Mode) {
    let mut running = print_signals(Init::new(mode).options(["-r", "HUP:0", "-r", "INT:"]));
    running.signal(1);
    running.signal(2);
    running.signal(10);
    assert_eq!(running.received().number, 10, "HUP and INT are dropped");
}

fn rewrites_are_not_chained(mode: Mode) {
    let options = ["-r", "TERM:QUIT", "-r", "QUIT:TERM", "-r", "USR1:USR2", "-r", "USR2:0"];
    expect_rewrites(Init::new(mode).options(options), &[(15, 3), (3, 15), (10, 12)]);
}

fn names_of_signals(mode: Mode) {
    for (name, number) in [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("term", 15),
        ("sigTerm", 15),
        ("15", 15),
        ("RTMIN", 34),
        ("SIGRTMIN", 34),
        ("RTMIN+3", 37),
        ("SIGRTMAX-1", 63),
        ("rtmax", 64),
        ("RTMAX-14", 50),
        ("32", 32),
        ("IO", 29),
        ("POLL", 29),
        ("CLD", 17),
        ("CHLD", 17),
        ("IOT", 6),
        ("STKFLT", 16),
        ("SYS", 31),
        ("PWR", 30),
    ] {
        let mut running = print_signals(Init::new(mode).options(["-r", &format!("USR1:{name}")]));
        running.signal(10);
        assert_eq!(running.received().number, number, "{name}");
    }
}

/// The program ends while signals pour in. The init must not trip over the PID that is gone, nor lose the status.
fn signals_while_the_program_ends(mode: Mode) {
    for _ in 0..50 {
        let mut running = Init::new(mode).shell("echo ready $$; exit 7").spawn();
        running.ready();
        let ending = try_poll(deadline(), || {
            // It may have ended already, so an error does not matter.
            _ = raw::kill(running.pid, 10);
            running.try_wait_for(Duration::ZERO)
        });
        match ending {
            Some(Ending::Exited(7)) => {}
            // USR1 ended the shell before it exited.
            Some(Ending::Exited(138)) => {}
            ending => panic!("ended by {ending:?}"),
        }
    }
}
