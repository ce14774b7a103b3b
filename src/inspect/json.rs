//! The answer as one JSON object, for programs. docs/inspect.md describes every key; none changes its meaning or goes
//! away without another version, but keys may be added.

use serde_json::{Value, json};

use super::limits::{Limits, Usage};
use super::sample::Seen;
use super::tree::Node;
use super::zombies::Graves;
use super::{Inspection, Verdict, state_word};
use crate::process_tree::{Process, printable};

const VERSION: u32 = 1;

/// The object, as a line.
pub fn render(inspection: &Inspection<'_>) -> String {
    let stuck = inspection.stuck.iter().map(|stuck| {
        json!({
            "pid": stuck.process.pid.as_raw(),
            "name": printable(&stuck.process.name),
            "waits_in": stuck.waits_in,
            "stack": stuck.stack,
        })
    });
    let object = json!({
        "version": VERSION,
        "verdict": match inspection.verdict {
            Verdict::Healthy => "healthy",
            Verdict::Zombies => "zombies",
            Verdict::Incomplete => "incomplete",
        },
        "inspector": inspection.myself.as_raw(),
        "processes": inspection.tree.iter().map(|node| process(inspection, node)).collect::<Vec<_>>(),
        "zombies": inspection.graves.iter().map(graves).collect::<Vec<_>>(),
        "uninterruptible": stuck.collect::<Vec<_>>(),
        "limits": limits(&inspection.limits),
        "unseen": inspection.sample.unseen.iter().collect::<Vec<_>>(),
    });
    format!("{object}\n")
}

/// The object for when nothing could be seen.
pub fn render_blind(why: &str) -> String {
    let object = json!({ "version": VERSION, "verdict": "could_not_look", "error": why });
    format!("{object}\n")
}

fn process(inspection: &Inspection<'_>, node: &Node<'_>) -> Value {
    let Seen { process, owner, .. } = node.seen;
    json!({
        "pid": process.pid.as_raw(),
        "parent": inspection.sample.find(process.parent).map(|parent| parent.pid.as_raw()),
        "group": process.group.as_raw(),
        "session": process.session.as_raw(),
        "user": owner,
        "threads": process.threads,
        "name": printable(&process.name),
        "state": char::from(process.state).to_string(),
        "state_word": state_word(process),
        "age_seconds": inspection.age(process).as_millis() as f64 / 1000.0,
        "adopted": node.adopted,
    })
}

fn graves(graves: &Graves<'_>) -> Value {
    let named = |process: &Process| json!({ "pid": process.pid.as_raw(), "name": printable(&process.name) });
    let zombies = graves.zombies.iter().map(|zombie| {
        let mut object = named(&zombie.seen.process);
        object["adopted"] = zombie.adopted.is_some().into();
        object
    });
    json!({
        "parent": graves.parent.map(named),
        "fault": graves.fault,
        "why": graves.why,
        "cure": graves.cure,
        "processes": zombies.collect::<Vec<_>>(),
    })
}

fn limits(limits: &Limits) -> Value {
    let usage = |usage: Usage| json!({ "used": usage.used, "limit": usage.limit, "near": usage.is_near() });
    let cgroup = limits.cgroup.as_ref().map(|cgroup| {
        let mut object = usage(cgroup.usage);
        object["directory"] = cgroup.directory.to_string_lossy().into();
        object["refused"] = cgroup.refused.into();
        object
    });
    let users = limits.users.iter().map(|user| {
        let mut object = usage(user.usage);
        object["user"] = user.id.into();
        object
    });
    json!({
        "cgroup": cgroup,
        "users": users.collect::<Vec<_>>(),
        "pid_max": limits.pid_max.map(usage),
    })
}
