//! `--explain`: the plan, for people and for programs. Nothing is run.

use std::ffi::OsString;
use std::iter;

use serde_json::{Value, json};

use crate::config::{Delivery, Leftovers, ReportTo};
use crate::duration::Span;
use crate::environment::key_of;
use crate::plan::{Adoption, Group, Plan, Stops};
use crate::session::Session;
use crate::signal::{Rewrite, Signal};
use crate::status::Remap;
use crate::users::Identity;

/// The plan for people: a line for each decision.
pub fn text(plan: &Plan) -> String {
    let config = &plan.config;
    let (_, orphans) = adoption(plan);
    let (_, group, _) = group(plan);
    let (_, stops) = stops(plan);
    let delivery = match config.delivery {
        Delivery::Program => "the program",
        Delivery::Group => "the program's process group",
        Delivery::Tree => "every descendant",
    };
    let timeout = config.timeout.map(|after| {
        let (signal, kill_after) = (config.timeout_signal, Span(config.kill_after_timeout()));
        format!("{signal} after {}, SIGKILL {kill_after} later, exit status 124", Span(after))
    });
    let report = config.report.as_ref().map(|to| match to {
        ReportTo::Stderr => "to stderr".to_owned(),
        ReportTo::File(path) => format!("{path:?}"),
    });
    let program = words(plan).map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ");
    let lines = [
        ("program", Some(program)),
        ("user", user(plan)),
        ("directory", config.directory.as_ref().map(|directory| format!("{directory:?}"))),
        ("environment", Some(format!("{} variables", plan.environment.entries().len()))),
        ("orphans", Some(orphans.to_owned())),
        ("process group", Some(group.to_owned())),
        ("when it stops", Some(stops.to_owned())),
        ("signals go to", Some(delivery.to_owned())),
        ("signals", Some(signals(plan))),
        ("stop requests", Some(stop_requests(plan))),
        ("time-out", timeout),
        ("leftovers", Some(leftovers(plan))),
        ("exit status", Some(exit_status(plan))),
        ("parent's death", plan.parent_death.map(|death| format!("sexton receives {}", death.signal))),
        ("report", report),
    ];
    lines.into_iter().filter_map(|(name, text)| Some(format!("{name:<15} {}\n", text?))).collect()
}

/// The program and its arguments.
fn words(plan: &Plan) -> impl Iterator<Item = &OsString> {
    iter::once(&plan.config.program).chain(&plan.config.arguments)
}

fn user(plan: &Plan) -> Option<String> {
    let user = match &plan.identity {
        None if !plan.config.no_new_privs => return None,
        None => "sexton's own".to_owned(),
        Some(Identity { user, group, groups, name, .. }) => {
            let groups = groups.iter().map(|group| group.to_string()).collect::<Vec<_>>().join(", ");
            let groups = if groups.is_empty() { "none" } else { &groups };
            format!("{user} ({name}), group {group}, supplementary groups: {groups}")
        }
    };
    let privileges = if plan.config.no_new_privs { ", and no exec gives more privileges" } else { "" };
    Some(format!("{user}{privileges}"))
}

/// The word for programs and the sentence for people.
fn adoption(plan: &Plan) -> (&'static str, &'static str) {
    match plan.adoption {
        Adoption::Init => ("init", "come to sexton, which is PID 1, and are reaped"),
        Adoption::Subreaper { required: true } => {
            ("subreaper", "come to sexton as a child subreaper; sexton fails if the kernel refuses")
        }
        Adoption::Subreaper { required: false } => {
            ("subreaper", "come to sexton as a child subreaper; sexton warns if the kernel refuses")
        }
        Adoption::None => ("none", "do not come to sexton"),
    }
}

/// The word for programs and the sentence for people, and whether the program gets the terminal.
fn group(plan: &Plan) -> (&'static str, &'static str, bool) {
    match plan.group {
        Group::Shared => ("shared", "sexton's", false),
        Group::Own { terminal: None } => ("own", "its own", false),
        Group::Own { terminal: Some(_) } => ("own", "its own, and the terminal is handed to it", true),
        Group::Session(Session { terminal: None, .. }) => {
            ("session", "its own, in a session of its own", false)
        }
        Group::Session(Session { terminal: Some(_), .. }) => {
            ("session", "its own, in a session of its own that gets the terminal", true)
        }
    }
}

/// The word for programs and the sentence for people.
fn stops(plan: &Plan) -> (&'static str, &'static str) {
    match plan.stops {
        Stops::Follow => ("follow", "sexton stops too, so that the shell sees it, and is continued with it"),
        Stops::Undo => {
            ("undo", "it is continued at once, since nobody else could do so; but not after SIGSTOP")
        }
        Stops::Leave => ("leave", "it stays stopped until somebody continues it"),
    }
}

fn signals(plan: &Plan) -> String {
    let sentence = |Rewrite { from, to }| match to {
        Some(to) => format!("{from} becomes {to}"),
        None => format!("{from} is dropped"),
    };
    let mut sentences: Vec<String> = plan.config.rewrites.iter().map(sentence).collect();
    let rest = if sentences.is_empty() { "all" } else { "all others" };
    sentences.push(format!("{rest} are sent on unchanged; SIGKILL and SIGSTOP cannot be caught"));
    if plan.group == Group::Shared {
        sentences.push("what the terminal sends reaches the program by itself".to_owned());
    }
    sentences.join("; ")
}

fn stop_requests(plan: &Plan) -> String {
    let signals = Signal::all().filter(|signal| plan.config.stop_signals.contains(*signal));
    let mut text = signals.map(|signal| signal.to_string()).collect::<Vec<_>>().join(", ");
    if !plan.config.stop_delay.is_zero() {
        text += &format!("; the first is held back for {}", Span(plan.config.stop_delay));
    }
    if let Some(kill_after) = plan.config.kill_after {
        text += &format!("; SIGKILL to the program and its tree {} later", Span(kill_after));
    }
    text
}

fn leftovers(plan: &Plan) -> String {
    match plan.config.leftovers {
        _ if plan.adoption == Adoption::None => "are left, since orphans do not come to sexton".to_owned(),
        Leftovers::Terminate => format!("get SIGTERM, and SIGKILL {} later", Span(plan.config.grace)),
        Leftovers::Kill => "get SIGKILL at once".to_owned(),
        Leftovers::Wait => "are waited for; a stop request ends them".to_owned(),
        Leftovers::Leave if plan.adoption == Adoption::Init => {
            "end when sexton does, since it is PID 1".to_owned()
        }
        Leftovers::Leave => "are left".to_owned(),
    }
}

fn exit_status(plan: &Plan) -> String {
    let signaled = match plan.reraise {
        true => "a signal that ended it ends sexton too",
        false => "128+N when signal N ended it",
    };
    let remaps = plan.config.remaps.iter().map(|Remap { code, new }| format!("; {code} becomes {new}"));
    format!("the program's; {signaled}{}", remaps.collect::<String>())
}

/// The plan as one JSON object. Durations are seconds; what was not asked for is null.
pub fn json(plan: &Plan) -> Value {
    // Names only: people show plans to one another, and values may be secret.
    let variables = plan.environment.entries().iter().map(|entry| String::from_utf8_lossy(key_of(entry)));
    let (adoption, _) = adoption(plan);
    let (group, _, gets_terminal) = group(plan);
    let (stops, _) = stops(plan);
    json!({
        "version": 1,
        "program": words(plan).map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
        "user": plan.identity.as_ref().map(|identity| json!({
            "user": identity.user.as_raw(),
            "name": identity.name,
            "group": identity.group.as_raw(),
            "groups": identity.groups.iter().map(|group| group.as_raw()).collect::<Vec<_>>(),
            "home": identity.home,
        })),
        "no_new_privs": plan.config.no_new_privs,
        "directory": plan.config.directory.as_ref().map(|directory| directory.to_string_lossy()),
        "environment": variables.collect::<Vec<_>>(),
        "adoption": adoption,
        "group": group,
        "terminal_handed_over": gets_terminal,
        "stops": stops,
        "deliver": plan.config.delivery.to_string(),
        "signals": Signal::all().map(|signal| json_signal(signal, plan)).collect::<Vec<_>>(),
        "stop_delay": plan.config.stop_delay.as_secs_f64(),
        "kill_after": plan.config.kill_after.map(|time| time.as_secs_f64()),
        "timeout": plan.config.timeout.map(|after| json!({
            "after": after.as_secs_f64(),
            "signal": plan.config.timeout_signal.to_string(),
            "kill_after": plan.config.kill_after_timeout().as_secs_f64(),
        })),
        "leftovers": plan.config.leftovers.to_string(),
        "grace": plan.config.grace.as_secs_f64(),
        "remaps": plan.config.remaps.iter().map(|remap| json!({ "code": remap.code, "new": remap.new })).collect::<Vec<_>>(),
        "reraise": plan.reraise,
        "parent_death_signal": plan.parent_death.map(|death| death.signal.to_string()),
        "report": plan.config.report.as_ref().map(|to| match to {
            ReportTo::Stderr => "-".into(),
            ReportTo::File(path) => path.to_string_lossy(),
        }),
    })
}

fn json_signal(signal: Signal, plan: &Plan) -> Value {
    let (fate, sent) = match plan.config.rewrites.apply(signal) {
        _ if !signal.is_catchable() => ("uncatchable", None),
        None => ("dropped", None),
        Some(to) if to == signal => ("forwarded", Some(to)),
        Some(to) => ("rewritten", Some(to)),
    };
    json!({
        "signal": signal.to_string(),
        "number": signal.number(),
        "fate": fate,
        "sent": sent.map(|sent| sent.to_string()),
        "stop_request": plan.config.stop_signals.contains(signal),
    })
}
