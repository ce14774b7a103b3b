//! [E3], the hard cases: leftovers that fork faster than anybody can list them, and thousands of leftovers.
//!
//! Each test has a PID namespace and a limit on processes of its own, with sexton as PID 1 and as a subreaper.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{
    ALL_PATIENCE, Ending, Finished, Init, Mode, PATIENCE, Suite, deadline, measured, probe, process, skip,
    within,
};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.alone_in_modes("hard_leftovers::e3_chains_are_ended_200_times", reaping, chains);
    suite.alone_in_modes("hard_leftovers::e3_fork_bombs_are_ended_100_times", reaping, fork_bombs);
    suite.alone_in_modes("hard_leftovers::e3_a_larger_fork_bomb_is_ended", reaping, larger_fork_bomb);
    suite.alone_in_modes("hard_leftovers::e3_a_thousand_within_a_second", reaping, a_thousand);
    suite.alone_in_modes("hard_leftovers::e3_cost_stays_linear_up_to_10000", reaping, cost_stays_linear);
}

/// Each link of the chain lives for some 100 us, and is gone before anybody has listed it.
fn chains(mode: Mode) {
    let mut times = Vec::new();
    for number in 0..200 {
        // The second is only a sanity check: sexton gives up after three seconds without a death.
        times.push(within(Duration::from_secs(1), PATIENCE, || {
            let init = Init::new(mode).contained(200).options(["--leftovers", "kill", "--report", "-"]);
            let finished = init.program(probe("chain")).run();
            assert_eq!(finished.ending, Ending::Exited(0), "chain {number}");
            finished.assert_nothing_survives();
            let report: Value = serde_json::from_str(&finished.stderr).expect("only the report is on stderr");
            Duration::from_secs_f64(report["duration"].as_f64().expect("a number"))
        }));
    }
    let (mean, worst) = (times.iter().sum::<Duration>() / 200, times.iter().max().expect("there are 200"));
    measured(&format!("200 chains as {}: mean {mean:?}, worst {worst:?}", mode.name()));
}

const BOMB: &str = "fork_forever --bomb & read line; exit 3";

fn bomb(init: Init) -> (Duration, Finished) {
    let script = BOMB.replace("fork_forever", &probe("fork_forever").display().to_string());
    let mut running = init.shell(&script).spawn();
    running.ready();
    let start = Instant::now();
    running.write_line("the job is done");
    running.wait();
    (start.elapsed(), running.finish())
}

fn fork_bombs(mode: Mode) {
    const GRACE: Duration = Duration::from_millis(20);
    let mut worst = Duration::ZERO;
    for number in 0..100 {
        let took = within(GRACE + Duration::from_secs(1), GRACE + PATIENCE, || {
            let (took, finished) = bomb(Init::new(mode).contained(20).options(["--grace", "20ms"]));
            assert_eq!(finished.ending, Ending::Exited(3), "run {number}");
            finished.assert_nothing_survives();
            took
        });
        worst = worst.max(took);
    }
    measured(&format!("100 fork bombs as {}: worst {worst:?}, grace {GRACE:?}", mode.name()));
}

fn larger_fork_bomb(mode: Mode) {
    // Hundreds of busy processes leave sexton little processor time, so a second is not promised here.
    let took = within(Duration::from_secs(12), ALL_PATIENCE, || {
        let (took, finished) = bomb(Init::new(mode).contained(200).options(["--grace", "300ms"]));
        assert_eq!(finished.ending, Ending::Exited(3));
        finished.assert_nothing_survives();
        took
    });
    measured(&format!("a fork bomb of 200 as {}: {took:?}, grace 300 ms", mode.name()));
}

/// How long sexton takes from the program's end to its own with `count` leftovers, and its own CPU time for that.
/// Meanwhile `help`, if any, is called repeatedly with the leftovers, oldest first.
fn tear_down(mode: Mode, count: u32, options: &[&str], help: Option<fn(&[i32])>) -> (Duration, Duration) {
    let script = format!("{} {count} && read line; exit 4", probe("fork_forever").display());
    let init = Init::new(mode).contained(count + 10).options(options.iter().copied());
    let mut running = init.shell(&script).spawn();
    assert_eq!(running.next_line().text, format!("done {count}"), "is there a limit below {count}?");
    let shell = process::listed_children(running.pid)[0];
    let before = cpu_time(running.pid).expect("it runs");
    let mut after = before;
    let start = Instant::now();
    running.write_line("the job is done");
    while running.is_running() {
        assert!(start.elapsed() < deadline(), "sexton still waits");
        if let Some(help) = help {
            let mut leftovers = process::listed_children(running.pid);
            leftovers.retain(|child| *child != shell);
            help(&leftovers);
        }
        after = cpu_time(running.pid).unwrap_or(after);
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = start.elapsed();
    let finished = running.finish();
    assert_eq!(finished.ending, Ending::Exited(4));
    finished.assert_nothing_survives();
    (took, after - before)
}

/// CPU time of the process itself, to the nanosecond. (/proc/PID/stat has clock ticks.)
fn cpu_time(pid: i32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn a_thousand(mode: Mode) {
    const GRACE: Duration = Duration::from_secs(5);
    for (options, lost) in [(["--leftovers", "kill"], PATIENCE), (["--grace", "5s"], GRACE)] {
        let took = within(Duration::from_secs(1), lost, || tear_down(mode, 1000, &options, None).0);
        measured(&format!("1,000 leftovers as {}, {options:?}: {took:?}", mode.name()));
    }
}

/// sexton's own CPU time per leftover must not grow with their number. (The wall-clock time is mostly the kernel's:
/// the exits of 10,000 forks of one process wait for one another.) A factor of three allows for caches and noise; a
/// quadratic cost would show as ten. The median leaves out one run of three that another process disturbs.
fn cost_stays_linear(mode: Mode) {
    let limit = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    if limit.trim().parse().is_ok_and(|limit: u32| limit < 15_000) {
        skip(format!("needs 15,000 PIDs, and kernel.pid_max is {}", limit.trim()));
    }
    // wait(2) searches from the oldest child on, so it costs most where the youngest die first.
    let youngest_first: Option<fn(&[i32])> = Some(kill_youngest_first);
    for (options, help) in [
        (["--leftovers", "kill"], None),
        (["--grace", "30s"], None),
        (["--leftovers", "wait"], youngest_first),
    ] {
        let three = |count: u32| {
            let mut runs = [(); 3]
                .map(|()| tear_down(mode, count, &options, help))
                .map(|(took, cpu)| (cpu / count, took));
            runs.sort();
            runs
        };
        let of_few = three(1000);
        let of_many = three(10_000);
        measured(&format!(
            "as {}, {options:?}: (CPU for each, time) of 1,000 {of_few:?}, of 10,000 {of_many:?}",
            mode.name()
        ));
        // As long as the grace here, and as the longest wait after SIGKILL.
        let lost = of_few.iter().chain(&of_many).any(|(_, took)| *took >= ALL_PATIENCE);
        assert!(!lost, "{options:?}: a wake-up was lost: (CPU for each, time) {of_few:?}, {of_many:?}");
        // Below this the kernel's locks dominate, not what sexton does.
        let linear = of_few[0].0.max(Duration::from_micros(25));
        assert!(of_many[1].0 < linear * 3, "{options:?}: (CPU for each, time) {of_few:?}, but {of_many:?}");
    }
}

fn kill_youngest_first(leftovers: &[i32]) {
    for leftover in leftovers.iter().rev() {
        let _ = kill(Pid::from_raw(*leftover), Signal::SIGKILL);
    }
}
