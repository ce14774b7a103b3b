//! The answer as one JSON object, for programs. `docs/inspect.md` describes it for its readers.
//!
//! The schema, version 1. Nothing in it changes its meaning or goes away without another version; keys may be
//! added. Names are printable text: what is not is escaped as in Rust (`\n`, `\u{1b}`), and so are round brackets and
//! backslashes. A key that has no value is null.
//!
//! ```text
//! version        1
//! verdict        "healthy" | "zombies" | "incomplete" | "could_not_look"; the exit status is 0, 1, 2, 2
//! error          why nothing could be seen; only, and then alone, with "could_not_look"
//! inspector      the PID of the process that looked
//! processes      in the order of the tree, each after its parent:
//!   pid, parent (null: outside of what can be seen), group, session, user, threads, name
//!   state        the kernel's letter;  state_word  what it stands for
//!   age_seconds
//!   adopted      null: not known to be; "session", "not_the_program": how it is known that its parent did not make it
//! zombies        those that were zombies in two looks, by their parents:
//!   parent       {pid, name}, or null
//!   fault        "parent_does_not_wait" | "parent_is_stopped" | "parent_hangs" | "init_does_not_reap" |
//!                "sexton_does_not_reap" | "parent_is_outside"
//!   why, cure    the same for people
//!   processes    [{pid, name, adopted (true: known to be)}]
//! uninterruptible  those that were in state D in two looks: [{pid, name, waits_in, stack}]
//! limits
//!   cgroup       null, or {directory, used, limit, near, refused}
//!   users        [{user, used, limit, near}]
//!   pid_max      null, or {used, limit, near}
//! unseen         what could not be seen, for people: [text]
//! ```

use nix::unistd::Pid;
use serde_json::{Value, json};

use super::limits::{Limits, Usage};
use super::sample::{Blind, Seen};
use super::tree::Adoption;
use super::zombies::Graves;
use super::{Inspection, state_word};
use crate::process_tree::printable;

const VERSION: u32 = 1;

/// The object, and the end of its line.
pub fn render(inspection: &Inspection) -> String {
    let processes: Vec<Value> = inspection.order.iter().map(|node| process(inspection, node.place)).collect();
    let stuck = inspection.stuck.iter().map(|stuck| {
        json!({
            "pid": stuck.pid.as_raw(),
            "name": stuck.name,
            "waits_in": stuck.waits_in,
            "stack": stuck.stack,
        })
    });
    let object = json!({
        "version": VERSION,
        "verdict": inspection.verdict().word(),
        "inspector": inspection.myself.as_raw(),
        "processes": processes,
        "zombies": inspection.graves.iter().map(graves).collect::<Vec<_>>(),
        "uninterruptible": stuck.collect::<Vec<_>>(),
        "limits": limits(&inspection.limits),
        "unseen": inspection.sample.unseen.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    format!("{object}\n")
}

/// The object for when nothing could be seen.
pub fn render_blind(blind: &Blind) -> String {
    let object = json!({ "version": VERSION, "verdict": "could_not_look", "error": blind.to_string() });
    format!("{object}\n")
}

fn process(inspection: &Inspection, place: usize) -> Value {
    let Seen { process, owner, .. } = &inspection.sample.seen[place];
    let adopted = inspection.adoptions[place].map(|adoption| match adoption {
        Adoption::Session => "session",
        Adoption::NotTheProgram => "not_the_program",
    });
    json!({
        "pid": process.pid.as_raw(),
        "parent": inspection.sample.find(process.parent).map(|parent| parent.process.pid.as_raw()),
        "group": process.group.as_raw(),
        "session": process.session.as_raw(),
        "user": owner,
        "threads": process.threads,
        "name": printable(&process.name),
        "state": char::from(process.state).to_string(),
        "state_word": state_word(process),
        "age_seconds": inspection.clock.age(process).as_millis() as f64 / 1000.0,
        "adopted": adopted,
    })
}

fn graves(graves: &Graves) -> Value {
    let named = |pid: Pid, name: &str| json!({ "pid": pid.as_raw(), "name": name });
    let zombies = graves
        .zombies
        .iter()
        .map(|zombie| json!({ "pid": zombie.pid.as_raw(), "name": zombie.name, "adopted": zombie.adopted }));
    json!({
        "parent": graves.parent.as_ref().map(|parent| named(parent.pid, &parent.name)),
        "fault": graves.fault.word(),
        "why": graves.fault().to_string(),
        "cure": graves.cure().to_string(),
        "processes": zombies.collect::<Vec<_>>(),
    })
}

fn limits(limits: &Limits) -> Value {
    let usage = |usage: Usage| json!({ "used": usage.used, "limit": usage.limit, "near": usage.is_near() });
    let with = |mut object: Value, key: &str, value: Value| {
        object[key] = value;
        object
    };
    let cgroup = limits.cgroup.as_ref().map(|cgroup| {
        let object = with(usage(cgroup.usage), "directory", json!(cgroup.directory.to_string_lossy()));
        with(object, "refused", json!(cgroup.refused))
    });
    let users = limits.users.iter().map(|user| with(usage(user.usage), "user", json!(user.id)));
    json!({
        "cgroup": cgroup,
        "users": users.collect::<Vec<_>>(),
        "pid_max": limits.pid_max.map(usage),
    })
}
