//! [P4], [P5] and [P6]: environment variables, usage and bad input, and the log.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::running::Finished;
use crate::support::{
    Ending, Init, Mode, Running, Suite, TemporaryDirectory, deadline, probe, process, sexton_only,
};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.test("starting::p4_deliver_and_rewrite", variables_for_delivery);
    suite.test("starting::p4_remap", variable_for_remap);
    suite.test("starting::p4_reraise", variable_for_reraise);
    suite.test("starting::p4_verbose_quiet_log_format", variables_for_the_log);
    suite.test("starting::p4_subreaper", variable_for_subreaper);
    suite.test("starting::p4_warn_on_reap", variable_for_warn_on_reap);
    suite.test("starting::p4_parent_death_signal", variable_for_parent_death);
    suite.test("starting::p4_command_line_wins", command_line_wins);
    suite.test("starting::p4_bad_value_names_the_variable", bad_value_names_the_variable);
    suite.in_modes("starting::p5_bad_usage_starts_nothing", reaping, bad_usage_starts_nothing);
    suite.test("starting::p5_no_program", no_program);
    suite.test("starting::p5_empty_program", empty_program);
    suite.test("starting::p5_options_end_at_the_program", options_end_at_the_program);
    suite.test("starting::p5_help_and_version", help_and_version);
    suite.in_modes("starting::p5_arguments_that_are_not_utf8", reaping, not_utf8);
    suite.in_modes("starting::p5_100000_arguments", reaping, many_arguments);
    suite.in_modes("starting::p6_forwarded_signal_is_told", reaping, forwarded_is_told);
    suite.in_modes("starting::p6_json_is_one_object_a_line", reaping, json_lines);
    suite.test("starting::p6_log_variable", log_variable);
    suite.test("starting::p6_quiet", quiet);
}

const MODE: Mode = Mode::Subreaper;

fn print_signals(init: Init) -> Running {
    let mut running = init.program(probe("print_signals")).args(["--keep"]).spawn();
    running.ready();
    running
}

fn variables_for_delivery() {
    let mut running = print_signals(Init::new(MODE).env("SEXTON_REWRITE", "TERM:QUIT,HUP:0"));
    running.signal(1);
    running.signal(15);
    assert_eq!(running.received().number, 3, "HUP should be dropped, and TERM become QUIT");
    let init = Init::new(MODE).session_member().env("SEXTON_DELIVER", "group");
    let script = "trap : USR1; (trap 'echo child; exit' USR1; echo ready 1; while :; do sleep 0.05; done) & wait; wait";
    let mut running = init.shell(script).spawn();
    running.ready();
    running.signal(10);
    assert_eq!(running.next_line().text, "child");
}

fn variable_for_remap() {
    let init = || Init::new(MODE).env("SEXTON_REMAP", "143:0,7:8");
    assert_eq!(init().shell("kill -TERM $$").run().ending, Ending::Exited(0));
    assert_eq!(init().shell("exit 7").run().ending, Ending::Exited(8));
}

fn variable_for_reraise() {
    let finished = Init::new(MODE).env("SEXTON_RERAISE", "always").shell("kill -TERM $$").run();
    assert_eq!(finished.ending, Ending::Signaled { signal: 15, core: false });
}

fn variables_for_the_log() {
    for verbose in ["1", "2", "3"] {
        let running = print_signals(Init::new(MODE).env("SEXTON_VERBOSE", verbose));
        running.signal(10);
        assert!(
            running.stderr.text_until(deadline(), |text| text.contains("forwarded SIGUSR1")),
            "{verbose}"
        );
    }
    let finished = Init::new(MODE)
        .env("SEXTON_VERBOSE", "2")
        .env("SEXTON_LOG_FORMAT", "json")
        .shell("kill -TERM $$")
        .run();
    objects(&finished.stderr);
    assert_ne!(finished.stderr, "");
    let finished = Init::new(MODE).env("SEXTON_QUIET", "1").program("/nowhere/at/all").run();
    assert_eq!(finished.ending, Ending::Exited(127), "SEXTON_QUIET should not change the status");
}

fn variable_for_subreaper() {
    for value in ["true", "1"] {
        let finished = Init::new(MODE).env("SEXTON_SUBREAPER", value).shell("exit 3").run();
        assert_eq!(finished.ending, Ending::Exited(3), "{value}");
    }
    let mut running = print_signals(Init::new(MODE).env("SEXTON_SUBREAPER", "false"));
    running.signal(10);
    assert_eq!(running.received().number, 10);
}

fn variable_for_warn_on_reap() {
    let init = Init::new(MODE).env("SEXTON_WARN_ON_REAP", "true");
    let script = format!("{} 1; echo ready 1; exec sleep 1000", probe("make_orphans").display());
    let mut running = init.shell(&script).spawn();
    running.ready();
    assert!(running.stderr.text_until(deadline(), |text| text.contains("make_orphans")), "no warning");
}

fn variable_for_parent_death() {
    let init = Init::new(MODE).session_member().env("SEXTON_PARENT_DEATH_SIGNAL", "USR1");
    let mut running = print_signals(init);
    running.kill_parent();
    assert_eq!(running.received().number, 10);
}

fn command_line_wins() {
    let init = Init::new(MODE).env("SEXTON_RERAISE", "always").options(["--reraise", "never"]);
    assert_eq!(init.shell("kill -TERM $$").run().ending, Ending::Exited(143));
    let init = Init::new(MODE).env("SEXTON_REWRITE", "TERM:QUIT").options(["-r", "TERM:USR1"]);
    let mut running = print_signals(init);
    running.signal(15);
    assert_eq!(running.received().number, 10);
}

/// A command that leaves a trace when it is run.
struct Trace {
    directory: TemporaryDirectory,
}

impl Trace {
    fn new() -> Trace {
        Trace { directory: TemporaryDirectory::new() }
    }

    fn command(&self) -> [OsString; 2] {
        ["/usr/bin/touch".into(), self.directory.join("started").into()]
    }

    /// Asserts exit code 125, a line that says what is wrong, the usage, and that nothing was started. Returns the
    /// line.
    fn refused(&self, finished: &Finished) -> String {
        assert_eq!(finished.ending, Ending::Exited(125));
        assert!(!self.directory.join("started").exists(), "the program was started");
        assert_eq!(finished.stdout, "", "stdout should be empty");
        let mut lines = finished.stderr.lines().filter(|line| !line.trim().is_empty());
        let error = lines.next().expect("no line says what is wrong").to_owned();
        let usage = lines.next().expect("no usage");
        assert!(usage.to_lowercase().contains("usage: sexton"), "no usage line: {usage}");
        assert!(lines.count() <= 1, "more than an error line and the usage: {}", finished.stderr);
        error
    }
}

fn bad_value_names_the_variable() {
    for (variable, value) in [
        ("SEXTON_DELIVER", "everybody"),
        ("SEXTON_REWRITE", "TERM"),
        ("SEXTON_REWRITE", "TERM:QUIT,NONSENSE:3"),
        ("SEXTON_REMAP", "256"),
        ("SEXTON_RERAISE", "sometimes"),
        ("SEXTON_PARENT_DEATH_SIGNAL", "65"),
        ("SEXTON_VERBOSE", "much"),
        ("SEXTON_SUBREAPER", "perhaps"),
        ("SEXTON_LOG_FORMAT", "xml"),
    ] {
        let trace = Trace::new();
        let finished = Init::new(MODE).env(variable, value).args(trace.command()).run();
        let error = trace.refused(&finished);
        assert!(error.contains(variable), "{variable}={value} is not named: {error}");
    }
    let trace = Trace::new();
    let value = OsString::from_vec(b"TERM:\xff".to_vec());
    let finished = Init::new(MODE).env("SEXTON_REWRITE", value).args(trace.command()).run();
    assert!(trace.refused(&finished).contains("SEXTON_REWRITE"));
}

fn bad_usage_starts_nothing(mode: Mode) {
    let cases: &[(&[&str], &str)] = &[
        (&["--no-such-option"], "--no-such-option"),
        (&["-Z"], "-Z"),
        (&["-r", "NOSUCH:TERM"], "NOSUCH"),
        (&["-r", "TERM:NOSUCH"], "NOSUCH"),
        (&["-r", "TERM"], "TERM"),
        (&["-r", "65:1"], "65"),
        (&["-r", "0:1"], "0"),
        (&["-r", "RTMAX+1:TERM"], "RTMAX+1"),
        (&["-r", "RTMIN+31:TERM"], "RTMIN+31"),
        (&["-r", "TERM:QUIT:INT"], "QUIT:INT"),
        (&["-e", "256"], "256"),
        (&["-e", "-1"], "-1"),
        (&["-e", "7:256"], "256"),
        (&["-e", "x"], "x"),
        (&["-e", "143:"], "143:"),
        (&["--deliver", "nobody"], "nobody"),
        (&["--reraise", "maybe"], "maybe"),
        (&["-p", "NOSUCH"], "NOSUCH"),
        (&["--log-format", "xml"], "xml"),
    ];
    for (options, named) in cases {
        let trace = Trace::new();
        let finished = Init::new(mode).options(*options).args(trace.command()).run();
        let error = trace.refused(&finished);
        assert!(error.contains(named), "{options:?}: the error does not name {named}: {error}");
    }
}

fn no_program() {
    sexton_only();
    let trace = Trace::new();
    trace.refused(&Init::new(MODE).run());
    trace.refused(&Init::new(MODE).options(["-v", "--"]).run());
    trace.refused(&Init::new(MODE).options(["--rewrite"]).run());
}

fn empty_program() {
    sexton_only();
    let trace = Trace::new();
    trace.refused(&Init::new(MODE).program("").run());
    trace.refused(&Init::new(MODE).without_separator().program("").args(trace.command()).run());
}

fn options_end_at_the_program() {
    sexton_only();
    let words = ["-v", "--help", "--rewrite", "nonsense", "--", "-e"];
    for separator in [true, false] {
        let init = Init::new(MODE);
        let init = if separator { init } else { init.without_separator() };
        let finished = init.program(probe("show_world")).args(words).run();
        assert_eq!(finished.ending, Ending::Exited(0));
        let arguments = finished.world()["arguments"].clone();
        let given = arguments.as_array().map(|all| &all[1..]).expect("`arguments` should be an array");
        assert_eq!(given, words.map(|word| json!(word)));
        assert_eq!(finished.stderr, "");
    }
}

fn help_and_version() {
    for option in ["-h", "--help"] {
        let finished = Init::new(MODE).options([option]).run();
        assert_eq!(finished.ending, Ending::Exited(0));
        assert!(finished.stdout.contains("--rewrite"), "the help lists the options: {}", finished.stdout);
        assert_eq!(finished.stderr, "");
    }
    for option in ["-V", "--version"] {
        let finished = Init::new(MODE).options([option]).run();
        assert_eq!(finished.ending, Ending::Exited(0));
        assert_eq!(finished.stdout.trim(), format!("sexton {}", env!("CARGO_PKG_VERSION")));
    }
}

/// The program's arguments as the kernel has them: /proc/PID/cmdline.
fn arguments_of(running: &mut Running) -> Vec<Vec<u8>> {
    let inner = running.ready();
    let program = running.program_pid(inner);
    let bytes =
        std::fs::read(format!("/proc/{program}/cmdline")).expect("cannot read the program's command line");
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// A shell that prints `ready` once its arguments are in place. They follow `$0`.
const READY_SHELL: &str = "echo ready $$; while :; do sleep 1; done";

fn not_utf8(mode: Mode) {
    let words: Vec<Vec<u8>> =
        vec![b"\xff\xfe".to_vec(), b"".to_vec(), b"a b\n".to_vec(), "\u{1f980}".into(), (1..=255).collect()];
    let mut running = Init::new(mode)
        .shell(READY_SHELL)
        .args(["zero"])
        .args(words.iter().cloned().map(OsString::from_vec))
        .spawn();
    assert_eq!(arguments_of(&mut running)[4..], words);
    let directory = TemporaryDirectory::new();
    let name = OsString::from_vec(b"\xffname".to_vec());
    let path = directory.copy("/bin/true", name);
    let finished = Init::new(mode).program(&path).run();
    assert_eq!(finished.ending, Ending::Exited(0), "a program named {:?}", path.as_os_str().as_bytes());
}

fn many_arguments(mode: Mode) {
    let words: Vec<Vec<u8>> = (0..100_000).map(|number| number.to_string().into_bytes()).collect();
    let arguments = words.iter().cloned().map(OsString::from_vec);
    let mut running = Init::new(mode).shell(READY_SHELL).args(["zero"]).args(arguments).spawn();
    assert!(arguments_of(&mut running)[4..] == words, "the arguments were changed");
}

/// Waits for the log line about a forwarded signal. `check` gets a line and the program's PID in the init's
/// namespace.
fn forwarded_line(mode: Mode, options: &[&str], check: impl Fn(&str, i32) -> bool) {
    let mut running = Init::new(mode).options(options).program(probe("print_signals")).spawn();
    let inner = running.ready();
    running.signal(10);
    assert_eq!(running.received().number, 10);
    let told = running.stderr.text_until(deadline(), |text| text.lines().any(|line| check(line, inner)));
    assert!(told, "no line about the signal to {inner}");
}

fn forwarded_is_told(mode: Mode) {
    for options in [&["-v"][..], &["--verbose"], &["-vv"], &["-v", "-v", "-v"]] {
        forwarded_line(mode, options, |line, pid| {
            line.contains(&format!("forwarded SIGUSR1 to {pid} (print_signals)"))
                && !line.starts_with("forwarded")
        });
    }
}

/// Every line as a JSON object. Panics if one is not.
fn objects(text: &str) -> Vec<Value> {
    let object = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value.is_object(), "not an object: {line}");
        value
    };
    text.lines().map(object).collect()
}

fn json_lines(mode: Mode) {
    forwarded_line(mode, &["-v", "--log-format", "json"], |line, pid| {
        let entry = objects(line).remove(0);
        let message = entry["message"].as_str().unwrap_or_default();
        message.contains(&format!("forwarded SIGUSR1 to {pid} (print_signals)"))
    });
    let finished = Init::new(mode).options(["-vvv", "--log-format=json"]).shell("kill -TERM $$").run();
    let entries = objects(&finished.stderr);
    assert!(!entries.is_empty());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    for entry in entries {
        let time = entry["time"].as_f64().unwrap_or_else(|| panic!("`time` is not a number: {entry}"));
        assert!((now - time).abs() < 600.0, "{time} is not near {now}");
        assert!(entry["level"].is_string() && entry["message"].is_string(), "{entry}");
        let pid = entry["pid"].as_i64().unwrap_or_else(|| panic!("`pid` is not a number: {entry}"));
        assert!(pid > 0 && (!mode.is_pid1() || pid == 1), "{entry}");
    }
}

fn log_variable() {
    let mut running = print_signals(Init::new(MODE).env("SEXTON_LOG", "debug"));
    running.signal(10);
    running.received();
    assert!(running.stderr.text_until(deadline(), |text| text.contains("forwarded SIGUSR1")));
    let finished = Init::new(MODE).env("SEXTON_LOG", "off").program("/nowhere/at/all").run();
    assert_eq!(finished.ending, Ending::Exited(127));
}

fn quiet() {
    for option in ["-q", "--quiet"] {
        let mut running = print_signals(Init::new(MODE).options([option, "-w"]));
        let name = process::Process::find(running.pid).map(|process| process.name);
        assert_eq!(name.as_deref(), Some("sexton"));
        running.signal(10);
        running.received();
        running.signal(9);
        running.wait();
    }
    let finished = Init::new(MODE).options(["-q"]).shell("(true &); exit 4").run();
    assert_eq!((finished.ending, finished.stderr.as_str()), (Ending::Exited(4), ""));
}
