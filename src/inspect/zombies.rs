//! Zombies: which process must reap each, why it does not, and what would cure that.

use super::order::{of_pid, places_by};
use super::sample::Sample;
use super::tree::{Adoptions, INIT, is_sexton};
use crate::process_tree::{Process, printable};

/// The zombies of one parent.
#[derive(Debug)]
pub struct Graves {
    /// The parent, which must reap them; `None` where it cannot be seen.
    pub parent: Option<Process>,
    /// The zombies, in the order of their PIDs.
    pub zombies: Vec<Zombie>,
    /// Why they are not reaped.
    pub fault: Fault,
}

/// A zombie.
#[derive(Debug)]
pub struct Zombie {
    /// As it was last seen.
    pub process: Process,
    /// Whether it is known that its parent did not make it.
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
    /// Their parent is PID 1 and sexton, so something keeps it from reaping.
    SextonDoesNotReap,
    /// Their parent is outside this PID namespace, or hidden.
    ParentIsOutside,
}

/// All lasting zombies, by parent.
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
        process: Process::clone(zombie),
        adopted: adoptions.of(zombie).is_some(),
    };
    Graves {
        parent: parent.cloned(),
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
    pub fn why(&self) -> String {
        let name = self.parent.as_ref().map(|parent| printable(&parent.name)).unwrap_or_default();
        match self.fault {
            Fault::ParentDoesNotWait => format!(
                "{name} is alive and does not wait for its children: a bug of {name}, and nobody else can reap them"
            ),
            Fault::ParentIsStopped => format!("{name} is stopped, so it cannot wait for its children"),
            Fault::ParentHangs => format!("{name} hangs in the kernel, so it cannot wait for its children"),
            Fault::InitDoesNotReap => {
                format!("{name} is PID 1, which inherits orphans, and does not reap: this needs an init")
            }
            Fault::SextonDoesNotReap => "PID 1 is sexton and should have reaped them".to_owned(),
            Fault::ParentIsOutside => {
                "their parent is outside this PID namespace (as after docker exec), or hidden".to_owned()
            }
        }
    }

    /// What would cure it, as a sentence.
    pub fn cure(&self) -> String {
        let parent = self.parent.as_ref();
        let (pid, name) =
            parent.map(|parent| (parent.pid.as_raw(), printable(&parent.name))).unwrap_or_default();
        match self.fault {
            Fault::ParentDoesNotWait => format!(
                "have {name} call waitpid(2) when it gets SIGCHLD; until then, a restart of {name} ({pid}) hands them to an init"
            ),
            Fault::ParentIsStopped => format!("kill -CONT {pid}"),
            Fault::ParentHangs => format!("see below where {name} ({pid}) waits"),
            Fault::InitDoesNotReap => {
                let its_own = match self.zombies.iter().all(|zombie| zombie.adopted) {
                    true => String::new(),
                    false => format!(" (even then {name} must wait for those that it made itself)"),
                };
                format!(
                    "start {name} under one: ENTRYPOINT [\"/init\", \"--\", \"{name}\"], or docker run --init{its_own}"
                )
            }
            Fault::SextonDoesNotReap => {
                "look again; if they stay, please report it as a bug of sexton".to_owned()
            }
            Fault::ParentIsOutside => "look there, as root and from an outer PID namespace".to_owned(),
        }
    }
}
