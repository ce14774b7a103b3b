//! [T6] and [P7] where the system calls are not a kernel's: qemu-user, as `docker build --platform` runs an image for
//! another machine. Its vfork(2) is a fork(2): the child shares no memory, and nobody waits for its exec. And it knows
//! no subreapers.
//!
//! The reference is the same init without it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::drop_in::called;
use crate::support::{
    Ending, Finished, HeldCall, Init, Mode, Running, Suite, TemporaryDirectory, deadline, find_program, hold,
    poll, probe, process, sexton_only, skip, under_test,
};

pub(crate) fn tests(suite: &mut Suite) {
    let modes = &[Mode::Child, Mode::Pid1];
    suite.in_modes("qemu_user::t6_failures_are_explained", modes, failures);
    suite.in_modes("qemu_user::t6_exit_codes", modes, exit_codes);
    suite.in_modes("qemu_user::t6_text_is_run_by_the_shell", modes, text);
    suite.in_modes("qemu_user::s4_early_signals_reach_the_program", modes, |mode| early_signals(mode, &[]));
    suite.in_modes("qemu_user::s4_early_signals_reach_the_group", modes, |mode| early_signals(mode, &["-g"]));
    suite.in_modes("qemu_user::s4_early_signals_reach_a_slow_group", modes, early_signals_of_a_slow_group);
    suite.test("qemu_user::r1_orphans_are_reaped", orphans);
    suite.test("qemu_user::t6_one_warning_names_what_is_refused", warning);
    suite.in_modes("qemu_user::t6_drop_in_names", modes, drop_in_names);
}

fn qemu() -> PathBuf {
    sexton_only();
    let name = format!("qemu-{}", std::env::consts::ARCH);
    let found = find_program(&name).or_else(|| find_program(&format!("{name}-static")));
    found.unwrap_or_else(|| skip(format!("needs {name}")))
}

/// The init in this file with these options, below qemu and alone.
fn both(mode: Mode, file: &Path, options: &[&str]) -> [Init; 2] {
    let words = [file.as_os_str()].into_iter().chain(options.iter().map(|word| word.as_ref()));
    let words: Vec<OsString> = words.map(OsString::from).collect();
    let emulated = [qemu().into_os_string()].into_iter().chain(words.clone());
    [Init::new(mode).instead(emulated), Init::new(mode).instead(words)]
}

fn sexton(mode: Mode, options: &[&str]) -> [Init; 2] {
    let no_subreaper: &[&str] = if mode == Mode::Child { &["--no-subreaper"] } else { &[] };
    both(mode, under_test().path(), &[no_subreaper, options, &["--"]].concat())
}

fn emulated(mode: Mode, options: &[&str]) -> Init {
    let [emulated, _] = sexton(mode, options);
    emulated
}

/// Runs both: ending, output and what is told must be the same, but for the PID.
fn same(both: [Init; 2], what: impl Fn(Init) -> Init) -> Finished {
    let seen = |finished: &Finished| {
        let told =
            finished.stderr.lines().map(|line| line.replace(|letter: char| letter.is_ascii_digit(), ""));
        (finished.ending, finished.stdout.clone(), told.collect::<Vec<_>>())
    };
    let [emulated, alone] = both.map(|init| what(init).run());
    assert_eq!(seen(&emulated), seen(&alone), "with qemu, and without");
    emulated
}

fn failures(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let script = directory.script("script", "#!/nowhere/at/all\n");
    let plain = directory.write("plain", "");
    for (program, code) in [
        (Path::new("/nonexistent"), 127),
        (Path::new("sexton-test-no-such-program"), 127),
        (directory.path(), 126),
        (&script, 126),
        (&plain, 126),
    ] {
        let finished = same(sexton(mode, &[]), |init| init.program(program));
        assert_eq!(finished.ending, Ending::Exited(code), "{}", program.display());
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
    let finished = same(sexton(mode, &["-C", "/nonexistent"]), |init| init.program("true"));
    assert_eq!(finished.ending, Ending::Exited(125));
}

fn exit_codes(mode: Mode) {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        let finished = same(sexton(mode, &[]), |init| init.shell(script));
        assert_eq!((finished.ending, finished.stderr.as_str()), (Ending::Exited(code), ""), "{script}");
    }
}

fn text(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let path = directory.script("app", "echo \"$0 $1\"\nexit 4\n");
    let finished = same(sexton(mode, &[]), |init| init.program(&path).args(["a b"]));
    assert_eq!((finished.ending, finished.stderr.as_str()), (Ending::Exited(4), ""));
    assert_eq!(finished.stdout, format!("{} a b\n", path.display()));
}

/// They are pending when the init starts, so they are the first that it does when it has a child.
fn early_signals(mode: Mode, options: &[&str]) {
    for run in 0..15 {
        let init = emulated(mode, options).mask(u64::MAX).pending([10, 15, 40]);
        expect_early(init.program(probe("print_signals")).args(["--keep"]).spawn(), run);
    }
}

fn expect_early(mut running: Running, run: u32) {
    running.ready();
    let mut numbers = Vec::new();
    while numbers.len() < 3 {
        let received = running.received_within(deadline());
        numbers.push(received.unwrap_or_else(|| panic!("run {run}: only {numbers:?}")).number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [10, 15, 40], "run {run}");
}

/// The program comes late to the group that it is to lead.
fn early_signals_of_a_slow_group(mode: Mode) {
    let init = emulated(mode, &["-g"]).mask(u64::MAX).pending([10, 15, 40]).world(hold());
    let running = init.program(probe("print_signals")).args(["--keep"]).spawn();
    let held = HeldCall::setpgid(&running);
    held.wait_or(|| !running.stdout.bytes().is_empty());
    process::settle(running.pid);
    drop(held);
    expect_early(running, 0);
}

/// Waits until the program is all that is left.
fn only_the_program_is_left(running: &Running) {
    poll("the orphans are reaped", || {
        let children = process::children(running.pid);
        (children.len() == 1 && !children[0].is_zombie()).then_some(())
    });
}

fn orphans() {
    let script =
        format!("{} 200; exec {}", probe("make_orphans").display(), probe("print_signals").display());
    let mut running = emulated(Mode::Pid1, &[]).shell(&script).spawn();
    assert_eq!(running.next_line().text, "done 200");
    running.ready();
    only_the_program_is_left(&running);
    running.signal(15);
    assert_eq!(running.wait(), Ending::Exited(0));
}

fn warning() {
    let file = under_test().path();
    let [emulated, _] = both(Mode::Subreaper, file, &[]);
    let finished = emulated.shell("exit 7").run();
    assert_eq!(finished.ending, Ending::Exited(7));
    assert!(finished.stderr.contains("subreaper"), "{}", finished.stderr);
    assert_eq!(finished.stderr.lines().count(), 1, "one warning: {}", finished.stderr);
}

fn drop_in_names(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let text = directory.script("app", "exit 4\n");
    // As any but PID 1 catatonit has to be a subreaper.
    let names = if mode.is_pid1() { &["tini", "dumb-init", "catatonit"][..] } else { &["tini", "dumb-init"] };
    for name in names {
        let (file, _link) = called(name);
        let both = || both(mode, &file, &["--"]);
        same(both(), |init| init.program("/nonexistent"));
        assert_eq!(same(both(), |init| init.shell("exit 7")).ending, Ending::Exited(7), "{name}");
        assert_eq!(same(both(), |init| init.shell("kill -9 $$")).ending, Ending::Exited(137), "{name}");
        assert_eq!(same(both(), |init| init.program(&text)).ending, Ending::Exited(4), "{name}");
    }
}
