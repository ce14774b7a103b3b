//! [E7]: `--report`.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::stat::Mode as Permission;
use serde_json::{Value, json};

use crate::support::{
    Ending, Init, LONGER_THAN_A_STALL, Mode, NOBODY, Suite, TemporaryDirectory, costs_at_most, find_program,
    poll, probe, sexton_only, skip, under_test, within,
};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.in_modes("report::e7_fields", reaping, fields);
    suite.in_modes("report::e7_readme_describes_every_field", reaping, readme_describes_every_field);
    suite.in_modes("report::e7_endings", reaping, endings);
    suite.in_modes("report::e7_signals_and_orphans", reaping, signals_and_orphans);
    suite.in_modes("report::e7_written_when_told_to_stop", reaping, when_told_to_stop);
    suite.in_modes("report::e7_replaces_the_old_one_at_once", reaping, replaces_at_once);
    suite.in_modes("report::e7_a_link_stays", reaping, link_stays);
    suite.in_modes("report::e7_what_a_killed_run_left_is_no_hindrance", reaping, remains_of_a_killed_run);
    suite.in_modes("report::e7_several_inits_write_one_file", &[Mode::Pid1], several_write_one);
    suite.in_modes("report::e7_the_longest_name", reaping, longest_name);
    suite.test("report::e7_a_file_that_is_mounted", mounted_file);
    suite.in_modes("report::e7_unwritable_is_an_error_before_the_start", reaping, unwritable);
    suite.in_modes("report::e7_unwritable_later_is_a_warning", reaping, unwritable_later);
    suite.in_modes("report::e7_relative_path", reaping, relative_path);
    suite.in_modes("report::e7_full_stderr_holds_nothing_up", reaping, full_stderr);
    suite.test("report::e7_slow_stderr_holds_little_up", slow_stderr);
    suite.in_modes("report::e7_hostile_names", reaping, hostile_names);
    suite.in_modes("report::e7_cpu_and_memory_of_the_tree", reaping, resources_of_the_tree);
    suite.test("report::e7_cpu_before_the_start_does_not_count", cpu_before_the_start);
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("no report: {error}"));
    assert!(text.ends_with("}\n") && text.lines().count() == 1, "not one line of JSON: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Starts a child, and waits until it has become sleep(1).
pub(crate) const SLEEP: &str = "sleep 1000 & until grep -q ^sleep /proc/$!/cmdline; do :; done";

/// Sends a signal, leaves a child behind, and takes at least 0.1 s.
fn leaves_a_child() -> String {
    format!("kill -USR2 $PPID; {SLEEP}; sleep 0.1; exit 3")
}

/// Runs a script. Returns how it ended, and the report.
fn report_of(mode: Mode, options: &[&str], script: &str) -> (Ending, Value) {
    let directory = TemporaryDirectory::new();
    let path = directory.join("report.json");
    let init =
        Init::new(mode).options(["--report".as_ref(), path.as_os_str()]).options(options.iter().copied());
    let finished = init.shell(script).run();
    (finished.ending, read(&path))
}

/// The value's shape: names and types, and for a list the shape of its first element.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(list) => list.iter().take(1).map(shape).collect(),
        Value::Number(number) if number.is_u64() => json!("integer"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Bool(_) => json!("boolean"),
        Value::Null => json!("null"),
    }
}

fn fields(mode: Mode) {
    let now =
        || SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is before 1970").as_secs_f64();
    let before = now();
    let script = leaves_a_child();
    let (ending, report) = report_of(mode, &["--rewrite", "USR2:WINCH", "-e", "3:4"], &script);
    let after = now();
    assert_eq!(ending, Ending::Exited(4));
    let expected = json!({
        "version": "integer", "sexton": "string", "program": ["string"], "pid": "integer",
        "started": "number", "ended": "number", "duration": "number",
        "ending": { "kind": "string", "code": "integer" },
        "exit_code": "integer", "timed_out": "boolean",
        "resources": {
            "user_seconds": "number", "system_seconds": "number", "max_rss_bytes": "integer",
            "minor_page_faults": "integer", "major_page_faults": "integer",
            "voluntary_context_switches": "integer", "involuntary_context_switches": "integer",
        },
        "orphans_reaped": "integer",
        "signals_forwarded": [{ "signal": "string", "count": "integer" }],
        "leftovers": [{
            "pid": "integer", "name": "string", "command_line": ["string"], "state": "string",
            "end": { "kind": "string", "signal": "string", "number": "integer", "core_dumped": "boolean" },
        }],
    });
    assert_eq!(shape(&report), expected, "{report}");
    assert_eq!((&report["version"], &report["sexton"]), (&json!(1), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(report["program"], json!(["/bin/sh", "-c", script]));
    assert_eq!(report["ending"], json!({ "kind": "exited", "code": 3 }));
    assert_eq!((&report["exit_code"], &report["timed_out"]), (&json!(4), &json!(false)));
    assert_eq!(report["signals_forwarded"], json!([{ "signal": "SIGWINCH", "count": 1 }]));
    let leftover = &report["leftovers"][0];
    assert_eq!((&leftover["name"], &leftover["command_line"]), (&json!("sleep"), &json!(["sleep", "1000"])));
    assert_eq!(leftover["end"]["signal"], json!("SIGTERM"));
    let number = |name: &str| report[name].as_f64().expect("not a number");
    assert!(before <= number("started") && number("ended") <= after, "{before} {after} {report}");
    let difference = number("ended") - number("started") - number("duration");
    assert!(difference.abs() < 1e-5 && number("duration") >= 0.1, "{report}");
}

/// README's section has every name of a report in backticks, and a sample with the same names.
fn readme_describes_every_field(mode: Mode) {
    let (_, report) = report_of(mode, &["-r", "USR2:WINCH"], &leaves_a_child());
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))
        .expect("cannot read README.md");
    let section = readme.split_once("\n## The report").expect("README has no `## The report`").1;
    let section = section.split("\n## ").next().expect("the section has no text");
    let sample = section
        .split("```")
        .find_map(|block| block.strip_prefix("json\n"))
        .expect("the section has no sample");
    let sample: Value = serde_json::from_str(sample).expect("the sample is not JSON");
    assert_eq!(
        names(&shape(&sample)),
        names(&shape(&report)),
        "the sample and a report have different names"
    );
    let missing: Vec<_> =
        names(&report).into_iter().filter(|name| !section.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "README does not mention {missing:?}");
}

fn names(value: &Value) -> Vec<String> {
    let mut found = match value {
        Value::Object(map) => {
            let below = map.values().flat_map(names);
            map.keys().cloned().chain(below).collect()
        }
        Value::Array(list) => list.iter().flat_map(names).collect(),
        _ => Vec::new(),
    };
    found.sort();
    found.dedup();
    found
}

fn endings(mode: Mode) {
    let (ending, report) = report_of(mode, &[], "ulimit -c 0; kill -QUIT $$");
    assert_eq!(ending, Ending::Exited(131));
    let expected = json!({ "kind": "signaled", "signal": "SIGQUIT", "number": 3, "core_dumped": false });
    assert_eq!((&report["ending"], &report["exit_code"]), (&expected, &json!(131)));
    let (ending, report) = report_of(mode, &["--timeout", "100ms"], "exec sleep 1000");
    assert_eq!(ending, Ending::Exited(124));
    assert_eq!((&report["timed_out"], &report["exit_code"]), (&json!(true), &json!(124)));
    assert_eq!(report["ending"]["signal"], json!("SIGTERM"));
}

fn signals_and_orphans(mode: Mode) {
    // Each signal is sent only when the last has come back: two pending ones count as one. The program ends only
    // when its parent has no other child: orphans still alive would be leftovers.
    let script = format!(
        "n=0; trap 'n=$((n+1))' USR1; {} 300
        for i in 1 2 3; do kill -USR1 $PPID; until [ $n = $i ]; do sleep 0.01; done; done
        until [ \"$(cat /proc/$PPID/task/$PPID/children)\" = \"$$ \" ]; do sleep 0.01; done; exit 0",
        probe("make_orphans").display()
    );
    let (_, report) = report_of(mode, &[], &script);
    assert_eq!(report["orphans_reaped"], json!(300));
    assert_eq!(report["signals_forwarded"], json!([{ "signal": "SIGUSR1", "count": 3 }]));
    assert_eq!(report["leftovers"], json!([]));
}

fn when_told_to_stop(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let path = directory.join("report.json");
    let mut running = Init::new(mode)
        .options(["--report".as_ref(), path.as_os_str()])
        .program(probe("print_signals"))
        .spawn();
    running.ready();
    running.signal(15);
    assert_eq!(running.wait(), Ending::Exited(0));
    assert_eq!(read(&path)["signals_forwarded"], json!([{ "signal": "SIGTERM", "count": 1 }]));
}

/// A reader that polls finds the whole old report or the whole new one. In the end there is nothing else in the
/// directory.
fn replaces_at_once(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let path = directory.write("report.json", "the old one");
    let old = fs::metadata(&path).expect("no report").ino();
    let long = "x".repeat(100_000);
    let mut running = Init::new(mode)
        .options(["--report".as_ref(), path.as_os_str()])
        .shell("read line; exit 0")
        .args(["sh", &long])
        .spawn();
    running.write_line("go");
    poll("the new one is there", || {
        let text = fs::read_to_string(&path).expect("no report");
        let is_new = text != "the old one";
        assert!(!is_new || text.ends_with("}\n"), "half a report");
        is_new.then_some(())
    });
    running.wait();
    assert_eq!(read(&path)["program"][4], json!(long));
    assert_ne!(fs::metadata(&path).expect("no report").ino(), old, "the file was not replaced");
    assert_eq!(
        fs::read_dir(directory.path()).expect("cannot read the directory").count(),
        1,
        "other files are left behind"
    );
}

fn link_stays(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let file = directory.write("file", "the old one");
    let link = directory.join("link");
    std::os::unix::fs::symlink("file", &link).expect("cannot make a link");
    Init::new(mode).options(["--report".as_ref(), link.as_os_str()]).shell("exit 0").run();
    assert!(fs::symlink_metadata(&link).expect("the link is gone").is_symlink());
    assert_eq!(read(&file)["exit_code"], json!(0));
    // Before the first report the link leads to no file.
    let first = directory.join("first");
    std::os::unix::fs::symlink("../no-such-place/report", &first).expect("cannot make a link");
    let refused = Init::new(mode).options(["--report".as_ref(), first.as_os_str()]).shell("exit 0").run();
    assert_eq!(refused.ending, Ending::Exited(125), "{}", refused.stderr);
    fs::remove_file(&first).expect("cannot remove the link");
    std::os::unix::fs::symlink("second", &first).expect("cannot make a link");
    std::os::unix::fs::symlink("new", directory.join("second")).expect("cannot make a link");
    Init::new(mode).options(["--report".as_ref(), first.as_os_str()]).shell("exit 0").run();
    assert!(fs::symlink_metadata(&first).expect("the link is gone").is_symlink());
    assert!(fs::metadata(directory.join("new")).expect("no report").is_file());
    // As with /dev/stdout, when stdout is a pipe.
    let stdout = directory.join("stdout");
    std::os::unix::fs::symlink("/proc/self/fd/1", &stdout).expect("cannot make a link");
    let refused = Init::new(mode).options(["--report".as_ref(), stdout.as_os_str()]).shell("exit 0").run();
    assert_eq!(refused.ending, Ending::Exited(125), "{}", refused.stderr);
    assert!(refused.stderr.contains("which is not a regular file"), "{}", refused.stderr);
    assert!(fs::symlink_metadata(&stdout).expect("the link is gone").is_symlink());
}

/// sexton has the same PID each time a container starts, and so its temporary file has the same name.
fn remains_of_a_killed_run(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let path = directory.join("report.json");
    let init = Init::new(mode).options(["--report".as_ref(), path.as_os_str()]);
    let mut running = init.shell("echo on; read line; exit 0").spawn();
    assert_eq!(running.next_line().text, "on");
    let pid = if mode.is_pid1() { 1 } else { running.pid };
    // It may also be what the PID 1 of another container is writing now. In either case it must not be touched.
    let half = directory.write(&format!(".sexton-{pid}-0"), "half a re");
    running.write_line("go");
    let finished = running.finish();
    assert_eq!((finished.ending, finished.stderr.as_str()), (Ending::Exited(0), ""));
    assert_eq!(read(&path)["exit_code"], json!(0));
    assert_eq!(fs::read_to_string(half).expect("the file is gone"), "half a re");
    assert_eq!(
        fs::read_dir(directory.path()).expect("cannot read the directory").count(),
        2,
        "other files are left behind"
    );
}

/// As in containers that share a volume: each sexton is PID 1.
fn several_write_one(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let path = directory.join("report.json");
    let start = || {
        let init = Init::new(mode).options(["--report".as_ref(), path.as_os_str()]);
        init.shell("echo on; read line; exit 0").spawn()
    };
    let mut all: Vec<_> = (0..16).map(|_| start()).collect();
    all.iter_mut().for_each(|running| assert_eq!(running.next_line().text, "on"));
    all.iter_mut().for_each(|running| running.write_line("go"));
    for running in all {
        let finished = running.finish();
        assert_eq!((finished.ending, finished.stderr.as_str()), (Ending::Exited(0), ""));
    }
    assert_eq!(read(&path)["exit_code"], json!(0));
    assert_eq!(
        fs::read_dir(directory.path()).expect("cannot read the directory").count(),
        1,
        "other files are left behind"
    );
}

/// NAME_MAX is 255, so the temporary file's name cannot be this one with something added.
fn longest_name(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let path = directory.join(&"r".repeat(255));
    let finished = Init::new(mode).options(["--report".as_ref(), path.as_os_str()]).shell("exit 3").run();
    assert_eq!((finished.ending, finished.stderr.as_str()), (Ending::Exited(3), ""));
    assert_eq!(read(&path)["exit_code"], json!(3));
}

/// A file that is itself a mount point, as with `docker run -v` and Kubernetes' /dev/termination-log. Its directory
/// is read-only here.
fn mounted_file() {
    sexton_only();
    if !nix::unistd::geteuid().is_root() {
        skip("mounting needs root");
    }
    let directory = TemporaryDirectory::new();
    let file = directory.write("file", &"the old one".repeat(1000));
    let place = directory.join("place");
    fs::create_dir(&place).expect("cannot make a directory");
    let script = "mount -t tmpfs tmpfs \"$2\" && touch \"$2\"/report && mount --bind \"$1\" \"$2\"/report
        mount -o remount,ro \"$2\" && exec \"$3\" --report \"$2\"/report -- sh -c 'exit 3'";
    let unshare = find_program("unshare").unwrap_or_else(|| skip("needs unshare"));
    let mut command = Command::new(unshare);
    command.args(["--mount", "sh", "-c", script, "sh"]).args([&file, &place]).arg(under_test().path());
    let output = command.output().expect("cannot run the command");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(3), ""));
    assert_eq!(read(&file)["exit_code"], json!(3));
}

fn unwritable(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let place = directory.path();
    let fifo = place.join("fifo");
    nix::unistd::mkfifo(&fifo, Permission::S_IRWXU).expect("cannot make a FIFO");
    let plain = directory.write("plain", "");
    let closed = place.join("closed");
    fs::create_dir(&closed).expect("cannot make a directory");
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).expect("cannot set the mode");
    let paths = [
        "/nowhere/at/all".into(),
        place.to_owned(),
        fifo,
        "/dev/null".into(),
        plain.join("below"),
        closed.join("report"),
        place.join("missing/"),
        place.join("missing/."),
        "/proc/report".into(),
        "".into(),
    ];
    for path in &paths {
        let init = Init::new(mode).user(NOBODY).options(["--report".as_ref(), path.as_os_str()]);
        let finished = init.shell("echo started").run();
        assert_eq!(finished.ending, Ending::Exited(125), "{path:?}: {}", finished.stderr);
        assert_eq!(finished.stdout, "", "{path:?}");
        let named = finished.stderr.contains("report") && finished.stderr.contains(&*path.to_string_lossy());
        assert!(named && finished.stderr.lines().count() <= 2, "{path:?}: {}", finished.stderr);
    }
}

fn unwritable_later(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let place = directory.join("place");
    fs::create_dir(&place).expect("cannot make a directory");
    let path = place.join("report.json");
    let init = Init::new(mode).options(["--report".as_ref(), path.as_os_str()]);
    let finished = init.shell(&format!("rmdir {}; exit 3", place.display())).run();
    assert_eq!(finished.ending, Ending::Exited(3));
    assert!(finished.stderr.contains("warning: cannot write the report"), "{}", finished.stderr);
}

/// A relative path is resolved at the start: when the report is written, sexton's working directory is `/`, and the
/// program's may be anywhere.
fn relative_path(mode: Mode) {
    let directory = TemporaryDirectory::new();
    fs::create_dir(directory.join("sub")).expect("cannot make a directory");
    for path in ["report.json", "./sub/../other.json", "sub/deep.json"] {
        let init = Init::new(mode).directory(directory.path()).options(["--report", path]);
        assert_eq!(init.shell("cd /tmp; exit 2").run().ending, Ending::Exited(2));
        assert_eq!(read(&directory.join(path))["exit_code"], json!(2));
    }
}

fn full_stderr(mode: Mode) {
    within(Duration::from_secs(5), LONGER_THAN_A_STALL, || {
        let start = Instant::now();
        let init = Init::new(mode).full_stderr().options(["--report", "-"]);
        assert_eq!(init.shell("exit 6").spawn().wait(), Ending::Exited(6));
        start.elapsed()
    });
}

/// A report of a megabyte, and a reader that takes 4 KiB every 100 ms.
fn slow_stderr() {
    sexton_only();
    // The reader needs 25 s for all of it, less what the pipe holds.
    within(Duration::from_secs(5), Duration::from_secs(20), || {
        let words = vec!["x".repeat(100_000); 10];
        let mut command = Command::new(under_test().path());
        command.args(["--report", "-", "--", "true"]).args(words).stderr(Stdio::piped());
        let mut sexton = command.spawn().expect("cannot start sexton");
        let mut stderr = sexton.stderr.take().expect("stderr is not a pipe");
        let start = Instant::now();
        let mut read = 0;
        while sexton.try_wait().expect("cannot wait for sexton").is_none() {
            // Nothing can be read when sexton is about to end.
            read += stderr.read(&mut [0; 4096]).expect("cannot read stderr");
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_ne!(read, 0, "sexton has written nothing");
        start.elapsed()
    });
}

fn hostile_names(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let name = directory.copy(probe("ignore_sigterm"), "a) Z 1 \u{1b}[2J\n\"");
    let path = directory.join("report.json");
    let options = ["--report".as_ref(), path.as_os_str(), "--leftovers".as_ref(), "kill".as_ref()];
    let program = "\"$@\" & read line; exit 0";
    let mut running = Init::new(mode)
        .options(options)
        .shell(program)
        .args(["sh".into(), name.clone(), "\"},\n\u{1b}]0;title\u{7}".into(), "".into()])
        .args([OsString::from_vec(vec![0xff, 0xfe])])
        .spawn();
    running.ready();
    running.write_line("go");
    let finished = running.finish();
    assert_eq!(finished.ending, Ending::Exited(0));
    let report = read(&path);
    let leftover = &report["leftovers"][0];
    let expected = json!([name, "\"},\n\u{1b}]0;title\u{7}", "", "\u{fffd}\u{fffd}"]);
    assert_eq!(leftover["command_line"], expected);
    assert_eq!(leftover["end"]["signal"], json!("SIGKILL"));
    assert!(!finished.stderr.contains('\u{1b}'), "an escape sequence reaches the terminal");
}

/// CPU time of a grandchild counts, although its own parent reaps it; and memory of an orphan.
fn resources_of_the_tree(mode: Mode) {
    let burn = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done";
    let allocate = "head -c 50000000 /dev/zero | tail -c 50000000 >/dev/null";
    let cpu = |report: &Value| {
        let part = |name: &str| report["resources"][name].as_f64().expect("not a number");
        part("user_seconds") + part("system_seconds")
    };
    let memory = |report: &Value| report["resources"]["max_rss_bytes"].as_u64().expect("a number");
    // In a virtual machine that stands still, that is counted for whoever has the processor.
    costs_at_most(Duration::from_millis(50), || {
        let (_, idle) = report_of(mode, &[], "sleep 0.3");
        assert!(memory(&idle) < 20_000_000, "{idle}");
        Duration::from_secs_f64(cpu(&idle))
    });
    let (_, busy) =
        report_of(mode, &[], &format!("sh -c '{burn}'; (sh -c '{allocate}; echo done' &) | read line"));
    assert!((0.05..60.0).contains(&cpu(&busy)), "{busy}");
    assert!((40_000_000..200_000_000).contains(&memory(&busy)), "{busy}");
}

/// A shell that execs sexton may have waited for other children before, and the kernel keeps the sums.
fn cpu_before_the_start() {
    sexton_only();
    let sexton = under_test().path().display().to_string();
    let burn = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done";
    costs_at_most(Duration::from_millis(30), || {
        let init = Init::new(Mode::Subreaper);
        let finished = init.shell(&format!("sh -c '{burn}'; exec {sexton} --report - -- true")).run();
        let report: Value = serde_json::from_str(&finished.stderr).expect("no report on stderr");
        Duration::from_secs_f64(report["resources"]["user_seconds"].as_f64().expect("not a number"))
    });
}
