//! [E]: exit statuses. [J1]: the program's own process group.

use std::fs;

use nix::libc::RLIM_INFINITY;
use nix::sys::resource::{Resource, getrlimit};
use serde_json::json;

use crate::support::raw::bit;
use crate::support::{Ending, Init, Mode, Suite, TemporaryDirectory, probe, skip};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.in_modes("ending::e1_every_exit_code", reaping, every_exit_code);
    suite.in_modes("ending::e1_every_fatal_signal", reaping, every_fatal_signal);
    suite.in_modes("ending::e1_program_not_found_is_127", Mode::ALL, not_found);
    suite.in_modes("ending::e1_program_not_executable_is_126", Mode::ALL, not_executable);
    suite.in_modes("ending::e1_exec_failure_names_the_program", reaping, failure_names_the_program);
    suite.in_modes("ending::e1_remap", reaping, remap);
    suite.in_modes("ending::e1_ends_though_an_orphan_lives", reaping, ends_though_an_orphan_lives);
    suite.in_modes("ending::e2_reraise_never", reaping, reraise_never);
    suite.test("ending::e2_reraise_always_ends_by_the_signal", reraise_always);
    suite.test("ending::e2_reraise_always_writes_no_second_core", reraise_without_core);
    suite.in_modes(
        "ending::e2_pid1_never_reraises",
        &[Mode::Pid1, Mode::Pid1InUserNamespace],
        pid1_never_reraises,
    );
    suite.in_modes("ending::e6_parent_death_signal", &[Mode::Child, Mode::Subreaper], parent_death_signal);
    suite.test("ending::e6_parent_dead_before_the_start", parent_dead_before_the_start);
    suite.test("ending::e6_nothing_without_the_option", no_signal_without_the_option);
    suite.in_modes("ending::j1_own_group_as_session_leader_or_pid1", Mode::ALL, own_group);
    suite.test("ending::j1_own_group_without_a_terminal", own_group_without_a_terminal);
    suite.in_modes("ending::j1_own_group_with_deliver_group", reaping, own_group_with_deliver_group);
}

fn every_exit_code(mode: Mode) {
    let wrong: Vec<String> = (0..=255)
        .filter_map(|code| {
            let ending = Init::new(mode).shell(&format!("exit {code}")).run().ending;
            (ending != Ending::Exited(code)).then(|| format!("{code}: {ending:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// By default CHLD, URG and WINCH are ignored, CONT continues, and four signals stop.
fn is_fatal(signal: i32) -> bool {
    ![17, 18, 19, 20, 21, 22, 23, 28].contains(&signal)
}

fn show_world_and_die(mode: Mode, signal: i32) -> Init {
    Init::new(mode)
        .world("limit=core:0:0")
        .program(probe("show_world"))
        .args(["--raise", &signal.to_string()])
}

fn every_fatal_signal(mode: Mode) {
    let wrong: Vec<String> = (1..=64)
        .filter(|signal| is_fatal(*signal))
        .filter_map(|signal| {
            let ending = show_world_and_die(mode, signal).run().ending;
            (ending != Ending::Exited(128 + signal)).then(|| format!("{signal}: {ending:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn not_found(mode: Mode) {
    for program in ["/nowhere/at/all", "sexton-test-no-such-program"] {
        // Not the test's PATH: a directory in it that the user cannot search gives EACCES, and so 126.
        let init = Init::new(mode).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        assert_eq!(init.program(program).run().ending, Ending::Exited(127), "{program}");
    }
}

fn not_executable(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let file = directory.write("plain", "#!/bin/sh\nexit 0\n");
    assert_eq!(Init::new(mode).program(&file).run().ending, Ending::Exited(126), "a plain file");
    assert_eq!(Init::new(mode).program(directory.path()).run().ending, Ending::Exited(126), "a directory");
}

fn failure_names_the_program(mode: Mode) {
    crate::support::sexton_only();
    let directory = TemporaryDirectory::new();
    let file = directory.write("not-executable", "#!/bin/sh\nexit 0\n");
    for program in ["/nowhere/not-there".as_ref(), file.as_path()] {
        let finished = Init::new(mode).program(program).run();
        let name = program.display().to_string();
        assert!(finished.stderr.contains(&name), "stderr does not name {name}: {}", finished.stderr);
        assert!((1..=2).contains(&finished.stderr.lines().count()), "one or two lines: {}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
}

fn remap(mode: Mode) {
    let cases: &[(&[&str], &str, i32)] = &[
        (&["-e", "143"], "kill -TERM $$", 0),
        (&["--remap", "143:0"], "kill -TERM $$", 0),
        (&["-e", "TERM:3"], "kill -TERM $$", 3),
        (&["-e", "SIGKILL:77"], "kill -KILL $$", 77),
        (&["--remap=7:8", "-e", "8:9"], "exit 7", 8),
        (&["-e", "7:8", "-e", "143"], "exit 7", 8),
        (&["-e", "0:255"], "exit 0", 255),
        (&["-e", "7:8"], "exit 6", 6),
        // A code is remapped wherever it comes from.
        (&["-e", "143:1"], "exit 143", 1),
    ];
    for (options, script, expected) in cases {
        let finished = Init::new(mode).options(*options).shell(script).run();
        assert_eq!(finished.ending, Ending::Exited(*expected), "{options:?} {script}");
    }
}

/// Whatever happens to the orphan, the status is the program's.
fn ends_though_an_orphan_lives(mode: Mode) {
    let script = "(sleep 1000 >&- 2>&- &); exit 9";
    assert_eq!(Init::new(mode).shell(script).run().ending, Ending::Exited(9));
}

fn reraise_never(mode: Mode) {
    let finished = Init::new(mode).options(["--reraise", "never"]).shell("kill -TERM $$").run();
    assert_eq!(finished.ending, Ending::Exited(143));
}

fn reraise_always() {
    for mode in [Mode::Child, Mode::Subreaper] {
        for signal in (1..=64).filter(|signal| is_fatal(*signal)) {
            let finished = show_world_and_die(mode, signal).options(["--reraise", "always"]).run();
            assert_eq!(finished.ending, Ending::Signaled { signal, core: false });
        }
        // A mask and ignored signals that it inherited must not keep it alive.
        let finished =
            show_world_and_die(mode, 15).options(["--reraise=always"]).mask(u64::MAX).ignore([15]).run();
        assert_eq!(finished.ending, Ending::Signaled { signal: 15, core: false });
        let finished = Init::new(mode).options(["--reraise", "always"]).shell("exit 143").run();
        assert_eq!(finished.ending, Ending::Exited(143), "an exit code is not a signal");
    }
}

/// Needs root: sexton's working directory is `/`, where nobody else could write a core file anyway.
fn reraise_without_core() {
    let hard_limit = getrlimit(Resource::RLIMIT_CORE).map(|(_, hard)| hard);
    if !nix::unistd::geteuid().is_root() || hard_limit != Ok(RLIM_INFINITY) {
        skip("needs root, and no hard limit for core files");
    }
    let directory = TemporaryDirectory::new();
    let init = Init::new(Mode::Subreaper).options(["--reraise", "always"]).directory(directory.path());
    let finished = init.world("limit=core:unlimited:unlimited").shell("kill -QUIT $$").run();
    if fs::read_dir(directory.path()).map_or(0, Iterator::count) == 0 {
        skip("needs a core_pattern that writes to the working directory");
    }
    assert_eq!(finished.ending, Ending::Signaled { signal: 3, core: false });
}

fn pid1_never_reraises(mode: Mode) {
    let finished = Init::new(mode).options(["--reraise", "always"]).shell("kill -TERM $$").run();
    assert_eq!(finished.ending, Ending::Exited(143));
}

fn parent_death_signal(mode: Mode) {
    for option in [&["-p", "TERM"][..], &["--parent-death-signal=SIGTERM"]] {
        let init = Init::new(mode).session_member().options(option);
        let mut running = init.program(probe("print_signals")).spawn();
        running.ready();
        running.kill_parent();
        assert_eq!(running.received().number, 15);
        assert_eq!(running.wait(), Ending::Exited(0));
    }
}

fn parent_dead_before_the_start() {
    // Blocked, because it arrives before the program can set anything up.
    let init = Init::new(Mode::Subreaper).orphan().mask(bit(10)).options(["-p", "USR1"]);
    let mut running = init.program(probe("print_signals")).spawn();
    running.ready();
    assert_eq!(running.received().number, 10);
}

fn no_signal_without_the_option() {
    let mut running = Init::new(Mode::Subreaper).session_member().program(probe("print_signals")).spawn();
    running.ready();
    running.kill_parent();
    running.signal(10);
    assert_eq!(running.received().number, 10, "the first signal is the one that was sent");
}

/// By default the tests' init is a session leader without a terminal.
fn own_group(mode: Mode) {
    let world = Init::new(mode).program(probe("show_world")).run().world();
    assert_eq!(world["process_group"], world["pid"]);
    assert_eq!(world["foreground_group"], json!(null));
}

fn own_group_without_a_terminal() {
    let world = Init::new(Mode::Subreaper).session_member().program(probe("show_world")).run().world();
    assert_eq!(world["process_group"], world["pid"]);
    assert_ne!(world["session"], world["pid"], "the program stays in the init's session");
}

fn own_group_with_deliver_group(mode: Mode) {
    for options in [&["-g"][..], &["--deliver=group"]] {
        let init = Init::new(mode).session_member().options(options);
        let world = init.program(probe("show_world")).run().world();
        assert_eq!(world["process_group"], world["pid"]);
    }
}
