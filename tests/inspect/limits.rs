//! [I3]: how near the limits are, and which processes are stuck in the kernel.

use std::fs;

use super::{array, below_sexton, in_namespace};
use crate::support::containment::PidsLimit;
use crate::support::{Suite, find_program, skip};

pub(super) fn tests(suite: &mut Suite) {
    suite.test("inspect::i3_nearly_full_cgroup", nearly_full_cgroup);
    suite.test("inspect::i3_nearly_full_cgroup_above", nearly_full_cgroup_above);
    suite.test("inspect::i3_nearly_full_cgroup_from_within", nearly_full_cgroup_from_within);
    suite.test("inspect::i3_ulimit_of_a_user", ulimit_of_a_user);
    suite.test("inspect::i3_uninterruptible", uninterruptible);
}

/// Moves the shell into the cgroup and starts seven processes: with `sexton --inspect`, nine.
fn fill(group: &PidsLimit) -> String {
    format!("echo $$ > {}/cgroup.procs; for i in 1 2 3 4 5 6 7; do sleep 1000 & done", group.path().display())
}

fn nearly_full_cgroup() {
    let group = PidsLimit::exactly(10);
    let said = below_sexton(&fill(&group), "--json");
    assert_eq!(said.code, 0, "a limit that is near is not a failure");
    let json = said.json();
    let found = &json["limits"]["cgroup"];
    assert_eq!(found["directory"], group.path().to_str().expect("the path is not UTF-8"));
    assert_eq!((&found["used"], &found["limit"], &found["near"]), (&9.into(), &10.into(), &true.into()));
    let said = below_sexton(&fill(&group), "");
    assert!(said.text.lines().next().is_some_and(|line| line.ends_with("a limit is near")), "{}", said.text);
    said.has(&["cgroup pids.max          9 of 10, near"]);
}

/// The limit that counts may be that of a cgroup higher up.
fn nearly_full_cgroup_above() {
    let above = PidsLimit::exactly(10);
    let group = PidsLimit::below(above.path(), 1000)
        .unwrap_or_else(|| skip("needs a cgroup that passes the pids controller on to its children"));
    let json = below_sexton(&fill(&group), "--json").json();
    let found = &json["limits"]["cgroup"];
    assert_eq!((&found["used"], &found["limit"]), (&9.into(), &10.into()), "{json:#}");
    fs::write(group.path().join("pids.max"), "9").expect("cannot set the limit");
    let json = below_sexton(&fill(&group), "--json").json();
    assert_eq!(json["limits"]["cgroup"]["limit"], 9, "{json:#}");
}

/// As in a container: the cgroup is the root of the mounted hierarchy.
fn nearly_full_cgroup_from_within() {
    let group = PidsLimit::exactly(10);
    let kind =
        if group.path().starts_with("/sys/fs/cgroup/pids") { "-t cgroup -o pids" } else { "-t cgroup2" };
    let script = format!(
        "echo $$ > {}/cgroup.procs; mkdir $D/c; exec unshare --cgroup /bin/sh -c '
            mount {kind} none '$D'/c || exit; for i in 1 2 3 4 5 6 7; do sleep 1000 & done
            '$S' --inspect --json; echo code $?'",
        group.path().display()
    );
    let said = in_namespace(&["--pid", "--fork", "--mount-proc", "--kill-child"], &script);
    let json = said.json();
    let found = &json["limits"]["cgroup"];
    assert!(found["directory"].as_str().is_some_and(|directory| directory.ends_with("/c")), "{json:#}");
    assert_eq!((&found["used"], &found["limit"]), (&9.into(), &10.into()));
}

fn ulimit_of_a_user() {
    let script = "setpriv --reuid=54321 --clear-groups sh -c 'ulimit -p 5; sleep 1000 & sleep 1000 & wait' &
        until [ $(grep -c sleep /proc/[0-9]*/comm | grep -c :1) = 2 ]; do :; done";
    let said = below_sexton(script, "--json");
    let json = said.json();
    let users = array(&json["limits"]["users"]);
    let user = users.iter().find(|user| user["user"] == 54321).unwrap_or_else(|| panic!("{json:#}"));
    assert_eq!((&user["used"], &user["limit"]), (&3.into(), &5.into()));
    below_sexton(script, "").has(&["ulimit -u of user 54321  3 of 5"]);
}

/// A process that called vfork(2) waits uninterruptibly for its child to call exec.
fn uninterruptible() {
    if cfg!(not(target_arch = "x86_64")) || find_program("perl").is_none() {
        skip("needs perl, and x86-64 for the number of vfork(2)");
    }
    // Before it has a child it may be waiting for the disk.
    let script = "perl -e 'if (syscall(58) == 0) { sleep 1000 }' &
        until grep -qx PPid:.$! /proc/[0-9]*/status && grep -q 'State:.D' /proc/$!/status; do :; done";
    let said = below_sexton(script, "--json");
    assert_eq!(said.code, 0);
    let json = said.json();
    let stuck = array(&json["uninterruptible"]);
    assert_eq!((stuck.len(), &stuck[0]["name"]), (1, &"perl".into()));
    assert!(
        stuck[0]["waits_in"].is_string() && !array(&stuck[0]["stack"]).is_empty(),
        "root may read both: {json:#}"
    );
    let said = below_sexton(script, "");
    said.has(&[", 1 uninterruptible\n", " D uninterruptible ", "(perl) waits in "]);
}
