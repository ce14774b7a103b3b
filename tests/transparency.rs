//! [T]: the program starts in the world that the init was given.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::pty::open_pty;
use crate::support::{
    Ending, Init, Mode, NOBODY, Running, Suite, TemporaryDirectory, deadline, poll, probe, process, raw,
    sexton_only,
};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.in_modes("transparency::t1_mask_reaches_the_program", Mode::ALL, mask_reaches_the_program);
    suite.in_modes("transparency::t1_dispositions_reach_the_program", Mode::ALL, dispositions_reach_it);
    suite.in_modes(
        "transparency::t2_descriptors_keep_their_numbers",
        reaping,
        descriptors_keep_their_numbers,
    );
    suite.in_modes("transparency::t2_close_on_exec_is_honoured", reaping, close_on_exec_is_honoured);
    suite.in_modes("transparency::t2_closed_streams_stay_closed", reaping, closed_streams_stay_closed);
    suite.in_modes("transparency::t2_no_stream_becomes_the_inits_signalfd", reaping, signalfd_is_no_stream);
    suite.in_modes("transparency::t2_init_keeps_nothing_but_stderr", reaping, init_keeps_only_stderr);
    suite.in_modes("transparency::t2_init_stands_in_the_root", reaping, init_stands_in_the_root);
    suite.in_modes("transparency::t2_reader_sees_end_of_file", reaping, reader_sees_end_of_file);
    suite.in_modes("transparency::t3_directory_umask_nice_limits", reaping, settings_are_unchanged);
    suite.in_modes("transparency::t3_environment_is_unchanged", reaping, environment_is_unchanged);
    suite.in_modes("transparency::t3_only_own_variables_are_consumed", reaping, own_variables_are_consumed);
    suite.in_modes("transparency::t3_listen_pid_follows_the_program", reaping, listen_pid_follows);
    suite.in_modes("transparency::t3_listen_pidfdid_goes_with_it", reaping, listen_pidfdid_goes);
    suite.in_modes("transparency::t3_listen_pid_of_another_is_kept", reaping, listen_pid_of_another_is_kept);
    suite.in_modes("transparency::t4_status_with_sigchld_ignored", reaping, status_with_sigchld_ignored);
    suite.in_modes("transparency::t4_status_with_all_blocked", reaping, status_with_all_blocked);
    suite.in_modes("transparency::t4_works_without_proc", reaping, works_without_proc);
    suite.in_modes("transparency::t4_delivers_to_the_tree_without_proc", reaping, delivers_without_proc);
    suite.in_modes("transparency::t4_kills_the_program_without_proc", reaping, kills_without_proc);
    suite.in_modes("transparency::t4_works_without_dev", reaping, works_without_dev);
    suite.in_modes("transparency::t4_works_on_a_read_only_root", reaping, works_on_a_read_only_root);
    suite.in_modes("transparency::t4_works_as_nobody", reaping, works_as_nobody);
    suite.in_modes("transparency::t6_works_without_signalfd", reaping, works_without_signalfd);
    suite.in_modes("transparency::t6_works_without_waitid", reaping, works_without_waitid);
    suite.in_modes("transparency::t6_works_without_a_free_descriptor", reaping, works_without_descriptors);
    suite.in_modes("transparency::t5_silent_by_default", Mode::ALL, silent_by_default);
    suite.in_modes("transparency::t5_nothing_on_stdout_even_at_vvv", reaping, nothing_on_stdout);
    suite.in_modes("transparency::t5_closed_stderr_is_no_reason_to_end", reaping, closed_stderr);
    suite.in_modes("transparency::t5_full_stderr_does_not_stall", reaping, full_stderr);
    suite.in_modes("transparency::t5_nothing_is_lost_in_a_file", reaping, nothing_is_lost_in_a_file);
    suite.in_modes("transparency::t5_a_terminal_that_nobody_reads_does_not_stall", reaping, unread_terminal);
}

/// The init's world as the program sees it.
fn world(init: Init) -> Value {
    let finished = init.program(probe("show_world")).run();
    assert_eq!(finished.ending, Ending::Exited(0));
    finished.world()
}

/// Every signal but KILL and STOP, which cannot be blocked.
const BLOCKABLE: u64 = !(1 << 8 | 1 << 18);

fn mask_reaches_the_program(mode: Mode) {
    let some = raw::bit(15) | raw::bit(17) | raw::bit(64);
    let hidden = raw::bit(32) | raw::bit(33) | raw::bit(34);
    for mask in [0, some, hidden, raw::bit(13), BLOCKABLE] {
        let world = world(Init::new(mode).mask(mask));
        assert_eq!(world["mask"], json!(format!("{mask:016x}")), "given {mask:016x}");
        assert_eq!(world["ignored"], json!("0000000000000000"));
    }
}

fn dispositions_reach_it(mode: Mode) {
    let all = (1..=64).filter(|signal| BLOCKABLE & raw::bit(*signal) != 0).collect();
    let sets: [Vec<i32>; 6] =
        [vec![], vec![13], vec![17], vec![32, 33, 34], vec![1, 2, 3, 13, 15, 17, 20], all];
    for ignored in sets {
        let expected = ignored.iter().fold(0, |mask, signal| mask | raw::bit(*signal));
        let world = world(Init::new(mode).ignore(ignored));
        assert_eq!(world["ignored"], json!(format!("{expected:016x}")), "given {expected:016x}");
        assert_eq!(world["caught"], json!("0000000000000000"));
    }
}

/// Number and target of the program's descriptors.
fn descriptors(world: &Value) -> BTreeMap<i64, String> {
    let descriptor = |entry: &Value| Some((entry["number"].as_i64()?, entry["target"].as_str()?.to_owned()));
    let entries = world["descriptors"].as_array().expect("descriptors are an array");
    entries.iter().filter_map(descriptor).collect()
}

fn descriptors_keep_their_numbers(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let mut init = Init::new(mode);
    for number in [3, 4, 7, 200] {
        init = init.world(format!("open={number}:w:keep:{}/{number}", directory.path().display()));
    }
    let found = descriptors(&world(init));
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 7, 200]);
    for number in [3, 4, 7, 200] {
        assert_eq!(found[&number], directory.join(&number.to_string()).display().to_string());
    }
}

fn close_on_exec_is_honoured(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let path = directory.path().display();
    let init = Init::new(mode)
        .world(format!("open=5:w:cloexec:{path}/5"))
        .world(format!("open=6:w:keep:{path}/6"))
        .world(format!("open=100:w:cloexec:{path}/100"));
    assert_eq!(descriptors(&world(init)).into_keys().collect::<Vec<_>>(), [0, 1, 2, 6]);
}

/// The program's own stdout may be closed, so it writes its result to a file.
fn closed_streams_stay_closed(mode: Mode) {
    for closed in [vec![0], vec![1], vec![2], vec![0, 2], vec![0, 1], vec![0, 1, 2]] {
        let directory = TemporaryDirectory::new();
        let result = directory.join("result");
        // Not a glob: while a shell reads the directory, it has it open at the lowest free number.
        let script = format!(
            "r=; for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && r=\"$r $n\"; done; echo $r >{}",
            result.display()
        );
        let finished = Init::new(mode).shell(&script).closed(closed.clone()).run();
        assert_eq!(finished.ending, Ending::Exited(0), "closed {closed:?}");
        let open: Vec<String> = (0..3).filter(|n| !closed.contains(n)).map(|n| n.to_string()).collect();
        let found = std::fs::read_to_string(&result).expect("the program writes its result");
        assert_eq!(found.trim(), open.join(" "), "closed {closed:?}");
    }
}

/// Without /dev/null nothing else takes the streams' numbers.
fn signalfd_is_no_stream(mode: Mode) {
    sexton_only();
    needs_mounts();
    for closed in [vec![], vec![2], vec![0, 1, 2]] {
        let init = Init::new(mode).world("mount=no-dev").closed(closed.clone());
        let running = init.program(probe("print_signals")).spawn();
        poll(&format!("the signalfd is above the streams, closed {closed:?}"), || {
            let open = process::descriptors(running.pid);
            let is_signalfd = |(_, target): &(&i32, &String)| target.contains("signalfd");
            let numbers: Vec<i32> = open.iter().filter(is_signalfd).map(|(number, _)| *number).collect();
            matches!(numbers[..], [number] if number > 2).then_some(())
        });
    }
}

/// An init whose program is ready, with a file at descriptors 3 and 50.
fn with_open_files(mode: Mode, directory: &TemporaryDirectory) -> Running {
    let path = directory.path().display();
    let mut running = Init::new(mode)
        .directory(directory.path())
        .world(format!("open=3:w:keep:{path}/3"))
        .world(format!("open=50:w:keep:{path}/50"))
        .program(probe("print_signals"))
        .spawn();
    running.ready();
    running
}

fn init_keeps_only_stderr(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let running = with_open_files(mode, &directory);
    let own = directory.path().display().to_string();
    let end = Instant::now() + deadline();
    loop {
        let open = process::descriptors(running.pid);
        let nulls = [0, 1].iter().all(|number| open.get(number).is_some_and(|target| target == "/dev/null"));
        let pipes = open.values().filter(|target| target.starts_with("pipe:")).count();
        let stderr = open.get(&2).is_some_and(|target| target.starts_with("pipe:"));
        let files = open.values().filter(|target| target.starts_with(&own)).count();
        if nulls && stderr && pipes == 1 && files == 0 {
            return;
        }
        assert!(Instant::now() < end, "the init holds {open:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn init_stands_in_the_root(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let running = with_open_files(mode, &directory);
    poll("the init's directory is /", || {
        let place = std::fs::read_link(format!("/proc/{}/cwd", running.pid)).ok()?;
        (place.as_os_str() == "/").then_some(())
    });
}

fn reader_sees_end_of_file(mode: Mode) {
    let script = "exec >&-; echo closed >&2; kill -STOP $$";
    let mut running = Init::new(mode).shell(script).spawn();
    assert!(running.stdout.ends_within(deadline()), "no end of file on stdout");
    assert!(running.stderr.text_until(deadline(), |text| text == "closed\n"));
    assert!(running.is_running(), "the init must outlive the pipe");
}

fn settings_are_unchanged(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let init = Init::new(mode)
        .directory(directory.path())
        .world("umask=027")
        .world("nice=5")
        .world("limit=nofile:301:302")
        .world("limit=core:0:1000000");
    let world = world(init);
    assert_eq!(world["directory"], json!(directory.path().display().to_string()));
    assert_eq!(world["umask"], json!("0027"));
    assert_eq!(world["nice"], json!(5));
    assert_eq!(world["limits"]["Max open files"], json!(["301", "302"]));
    assert_eq!(world["limits"]["Max core file size"], json!(["0", "1000000"]));
}

fn environment_is_unchanged(mode: Mode) {
    let init = || Init::new(mode).env("EMPTY", "").env("WITH_EQUALS", "a=b=c").env("SOMETHING", "two\nlines");
    let under_init = world(init());
    let test = std::env::vars_os().map(|(name, value)| {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        (text(name), Value::String(text(value)))
    });
    let mut expected: serde_json::Map<String, Value> =
        test.filter(|(name, _)| !name.starts_with("SEXTON_") && !name.starts_with("LISTEN_")).collect();
    expected.remove("INIT_UNDER_TEST");
    expected.extend([
        ("EMPTY".into(), json!("")),
        ("WITH_EQUALS".into(), json!("a=b=c")),
        ("SOMETHING".into(), json!("two\nlines")),
    ]);
    assert_eq!(under_init["environment"], Value::Object(expected));
}

fn own_variables_are_consumed(mode: Mode) {
    let init = Init::new(mode)
        .env("SEXTON_VERBOSE", "1")
        .env("SEXTON_LOG", "debug")
        .env("SEXTON_REWRITE", "HUP:QUIT")
        .env("SEXTON_DELIVER", "group")
        .env("SEXTON_FOO", "kept")
        .env("SEXTONS", "kept");
    let environment = world(init)["environment"].clone();
    for consumed in ["SEXTON_VERBOSE", "SEXTON_LOG", "SEXTON_REWRITE", "SEXTON_DELIVER"] {
        assert_eq!(environment[consumed], Value::Null, "{consumed}");
    }
    assert_eq!(environment["SEXTON_FOO"], json!("kept"));
    assert_eq!(environment["SEXTONS"], json!("kept"));
}

fn listen_pid_follows(mode: Mode) {
    let init = Init::new(mode).env("LISTEN_FDS", "1").world("listen-pid");
    let world = world(init);
    let pid = world["pid"].to_string();
    assert_eq!(world["environment"]["LISTEN_PID"], json!(pid), "LISTEN_PID named the init");
    assert_eq!(world["environment"]["LISTEN_FDS"], json!("1"));
}

fn listen_pidfdid_goes(mode: Mode) {
    sexton_only();
    let init = Init::new(mode).env("LISTEN_FDS", "1").env("LISTEN_PIDFDID", "77").world("listen-pid");
    let world = world(init);
    assert_eq!(world["environment"]["LISTEN_PID"], json!(world["pid"].to_string()));
    assert_eq!(world["environment"]["LISTEN_PIDFDID"], json!(null), "LISTEN_PIDFDID named the init");
}

fn listen_pid_of_another_is_kept(mode: Mode) {
    let init = Init::new(mode).env("LISTEN_FDS", "1").env("LISTEN_PID", "99999999");
    let world = world(init.env("LISTEN_PIDFDID", "77"));
    assert_eq!(world["environment"]["LISTEN_PID"], json!("99999999"));
    assert_eq!(world["environment"]["LISTEN_PIDFDID"], json!("77"));
}

fn status_with_sigchld_ignored(mode: Mode) {
    let finished = Init::new(mode).ignore([17]).shell("exit 43").run();
    assert_eq!(finished.ending, Ending::Exited(43));
    let finished = Init::new(mode).ignore([17]).shell("kill -9 $$").run();
    assert_eq!(finished.ending, Ending::Exited(128 + 9));
}

fn status_with_all_blocked(mode: Mode) {
    let finished = Init::new(mode).mask(u64::MAX).shell("exit 43").run();
    assert_eq!(finished.ending, Ending::Exited(43));
}

/// The exit code arrives, and a signal is passed on.
fn does_the_main_job(init: impl Fn() -> Init) {
    assert_eq!(init().shell("exit 43").run().ending, Ending::Exited(43));
    passes_a_signal(init());
}

fn passes_a_signal(init: Init) {
    let mut running = init.program(probe("print_signals")).spawn();
    running.ready();
    running.signal(10);
    assert_eq!(running.received().number, 10);
    running.signal(15);
    assert_eq!(running.wait(), Ending::Exited(0));
}

fn needs_mounts() {
    if !nix::unistd::geteuid().is_root() {
        crate::support::skip("changing mounts needs root");
    }
}

fn works_without_proc(mode: Mode) {
    needs_mounts();
    does_the_main_job(|| Init::new(mode).world("mount=no-proc"));
}

/// Nothing tells what is in the tree, but the program always is.
fn delivers_without_proc(mode: Mode) {
    needs_mounts();
    does_the_main_job(|| Init::new(mode).world("mount=no-proc").options(["--deliver", "tree"]));
}

fn kills_without_proc(mode: Mode) {
    needs_mounts();
    let options = ["-v", "--timeout", "100ms", "--kill-after", "100ms"];
    let init = Init::new(mode).world("mount=no-proc").ignore([15]).options(options);
    let finished = init.shell("exec sleep 1000").run();
    assert_eq!(finished.ending, Ending::Exited(124));
    assert!(finished.stderr.contains("the program was ended by SIGKILL"), "{}", finished.stderr);
}

fn works_without_signalfd(mode: Mode) {
    sexton_only();
    does_the_main_job(|| Init::new(mode).world("no-signalfd"));
    for refused in ["no-signalfd", "no-fcntl", "no-ppoll"] {
        let init = Init::new(mode).world(refused).options(["--timeout", "100ms"]);
        let finished = init.shell("exec sleep 1000").run();
        assert_eq!(finished.ending, Ending::Exited(124), "{refused}");
        let warnings: Vec<&str> = finished.stderr.lines().filter(|line| line.contains("signalfd")).collect();
        assert_eq!(warnings.len(), 1, "{refused}: {}", finished.stderr);
    }
}

fn works_without_waitid(mode: Mode) {
    sexton_only();
    does_the_main_job(|| Init::new(mode).world("no-waitid").options(["--warn-on-reap"]));
}

/// sexton's start takes none, and without a signalfd it waits in another way. (The program is static, and needs none.)
fn works_without_descriptors(mode: Mode) {
    sexton_only();
    passes_a_signal(Init::new(mode).world("limit=nofile:3:3"));
}

fn works_without_dev(mode: Mode) {
    needs_mounts();
    does_the_main_job(|| Init::new(mode).world("mount=no-dev"));
}

fn works_on_a_read_only_root(mode: Mode) {
    needs_mounts();
    let finished = Init::new(mode).world("mount=read-only").shell("! touch /tmp/sexton-test-writable").run();
    assert_eq!(finished.ending, Ending::Exited(0), "the root is not read-only");
    does_the_main_job(|| Init::new(mode).world("mount=read-only"));
}

fn works_as_nobody(mode: Mode) {
    if !nix::unistd::geteuid().is_root() {
        crate::support::skip("becoming another user needs root");
    }
    does_the_main_job(|| Init::new(mode).user(NOBODY));
}

fn silent_by_default(mode: Mode) {
    let mut running = Init::new(mode).program(probe("print_signals")).spawn();
    running.ready();
    running.signal(10);
    running.received();
    running.signal(15);
    let finished = running.finish();
    assert_eq!(finished.ending, Ending::Exited(0));
    assert_eq!(finished.stderr, "");
    let others =
        finished.stdout.lines().filter(|line| !line.starts_with("ready ") && !line.starts_with("signal "));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new());
}

fn nothing_on_stdout(mode: Mode) {
    let finished = Init::new(mode).options(["-vvv", "-w"]).shell("(true &); kill -9 $$").run();
    assert_eq!(finished.ending, Ending::Exited(128 + 9));
    assert_eq!(finished.stdout, "");
    assert_ne!(finished.stderr, "", "with -vvv there is something to say");
}

fn closed_stderr(mode: Mode) {
    for options in [&[][..], &["-vvv"]] {
        let mut running =
            Init::new(mode).options(options).program(probe("print_signals")).closed([2]).spawn();
        running.ready();
        running.signal(10);
        assert_eq!(running.received().number, 10);
        running.signal(15);
        assert_eq!(running.wait(), Ending::Exited(0));
        if !options.is_empty() {
            return;
        }
    }
}

fn full_stderr(mode: Mode) {
    let options = ["-vvv"];
    let mut running = Init::new(mode).options(options).program(probe("print_signals")).full_stderr().spawn();
    running.ready();
    for _ in 0..100 {
        running.signal(10);
        assert_eq!(running.received().number, 10);
    }
    running.signal(15);
    assert_eq!(running.wait(), Ending::Exited(0));
}

/// XFS and btrfs refuse a write with RWF_NOWAIT where the modification time has to be updated, which is always.
fn nothing_is_lost_in_a_file(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let log = directory.join("log");
    let init = Init::new(mode).options(["-v", "--report", "-"]).shell("exit 3");
    let init = init.world(format!("open=2:w:keep:{}", log.display())).world("hesitant-writes");
    assert_eq!(init.run().ending, Ending::Exited(3));
    let written = std::fs::read_to_string(log).expect("it is there");
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines.len(), 3, "{written}");
    assert!(lines[1].ends_with("the program exited with 3") && lines[2].ends_with('}'), "{written}");
}

/// Just before the terminal is full, it has room for only part of a line.
fn unread_terminal(mode: Mode) {
    let (_unread, path) = open_pty();
    let init = Init::new(mode).options(["-vvv"]).program(probe("print_signals"));
    let mut running = init.session_member().world(format!("open=2:w:keep:{path}")).spawn();
    running.ready();
    for _ in 0..1000 {
        running.signal(10);
        assert_eq!(running.received().number, 10);
    }
    running.signal(15);
    assert_eq!(running.wait(), Ending::Exited(0));
}
