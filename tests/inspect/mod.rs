//! [I]: `--inspect` in PID namespaces that really contain what it must find.
//!
//! A shell script inside runs it, and then prints `code N` with its exit status.

mod limits;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Ending, Init, Mode, Suite, TemporaryDirectory, costs_at_most, find_program, probe, sexton_only, skip,
    under_test,
};

pub(crate) fn tests(suite: &mut Suite) {
    suite.test("inspect::i1_tree_states_and_ages", tree);
    suite.test("inspect::i1_orphans_and_who_adopted_them", orphans);
    suite.test("inspect::i1_stopped_process", stopped);
    suite.test("inspect::i1_hostile_name", hostile_name);
    suite.test("inspect::i2_zombie_of_a_living_parent", zombie_of_a_living_parent);
    suite.test("inspect::i2_many_zombies_are_folded", many_zombies);
    suite.test("inspect::i2_zombie_of_a_stopped_parent", zombie_of_a_stopped_parent);
    suite.test("inspect::i2_pid_1_does_not_reap", init_does_not_reap);
    suite.alone_in_modes("inspect::i2_zombies_in_passing", &[Mode::Pid1], zombies_in_passing);
    limits::tests(suite);
    suite.test("inspect::i4_no_proc", no_proc);
    suite.test("inspect::i4_foreign_proc", foreign_proc);
    suite.test("inspect::i4_hidden_processes", hidden_processes);
    suite.test("inspect::i4_closed_processes", closed_processes);
    suite.alone_in_modes("inspect::i2_20000_processes", &[Mode::Pid1], twenty_thousand);
    suite.test("inspect::documented_keys", documented_keys);
    suite.test("inspect::terminal_width_and_colours", terminal);
}

/// What `--inspect` printed, and its exit status.
struct Said {
    text: String,
    code: i32,
}

impl Said {
    fn parse(output: &str) -> Said {
        let (text, code) = output.rsplit_once("code ").unwrap_or_else(|| panic!("no code: {output}"));
        let code = code.trim().parse().unwrap_or_else(|_| panic!("no code: {output}"));
        Said { text: text.to_owned(), code }
    }

    fn json(&self) -> Value {
        let json: Value =
            serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text));
        assert_eq!(json["version"], 1);
        json
    }

    fn has(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.text.contains(part), "no {part:?} in:\n{}", self.text);
        }
    }
}

/// `$S`, `$Z` and `$O` are sexton, make_zombies and make_orphans; `$D` is the test's own directory; `zombies N`
/// waits until there are exactly N.
fn prelude(directory: &TemporaryDirectory) -> String {
    let name = |path: &Path| path.to_str().expect("the path is not UTF-8").to_owned();
    format!(
        "S={}; Z={}; O={}; D={}; mkfifo $D/ready;
        zombies() {{ until [ $(grep -lx 'State:.Z (zombie)' /proc/[0-9]*/status | wc -l) = $1 ]; do :; done; }}\n",
        name(under_test().path()),
        name(&probe("make_zombies")),
        name(&probe("make_orphans")),
        name(directory.path()),
    )
}

/// Runs `script` and then `--inspect` in a PID namespace whose PID 1 is sexton.
fn below_sexton(script: &str, options: &str) -> Said {
    sexton_only();
    let directory = TemporaryDirectory::new();
    let script = format!("{}{script}\n$S --inspect {options}; echo code $?", prelude(&directory));
    let finished = Init::new(Mode::Pid1).shell(&script).run();
    Said::parse(&finished.stdout)
}

/// The same in a PID namespace whose PID 1 is cat, which never waits for children.
fn below_cat(script: &str, options: &str) -> Said {
    let script = format!(
        "mkfifo $D/end; {{ {script}\n$S --inspect {options}; echo code $?; echo > $D/end; }} & exec cat $D/end"
    );
    in_namespace(&["--pid", "--fork", "--mount-proc", "--kill-child"], &script)
}

/// Runs a shell script in new namespaces, made with these options of unshare(1).
fn in_namespace(options: &[&str], script: &str) -> Said {
    sexton_only();
    if !nix::unistd::geteuid().is_root() {
        skip("namespaces need root");
    }
    let unshare = find_program("unshare").unwrap_or_else(|| skip("needs unshare"));
    let directory = TemporaryDirectory::new();
    let output = Command::new("timeout")
        .args(["-k", "1", "60"])
        .arg(unshare)
        .args(options)
        .args(["/bin/sh", "-c", &(prelude(&directory) + script)])
        .stdin(Stdio::null())
        .output()
        .expect("cannot run timeout");
    Said::parse(&(String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr)))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not an array: {value}"))
}

/// The only process with this name.
fn named<'a>(json: &'a Value, name: &str) -> &'a Value {
    let found: Vec<&Value> =
        array(&json["processes"]).iter().filter(|process| process["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {json:#}");
    found[0]
}

fn tree() {
    let script = "sh -c 'sleep 1000 & wait' &
        until grep -qx 'State:.S (sleeping)' /dev/null $(grep -lx 'Name:.sleep' /proc/[0-9]*/status); do :; done";
    let said = below_sexton(script, "--json");
    assert_eq!(said.code, 0);
    let json = said.json();
    assert_eq!(json["verdict"], "healthy");
    assert_eq!(json["unseen"], Value::Array(Vec::new()));
    let init = &json["processes"][0];
    assert_eq!((&init["pid"], &init["parent"], &init["name"]), (&1.into(), &Value::Null, &"sexton".into()));
    let sleep = named(&json, "sleep");
    assert_eq!((&sleep["state"], &sleep["state_word"]), (&"S".into(), &"sleeping".into()));
    assert!(sleep["age_seconds"].as_f64().is_some_and(|age| (0.0..60.0).contains(&age)), "{sleep}");
    let parent = array(&json["processes"]).iter().find(|process| process["pid"] == sleep["parent"]);
    assert_eq!(parent.map(|parent| &parent["name"]), Some(&"sh".into()));
    let said = below_sexton(script, "");
    assert!(said.text.starts_with("healthy: "), "{}", said.text);
    said.has(&[
        "  PID  STATE",
        "      1  ",
        "  sexton\n",
        " S sleeping ",
        "\\_ sh\n",
        "  \\_ sleep\n",
        "kernel.pid_max",
    ]);
    assert!(!said.text.contains('\x1b'), "no colours in a pipe: {}", said.text);
}

/// Waits until a process called sleep is a child of PID 1.
const UNTIL_ORPHANED: &str =
    "until grep -lxq sleep $(grep -lx 'PPid:.1' /proc/[0-9]*/status | sed s/status/comm/); do :; done";

fn orphans() {
    let said = below_sexton(&format!("(sleep 1000 &); {UNTIL_ORPHANED}"), "--json");
    assert_eq!(said.code, 0);
    let json = said.json();
    let sleep = named(&json, "sleep");
    assert_eq!((&sleep["parent"], &sleep["adopted"]), (&1.into(), &"not_the_program".into()));
    let program = array(&json["processes"])
        .iter()
        .find(|process| process["name"] == "sh")
        .expect("no process is called sh");
    assert_eq!((&program["parent"], &program["adopted"]), (&1.into(), &Value::Null));
    let said = below_cat(&format!("setsid sh -c 'sleep 1000 &'; {UNTIL_ORPHANED}"), "--json");
    let sleep = named(&said.json(), "sleep").clone();
    assert_eq!((&sleep["parent"], &sleep["adopted"]), (&1.into(), &"session".into()));
    let said = below_sexton(&format!("(sleep 1000 &); {UNTIL_ORPHANED}"), "");
    said.has(&["\\_ sleep  (adopted by 1)\n"]);
    assert_eq!(said.text.matches("adopted").count(), 1, "{}", said.text);
}

fn stopped() {
    let script = "sleep 1000 & until grep -q sleep /proc/$!/comm; do :; done; kill -STOP $!; until grep -q 'State:.T' /proc/$!/status; do :; done";
    let said = below_sexton(script, "--json");
    assert_eq!(said.code, 0, "a stopped process is not a failure");
    let json = said.json();
    let sleep = named(&json, "sleep");
    assert_eq!((&sleep["state"], &sleep["state_word"]), (&"T".into(), &"stopped".into()));
    below_sexton(script, "").has(&[" T stopped "]);
}

fn hostile_name() {
    let script = "sh -c 'printf \"a) 7 (b\\n\\033[2J\" > /proc/$$/comm; echo > $0; read forever < $0' $D/ready & read line < $D/ready";
    let escaped = "a\\) 7 \\(b\\n\\u{1b}[2J";
    let said = below_sexton(script, "");
    said.has(&[escaped]);
    assert!(!said.text.contains(|c: char| c.is_control() && c != '\n'), "{:?}", said.text);
    assert_eq!(named(&below_sexton(script, "--json").json(), escaped)["threads"], 1);
}

fn zombie_of_a_living_parent() {
    let script = "$Z 3 > /dev/null & zombies 3";
    let said = below_sexton(script, "--json");
    assert_eq!(said.code, 1);
    let json = said.json();
    assert_eq!(json["verdict"], "zombies");
    let graves = array(&json["zombies"]);
    assert_eq!(graves.len(), 1, "{json:#}");
    assert_eq!(
        (&graves[0]["fault"], &graves[0]["parent"]["name"]),
        (&"parent_does_not_wait".into(), &"make_zombies".into())
    );
    assert_eq!(array(&graves[0]["processes"]).len(), 3);
    let said = below_sexton(script, "");
    assert!(said.text.starts_with("not healthy: 3 zombies among "), "{}", said.text);
    said.has(&[
        " Z zombie ",
        "(make_zombies) has 3 zombies: ",
        "why:  make_zombies is alive and does not wait for its children: a bug of make_zombies",
        "cure: have make_zombies call waitpid(2)",
    ]);
    assert_eq!(said.code, 1);
}

fn many_zombies() {
    let said = below_sexton("$Z 1000 > /dev/null & zombies 1000", "");
    said.has(&["not healthy: 1000 zombies", "and 992 more zombies\n", "and 992 more\n"]);
    assert!(said.text.lines().count() < 40, "{}", said.text);
    assert_eq!(said.code, 1);
}

/// The worst case: every zombie is sampled twice. A debug build is some five times slower.
fn twenty_thousand(_: Mode) {
    let script = "$Z 20000 > $D/ready & read line < $D/ready || { echo too many code 3; exit; }
        date +%s%N; $S --inspect > $D/text; echo $?; date +%s%N; head -1 $D/text; true";
    let limit = if cfg!(debug_assertions) { 5 } else { 1 };
    costs_at_most(Duration::from_secs(limit), || {
        let said = below_sexton(script, "> /dev/null");
        if said.code == 3 {
            skip("20,000 processes are too many here");
        }
        let numbers: Vec<u64> = said.text.lines().map_while(|line| line.parse().ok()).collect();
        let [before, code, after] = numbers[..] else { panic!("not three numbers: {}", said.text) };
        assert_eq!(code, 1);
        said.has(&["not healthy: 20000 zombies"]);
        Duration::from_nanos(after - before)
    });
}

/// docs/inspect.md names every key of this output.
fn documented_keys() {
    let json = below_sexton("$Z 1 > /dev/null & zombies 1", "--json").json();
    let text = include_str!("../../docs/inspect.md");
    let mut ahead = vec![&json];
    let mut count = 0;
    while let Some(value) = ahead.pop() {
        ahead.extend(value.as_array().into_iter().flatten());
        for (key, value) in value.as_object().into_iter().flatten() {
            assert!(text.contains(&format!("`{key}`")), "{key} is not documented");
            ahead.push(value);
            count += 1;
        }
    }
    assert!(count > 50, "{json:#}");
}

fn zombie_of_a_stopped_parent() {
    let script =
        "$Z 2 > /dev/null & zombies 2; kill -STOP $!; until grep -q 'State:.T' /proc/$!/status; do :; done";
    let said = below_sexton(script, "--json");
    assert_eq!(said.code, 1);
    assert_eq!(said.json()["zombies"][0]["fault"], "parent_is_stopped");
}

fn init_does_not_reap() {
    let orphan = "$O 1 > /dev/null; zombies 1";
    let said = below_cat(orphan, "--json");
    assert_eq!(said.code, 1);
    let json = said.json();
    let graves = &json["zombies"][0];
    assert_eq!((&graves["fault"], &graves["parent"]["pid"]), (&"init_does_not_reap".into(), &1.into()));
    assert_eq!(
        graves["processes"][0]["adopted"], false,
        "it is in PID 1's session, so PID 1 may have started it"
    );
    let said = below_cat(&format!("setsid {orphan}"), "--json");
    assert_eq!(said.json()["zombies"][0]["processes"][0]["adopted"], true);
    let said = below_cat(orphan, "");
    said.has(&[
        "1 (cat) has 1 zombie: ",
        "does not reap: this needs an init",
        "ENTRYPOINT [\"/init\", \"--\", \"cat\"]",
    ]);
}

/// At nearly every moment there is a zombie, but none lasts. On an overloaded machine one may last 150 ms, and then
/// it is right to report it. (A unit test of the sampling takes 1,000 samples.)
fn zombies_in_passing(_: Mode) {
    let script = "while :; do /bin/true; done & (while :; do /bin/true; done) &
        for time in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do $S --inspect --json; done";
    let said = below_sexton(script, "--json");
    assert_eq!(said.text.lines().count(), 15);
    for line in said.text.lines() {
        let json: Value = serde_json::from_str(line).expect("not JSON");
        for zombie in array(&json["processes"]).iter().filter(|process| process["state"] == "Z") {
            assert!(zombie["age_seconds"].as_f64().is_some_and(|age| age >= 0.15), "{json:#}");
        }
    }
}

fn no_proc() {
    sexton_only();
    let init = || Init::new(Mode::Subreaper).world("mount=no-proc").options(["--inspect"]);
    let finished = init().run();
    assert_eq!((finished.ending, finished.stdout.as_str()), (Ending::Exited(2), ""));
    assert!(finished.stderr.contains("cannot look: /proc cannot be read"), "{}", finished.stderr);
    let finished = init().options(["--json"]).run();
    let json: Value = serde_json::from_str(&finished.stdout).expect("not JSON");
    assert_eq!((&json["version"], &json["verdict"]), (&1.into(), &"could_not_look".into()));
    assert_eq!(finished.ending, Ending::Exited(2));
}

fn foreign_proc() {
    let said = in_namespace(&["--pid", "--fork", "--kill-child"], "$S --inspect 2>&1; echo code $?");
    assert_eq!(said.code, 2);
    said.has(&["cannot look: /proc shows another PID namespace"]);
}

const AS_NOBODY: &str = "exec 2>&1; S='setpriv --reuid=65534 --regid=65534 --clear-groups '$S";

fn hidden_processes() {
    let script = format!("mount -o remount,hidepid=2 /proc; {AS_NOBODY}");
    let said = below_sexton(&script, "--json");
    assert_eq!(said.code, 2);
    let json = said.json();
    assert_eq!(json["verdict"], "incomplete");
    let unseen = json["unseen"][0].as_str().unwrap_or_default();
    assert!(unseen.starts_with("PID 1 is hidden") && unseen.contains("hidepid="), "{json:#}");
    assert_eq!(array(&json["processes"]).len(), 1, "only --inspect itself");
    let said = below_sexton(&script, "");
    said.has(&["not all can be seen: 1 process, no zombies among them\n  PID 1 is hidden"]);
}

fn closed_processes() {
    let script = format!("mount -o remount,hidepid=1 /proc; {AS_NOBODY}");
    let said = below_sexton(&script, "");
    assert_eq!(said.code, 2);
    said.has(&["processes may not be looked at (/proc is mounted with hidepid="]);
}

fn terminal() {
    if find_program("script").is_none() {
        skip("needs script(1)");
    }
    let on_terminal = |variables: &str| {
        let script = format!(
            "$Z 3 > /dev/null & zombies 3
            script -qec \"stty cols 44; {variables} $S --inspect\" /dev/null < /dev/null > $D/typescript
            tr -d '\\r' < $D/typescript; false"
        );
        below_sexton(&script, "> /dev/null").text
    };
    let text = on_terminal("TERM=xterm");
    assert!(text.contains("\x1b[1;31mnot healthy: "), "{text:?}");
    let text = on_terminal("NO_COLOR=1 TERM=xterm");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.lines().all(|line| line.chars().count() <= 44), "{text}");
    assert!(text.lines().any(|line| line.chars().count() > 36), "{text}");
    let unknown = on_terminal("COLUMNS=0 NO_COLOR=1 TERM=xterm");
    assert!(
        unknown.lines().any(|line| line.chars().count() > 36),
        "the terminal's own width counts: {unknown}"
    );
    let text = on_terminal("COLUMNS=30 TERM=dumb");
    assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
}
