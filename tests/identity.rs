//! [P1] and [P3]: the program's user, working directory and environment; and `--explain`.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{
    Ending, Init, Mode, Suite, TemporaryDirectory, find_program, sexton_only, skip, under_test,
};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.in_modes("identity::p1_user_by_name_and_by_number", reaping, users);
    suite.test("identity::p1_supplementary_groups_come_from_the_file", supplementary_groups);
    suite.test("identity::p1_supplementary_groups_are_not_inherited", groups_are_not_inherited);
    suite.in_modes("identity::p1_unknown_user_starts_nothing", reaping, unknown_user);
    suite.test("identity::p1_a_user_who_may_not_change_stays_himself", without_privilege);
    suite.in_modes("identity::p1_no_new_privs", reaping, no_new_privs);
    suite.in_modes("identity::p1_chdir", reaping, chdir);
    suite.in_modes("identity::p1_environment", reaping, environment);
    suite.in_modes("identity::p1_expand_env", reaping, expand);
    suite.in_modes("identity::p3_explain_runs_nothing", reaping, explain);
    suite.test("identity::p3_explain_tells_every_signals_fate", explain_json);
}

const WHO: &str = "echo $(id -u) $(id -g) / $(id -G) / $HOME $USER $LOGNAME";

fn needs_root() {
    if !nix::unistd::geteuid().is_root() {
        skip("becoming another user needs root");
    }
}

/// What the script prints under sexton with these options. It must succeed.
fn output(mode: Mode, options: &[&str], script: &str) -> String {
    let finished = Init::new(mode).options(options.iter().copied()).shell(script).run();
    assert_eq!(finished.ending, Ending::Exited(0), "{options:?}: {}", finished.stderr);
    finished.stdout.trim_end().to_owned()
}

fn users(mode: Mode) {
    needs_root();
    let nobody = "65534 65534 / 65534 / /nonexistent nobody nobody";
    assert_eq!(output(mode, &["-u", "nobody"], WHO), nobody);
    assert_eq!(output(mode, &["--user", "65534"], WHO), nobody);
    assert_eq!(output(mode, &["-u", "nobody:daemon"], WHO), "65534 1 / 1 / /nonexistent nobody nobody");
    assert_eq!(output(mode, &["-u", "4321:8765"], WHO), "4321 8765 / 8765 / / 4321 4321");
    let given = output(mode, &["-u", "nobody", "-E", "HOME=/here"], "echo $HOME $USER");
    assert_eq!(given, "/here nobody");
}

/// What the command prints. It must succeed.
fn printed(command: &mut Command) -> String {
    let output = command.output().expect("cannot run the command");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn supplementary_groups() {
    sexton_only();
    needs_root();
    let directory = TemporaryDirectory::new();
    let groups =
        directory.write("group", "root:x:0:\none:x:701:nobody\ntwo:x:702:root\nthree:x:703:root,nobody\n");
    let script = format!(
        "mount --bind {} /etc/group && exec {} -u nobody id -G",
        groups.display(),
        under_test().path().display()
    );
    let unshare = find_program("unshare").unwrap_or_else(|| skip("needs unshare"));
    assert_eq!(printed(Command::new(unshare).args(["--mount", "sh", "-c", &script])), "65534 701 703");
}

fn groups_are_not_inherited() {
    sexton_only();
    needs_root();
    let setpriv = find_program("setpriv").unwrap_or_else(|| skip("needs setpriv"));
    let words = ["-u", "nobody", "id", "-G"];
    let mut command = Command::new(setpriv);
    assert_eq!(printed(command.args(["--groups", "4,24,27"]).arg(under_test().path()).args(words)), "65534");
}

fn unknown_user(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let file = directory.join("started");
    let cases = [
        ("no-such-user", "no-such-user"),
        ("0:no-such-group", "no-such-group"),
        ("4321", "4321:GROUP"),
        // To setresuid(2) and setresgid(2), -1 means "leave it as it is": root here.
        ("4294967295:0", "no user has the number 4294967295"),
        ("0:4294967295", "no group has the number 4294967295"),
        ("4294967296:0", "no user has the number 4294967296"),
    ];
    for (user, told) in cases {
        let finished =
            Init::new(mode).options(["-u", user]).shell(&format!("touch {}", file.display())).run();
        assert_eq!(finished.ending, Ending::Exited(125), "{user}");
        assert!(
            finished.stderr.contains(told) && finished.stderr.lines().count() == 1,
            "{}",
            finished.stderr
        );
        assert!(!file.exists(), "{user}: the program was started");
    }
}

fn without_privilege() {
    sexton_only();
    needs_root();
    let setpriv = find_program("setpriv").unwrap_or_else(|| skip("needs setpriv"));
    let as_nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let run = |user: &str| {
        let mut command = Command::new(&setpriv);
        command.args(as_nobody).arg(under_test().path()).args(["-u", user, "id", "-u"]).output()
    };
    let own = run("nobody").expect("cannot run setpriv");
    assert_eq!((own.status.code(), &*own.stdout), (Some(0), &b"65534\n"[..]), "{own:?}");
    let other = run("daemon").expect("cannot run setpriv");
    assert_eq!(other.status.code(), Some(125), "{other:?}");
    assert!(String::from_utf8_lossy(&other.stderr).contains("EPERM"), "{other:?}");
}

fn no_new_privs(mode: Mode) {
    let script = "grep NoNewPrivs /proc/self/status";
    assert_eq!(output(mode, &["--no-new-privs"], script), "NoNewPrivs:\t1");
    assert_eq!(output(mode, &[], script), "NoNewPrivs:\t0");
}

fn chdir(mode: Mode) {
    assert_eq!(output(mode, &["-C", "/usr/bin"], "pwd"), "/usr/bin");
    let finished = Init::new(mode).options(["-C", "/no/such/place"]).shell("true").run();
    assert_eq!(finished.ending, Ending::Exited(125));
    assert!(finished.stderr.contains("/no/such/place"), "{}", finished.stderr);
    let here = Init::new(mode).options(["-C", "/usr/bin"]).program("./env").args(["true"]).run();
    assert_eq!(here.ending, Ending::Exited(0), "a relative program path starts there: {}", here.stderr);
}

fn environment(mode: Mode) {
    let script = "echo ${A-unset} ${B-unset} ${C-unset}";
    let init = || Init::new(mode).env("A", "old").env("B", "old");
    let run = |init: Init| init.shell(script).run().stdout.trim_end().to_owned();
    assert_eq!(run(init().options(["-E", "A=new", "--env=C=x=y", "--unset-env", "B"])), "new unset x=y");
    assert_eq!(run(init().env("SEXTON_ENV", "A=1,2\nC=3").env("SEXTON_UNSET_ENV", "B, NONE")), "1,2 unset 3");
    for bad in ["A", "=1", ""] {
        let finished = init().options(["-E", bad]).shell(script).run();
        assert_eq!(finished.ending, Ending::Exited(125), "{bad:?}");
    }
}

fn expand(mode: Mode) {
    let expanded = |options: &[&str], words: &[&str]| {
        let init = Init::new(mode).env("A", "a b").options(options.iter().copied());
        init.program("printf").args([&["%s,"], words].concat()).run()
    };
    let words = ["${A}", "${NONE}", "${NONE:-${A}", "x${A}y", "$${A}", "$A"];
    assert_eq!(expanded(&["--expand-env"], &words).stdout, "a b,,${A,xa by,${A},$A,");
    assert_eq!(expanded(&[], &words[..1]).stdout, "${A},");
    let bad = expanded(&["--expand-env"], &["${A"]);
    assert_eq!(bad.ending, Ending::Exited(125));
    assert!(bad.stderr.contains("not closed"), "{}", bad.stderr);
}

fn explain(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let file = directory.join("started");
    let options = ["--explain", "-r", "TERM:QUIT", "-k", "3s", "--timeout", "1m", "-e", "7:8"];
    let finished = Init::new(mode).options(options).program("touch").args([file.display().to_string()]).run();
    assert_eq!(finished.ending, Ending::Exited(0));
    let adoption = if mode.is_pid1() { "PID 1" } else { "child subreaper" };
    for told in
        [adoption, "SIGTERM becomes SIGQUIT", "3s later", "after 60s", "7 becomes 8", "SIGKILL 5s later"]
    {
        assert!(finished.stdout.contains(told), "{told}: {}", finished.stdout);
    }
    assert!(fs::metadata(&file).is_err(), "the program was started");
}

fn explain_json() {
    let options = ["--explain", "--json", "-r", "TERM:QUIT", "-r", "HUP:0"];
    let finished = Init::new(Mode::Subreaper).options(options).program("true").run();
    let plan: Value = serde_json::from_str(&finished.stdout).expect("the plan is not JSON");
    let signals = plan["signals"].as_array().expect("`signals` should be a list");
    assert_eq!(signals.len(), 64);
    for (index, expected) in [(0, "dropped"), (8, "uncatchable"), (14, "rewritten"), (63, "forwarded")] {
        assert_eq!(signals[index]["fate"], expected, "{}", signals[index]);
    }
    assert_eq!(signals[14]["sent"], "SIGQUIT");
}
