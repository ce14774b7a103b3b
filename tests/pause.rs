//! [H]: `--pause` holds a PID namespace and reaps in it, and does nothing else.

use std::process::Command;
use std::time::Duration;

use crate::drop_in::called;
use crate::support::{
    Ending, Init, Mode, Running, Suite, deadline, find_program, poll, process, sexton_only, skip, under_test,
};

pub(crate) fn tests(suite: &mut Suite) {
    suite.test("pause::h1_ends_with_0_on_int_and_term", ends_on_int_and_term);
    suite.test("pause::h1_ignores_every_other_signal", ignores_other_signals);
    suite.test("pause::h1_reaps_what_others_leave", reaps);
    suite.test("pause::h1_holds_nothing_open", holds_nothing_open);
    suite.alone_in_modes("pause::r3_idle_costs_nothing", &[Mode::Pid1], |_| idle());
    suite.test("pause::h1_warns_when_it_is_not_pid1", warns);
    suite.test("pause::h2_version", version);
    suite.test("pause::p5_runs_no_program", runs_no_program);
}

/// Every way to ask for it: name and options.
const WAYS: &[(&str, &[&str])] = &[("sexton", &["--pause"]), ("pause", &[]), ("catatonit", &["-P"])];

fn each_way(mode: Mode, test: impl Fn(&str, Running)) {
    sexton_only();
    for (name, options) in WAYS {
        let (path, _directory) = called(name);
        let words = [path.as_os_str()].into_iter().chain(options.iter().map(|word| word.as_ref()));
        let running = Init::new(mode).instead(words).spawn();
        // stdin is closed when it is ready.
        poll("it pauses", || (!process::descriptors(running.pid).contains_key(&0)).then_some(()));
        test(name, running);
    }
}

fn ends_on_int_and_term() {
    for mode in [Mode::Pid1, Mode::Subreaper] {
        for signal in [2, 15] {
            each_way(mode, |name, running| {
                running.signal(signal);
                let finished = running.finish();
                assert_eq!(finished.ending, Ending::Exited(0), "{name}");
                assert_eq!(finished.stdout, "");
                let told = if name == "pause" { "Shutting down, got signal: " } else { "" };
                assert!(finished.stderr.contains(told), "{name}: {}", finished.stderr);
            });
        }
    }
}

fn ignores_other_signals() {
    each_way(Mode::Pid1, |name, mut running| {
        for signal in (1..=64).filter(|signal| ![2, 9, 15, 19].contains(signal)) {
            running.signal(signal);
        }
        // They are taken one by one, the lowest number first (signal(7)); when none is pending, all have been taken.
        poll("they are taken", || {
            let pending = process::status(running.pid, "ShdPnd")?;
            (u64::from_str_radix(&pending, 16) == Ok(0)).then_some(())
        });
        assert!(running.is_running(), "{name}");
    });
}

/// Runs a shell in the PID namespace of `pid`, as another container of the pod would.
fn run_beside(pid: i32, script: &str) {
    let nsenter = find_program("nsenter").unwrap_or_else(|| skip("needs nsenter"));
    let mut command = Command::new(nsenter);
    command.args(["--target", &pid.to_string(), "--pid", "--mount", "--", "/bin/sh", "-c", script]);
    let status = command.status().expect("nsenter runs");
    assert!(status.success(), "{status}");
}

fn reaps() {
    each_way(Mode::Pid1, |name, mut running| {
        run_beside(running.pid, "i=0; while [ $i -lt 300 ]; do (sleep 0.1 &); i=$((i + 1)); done");
        poll("all orphans are reaped", || process::children(running.pid).is_empty().then_some(()));
        assert!(running.is_running(), "{name}");
    });
}

fn holds_nothing_open() {
    each_way(Mode::Pid1, |name, running| {
        poll("only stderr is open", || process::descriptors(running.pid).into_keys().eq([2]).then_some(()));
        assert!(running.stdout.ends_within(deadline()), "{name}");
    });
}

fn idle() {
    each_way(Mode::Pid1, |name, running| {
        process::wait_until_idle(running.pid);
        let before = process::context_switches(running.pid);
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(process::context_switches(running.pid), before, "{name} woke up");
    });
}

fn warns() {
    each_way(Mode::Subreaper, |name, running| {
        running.signal(15);
        let stderr = running.finish().stderr.clone();
        match name {
            "sexton" => assert!(stderr.contains("warning: not PID 1"), "{stderr}"),
            "pause" => {
                assert!(stderr.starts_with("Warning: pause should be the first process\n"), "{stderr}")
            }
            _ => assert_eq!(stderr, ""),
        }
    });
    each_way(Mode::Pid1, |name, running| {
        running.signal(15);
        let stderr = running.finish().stderr.clone();
        assert!(!stderr.to_lowercase().contains("warning"), "{name}: {stderr}");
    });
}

fn version() {
    let (path, _directory) = called("pause");
    for option in ["-v", "-V", "--version"] {
        let finished = Init::new(Mode::Subreaper).instead([path.as_os_str(), option.as_ref()]).run();
        assert_eq!(finished.ending, Ending::Exited(0));
        assert!(finished.stdout.starts_with("pause.c "), "{}", finished.stdout);
        assert!(finished.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", finished.stdout);
    }
}

fn runs_no_program() {
    sexton_only();
    let words = [under_test().path().as_os_str(), "--pause".as_ref(), "true".as_ref()];
    let finished = Init::new(Mode::Subreaper).instead(words).run();
    assert_eq!(finished.ending, Ending::Exited(125));
    assert!(finished.stderr.contains("--pause runs no program"), "{}", finished.stderr);
}
