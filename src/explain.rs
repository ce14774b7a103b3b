//! `--explain`: the plan, for people and for programs. Nothing is run.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::{Delivery, Leftovers, ReportTo};
use crate::duration::Span;
use crate::environment::Entry;
use crate::plan::{Adoption, Group, Plan, Stops, Timeout};
use crate::session::Session;
use crate::signal::Signal;
use crate::users::Identity;

/// What becomes of a signal that sexton receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is sent on.
    Forwarded,
    /// Another is sent in its place.
    Rewritten(Signal),
    /// It is not sent on.
    Dropped,
    /// The kernel acts on it.
    Uncatchable,
}

impl Fate {
    fn of(signal: Signal, plan: &Plan) -> Fate {
        match plan.rewrites.apply(signal) {
            _ if !signal.is_catchable() => Fate::Uncatchable,
            None => Fate::Dropped,
            Some(to) if to == signal => Fate::Forwarded,
            Some(to) => Fate::Rewritten(to),
        }
    }
}

/// The plan for people: a line for each decision.
pub fn text(plan: &Plan) -> String {
    let lines = [
        ("program", program(plan)),
        ("user", user(plan)),
        ("directory", directory(plan)),
        ("environment", format!("{} variables", plan.environment.entries().len())),
        ("orphans", adoption(plan).to_owned()),
        ("process group", group(plan).to_owned()),
        ("when it stops", stops(plan).to_owned()),
        ("signals go to", delivery(plan).to_owned()),
        ("signals", signals(plan)),
        ("stop requests", stop_requests(plan)),
        ("time-out", timeout(plan)),
        ("leftovers", leftovers(plan)),
        ("exit status", exit_status(plan)),
        ("parent's death", parent_death(plan)),
        ("report", report(plan)),
    ];
    let told = lines.into_iter().filter(|(_, what)| !what.is_empty());
    told.map(|(name, what)| format!("{name:<15} {what}\n")).collect()
}

fn program(plan: &Plan) -> String {
    let words = [&plan.program].into_iter().chain(&plan.arguments);
    words.map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ")
}

fn user(plan: &Plan) -> String {
    let privileges = if plan.no_new_privs { ", and no exec gives more privileges" } else { "" };
    match &plan.identity {
        None if plan.no_new_privs => "sexton's own, and no exec gives more privileges".to_owned(),
        None => String::new(),
        Some(identity) => {
            let groups = identity.groups.iter().map(|group| group.to_string()).collect::<Vec<_>>();
            let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(", ") };
            let (user, group, name) = (identity.user, identity.group, &identity.name);
            format!("{user} ({name}), group {group}, supplementary groups: {groups}{privileges}")
        }
    }
}

fn directory(plan: &Plan) -> String {
    plan.directory.as_ref().map(|directory| format!("{directory:?}")).unwrap_or_default()
}

fn adoption(plan: &Plan) -> &'static str {
    match plan.adoption {
        Adoption::Init => "come to sexton, which is PID 1, and are reaped",
        Adoption::Subreaper { required: true } => "come to sexton as a child subreaper, or it fails",
        Adoption::Subreaper { required: false } => "come to sexton as a child subreaper, or it warns",
        Adoption::None => "do not come to sexton",
    }
}

fn group(plan: &Plan) -> &'static str {
    match plan.group {
        Group::Shared => "sexton's",
        Group::Own { terminal: None } => "its own",
        Group::Session(Session { terminal: None, .. }) => "its own, in a session of its own",
        Group::Session(Session { terminal: Some(_), .. }) => {
            "its own, in a session of its own that gets the terminal"
        }
        Group::Own { terminal: Some(_) } => "its own, and the terminal is handed to it",
    }
}

fn stops(plan: &Plan) -> &'static str {
    match plan.stops {
        Stops::Follow => "sexton stops too, for the shell to see, and goes on with it",
        Stops::Undo => "it is continued at once, as nobody else could; but not after SIGSTOP",
        Stops::Leave => "it stays so until somebody continues it",
    }
}

fn delivery(plan: &Plan) -> &'static str {
    match plan.delivery {
        Delivery::Program => "the program",
        Delivery::Group => "the program's process group",
        Delivery::Tree => "every descendant",
    }
}

fn signals(plan: &Plan) -> String {
    let mut sentences = Vec::new();
    for rewrite in plan.rewrites.iter() {
        sentences.push(match rewrite.to {
            Some(to) => format!("{} becomes {to}", rewrite.from),
            None => format!("{} is dropped", rewrite.from),
        });
    }
    let rest = if sentences.is_empty() { "all" } else { "all others" };
    sentences.push(format!("{rest} are sent on as they are; nothing can catch SIGKILL and SIGSTOP"));
    if plan.group == Group::Shared {
        sentences.push("what the terminal sends reaches the program by itself".to_owned());
    }
    sentences.join("; ")
}

fn span(duration: Duration) -> String {
    Span(duration).to_string()
}

fn stop_requests(plan: &Plan) -> String {
    let signals = Signal::all().filter(|signal| plan.ending.stop_signals.contains(*signal));
    let mut text = signals.map(|signal| signal.to_string()).collect::<Vec<_>>().join(", ");
    if !plan.ending.stop_delay.is_zero() {
        text += &format!("; the first is held back for {}", span(plan.ending.stop_delay));
    }
    if let Some(kill_after) = plan.ending.kill_after {
        text += &format!("; SIGKILL to the program and its tree {} later", span(kill_after));
    }
    text
}

fn timeout(plan: &Plan) -> String {
    let Some(timeout) = plan.ending.timeout else { return String::new() };
    let (after, kill_after) = (span(timeout.after), span(timeout.kill_after));
    format!("{} after {after}, SIGKILL {kill_after} later, exit status 124", timeout.signal)
}

fn leftovers(plan: &Plan) -> String {
    match plan.ending.leftovers {
        _ if plan.adoption == Adoption::None => "are left, as orphans do not come to sexton".to_owned(),
        Leftovers::Terminate => format!("get SIGTERM, and SIGKILL {} later", span(plan.ending.grace)),
        Leftovers::Kill => "get SIGKILL at once".to_owned(),
        Leftovers::Wait => "are waited for; a stop request ends them".to_owned(),
        Leftovers::Leave if plan.adoption == Adoption::Init => {
            "end when sexton does, as it is PID 1".to_owned()
        }
        Leftovers::Leave => "are left".to_owned(),
    }
}

fn exit_status(plan: &Plan) -> String {
    let mut text = "the program's".to_owned();
    if plan.reraise {
        text += "; a signal that ended it ends sexton too";
    } else {
        text += "; 128+N when signal N ended it";
    }
    for remap in plan.remaps.iter() {
        text += &format!("; {} becomes {}", remap.code, remap.new);
    }
    text
}

fn parent_death(plan: &Plan) -> String {
    plan.parent_death.map(|death| format!("sexton receives {}", death.signal)).unwrap_or_default()
}

fn report(plan: &Plan) -> String {
    match &plan.report {
        None => String::new(),
        Some(ReportTo::Stderr) => "to stderr".to_owned(),
        Some(ReportTo::File(path)) => format!("{path:?}"),
    }
}

/// Without the values: people show plans to one another, and values may be secret.
fn variable_names(plan: &Plan) -> Vec<String> {
    let name = |entry: &Entry| {
        let name = entry.to_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    };
    plan.environment.entries().iter().map(name).collect()
}

/// The plan as one JSON object. Durations are seconds; what is not asked for is null.
pub fn json(plan: &Plan) -> Value {
    let words = [&plan.program].into_iter().chain(&plan.arguments);
    json!({
        "version": 1,
        "program": words.map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
        "user": plan.identity.as_ref().map(json_user),
        "no_new_privs": plan.no_new_privs,
        "directory": plan.directory.as_ref().map(|directory| directory.to_string_lossy()),
        "environment": variable_names(plan),
        "adoption": match plan.adoption {
            Adoption::Init => "init",
            Adoption::Subreaper { .. } => "subreaper",
            Adoption::None => "none",
        },
        "group": match plan.group {
            Group::Shared => "shared",
            Group::Own { .. } => "own",
            Group::Session { .. } => "session",
        },
        "terminal_handed_over": matches!(plan.group, Group::Own { terminal: Some(_) } | Group::Session(Session { terminal: Some(_), .. })),
        "stops": match plan.stops {
            Stops::Follow => "follow",
            Stops::Undo => "undo",
            Stops::Leave => "leave",
        },
        "deliver": plan.delivery.to_string(),
        "signals": Signal::all().map(|signal| json_signal(signal, plan)).collect::<Vec<_>>(),
        "stop_delay": seconds(plan.ending.stop_delay),
        "kill_after": plan.ending.kill_after.map(seconds),
        "timeout": plan.ending.timeout.as_ref().map(json_timeout),
        "leftovers": plan.ending.leftovers.to_string(),
        "grace": seconds(plan.ending.grace),
        "remaps": plan.remaps.iter().map(|remap| json!({ "code": remap.code, "new": remap.new })).collect::<Vec<_>>(),
        "reraise": plan.reraise,
        "parent_death_signal": plan.parent_death.map(|death| death.signal.to_string()),
        "report": plan.report.as_ref().map(|to| match to {
            ReportTo::Stderr => "-".into(),
            ReportTo::File(path) => path.to_string_lossy(),
        }),
    })
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn json_user(identity: &Identity) -> Value {
    json!({
        "user": identity.user.as_raw(),
        "name": identity.name,
        "group": identity.group.as_raw(),
        "groups": identity.groups.iter().map(|group| group.as_raw()).collect::<Vec<_>>(),
        "home": identity.home,
    })
}

fn json_signal(signal: Signal, plan: &Plan) -> Value {
    let (fate, sent) = match Fate::of(signal, plan) {
        Fate::Forwarded => ("forwarded", Some(signal)),
        Fate::Rewritten(to) => ("rewritten", Some(to)),
        Fate::Dropped => ("dropped", None),
        Fate::Uncatchable => ("uncatchable", None),
    };
    json!({
        "signal": signal.to_string(),
        "number": signal.number(),
        "fate": fate,
        "sent": sent.map(|sent| sent.to_string()),
        "stop_request": plan.ending.stop_signals.contains(signal),
    })
}

fn json_timeout(timeout: &Timeout) -> Value {
    json!({
        "after": seconds(timeout.after),
        "signal": timeout.signal.to_string(),
        "kill_after": seconds(timeout.kill_after),
    })
}
