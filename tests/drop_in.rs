//! Drop-in names: called by another init's name, sexton prints what that init prints and exits with the same
//! status.
//!
//! What the original does is not written down here. Each case runs the original, and sexton by its name, in the
//! same surroundings.

use std::fmt::Debug;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::{
    Ending, Finished, Init, Mode, Suite, TemporaryDirectory, deadline, find_program, sexton_only, skip,
    try_poll, under_test,
};

pub(crate) fn tests(suite: &mut Suite) {
    suite.test("drop_in::tini_says_the_same", || same_words("tini"));
    suite.test("drop_in::tini_static_says_the_same", || same_words("tini-static"));
    suite.test("drop_in::dumb_init_says_the_same", || same_words("dumb-init"));
    suite.test("drop_in::catatonit_says_the_same", || same_words("catatonit"));
    suite.test("drop_in::tini_tells_the_same", || same_news("tini"));
    suite.test("drop_in::dumb_init_tells_the_same", || same_news("dumb-init"));
    suite.test("drop_in::catatonit_tells_the_same", || same_news("catatonit"));
    suite.test("drop_in::dockerd_understands_the_version", version_for_docker);
    suite.test("drop_in::any_other_name_is_sexton", any_other_name);
}

/// An init, and sexton by its name.
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) original: PathBuf,
    pub(crate) here: PathBuf,
    _directory: TemporaryDirectory,
}

impl Tool {
    pub(crate) fn new(name: &str) -> Tool {
        let original = find_program(name).unwrap_or_else(|| skip(format!("needs {name}")));
        let (here, directory) = called(name);
        Tool { name: name.to_owned(), original, here, _directory: directory }
    }

    /// The results of both: first the original's, then sexton's.
    pub(crate) fn run_both<T>(&self, run: impl Fn(&Path) -> T) -> [T; 2] {
        [run(&self.original), run(&self.here)]
    }

    /// Both come to the same in one of three attempts. For what can only be given some time to arrive: on a busy machine a
    /// late arrival looks like a difference, but a real difference is there each time.
    ///
    /// sexton's run is told what the original came to. What has arrived there must arrive here too, however late: a
    /// lost wake-up must fail the first attempt that shows it.
    pub(crate) fn assert_same<T: PartialEq + Debug>(
        &self,
        case: impl Debug,
        run: impl Fn(&Path, Option<&T>) -> T,
    ) {
        let mut differences = Vec::new();
        while differences.len() < 3 {
            let original = run(&self.original, None);
            let here = run(&self.here, Some(&original));
            if original == here {
                return;
            }
            differences.push(format!("\n  original: {original:?}\n  here:     {here:?}"));
        }
        panic!("{} {case:?} differed three times:{}", self.name, differences.concat());
    }
}

/// A link by another name to the init under test.
pub(crate) fn called(name: &str) -> (PathBuf, TemporaryDirectory) {
    sexton_only();
    let directory = TemporaryDirectory::new();
    let path = directory.join(name);
    symlink(under_test().path(), &path).expect("cannot make a link in the temporary directory");
    (path, directory)
}

/// Environment variables, and the command line after the init's name. No shell splits them.
type Case = (&'static [&'static str], &'static [&'static str]);

const NONE: &[&str] = &[];

const TINI: &[Case] = &[
    (NONE, &[]),
    (NONE, &["--version"]),
    (NONE, &["--version", "x"]),
    (NONE, &["-h"]),
    (NONE, &["-vhx"]),
    (NONE, &["-x"]),
    (NONE, &["-vx", "true"]),
    (NONE, &["--foo", "true"]),
    (NONE, &["-p"]),
    (NONE, &["-p", "FOO", "true"]),
    (NONE, &["-sp15", "true"]),
    (NONE, &["-sp", "TERM", "true"]),
    (NONE, &["-sp", "sigterm", "true"]),
    (NONE, &["-sp", "SIGIO", "true"]),
    (NONE, &["-sp", "SIGRTMIN", "true"]),
    (NONE, &["-pSIGTERM", "-s", "true"]),
    (NONE, &["-e"]),
    (NONE, &["-e", "256", "true"]),
    (NONE, &["-e", "-1", "true"]),
    (NONE, &["-e", "1x", "true"]),
    (NONE, &["-s", "-e=5", "true"]),
    (NONE, &["-s", "-e", "", "false"]),
    (NONE, &["-s", "-e", "\u{b}1", "false"]),
    (NONE, &["-e", "300", "-h"]),
    (NONE, &["-h", "-e", "300"]),
    (NONE, &["-e", "300", "-x"]),
    (NONE, &["-x", "-e", "300"]),
    (NONE, &["-v-h"]),
    (NONE, &["--"]),
    (NONE, &["-s", "-", "-w"]),
    (NONE, &["-sp", "--", "true"]),
    (NONE, &["-s", "-e", " 1", "false"]),
    (NONE, &["-se1", "--", "false"]),
    (NONE, &["-s", "-e143", "--", "sh", "-c", "kill $$"]),
    (NONE, &["-s", "-e", "144", "--", "sh", "-c", "kill $$"]),
    (NONE, &["true"]),
    (NONE, &["-g", "--", "sh", "-c", "exit 3"]),
    (NONE, &["-s", "/nowhere/at/all"]),
    (NONE, &["-s", "sexton-test-no-such-program"]),
    (NONE, &["-s", ""]),
    (NONE, &["-s", "/etc/passwd"]),
    (NONE, &["-s", "/etc"]),
    (NONE, &["-s", "ls", "-g", "/etc/hostname"]),
    (NONE, &["-s", "echo", "a", "--", "-s", "--"]),
    (&["POSIXLY_CORRECT=1"], &["-s", "echo", "-s", "--", "-s"]),
    (&["TINI_SUBREAPER="], &["true"]),
    (&["TINI_SUBREAPER=0"], &["true"]),
    (&["TINI_VERBOSITY=0"], &["true"]),
    (&["TINI_VERBOSITY=x"], &["-vvv", "true"]),
    (&["TINI_VERBOSITY=1", "TINI_KILL_PROCESS_GROUP="], &["-vvv", "true"]),
    (&["SEXTON_VERBOSE=nonsense", "TINI_SUBREAPER=1"], &["sh", "-c", "echo $SEXTON_VERBOSE $TINI_SUBREAPER"]),
];

const DUMB_INIT: &[Case] = &[
    (NONE, &[]),
    (NONE, &["-V"]),
    (NONE, &["--version"]),
    (NONE, &["-h"]),
    (NONE, &["--he"]),
    (NONE, &["-x"]),
    (NONE, &["--foo=1", "true"]),
    (NONE, &["--verbose=1", "true"]),
    (NONE, &["--v"]),
    (NONE, &["--ver=1"]),
    (NONE, &["--=1"]),
    (NONE, &["-v--help"]),
    (NONE, &["-vcr"]),
    (NONE, &["-r", "x", "-h"]),
    (NONE, &["-h", "-r", "x"]),
    (NONE, &["-r=1:2", "true"]),
    (NONE, &["--rewr=1:2", "true"]),
    (NONE, &["-"]),
    (NONE, &["--"]),
    (NONE, &["-r"]),
    (NONE, &["--rewrite"]),
    (NONE, &["-r", "", "true"]),
    (NONE, &["--rewrite=", "true"]),
    (NONE, &["-r", "TERM:INT", "true"]),
    (NONE, &["-r", "15", "true"]),
    (NONE, &["-r", "0:1", "true"]),
    (NONE, &["-r", "32:1", "true"]),
    (NONE, &["-r", "1:32", "true"]),
    (NONE, &["-r", "1:-1", "true"]),
    (NONE, &["-r", " 15: 0x", "true"]),
    (NONE, &["-cr", "15:2", "--single", "--", "sh", "-c", "exit 3"]),
    (NONE, &["sh", "-c", "kill $$"]),
    (NONE, &["echo", "-c", "--", "-x"]),
    (NONE, &["--", "echo", "-c", "--", "-x"]),
    (NONE, &["/nowhere/at/all"]),
    (NONE, &["sexton-test-no-such-program"]),
    (NONE, &[""]),
    (NONE, &["/etc/passwd"]),
    (NONE, &["/etc"]),
    (&["DUMB_INIT_DEBUG=0", "DUMB_INIT_SETSID=1"], &["true"]),
    (&["DUMB_INIT_SETSID=0", "SEXTON_DELIVER=x"], &["sh", "-c", "echo $DUMB_INIT_SETSID $SEXTON_DELIVER"]),
];

const CATATONIT: &[Case] = &[
    (NONE, &[]),
    (NONE, &["-h"]),
    (NONE, &["-gh"]),
    (NONE, &["-x"]),
    (NONE, &["--foo", "true"]),
    (NONE, &["--version=1"]),
    (NONE, &["--=1"]),
    (NONE, &["-hx"]),
    (NONE, &["-xh"]),
    (NONE, &["-P", "-x"]),
    (NONE, &["-"]),
    (NONE, &["--"]),
    (NONE, &["true"]),
    (NONE, &["-g", "--", "sh", "-c", "exit 3"]),
    (NONE, &["--", "sh", "-c", "kill $$"]),
    (NONE, &["/nowhere/at/all"]),
    (NONE, &["sexton-test-no-such-program"]),
    (NONE, &[""]),
    (NONE, &["/etc/passwd"]),
    (NONE, &["echo", "-g", "a", "--", "-g"]),
    (&["POSIXLY_CORRECT="], &["echo", "-g", "a", "--", "-g"]),
    (&["CATATONIT_LOG="], &["true"]),
    (&["SEXTON_QUIET=x"], &["sh", "-c", "echo $SEXTON_QUIET"]),
];

/// Cases in which they log. Only the lines about the program and its signals are compared.
const NEWS: &[(&str, Case)] = &[
    ("tini", (NONE, &["-vvvs", "--", "sh", "-c", "exit 3"])),
    ("tini", (NONE, &["-vvsw", "--", "sh", "-c", ORPHAN, "sh"])),
    ("tini", (&["TINI_VERBOSITY=3"], &["-s", "--", "sh", "-c", "kill -USR1 $PPID; exec sleep 9"])),
    ("tini", (NONE, &["-vv", "--", "sh", "-c", "kill -9 $$"])),
    ("dumb-init", (NONE, &["-v", "sh", "-c", "exit 3"])),
    ("dumb-init", (&["DUMB_INIT_DEBUG=1"], &["-r", "10:15", "sh", "-c", "kill -USR1 $PPID; exec sleep 9"])),
    (
        "dumb-init",
        (&["DUMB_INIT_DEBUG=1"], &["-r10:0", "sh", "-c", "kill -USR1 $PPID; kill -HUP $PPID; exec sleep 9"]),
    ),
    ("dumb-init", (&["DUMB_INIT_SETSID=0"], &["-v", "sh", "-c", "exit 3"])),
    ("dumb-init", (NONE, &["-vc", "sh", "-c", "kill -USR1 $PPID; exec sleep 9"])),
    ("dumb-init", (NONE, &["-v", "-r15:2", "sh", "-c", "exit 0"])),
    ("catatonit", (&["CATATONIT_DEBUG="], &["--", "sh", "-c", "exit 3"])),
    ("catatonit", (&["CATATONIT_DEBUG="], &["--", "sh", "-c", ORPHAN, "sh"])),
];

/// Leaves an orphan, and ends when it has been reaped.
const ORPHAN: &str =
    "orphan=$(sleep 0.05 >/dev/null & echo $!); while [ -e /proc/$orphan ]; do sleep 0.02; done";

/// Lines about what sexton does not do or does not log: looking for a terminal, and waking up.
const UNTOLD: &[&str] = &[
    "Received SIGCHLD",
    "No child to",
    "Received signal 17.",
    "Unable to detach",
    "Unable to attach",
    "INFO (catatonit",
    "setting foreground process failed",
    "got ECHILD",
];

fn cases(tool: &str) -> &'static [Case] {
    match tool {
        "dumb-init" => DUMB_INIT,
        "catatonit" => CATATONIT,
        _ => TINI,
    }
}

fn run(path: &Path, (environment, arguments): Case) -> Finished {
    let words = [path.as_os_str()].into_iter().chain(arguments.iter().map(|word| word.as_ref()));
    let mut init = Init::new(Mode::Subreaper).instead(words);
    for entry in environment {
        let (name, value) = entry.split_once('=').expect("the entry is not NAME=VALUE");
        init = init.env(name, value);
    }
    init.run()
}

/// Replaces what differs from run to run: the path and PIDs.
fn comparable(text: &str, path: &Path, name: &str) -> String {
    const BEFORE_PID: &[&str] =
        &["tini (", "catatonit:", "pid=", "PID ", "pid: '", "pid '", "pid1 (", "child process "];
    let mut text = text.replace(&path.display().to_string(), name);
    for before in BEFORE_PID {
        let mut parts = text.split(before);
        let first = parts.next().unwrap_or_default().to_owned();
        text = parts.fold(first, |done, part| {
            let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
            done + before + if rest.len() < part.len() { "PID" } else { "" } + rest
        });
    }
    text
}

/// What `-h` prints, on stdout or stderr.
pub(crate) fn help(path: &Path, name: &str) -> String {
    let finished = run(path, (NONE, &["-h"]));
    comparable(&format!("{}{}", finished.stdout, finished.stderr), path, name)
}

/// The help is in sexton's own words, and is printed where the original prints its own.
fn same_words(name: &str) {
    let tool = Tool::new(name);
    let mut differences = Vec::new();
    for case in cases(name) {
        let seen = |path: &Path| {
            let help = help(path, name);
            let finished = run(path, *case);
            let text = |text: &str| comparable(text, path, &tool.name).replace(&help, "(help)\n");
            (finished.ending, text(&finished.stdout), text(&finished.stderr))
        };
        let [original, here] = tool.run_both(seen);
        if original != here {
            differences.push(format!("{case:?}\n  original: {original:?}\n  here:     {here:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// tini logs to stdout, which belongs to its program, and sexton to stderr. Two processes write, in no fixed order.
/// So both streams are taken together and the lines sorted.
fn same_news(name: &str) {
    let tool = Tool::new(name);
    for (_, case) in NEWS.iter().filter(|(tool, _)| *tool == name) {
        let told = |path: &Path| {
            let finished = run(path, *case);
            let text = comparable(&format!("{}{}", finished.stdout, finished.stderr), path, name);
            // With these options the original signals a PID that it has reaped: an intended difference.
            let is_single = case.0.contains(&"DUMB_INIT_SETSID=0") || case.1.contains(&"-vc");
            let untold = UNTOLD.iter().chain(is_single.then_some(&"Forwarded signal 15"));
            let is_told = |line: &&str| !untold.clone().any(|untold| line.contains(untold));
            let mut lines: Vec<String> = text.lines().filter(is_told).map(str::to_owned).collect();
            lines.sort();
            (finished.ending, lines)
        };
        let [mut original, here] = tool.run_both(told);
        // The original and its child write at the same time, each line in pieces. So lines are sometimes mixed, on
        // a busy machine many times in a row.
        _ = try_poll(deadline(), || {
            if original != here {
                original = told(&tool.original);
            }
            (original == here).then_some(())
        });
        assert_eq!(original, here, "{case:?}");
        assert!(!here.1.is_empty(), "nothing was logged: {case:?}");
    }
}

/// dockerd takes the version from what follows `tini version ` (`parseInitVersion` in daemon/info_unix.go), and
/// warns if there is none.
fn version_for_docker() {
    for (name, version) in [
        ("docker-init", "0.19.0"),
        ("tini", "0.19.0"),
        ("tini-static", "0.19.0"),
        ("catatonit", "0.2.0_catatonit"),
        ("podman-init", "0.2.0_catatonit"),
    ] {
        let (path, _directory) = called(name);
        let finished = run(&path, (NONE, &["--version"]));
        assert_eq!(finished.ending, Ending::Exited(0));
        assert_eq!(finished.stdout.trim().strip_prefix("tini version "), Some(version), "{name}");
    }
}

fn any_other_name() {
    for name in ["init", "sexton", "my-tini", "TINI", "tini2"] {
        let (path, _directory) = called(name);
        let finished = run(&path, (NONE, &["--version"]));
        assert!(finished.stdout.starts_with("sexton "), "{name}: {}", finished.stdout);
    }
}
