//! [E4] and [E5]: stop requests, their delay, `--kill-after`, timeouts, and races between all of them.

use std::time::{Duration, Instant};

use crate::support::raw::{self, Payload, bit};
use crate::support::{
    Ending, Init, LONGER_THAN_A_STALL, Mode, NOBODY, PATIENCE, Suite, deadline, find_program, poll, probe,
    process, sexton_only, skip, within,
};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.in_modes("stopping::e4_the_delay_holds_a_request_back", reaping, delay);
    suite.in_modes("stopping::e4_the_second_request_ends_the_delay", reaping, second_request);
    suite.in_modes("stopping::e4_a_request_before_the_start_is_held_back_too", reaping, before_the_start);
    suite.in_modes("stopping::e4_a_program_that_ends_in_the_delay", reaping, end_in_the_delay);
    suite.in_modes("stopping::e4_stop_signals_are_those_that_are_named", reaping, stop_signals);
    suite.in_modes("stopping::e4_kill_after_ends_the_whole_tree", reaping, kill_after);
    suite.in_modes("stopping::e5_timeout_then_sigkill_and_nothing_is_left", reaping, timeout_kills);
    suite.in_modes("stopping::e5_timeout_kills_after_the_grace_by_default", reaping, timeout_then_grace);
    suite.in_modes("stopping::e5_timeout_signal", reaping, timeout_signal);
    suite.in_modes("stopping::e5_timeout_of_a_stopped_program", reaping, timeout_of_a_stopped_program);
    suite.in_modes("stopping::e5_in_time", reaping, in_time);
    suite.in_modes("stopping::s8_no_signal_is_kept_for_a_program_that_is_gone", reaping, kept_signals);
    suite.in_modes("stopping::e4_races_of_requests_and_ends", reaping, races);
}

const TERM: i32 = 15;

fn delay(mode: Mode) {
    const DELAY: Duration = Duration::from_millis(400);
    within(DELAY + Duration::from_secs(1), LONGER_THAN_A_STALL, || {
        let init = Init::new(mode).options(["--stop-delay", "400ms"]);
        let mut running = init.program(probe("print_signals")).spawn();
        running.ready();
        let sent = Instant::now();
        running.signal(TERM);
        let received = running.received();
        assert_eq!(received.number, TERM);
        let after = received.at - sent;
        assert!(after >= DELAY, "after {after:?}");
        assert_eq!(running.wait(), Ending::Exited(0));
        after
    });
}

fn second_request(mode: Mode) {
    let init = Init::new(mode).options(["--stop-delay", "1h"]);
    let mut running = init.program(probe("print_signals")).args(["--keep"]).spawn();
    running.ready();
    running.signal(TERM);
    // sexton and the program both take the lowest number first: had SIGTERM been passed on, it would arrive before
    // this.
    running.signal(40);
    assert_eq!(running.received().number, 40, "only the request is held back");
    running.signal(TERM);
    assert_eq!(running.received().number, TERM);
    running.signal(10);
    assert_eq!(running.received().number, 10, "the two requests arrive as one");
}

/// The requests are pending when sexton starts.
fn before_the_start(mode: Mode) {
    let init = Init::new(mode).mask(bit(TERM) | bit(2)).pending([TERM, 2]);
    let init = init.options(["--stop-delay", "1h", "--stop-signal", "TERM", "--stop-signal", "INT"]);
    let mut running = init.program(probe("print_signals")).args(["--keep"]).spawn();
    running.ready();
    let mut numbers = [running.received().number, running.received().number];
    numbers.sort();
    assert_eq!(numbers, [2, TERM], "the second request releases both");
    let init = Init::new(mode).mask(bit(TERM)).pending([TERM]).options(["--stop-delay", "300ms"]);
    let mut running = init.program(probe("print_signals")).spawn();
    running.ready();
    assert_eq!(running.received().number, TERM);
    assert_eq!(running.wait(), Ending::Exited(0));
}

fn end_in_the_delay(mode: Mode) {
    let mut running =
        Init::new(mode).options(["--stop-delay", "1h"]).shell("echo on; read line; exit 9").spawn();
    assert_eq!(running.next_line().text, "on");
    running.signal(TERM);
    running.write_line("go");
    assert_eq!(running.wait(), Ending::Exited(9));
}

fn stop_signals(mode: Mode) {
    // Long enough for the program to print what it got.
    const KILL_AFTER: Duration = Duration::from_secs(2);
    let stops = ["--stop-signal", "INT", "--stop-signal", "RTMIN+3", "--kill-after", "2s"];
    for signal in [2, 37] {
        let mut running =
            Init::new(mode).options(stops).program(probe("print_signals")).args(["--keep"]).spawn();
        running.ready();
        running.signal(TERM);
        assert_eq!(running.received().number, TERM);
        // If the time ran from here, SIGKILL would come this much too early.
        let ended = running.try_wait_for(Duration::from_millis(300));
        assert_eq!(ended, None, "SIGTERM is no stop request here");
        let sent = Instant::now();
        running.signal(signal);
        assert_eq!(running.received().number, signal);
        assert_eq!(running.wait(), Ending::Exited(137));
        assert!(sent.elapsed() >= KILL_AFTER, "SIGTERM is no stop request here: {:?}", sent.elapsed());
    }
}

fn kill_after(mode: Mode) {
    let program = probe("ignore_sigterm");
    let script = format!("trap '' TERM; (setsid {} &); while :; do sleep 1000; done", program.display());
    const KILL_AFTER: Duration = Duration::from_millis(300);
    within(KILL_AFTER + Duration::from_secs(1), KILL_AFTER + PATIENCE, || {
        let init = Init::new(mode).contained(50).options(["-k", "300ms", "--grace", "1h"]);
        let mut running = init.shell(&script).spawn();
        running.ready();
        let sent = Instant::now();
        running.signal(TERM);
        assert_eq!(running.wait(), Ending::Exited(137));
        let took = sent.elapsed();
        assert!(took >= KILL_AFTER, "took {took:?}");
        running.finish().assert_nothing_survives();
        took
    });
}

fn timeout_kills(mode: Mode) {
    let program = probe("ignore_sigterm");
    let script = format!("(setsid {} &); while :; do sleep 1000; done", program.display());
    const BOTH: Duration = Duration::from_secs(2);
    within(BOTH + Duration::from_secs(1), BOTH + PATIENCE, || {
        let start = Instant::now();
        let init = Init::new(mode).contained(50).ignore([TERM]).options(["--timeout", "1s", "-k", "1s"]);
        let finished = init.shell(&script).run();
        let took = start.elapsed();
        assert_eq!(finished.ending, Ending::Exited(124));
        assert!(took >= BOTH, "took {took:?}");
        finished.assert_nothing_survives();
        took
    });
}

fn timeout_then_grace(mode: Mode) {
    const BOTH: Duration = Duration::from_millis(400);
    within(BOTH + Duration::from_secs(1), BOTH + PATIENCE, || {
        let start = Instant::now();
        // Ignored from the start: 100 ms may be too short for the program to do it itself.
        let init = Init::new(mode).ignore([TERM]).options(["--timeout=100ms", "--grace=300ms"]);
        let finished = init.program(probe("ignore_sigterm")).run();
        let took = start.elapsed();
        assert_eq!(finished.ending, Ending::Exited(124));
        assert!(took >= BOTH, "took {took:?}");
        assert!(finished.stderr.contains("time"), "stderr does not say why: {:?}", finished.stderr);
        took
    });
}

fn timeout_signal(mode: Mode) {
    // Blocked, because they may arrive before the program can set anything up.
    let init = Init::new(mode).mask(bit(10) | bit(18));
    let init = init.options(["--timeout", "200ms", "--timeout-signal", "USR1", "-e", "124:77"]);
    let mut running = init.program(probe("print_signals")).spawn();
    running.ready();
    let mut numbers = [running.received().number, running.received().number];
    numbers.sort();
    assert_eq!(numbers, [10, 18], "USR1, and SIGCONT in case the program is stopped");
    running.signal(TERM);
    assert_eq!(running.wait(), Ending::Exited(77), "124 is remapped, although the program exits with 0");
}

fn timeout_of_a_stopped_program(mode: Mode) {
    // Long enough for the shell to stop itself.
    let init = Init::new(mode).options(["--timeout", "3s", "--kill-after", "1h"]);
    let finished = init.shell("trap 'echo continued; exit 1' TERM; kill -STOP $$; exit 2").run();
    assert_eq!((finished.ending, finished.stdout.as_str()), (Ending::Exited(124), "continued\n"));
}

fn in_time(mode: Mode) {
    let init = Init::new(mode).options(["--timeout", "1h", "--timeout-signal", "KILL"]);
    let finished = init.shell("exit 5").run();
    assert_eq!((finished.ending, finished.stderr.as_str()), (Ending::Exited(5), ""));
}

/// The signal queue of the program's user is full, so sexton keeps further signals and tries again. Once the program is
/// reaped, its PID may be anybody's.
fn kept_signals(mode: Mode) {
    sexton_only();
    let prlimit = find_program("prlimit").unwrap_or_else(|| skip("needs prlimit"));
    let (prlimit, program) = (prlimit.display(), probe("print_signals"));
    let limited = format!("{prlimit} --sigpending=3:3 {} --keep", program.display());
    let init = Init::new(mode).contained(50).user(NOBODY).options(["-v", "--grace", "300ms"]);
    let mut running = init.shell(&format!("trap '' TERM; sleep 1000 & exec {limited}")).spawn();
    let inner = running.ready();
    let program = running.program_pid(inner);
    raw::kill(program, 19).expect("cannot stop the program");
    let is_stopped = |process: process::Process| (process.state == 'T').then_some(());
    poll("it stops", || process::Process::find(program).and_then(is_stopped));
    for value in 0..20 {
        running.queue(40, Payload { value, pid: 1, uid: 0 });
    }
    let told = running.stderr.text_until(deadline(), |text| text.contains("forwarded SIGRTMIN+6"));
    assert!(told, "none is forwarded");
    let forwarded = running.stderr.text().matches("forwarded SIGRTMIN+6").count();
    assert!(forwarded < 20, "the limit has no effect");
    // A dying process has an empty queue again, so it may be sent them all before it is reaped.
    raw::kill(program, 9).expect("cannot kill the program");
    let finished = running.finish();
    assert_eq!(finished.ending, Ending::Exited(137));
    assert!(!finished.stderr.contains("cannot forward"), "a signal was sent to a reaped PID");
}

/// Options, script, and the exit codes that are right when stop requests come at any time.
const RACES: [(&[&str], &str, &[i32]); 5] = [
    (&[], "exit 7", &[7, 143]),
    (&["--stop-delay", "2ms"], "sleep 0.003; exit 7", &[7, 143]),
    (&["--grace", "3ms"], "(trap '' TERM; sleep 1000) & exit 7", &[7, 143]),
    (&["-k", "1ms", "--leftovers", "wait"], "trap '' TERM; sleep 0.004; exit 7", &[7, 137, 143]),
    (&["--timeout", "3ms", "-k", "1ms", "--stop-delay", "1ms"], "sleep 0.003; exit 7", &[7, 124, 137, 143]),
];

/// 1,000 runs in each mode, with one to three requests each. In every second run they may come as early as before
/// sexton's exec, with SIGTERM blocked until sexton takes it; in the others they come after the program's start.
fn races(mode: Mode) {
    sexton_only();
    for number in 0..1000u32 {
        let (options, script, expected) = RACES[number as usize % RACES.len()];
        let before_exec = number % 2 == 0;
        let init = Init::new(mode).options(options.iter().copied());
        let mut running = if before_exec {
            init.mask(bit(TERM)).shell(script).spawn()
        } else {
            let running = init.shell(&format!("echo on; {script}")).spawn();
            // No line if the timeout came first.
            _ = running.stdout.line(0, deadline());
            running
        };
        let start = Instant::now();
        for count in 0..=(number / 10 % 3) {
            // Spread evenly over the first milliseconds.
            let moment = Duration::from_micros(u64::from(number / 30 % 33 * 240 + count * 700));
            while start.elapsed() < moment {
                std::hint::spin_loop();
            }
            // Until this is false it is not reaped, so its PID is still its own.
            if !running.is_running() {
                break;
            }
            _ = raw::kill(running.pid, TERM);
        }
        let ending = running.wait();
        let Ending::Exited(code) = ending else { panic!("race {number} {options:?}: {ending:?}") };
        assert!(expected.contains(&code), "race {number} {options:?}: {code}");
    }
}
