//! [S5]: `--deliver tree` reaches every descendant, once.

use std::fs;
use std::path::Path;

use crate::support::raw::Payload;
use crate::support::{Ending, Init, Mode, Running, Suite, TemporaryDirectory, poll, probe, process};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.in_modes("tree::s5_orphans_in_other_sessions_exactly_once", reaping, exactly_once);
    suite.in_modes("tree::s5_queued_signals_may_lose_their_payload_only", reaping, queued);
    suite.in_modes("tree::s5_a_stop_request_reaches_all", reaping, stop_request);
    suite.in_modes("tree::s5_others_are_not_reached_by_default", reaping, not_by_default);
}

/// A program, its child, and three orphans in other sessions. Each writes what it receives to a file.
const FAMILY: [&str; 5] = ["child", "orphan-1", "orphan-2", "orphan-3", "program"];

fn family(mode: Mode, directory: &Path, options: &[&str]) -> Running {
    let (program, directory) = (probe("print_signals"), directory.display());
    let each = |name: &str| format!("{} --keep >{directory}/{name}", program.display());
    let script = format!(
        "{} & (setsid {} &); (setsid sh -c '{} & (setsid {} &)' &); exec {}",
        each("child"),
        each("orphan-1"),
        each("orphan-2"),
        each("orphan-3"),
        each("program"),
    );
    let init = Init::new(mode).contained(50).options(options.iter().copied());
    init.shell(&script).spawn()
}

/// The signals that each has received, without SIGCHLD, SIGHUP and SIGCONT, which the kernel may send.
fn received(directory: &Path) -> Vec<Vec<i32>> {
    let numbers = |name: &&str| {
        let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
        let signals = text.lines().filter_map(|line| line.strip_prefix("signal "));
        let number = |line: &str| -> Option<i32> { line.split(' ').next()?.parse().ok() };
        signals.filter_map(number).filter(|number| ![1, 17, 18].contains(number)).collect()
    };
    FAMILY.iter().map(numbers).collect()
}

fn all_are_ready(directory: &Path) {
    poll("all are ready", || {
        let is_ready = |name: &&str| {
            fs::read_to_string(directory.join(name))
                .is_ok_and(|text| text.starts_with("ready") && text.contains('\n'))
        };
        FAMILY.iter().all(is_ready).then_some(())
    });
}

fn exactly_once(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let running = family(mode, directory.path(), &["--deliver", "tree"]);
    all_are_ready(directory.path());
    for (round, signal) in [10, 12, 10, 34, 64].into_iter().enumerate() {
        running.signal(signal);
        let have_it = |numbers: &Vec<i32>| numbers.len() > round;
        poll("all have the signal", || received(directory.path()).iter().all(have_it).then_some(()));
    }
    assert_eq!(received(directory.path()), [[10, 12, 10, 34, 64]; 5]);
}

fn queued(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let running = family(mode, directory.path(), &["--deliver=tree"]);
    all_are_ready(directory.path());
    for value in 0..20 {
        running.queue(40, Payload { value, pid: 1, uid: 0 });
    }
    running.queue(41, Payload { value: 0, pid: 1, uid: 0 });
    let have_all = |numbers: &Vec<i32>| numbers.contains(&41);
    poll("all have the last", || received(directory.path()).iter().all(have_all).then_some(()));
    let expected = [[40; 20].as_slice(), &[41]].concat();
    assert!(received(directory.path()).iter().all(|numbers| *numbers == expected));
}

fn stop_request(mode: Mode) {
    let script = "trap 'echo stopped; exit 3' TERM; (setsid sleep 1000 &); sleep 1000 & echo on; wait";
    let init = Init::new(mode).contained(50).options(["--deliver", "tree", "--leftovers", "wait"]);
    let mut running = init.shell(script).spawn();
    assert_eq!(running.next_line().text, "on");
    // Until then they are shells that still have the trap.
    let sleepers =
        || process::descendants(running.pid).iter().filter(|process| process.name == "sleep").count();
    poll("two sleep", || (sleepers() == 2).then_some(()));
    running.signal(15);
    assert_eq!(running.wait(), Ending::Exited(3), "nothing is left to wait for");
}

fn not_by_default(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let running = family(mode, directory.path(), &[]);
    all_are_ready(directory.path());
    running.signal(10);
    poll("the program has it", || (received(directory.path())[4] == [10]).then_some(()));
    assert!(received(directory.path())[..4].iter().all(Vec::is_empty), "others have it too");
}
