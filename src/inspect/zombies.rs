//! Zombies: who must reap each, why it does not happen, and what would cure it.

use std::fmt;

use nix::unistd::Pid;

use super::order::{of_pid, places_by};
use super::sample::Sample;
use super::tree::{Adoptions, is_sexton};
use crate::process_tree::{Process, printable};

/// Zombies with one parent.
#[derive(Debug)]
pub struct Graves {
    /// The parent, which must reap them; `None` where it is outside of what can be seen.
    pub parent: Option<Parent>,
    /// The zombies, in the order of their PIDs.
    pub zombies: Vec<Zombie>,
    /// Why they are not reaped.
    pub fault: Fault,
}

/// Who must reap.
#[derive(Debug)]
pub struct Parent {
    /// Its PID.
    pub pid: Pid,
    /// Its name, printable.
    pub name: String,
}

/// A zombie.
#[derive(Debug)]
pub struct Zombie {
    /// Its PID.
    pub pid: Pid,
    /// Its name, printable.
    pub name: String,
    /// Whether it is known that another made it.
    pub adopted: bool,
}

/// Why zombies are not reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Their parent is alive and does not wait for them.
    ParentDoesNotWait,
    /// Their parent is stopped, so it cannot wait.
    ParentIsStopped,
    /// Their parent hangs in the kernel, so it cannot wait.
    ParentHangs,
    /// Their parent is PID 1, which does not reap.
    InitDoesNotReap,
    /// Their parent is PID 1 and sexton, which reaps; so something keeps it from that.
    SextonDoesNotReap,
    /// Their parent is outside of this PID namespace, or hidden.
    ParentIsOutside,
}

const INIT: Pid = Pid::from_raw(1);

/// All lasting zombies, by their parents.
pub fn find(sample: &Sample, adoptions: &Adoptions<'_>) -> Vec<Graves> {
    let zombies: Vec<&Process> = sample.zombies().collect();
    let by_parent =
        places_by(zombies.len(), |place| [of_pid(zombies[place].parent), of_pid(zombies[place].pid)]);
    let zombies: Vec<&Process> = by_parent.into_iter().map(|place| zombies[place]).collect();
    let siblings = zombies.chunk_by(|one, other| one.parent == other.parent);
    siblings.map(|zombies| graves(sample, zombies, adoptions)).collect()
}

fn graves(sample: &Sample, zombies: &[&Process], adoptions: &Adoptions<'_>) -> Graves {
    let parent = zombies.first().and_then(|zombie| sample.find(zombie.parent)).map(|seen| &seen.process);
    let zombie = |zombie: &&Process| Zombie {
        pid: zombie.pid,
        name: printable(&zombie.name),
        adopted: adoptions.of(zombie).is_some(),
    };
    Graves {
        parent: parent.map(|parent| Parent { pid: parent.pid, name: printable(&parent.name) }),
        zombies: zombies.iter().map(zombie).collect(),
        fault: parent.map_or(Fault::ParentIsOutside, fault),
    }
}

fn fault(parent: &Process) -> Fault {
    match (parent.state, parent.pid) {
        (b'T' | b't', _) => Fault::ParentIsStopped,
        (b'D', _) => Fault::ParentHangs,
        (_, INIT) if is_sexton(INIT) => Fault::SextonDoesNotReap,
        (_, INIT) => Fault::InitDoesNotReap,
        _ => Fault::ParentDoesNotWait,
    }
}

impl Fault {
    /// A word for programs; it does not change.
    pub fn word(self) -> &'static str {
        match self {
            Fault::ParentDoesNotWait => "parent_does_not_wait",
            Fault::ParentIsStopped => "parent_is_stopped",
            Fault::ParentHangs => "parent_hangs",
            Fault::InitDoesNotReap => "init_does_not_reap",
            Fault::SextonDoesNotReap => "sexton_does_not_reap",
            Fault::ParentIsOutside => "parent_is_outside",
        }
    }
}

impl Graves {
    /// What is wrong, as a sentence.
    pub fn fault(&self) -> impl fmt::Display {
        let name = self.parent.as_ref().map_or("", |parent| parent.name.as_str());
        match self.fault {
            Fault::ParentDoesNotWait => format!(
                "{name} is alive and does not wait for its children: a bug of {name}, and nobody else can reap them"
            ),
            Fault::ParentIsStopped => format!("{name} is stopped, so it cannot wait for its children"),
            Fault::ParentHangs => {
                format!("{name} hangs in the kernel, so it cannot wait for its children")
            }
            Fault::InitDoesNotReap => {
                format!("{name} is PID 1, to which orphans come, and does not reap: this needs an init")
            }
            Fault::SextonDoesNotReap => "PID 1 is sexton and should have reaped them".to_owned(),
            Fault::ParentIsOutside => {
                "their parent is outside of this PID namespace (as after docker exec), or hidden".to_owned()
            }
        }
    }

    /// What would cure it, as a sentence.
    pub fn cure(&self) -> impl fmt::Display {
        let parent = self.parent.as_ref();
        let (pid, name) = parent.map_or((0, ""), |parent| (parent.pid.as_raw(), parent.name.as_str()));
        match self.fault {
            Fault::ParentDoesNotWait => format!(
                "have {name} call waitpid(2) when it gets SIGCHLD; until then, a restart of {name} ({pid}) hands them to an init"
            ),
            Fault::ParentIsStopped => format!("kill -CONT {pid}"),
            Fault::ParentHangs => format!("see below where {name} ({pid}) waits"),
            Fault::InitDoesNotReap if self.zombies.iter().all(|zombie| zombie.adopted) => {
                format!(
                    "start {name} under one: ENTRYPOINT [\"/init\", \"--\", \"{name}\"], or docker run --init"
                )
            }
            Fault::InitDoesNotReap => format!(
                "start {name} under one: ENTRYPOINT [\"/init\", \"--\", \"{name}\"], or docker run --init \
                 (those that {name} made itself it must wait for even then)"
            ),
            Fault::SextonDoesNotReap => {
                "look again; if they stay, please report it as a bug of sexton".to_owned()
            }
            Fault::ParentIsOutside => "look there, as root and from an outer PID namespace".to_owned(),
        }
    }
}
