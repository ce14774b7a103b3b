//! [E3]: what happens to the processes that a program leaves behind.
//!
//! Where survivors are counted, the init runs in a PID namespace of its own, even if it is not PID 1 there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::report::SLEEP;
use crate::support::{
    DEFAULT_GRACE, Ending, Finished, Init, Mode, NOBODY, PATIENCE, Running, Suite, TemporaryDirectory,
    deadline, find_program, poll, probe, process, sexton_only, skip, under_test, within,
};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.in_modes("leftovers::e3_terminate_asks_first", reaping, terminate);
    suite.in_modes("leftovers::e3_kill_does_not_ask", reaping, kill);
    suite.in_modes("leftovers::e3_wait", reaping, wait);
    suite.in_modes("leftovers::e3_leave", reaping, leave);
    suite.in_modes("leftovers::e3_a_handler_of_300_ms_gets_its_time", reaping, handler_gets_its_time);
    suite.in_modes("leftovers::e3_a_reader_to_the_end_is_not_held_up", reaping, reader_is_not_held_up);
    suite.in_modes("leftovers::e3_a_further_stop_request_kills", reaping, further_stop_request);
    suite.in_modes("leftovers::e3_a_subreaper_with_children", reaping, nested_subreaper);
    suite.in_modes("leftovers::e3_a_pid_namespace", reaping, nested_pid_namespace);
    suite.in_modes("leftovers::e3_a_user_namespace", reaping, nested_user_namespace);
    suite.in_modes("leftovers::e3_another_users_are_named_and_left", reaping, another_users);
    suite.in_modes("leftovers::e3_what_another_users_start_is_ended", reaping, another_users_offspring);
    suite.test("leftovers::e3_children_from_before_are_left_alone", children_from_before);
    suite.test("leftovers::e3_children_from_before_cost_little", children_from_before_cost_little);
    suite.test("leftovers::e3_a_foreign_proc_leads_to_no_wrong_signal", foreign_proc);
}

/// The report: the only JSON on stderr.
fn report(finished: &Finished) -> Value {
    let line = finished.stderr.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("no report on stderr: {error}"))
}

/// Each leftover and the signal that ended it, sorted by name.
fn ends(finished: &Finished) -> Vec<(String, String)> {
    let report = report(finished);
    let leftovers = report["leftovers"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let mut ends: Vec<_> =
        leftovers.iter().map(|one| (text(&one["name"]), text(&one["end"]["signal"]))).collect();
    ends.sort();
    ends
}

fn leaky_job(mode: Mode, options: &[&str]) -> Init {
    let init = Init::new(mode).contained(50).options(options.iter().copied()).options(["--report", "-"]);
    init.program(probe("leaky_job"))
}

fn terminate(mode: Mode) {
    let start = Instant::now();
    // Long enough for all but one to get a processor and end by SIGTERM.
    let finished = leaky_job(mode, &["--grace", "2s"]).run();
    let took = start.elapsed();
    finished.assert_nothing_survives();
    assert_eq!(finished.ending, Ending::Exited(0));
    assert!(took >= Duration::from_secs(2), "the grace is not over after {took:?}");
    let expected = [
        ("leak-background", "SIGTERM"),
        ("leak-daemon", "SIGTERM"),
        ("leak-headless", "SIGTERM"),
        ("leak-stopped", "SIGTERM"),
        ("leak-stubborn", "SIGKILL"),
    ];
    assert_eq!(ends(&finished), expected.map(|(name, signal)| (name.to_owned(), signal.to_owned())));
    // The report names it too, on a line of its own.
    let warns = |line: &str| line.contains("sending SIGKILL to") && line.contains("(leak-stubborn)");
    assert!(finished.stderr.lines().any(warns), "no warning names the leftover that had to be killed");
}

fn kill(mode: Mode) {
    let finished = leaky_job(mode, &["--leftovers", "kill", "--grace", "1h"]).run();
    finished.assert_nothing_survives();
    let ends = ends(&finished);
    assert_eq!(ends.len(), 5, "{ends:?}");
    assert!(ends.iter().all(|(_, signal)| signal == "SIGKILL"), "{ends:?}");
}

/// Waits for sexton's message that the program has ended.
fn program_has_ended(running: &Running) {
    let told = running.stderr.text_until(deadline(), |text| text.contains("the program exited"));
    assert!(told, "no message says that the program has ended");
}

fn wait(mode: Mode) {
    let init = Init::new(mode).contained(50).options(["-v", "--leftovers", "wait", "--grace", "0"]);
    let mut running = init.shell("exec 3<&0; (read line <&3; echo late) & exit 5").spawn();
    program_has_ended(&running);
    assert!(running.try_wait_for(Duration::from_millis(300)).is_none(), "it does not wait");
    running.write_line("go");
    let finished = running.finish();
    assert_eq!((finished.ending, finished.stdout.as_str()), (Ending::Exited(5), "late\n"));
    finished.assert_nothing_survives();
}

/// As PID 1 nothing survives, because the kernel ends the rest. It only must not take long.
fn leave(mode: Mode) {
    within(Duration::from_secs(4), DEFAULT_GRACE, || {
        let start = Instant::now();
        let finished = leaky_job(mode, &["--leftovers", "leave"]).run();
        let took = start.elapsed();
        if let Some(survivors) = &finished.survivors {
            // In the program's group one is stopped, so the kernel hangs the group up when it is orphaned.
            assert!(survivors.contains("leak-daemon"), "{survivors}");
        }
        let report = report(&finished);
        let kinds: Vec<_> =
            report["leftovers"].as_array().expect("a list").iter().map(|one| &one["end"]["kind"]).collect();
        assert_eq!(kinds, ["alive"; 5]);
        took
    });
}

fn handler_gets_its_time(mode: Mode) {
    sexton_only();
    let directory = TemporaryDirectory::new();
    let file = directory.join("file");
    let script = format!(
        "(trap 'sleep 0.3; echo finished >{}; exit 0' TERM; echo ready; while :; do sleep 0.05; done) & read line; exit 2",
        file.display()
    );
    let mut running = Init::new(mode).contained(50).shell(&script).spawn();
    assert_eq!(running.next_line().text, "ready");
    running.write_line("go");
    let finished = running.finish();
    assert_eq!(finished.ending, Ending::Exited(2));
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), "finished\n");
    finished.assert_nothing_survives();
}

/// The daemons hold the pipe, and only the init can end them. (Below tini, dumb-init and catatonit the reader waits
/// until they end by themselves, unless the init is PID 1.)
fn reader_is_not_held_up(mode: Mode) {
    let script =
        "setsid sleep 1000 & (setsid sh -c 'sleep 1000; :' &); nohup sleep 1000 & echo result; exit 0";
    within(Duration::from_secs(1), DEFAULT_GRACE, || {
        let mut running = Init::new(mode).shell(script).spawn();
        assert_eq!(running.next_line().text, "result");
        let start = Instant::now();
        assert!(running.stdout.ends_within(deadline()), "the pipe outlives the job");
        let took = start.elapsed();
        assert_eq!(running.wait(), Ending::Exited(0));
        took
    });
}

fn further_stop_request(mode: Mode) {
    let init = Init::new(mode).contained(50).options(["-v", "--grace", "1h"]);
    let script = format!("{} & read line; exit 3", probe("ignore_sigterm").display());
    let mut running = init.shell(&script).spawn();
    running.ready();
    running.write_line("go");
    program_has_ended(&running);
    running.signal(10);
    assert!(running.try_wait_for(Duration::from_millis(100)).is_none(), "SIGUSR1 is no stop request");
    running.signal(15);
    let finished = running.finish();
    assert_eq!(finished.ending, Ending::Exited(3));
    finished.assert_nothing_survives();
}

/// Runs a job that leaves `leftover` behind, a command that prints `ready PID`.
fn leave_behind(mode: Mode, leftover: &str) -> Finished {
    let init = Init::new(mode).contained(50).options(["--grace", "200ms"]);
    let mut running = init.shell(&format!("{leftover} & read line; exit 6")).spawn();
    running.ready();
    running.write_line("go");
    let finished = running.finish();
    assert_eq!(finished.ending, Ending::Exited(6));
    finished.assert_nothing_survives();
    assert!(!finished.stderr.contains("cannot end"), "{}", finished.stderr);
    finished
}

fn nested_subreaper(mode: Mode) {
    sexton_only();
    let sexton = under_test().path().display().to_string();
    let script = format!(
        "(setsid {} &) ; trap '' TERM; while :; do sleep 1000; done",
        probe("ignore_sigterm").display()
    );
    leave_behind(mode, &format!("{sexton} -s -r TERM:0 -- sh -c \"{script}\""));
}

fn nested_pid_namespace(mode: Mode) {
    let unshare = find_program("unshare").unwrap_or_else(|| skip("needs unshare"));
    let program = probe("ignore_sigterm");
    let script = format!("setsid {} & wait", program.display());
    leave_behind(mode, &format!("{} --pid --fork sh -c '{script}'", unshare.display()));
}

fn nested_user_namespace(mode: Mode) {
    let unshare = find_program("unshare").unwrap_or_else(|| skip("needs unshare"));
    let program = probe("ignore_sigterm");
    leave_behind(mode, &format!("{} --user --pid --fork {}", unshare.display(), program.display()));
}

/// A directory with a setuid-root setpriv(1).
fn with_setuid_root() -> (TemporaryDirectory, PathBuf) {
    let setpriv = find_program("setpriv").unwrap_or_else(|| skip("needs setpriv"));
    let directory = TemporaryDirectory::new();
    let path = directory.copy(setpriv, "setpriv");
    fs::set_permissions(&path, Permissions::from_mode(0o4755)).expect("it is the test's own");
    (directory, path)
}

/// sexton runs as nobody. It cannot end root's leftover, but it can end nobody's below that.
fn another_users(mode: Mode) {
    let (_directory, setpriv) = with_setuid_root();
    let setpriv = setpriv.display();
    let script = format!(
        "{setpriv} --reuid=0 sh -c '{setpriv} --reuid={NOBODY} sleep 1001 & exec sleep 1002' & read line; exit 6"
    );
    for options in [&["--grace", "200ms"][..], &["--leftovers", "kill"]] {
        within(Duration::from_secs(1), PATIENCE, || {
            let init = Init::new(mode).contained(50).user(NOBODY).options(options.iter().copied());
            let mut running = init.shell(&script).spawn();
            poll("both are sleep", || (count_of_sleep(&running) == 2).then_some(()));
            let start = Instant::now();
            running.write_line("go");
            running.wait();
            let took = start.elapsed();
            let finished = running.finish();
            assert_eq!(finished.ending, Ending::Exited(6), "{options:?}");
            let warned =
                finished.stderr.lines().any(|line| line.contains("cannot end") && line.contains("(sleep)"));
            assert!(warned, "no warning names the process that is left: {}", finished.stderr);
            if let Some(survivors) = &finished.survivors {
                assert_eq!(survivors.matches("sleep").count(), 1, "{options:?}: {survivors}");
            }
            took
        });
    }
}

/// sexton runs as nobody. Root's leftover starts a dozen of nobody's when sexton has sent SIGKILL already.
fn another_users_offspring(mode: Mode) {
    let (_directory, setpriv) = with_setuid_root();
    let setpriv = setpriv.display();
    let script = format!(
        "{setpriv} --reuid=0 sh -c 'echo; sleep 0.2; for i in 1 2 3 4 5 6 7 8 9 a b c; do {setpriv} --reuid={NOBODY} \
         sleep 1001 & done; exec sleep 1' & read line; exit 6"
    );
    within(Duration::from_secs(2), PATIENCE, || {
        let init = Init::new(mode).contained(50).user(NOBODY).options(["--leftovers", "kill"]);
        let mut running = init.shell(&script).spawn();
        running.next_line();
        let start = Instant::now();
        running.write_line("go");
        running.wait();
        let took = start.elapsed();
        let finished = running.finish();
        assert_eq!(finished.ending, Ending::Exited(6));
        took
    });
}

/// The inner of two sextons has a child from before it starts its program.
fn children_from_before() {
    sexton_only();
    let sexton = under_test().path().display().to_string();
    let inner = format!("exec {sexton} --leftovers kill --report - -- {}", probe("leaky_job").display());
    let init = Init::new(Mode::Subreaper).contained(50).options(["--report", "-"]);
    let finished = init.shell(&format!("{SLEEP}; {inner}")).run();
    assert_eq!(finished.ending, Ending::Exited(0));
    let reports: Vec<Value> =
        finished.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let leftovers: Vec<_> =
        reports.iter().map(|report| report["leftovers"].as_array().expect("a list").len()).collect();
    assert_eq!(leftovers, [5, 1], "leftovers of the inner sexton, and of the outer");
    assert_eq!(reports[1]["leftovers"][0]["command_line"], serde_json::json!(["sleep", "1000"]));
    finished.assert_nothing_survives();
}

fn children_from_before_cost_little() {
    sexton_only();
    let sexton = under_test().path().display().to_string();
    let forks = probe("fork_forever").display().to_string();
    let inner = format!("exec {sexton} -- sh -c '{forks} 2000 && read line; exit 7'");
    within(Duration::from_secs(2), DEFAULT_GRACE, || {
        let init = Init::new(Mode::Subreaper).contained(2050);
        let mut running = init.shell(&format!("{SLEEP}; {inner}")).spawn();
        assert_eq!(running.next_line().text, "done 2000");
        let start = Instant::now();
        running.write_line("go");
        assert_eq!(running.wait(), Ending::Exited(7));
        let took = start.elapsed();
        running.finish().assert_nothing_survives();
        took
    });
}

/// In a PID namespace without its own /proc, the PIDs in /proc belong to other processes. Here the inner sexton is
/// PID 2. In /proc, PID 2 is another process, and its children have PIDs from 3 on, which inside are those of
/// bystanders.
fn foreign_proc() {
    sexton_only();
    let unshare = find_program("unshare").unwrap_or_else(|| skip("needs unshare"));
    let (sexton, leftover) = (under_test().path().display(), probe("ignore_sigterm"));
    let sleepers = "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done";
    let leftover = leftover.display();
    let inner = format!(
        "exec 3<&0; (read line <&3; exec {sexton} --leftovers kill -- sh -c \"{leftover} & read line <&3; exit 4\") & {sleepers}; wait %1; echo status $?; exec sleep 1001"
    );
    let script = format!("{sleepers}; {} --pid --fork sh -c '{inner}'", unshare.display());
    let mut running = Init::new(Mode::Pid1).contained(100).shell(&script).spawn();
    poll("all sleep", || (count_of_sleep(&running) == 16).then_some(()));
    running.write_line("start");
    running.ready();
    running.write_line("end");
    assert_eq!(running.next_line().text, "status 4");
    poll("the last shell is sleep too", || {
        process::descendants(running.pid).iter().any(inner_is_sleep).then_some(())
    });
    assert_eq!(count_of_sleep(&running), 17, "including the one that was a shell");
}

/// How many processes below the init run sleep.
fn count_of_sleep(running: &Running) -> usize {
    let all = process::descendants(running.pid).into_iter();
    all.filter(|process| process.name == "sleep" && !process.is_zombie()).count()
}

/// Whether the process runs sleep as PID 1 of a namespace.
fn inner_is_sleep(process: &process::Process) -> bool {
    process.name == "sleep" && process::inner_pid(process.pid) == Some(1)
}
