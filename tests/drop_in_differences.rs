//! Drop-in names: the intended differences between sexton by another init's name and that init. README has the same
//! table.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::docs::options_in;
use crate::drop_in::{Tool, called, help};
use crate::drop_in_effects::{TOOLS, init};
use crate::support::running::Received;
use crate::support::{Ending, Mode, Running, Suite, deadline, probe};

pub(crate) fn tests(suite: &mut Suite) {
    for (index, difference) in DIFFERENCES.iter().enumerate() {
        let name = format!("drop_in::intended_difference_{}", index + 1);
        suite.test(&name, difference.holds);
    }
    suite.test("drop_in::readme_lists_the_intended_differences", readme_lists_the_differences);
}

/// A difference, and a check that it is there.
struct Difference {
    name: &'static str,
    original: &'static str,
    here: &'static str,
    holds: fn(),
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "all",
        original: "Some signals are not passed on: 12 of 62 by tini, 13 by catatonit, 6 by dumb-init",
        here: "All 62 are; dumb-init still makes STOP of TSTP, TTIN and TTOU",
        holds: all_signals_arrive,
    },
    Difference {
        name: "tini, catatonit",
        original: "Started with SIGCHLD ignored, they never see the program end, and hang",
        here: "Exits with the program's status",
        holds: sigchld_ignored,
    },
    Difference {
        name: "tini",
        original: "`-v` writes to stdout, between what the program writes",
        here: "To stderr",
        holds: tini_tells_on_stderr,
    },
    Difference {
        name: "tini, catatonit",
        original: "`-l` and `-L` print the tool's licence",
        here: "sexton's version and licence",
        holds: licence,
    },
    Difference {
        name: "tini, dumb-init, catatonit",
        original: "`-h` prints the tool's help",
        here: "The same options, in sexton's words",
        holds: help_in_own_words,
    },
    Difference {
        name: "tini",
        original: "Exits with 1 where a file stands in the place of a directory in the program's path",
        here: "With 127, as for every program that is not there",
        holds: file_for_directory,
    },
    Difference {
        name: "dumb-init",
        original: "Stops itself at TSTP, TTIN and TTOU whatever the program does, and then passes nothing on",
        here: "Stops as the program does, and only where somebody above could continue it",
        holds: stops_only_with_the_program,
    },
    Difference {
        name: "dumb-init",
        original: "With `-c` it sends SIGTERM to the program's PID when that is reaped, and may be another's",
        here: "Sends nothing to a PID that is reaped",
        holds: nothing_for_the_reaped,
    },
    Difference {
        name: "catatonit",
        original: "TSTP, TTIN and TTOU are dropped",
        here: "Passed on like every other signal",
        holds: catatonit_passes_stops_on,
    },
    Difference {
        name: "catatonit",
        original: "Debian's is 0.1.7, and says so",
        here: "Says `tini version 0.2.0_catatonit`",
        holds: catatonits_version,
    },
];

fn all_signals_arrive() {
    for (name, options) in TOOLS {
        let (path, _directory) = called(name);
        let mut running =
            init(Mode::Pid1, &path, options).program(probe("print_signals")).args(["--keep"]).spawn();
        let inner = running.ready();
        let program = running.program_pid(inner);
        let is_stop = |signal: i32| name == &"dumb-init" && options == &["--"] && (20..=22).contains(&signal);
        let mut missing = BTreeSet::new();
        for signal in (1..=64).filter(|signal| ![9, 19].contains(signal) && !is_stop(*signal)) {
            running.signal(signal);
            match running.received_within(deadline()) {
                Some(received) if received.number == signal => {}
                other => _ = missing.insert((signal, other.map(|received| received.number))),
            }
        }
        assert!(missing.is_empty(), "{name} {options:?}, program {program}: not received: {missing:?}");
    }
}

fn sigchld_ignored() {
    for (name, options) in TOOLS {
        let (path, _directory) = called(name);
        let finished = init(Mode::Subreaper, &path, options).ignore([17]).shell("exit 3").run();
        assert_eq!(finished.ending, Ending::Exited(3), "{name} {options:?}");
    }
}

fn tini_tells_on_stderr() {
    let tool = Tool::new("tini");
    let [original, here] =
        tool.run_both(|path| init(Mode::Subreaper, path, &["-sv", "--"]).shell("echo mine").run());
    assert!(original.stdout.contains("INFO"), "no longer a difference: {}", original.stdout);
    assert_eq!(here.stdout, "mine\n");
    assert!(here.stderr.contains("[INFO  tini ("), "{}", here.stderr);
}

fn licence() {
    for (name, option) in [("tini", "-l"), ("catatonit", "-L")] {
        let (path, _directory) = called(name);
        let finished = init(Mode::Subreaper, &path, &[option]).run();
        assert_eq!(finished.ending, Ending::Exited(0));
        assert!(
            finished.stdout.contains("sexton") && finished.stdout.contains("MIT OR Apache-2.0"),
            "{name}"
        );
    }
}

fn help_in_own_words() {
    for name in ["tini", "dumb-init", "catatonit"] {
        let tool = Tool::new(name);
        let [original, here] = tool.run_both(|path| help(path, name));
        let options = |help: &str| options_in(help).collect::<BTreeSet<String>>();
        assert!(options(&original).contains("-h"), "not understood: {original}");
        assert_eq!(options(&original), options(&here), "{name}");
        assert!(here.contains("sexton"), "{here}");
    }
}

fn file_for_directory() {
    let tool = Tool::new("tini");
    let [original, here] =
        tool.run_both(|path| init(Mode::Subreaper, path, &["-s", "/etc/passwd/program"]).run().ending);
    assert_eq!((original, here), (Ending::Exited(1), Ending::Exited(127)));
}

/// The next signal. From the original none comes, and only a time limit can show that.
fn arrives(running: &mut Running, is_original: bool) -> Option<Received> {
    running.received_within(if is_original { Duration::from_secs(1) } else { deadline() })
}

fn stops_only_with_the_program() {
    let tool = Tool::new("dumb-init");
    let [original, here] = tool.run_both(|path| {
        let options = ["-r", "20:10", "--"];
        let mut running =
            init(Mode::Subreaper, path, &options).program(probe("print_signals")).args(["--keep"]).spawn();
        running.ready();
        running.signal(20);
        assert_eq!(running.received().number, 10);
        running.signal(12);
        arrives(&mut running, path == tool.original).map(|received| received.number)
    });
    assert_eq!((original, here), (None, Some(12)));
}

fn nothing_for_the_reaped() {
    let tool = Tool::new("dumb-init");
    let [original, here] =
        tool.run_both(|path| init(Mode::Subreaper, path, &["-vc", "true"]).run().stderr.clone());
    assert!(original.contains("Forwarded signal 15"), "no longer a difference: {original}");
    assert!(!here.contains("Forwarded"), "{here}");
}

fn catatonit_passes_stops_on() {
    let tool = Tool::new("catatonit");
    let [original, here] = tool.run_both(|path| {
        let mut running =
            init(Mode::Pid1, path, &["--"]).program(probe("print_signals")).args(["--keep"]).spawn();
        running.ready();
        running.signal(20);
        arrives(&mut running, path == tool.original).map(|received| received.number)
    });
    assert_eq!((original, here), (None, Some(20)));
}

fn catatonits_version() {
    let tool = Tool::new("catatonit");
    let [original, here] = tool.run_both(|path| init(Mode::Subreaper, path, &["-V"]).run().stdout.clone());
    assert_eq!(here, "tini version 0.2.0_catatonit\n");
    assert!(original.ends_with("_catatonit\n"), "{original}");
}

fn readme_lists_the_differences() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))
        .expect("cannot read README.md");
    let section = readme.split_once("\n## Drop-in names").expect("README has no `## Drop-in names`").1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).collect();
    let is_difference = |row: &&str| row.matches(" | ").count() == 2;
    let written: Vec<&str> = rows.into_iter().filter(is_difference).skip(2).collect();
    let expected: Vec<String> = DIFFERENCES
        .iter()
        .map(|Difference { name, original, here, .. }| format!("| {name} | {original} | {here} |"))
        .collect();
    assert_eq!(written, expected);
}
