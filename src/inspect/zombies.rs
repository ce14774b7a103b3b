//! Zombies: which process must reap each, why it does not, and what would cure that.

use super::order::{of_pid, places_by};
use super::sample::Sample;
use super::tree::{INIT, Node, is_sexton};
use crate::process_tree::{Process, printable};

/// The zombies of one parent.
#[derive(Debug)]
pub struct Graves<'a> {
    /// The parent, which must reap them; `None` where it cannot be seen.
    pub parent: Option<&'a Process>,
    /// The zombies, in the order of their PIDs.
    pub zombies: Vec<Node<'a>>,
    /// Why they are not reaped: a word for programs, which does not change.
    pub fault: &'static str,
    /// The same as a sentence.
    pub why: String,
    /// What would cure it, as a sentence.
    pub cure: String,
}

/// All lasting zombies, by parent.
pub fn find<'a>(sample: &'a Sample, tree: &[Node<'a>]) -> Vec<Graves<'a>> {
    let lasting = tree.iter().filter(|node| node.seen.lasting && node.seen.process.is_zombie());
    let zombies: Vec<&Node<'_>> = lasting.collect();
    let key =
        |place: usize| [zombies[place].seen.process.parent, zombies[place].seen.process.pid].map(of_pid);
    let by_parent: Vec<Node<'_>> =
        places_by(zombies.len(), key).into_iter().map(|place| *zombies[place]).collect();
    let siblings = by_parent.chunk_by(|one, other| one.seen.process.parent == other.seen.process.parent);
    siblings.map(|zombies| graves(sample.find(zombies[0].seen.process.parent), zombies.to_vec())).collect()
}

fn graves<'a>(parent: Option<&'a Process>, zombies: Vec<Node<'a>>) -> Graves<'a> {
    let Some(Process { pid, name, state, .. }) = parent else {
        return Graves {
            parent,
            zombies,
            fault: "parent_is_outside",
            why: "their parent is outside this PID namespace (as after docker exec), or hidden".to_owned(),
            cure: "look there, as root and from an outer PID namespace".to_owned(),
        };
    };
    let name = printable(name);
    let (fault, why, cure) = match (*state, *pid) {
        (b'T' | b't', _) => (
            "parent_is_stopped",
            format!("{name} is stopped, so it cannot wait for its children"),
            format!("kill -CONT {pid}"),
        ),
        (b'D', _) => (
            "parent_hangs",
            format!("{name} hangs in the kernel, so it cannot wait for its children"),
            format!("see below where {name} ({pid}) waits"),
        ),
        (_, INIT) if is_sexton(INIT) => (
            "sexton_does_not_reap",
            "PID 1 is sexton and should have reaped them".to_owned(),
            "look again; if they stay, please report it as a bug of sexton".to_owned(),
        ),
        (_, INIT) => {
            let its_own = match zombies.iter().all(|zombie| zombie.adopted.is_some()) {
                true => String::new(),
                false => format!(" (even then {name} must wait for those that it made itself)"),
            };
            (
                "init_does_not_reap",
                format!("{name} is PID 1, which inherits orphans, and does not reap: this needs an init"),
                format!(
                    "start {name} under one: ENTRYPOINT [\"/init\", \"--\", \"{name}\"], or docker run --init{its_own}"
                ),
            )
        }
        _ => (
            "parent_does_not_wait",
            format!(
                "{name} is alive and does not wait for its children: a bug of {name}, and nobody else can reap them"
            ),
            format!(
                "have {name} call waitpid(2) when it gets SIGCHLD; until then, a restart of {name} ({pid}) hands them to an init"
            ),
        ),
    };
    Graves { parent, zombies, fault, why, cure }
}
