//! Drop-in names: called by another init's name, sexton does what that init does, except where
//! `drop_in_differences` says otherwise.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::drop_in::{Tool, called};
use crate::support::pty::{CTRL_C, CTRL_Z};
use crate::support::{
    Ending, Init, Mode, Running, Shell, Suite, TemporaryDirectory, Terminal, Wrapper, deadline, poll, probe,
    process, raw, try_poll,
};

pub(crate) fn tests(suite: &mut Suite) {
    let modes = Mode::REAPING;
    suite.in_modes("drop_in::place_of_the_program_is_the_same", modes, same_place);
    suite.in_modes("drop_in::signals_go_to_the_same", modes, same_delivery);
    suite.in_modes("drop_in::rewrites_are_the_same", modes, same_rewrites);
    suite.test("drop_in::leftovers_fare_the_same", same_leftovers);
    suite.test("drop_in::orphans_come_to_the_same", same_adoption);
    suite.alone_with("drop_in::dumb_init_parts_from_a_group_in_a_storm", 60, parting);
    suite.in_modes("drop_in::dumb_init_stops_its_session_the_same", modes, same_stops);
    suite.test("drop_in::dumb_init_gives_the_terminal_to_the_program", same_terminal);
    suite.test("drop_in::dumb_init_is_a_job_as_any_other", same_job);
}

pub(crate) const TOOLS: &[(&str, &[&str])] = &[
    ("tini", &["-s", "--"]),
    ("tini", &["-sg", "--"]),
    ("dumb-init", &["--"]),
    ("dumb-init", &["-c", "--"]),
    ("catatonit", &["--"]),
    ("catatonit", &["-g", "--"]),
];

pub(crate) fn init(mode: Mode, path: &Path, options: &[&str]) -> Init {
    Init::new(mode).instead([path.as_os_str()].into_iter().chain(options.iter().map(|word| word.as_ref())))
}

fn same_in_all(what: impl Fn(&Path, &'static [&'static str]) -> String) {
    for (name, options) in TOOLS {
        Tool::new(name).assert_same(options, |path, _| what(path, options));
    }
}

fn same_place(mode: Mode) {
    const PLACE: &str = "read -r pid name state parent group session terminal rest </proc/$$/stat
        echo leads group: $((pid == group)), session: $((pid == session)), terminal: $terminal, in $PWD, umask $(umask)
        env | grep -v '^_=' | sort | cksum";
    for (name, options) in TOOLS {
        let tool = Tool::new(name);
        let seen = |path: &Path| init(mode, path, options).shell(PLACE).run().stdout.clone();
        let [original, here] = tool.run_both(seen);
        assert_eq!(original, here, "{name} {options:?}");
    }
}

/// Whether the program and its child get a signal.
fn same_delivery(mode: Mode) {
    let directory = TemporaryDirectory::new();
    same_in_all(|path, options| {
        let [up, child, program] = ["up", "child", "program"].map(|name| directory.join(name));
        for file in [&up, &child, &program] {
            _ = fs::remove_file(file);
        }
        let script = format!(
            "(trap 'echo >{child}; exit' USR1; echo >{up}; while :; do sleep 0.02; done) &
            trap 'echo >{program}' USR1; while ! [ -e {up} ]; do sleep 0.02; done; echo ready 1
            while ! [ -e {program} ]; do sleep 0.02; done; sleep 0.3; kill $!; exit 0",
            child = child.display(),
            up = up.display(),
            program = program.display()
        );
        let mut running = init(mode, path, options).shell(&script).spawn();
        running.ready();
        running.signal(10);
        assert_eq!(running.wait(), Ending::Exited(0));
        format!("program {}, child {}", program.exists(), child.exists())
    });
}

/// What print_signals gets of these signals, sent one after the other; `original` is what it got below the original.
fn received(
    mut running: Running,
    sent: &[i32],
    last: i32,
    original: Option<&Vec<Option<i32>>>,
) -> Vec<Option<i32>> {
    running.ready();
    let mut received = Vec::new();
    for (index, signal) in sent.iter().enumerate() {
        running.signal(*signal);
        // The next is sent when this one has arrived or is known not to: two that pend have no order.
        let must_arrive = original.is_some_and(|original| original[index].is_some());
        let limit = if must_arrive { deadline() } else { Duration::from_millis(500) };
        let number = running.received_within(limit).map(|received| received.number);
        assert!(number.is_some() || !must_arrive, "signal {signal} is lost");
        received.push(number);
    }
    running.signal(last);
    let end = running.received().number;
    assert_eq!(end, last);
    received
}

fn same_rewrites(mode: Mode) {
    let tool = Tool::new("dumb-init");
    for (options, sent) in [
        (&["-r15:10"][..], &[15, 10, 1][..]),
        (&["-r", "15:0"], &[15, 1]),
        (&["-r", "15:10", "-r", "10:15"], &[15, 10]),
        (&["-c", "-r", "1:28", "-r1:23"], &[1]),
        (&["-r", "20:10", "-r", "21:0"], &[20, 21]),
        (&["-c"], &[28]),
    ] {
        // Unless it is PID 1, the original stops itself: an intended difference.
        if !mode.is_pid1() && sent.contains(&20) {
            continue;
        }
        tool.assert_same((options, sent), |path, original| {
            let options: Vec<&str> = options.iter().copied().chain(["--"]).collect();
            let running = init(mode, path, &options).program(probe("print_signals")).args(["--keep"]).spawn();
            received(running, sent, 12, original)
        });
    }
}

/// What happens to a child in the program's group, and to one in its own session, when the program has ended. (Not
/// as PID 1, where the kernel ends everything.)
fn same_leftovers() {
    let directory = TemporaryDirectory::new();
    same_in_all(|path, options| {
        let names = ["near", "far"];
        names.iter().for_each(|name| _ = fs::remove_file(directory.join(name)));
        let leftover = format!(
            "cd {}; trap 'echo TERM >$0; exit' TERM; echo $$ >$0; while :; do sleep 0.02; done",
            directory.path().display()
        );
        let script = format!(
            "cd {0}; L=\"$1\"; sh -c \"$L\" near & setsid sh -c \"$L\" far &
            while ! [ -s near ] || ! [ -s far ]; do sleep 0.02; done; exit 3",
            directory.path().display()
        );
        let words = ["sh", "-c", &script, "sh", &leftover].map(str::to_owned);
        let mut running = init(Mode::Child, path, options).args(words).spawn();
        let pids = names.map(|name| {
            poll("the leftover runs", || {
                fs::read_to_string(directory.join(name)).ok()?.trim().parse::<i32>().ok()
            })
        });
        assert_eq!(running.wait(), Ending::Exited(3));
        let ended = |name: &str| {
            let is_told = || fs::read_to_string(directory.join(name)).is_ok_and(|text| text == "TERM\n");
            try_poll(Duration::from_millis(400), || is_told().then_some(())).is_some()
        };
        let text = names.map(|name| format!("{name} ended: {}", ended(name))).join(", ");
        for pid in pids {
            _ = raw::kill(pid, 9);
        }
        text
    });
}

/// Whether the init adopts an orphan.
fn same_adoption() {
    for (name, options) in TOOLS.iter().chain(&[("tini", &["--"][..])]) {
        let tool = Tool::new(name);
        let seen = |path: &Path| {
            let script = "orphan=$(sleep 99 >/dev/null & echo $!)
                read -r pid name state parent rest </proc/$orphan/stat; kill $orphan
                [ $parent = $PPID ] && echo adopted || echo not adopted";
            init(Mode::Subreaper, path, options).shell(script).run().stdout.clone()
        };
        let [original, here] = tool.run_both(seen);
        assert_eq!(original, here, "{name} {options:?}");
    }
}

/// When the program has ended, its group gets a last SIGTERM, before the program is reaped and its PID given away. A storm
/// of orphans goes on meanwhile, among 2,000 that live, which makes every look for a dead child long.
///
/// As PID 1 nobody would see the SIGTERM: the kernel ends all with it. So this one is a subreaper from before its exec.
fn parting(runs: u32) {
    let (path, directory) = called("dumb-init");
    let [sleepers, orphans, member] = ["fork_forever", "make_orphans", "print_signals"].map(probe);
    let (sleepers, orphans, member) = (sleepers.display(), orphans.display(), member.display());
    let endless = u32::MAX;
    let script = format!("{sleepers} 2000 >/dev/null; {orphans} {endless} & {member} & read line; exit 3");
    for run in 1..=runs {
        let seen = directory.join(&format!("seen-{run}"));
        let init = init(Mode::Subreaper, &path, &["--"]).contained(2_500).lingering(&seen).world("subreaper");
        let mut running = init.shell(&script).spawn();
        running.ready();
        running.write_line("end");
        let received = running.received_within(Duration::from_secs(5)).map(|received| received.number);
        fs::write(seen, "").expect("cannot write into the temporary directory");
        assert_eq!(received, Some(15), "in run {run} of {runs}");
        assert_eq!(running.wait(), Ending::Exited(3));
    }
}

/// The program is in its own session. SIGSTOP stops it instead of SIGTSTP, SIGTTIN or SIGTTOU, and SIGCONT
/// continues it, as under the original.
fn same_stops(mode: Mode) {
    let tool = Tool::new("dumb-init");
    let seen = |path: &Path| {
        let mut text = String::new();
        for signal in [20, 21, 22] {
            let mut running =
                init(mode, path, &["--"]).program(probe("print_signals")).args(["--keep"]).spawn();
            let inner = running.ready();
            let program = running.program_pid(inner);
            running.signal(signal);
            let state = |state: char| process::Process::find(program)?.state.eq(&state).then_some(());
            poll("the program stops", || state('T'));
            // The original stops itself next, and a stop discards a pending SIGCONT (`prepare_signal` in the
            // kernel).
            poll("the init sleeps or is stopped", || {
                matches!(process::Process::find(running.pid)?.state, 'S' | 'T').then_some(())
            });
            running.signal(18);
            poll("the program continues", || state('S'));
            text += &format!("{signal}: {}; ", running.received().number);
        }
        text
    };
    let [original, here] = tool.run_both(seen);
    assert_eq!(original, here);
}

/// As a session leader with a terminal, it gives the terminal to the program, and does not pass on the SIGHUP that
/// this causes.
fn same_terminal() {
    let tool = Tool::new("dumb-init");
    let seen =
        |path: &Path| {
            let program = [
                path.to_str().expect("the path is not UTF-8"),
                "bash",
                "--norc",
                "--noprofile",
                "--noediting",
                "-i",
            ];
            let mut terminal = Terminal::with_program(Mode::Child, Wrapper::None, &program);
            let mut statuses = vec![terminal.prompt()];
            statuses.push(
                terminal.command("[ $(ps -o sid=,pgid= -p $$ | tr -s ' ' '\\n' | sort -u | wc -l) -gt 0 ]"),
            );
            statuses.push(terminal.command(
                "read -r pid name state parent group session rest </proc/$$/stat; [ $pid = $session ]",
            ));
            statuses.push(terminal.command("[ -t 0 ] && : </dev/tty"));
            // A key goes to whatever is in the foreground when it is pressed.
            let sleep_has_the_keys = |terminal: &Terminal| {
                poll("sleep is in the foreground", || {
                    let processes = terminal.processes();
                    let sleep =
                        processes.iter().find(|process| process.name == "sleep" && process.state == 'S')?;
                    (process::foreground_group(sleep.pid)? == sleep.group).then_some(())
                });
            };
            terminal.line("sleep 98");
            sleep_has_the_keys(&terminal);
            terminal.keys(CTRL_Z);
            statuses.push(terminal.prompt());
            terminal.line("fg");
            terminal.expect("sleep 98\r\n");
            sleep_has_the_keys(&terminal);
            // bash may still be putting its job in the foreground, and get the key itself.
            let prompts = |terminal: &Terminal| terminal.screen().matches("=> ").count();
            let before = prompts(&terminal);
            poll("Ctrl-C ends the job", || {
                terminal.keys(CTRL_C);
                try_poll(Duration::from_secs(1), || (prompts(&terminal) > before).then_some(()))
            });
            statuses.push(terminal.prompt());
            terminal.line("exit 4");
            (statuses, terminal.ending())
        };
    let [original, here] = tool.run_both(seen);
    assert_eq!(original, here);
    assert_eq!(here.1, Ending::Exited(4));
}

/// As a shell's job: Ctrl-Z stops it and its program, and `fg` continues both.
fn same_job() {
    let tool = Tool::new("dumb-init");
    let seen = |path: &Path| {
        let mut terminal = Terminal::with_shell(Shell::Bash, Wrapper::None);
        let script = "trap \"echo caught; exit 7\" INT; echo ready; while :; do sleep 0.05; done";
        terminal.line(&format!("{} sh -c '{script}'", path.display()));
        terminal.ready();
        terminal.keys(CTRL_Z);
        let mut statuses = vec![terminal.prompt()];
        terminal.jobs(1, 0);
        terminal.fg("fg", "done'");
        terminal.keys(CTRL_C);
        terminal.expect("caught");
        statuses.push(terminal.prompt());
        terminal.all_gone();
        statuses
    };
    let [original, here] = tool.run_both(seen);
    assert_eq!(original, here);
}
