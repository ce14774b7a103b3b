//! Scenarios on a terminal that must look the same with the init under test in front of the programs and without it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::pty::{Terminal, Wrapper};

/// How many times each scenario is run: `SEXTON_REPEAT`.
pub(crate) fn repeat() -> u32 {
    std::env::var("SEXTON_REPEAT").ok().and_then(|word| word.parse().ok()).unwrap_or(1)
}

/// Runs a scenario without a wrapper, and then with each of these. What can be seen must be the same.
pub(crate) fn same_with_and_without(wrappers: &[Wrapper], scenario: impl Fn(Wrapper) -> Terminal) {
    for round in 1..=repeat() {
        let reference = reference(&scenario);
        for wrapper in wrappers {
            let terminal = scenario(*wrapper);
            let transcript = terminal.transcript();
            let words = wrapper.words().join(" ");
            assert!(
                transcript == reference,
                "not the same in round {round}, with {words}: {}",
                first_difference(&transcript, &reference)
            );
        }
    }
}

/// Where two transcripts first differ, with some lines around it.
fn first_difference(with: &str, without: &str) -> String {
    let same = with.lines().zip(without.lines()).take_while(|(with, without)| with == without).count();
    let around = |text: &str| {
        let lines = text.lines().skip(same.saturating_sub(5)).take(10);
        lines.collect::<Vec<_>>().join("\n")
    };
    format!("line {} differs.\n--- with\n{}\n--- without\n{}\n---", same + 1, around(with), around(without))
}

/// What is seen without a wrapper. On a busy machine a shell by itself sometimes notices late that a job stopped or
/// ended. That says nothing about the init, so this has three attempts. With the init there is one, which hides no
/// lost wake-up.
fn reference(scenario: &impl Fn(Wrapper) -> Terminal) -> String {
    let attempt = || catch_unwind(AssertUnwindSafe(|| scenario(Wrapper::None).transcript()));
    (0..2).find_map(|_| attempt().ok()).unwrap_or_else(|| scenario(Wrapper::None).transcript())
}

/// The part of the screen that is the same each time.
///
/// A shell reports a job once it has waited for it, which may be one prompt earlier or later. So the reports of each
/// job (`[1]+  Stopped ...`) are listed separately, without repetitions, and without "Running", which the shell
/// prints until it knows better. Blanks are merged, because columns move with the width of PIDs. Numbers of three or
/// more digits that stand alone are PIDs: of a job, or in a shell's message. "(core dumped)" is dropped: the kernel
/// reports a core even where the limit is 0, if cores go to a pipe (core(5)).
///
/// The kernel sends a key's signal first and echoes `^Z` after it (`n_tty_receive_signal_char`). If it is delayed
/// between the two, the shell's report and prompt may come before the echo. So the echoes are left out.
pub(crate) fn comparable(screen: &str) -> String {
    let mut screen = screen.replace(" (core dumped)", "").replace('\r', "");
    for echo in ["^C", "^Z", "^\\"] {
        screen = screen.replace(echo, "");
    }
    let is_pid = |word: &str| word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    let (mut lines, mut jobs) = (Vec::new(), BTreeMap::<&str, Vec<String>>::new());
    for line in screen.lines().filter(|line| !line.is_empty()) {
        let words = line.split_whitespace().map(|word| if is_pid(word) { "PID" } else { word });
        let text = words.collect::<Vec<_>>().join(" ");
        let Some((job, what)) = line.strip_prefix('[').and_then(|_| text.split_once(']')) else {
            if !(line.ends_with("=> jobs") && lines.last() == Some(&text)) {
                lines.push(text);
            }
            continue;
        };
        let states = jobs.entry(&line[..job.len()]).or_default();
        let what = what.trim_start_matches([' ', '+', '-']).to_owned();
        if states.last() != Some(&what) && !what.to_lowercase().starts_with("running") {
            states.push(what);
        }
    }
    let jobs = jobs.iter().map(|(job, states)| format!("{job}]:\n    {}", states.join("\n    ")));
    [lines.join("\n")].into_iter().chain(jobs).collect::<Vec<_>>().join("\n")
}
