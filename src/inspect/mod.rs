//! `--inspect`: the processes of this PID namespace, and what is wrong with them.
//!
//! For images without ps, shell or libc. [`sample`] looks, [`tree`] finds which process descends from which,
//! [`zombies`] which is to blame, and [`limits`] how many there may be; [`text`] and [`json`] write the answer.

mod json;
mod limits;
mod order;
mod sample;
mod text;
mod tree;
mod zombies;

use std::fs;
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, getpid, sysconf};

use self::limits::Limits;
use self::sample::Sample;
use self::tree::Node;
use self::zombies::Graves;
use crate::process_tree::Process;

/// The form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// How long a process must be a zombie, or uninterruptible, to be reported as one.
const LASTING: Duration = Duration::from_millis(150);

/// Looks at the PID namespace, and returns what to print and the exit status. The error says why nothing could be seen.
pub fn inspect(form: Form) -> Result<(String, u8), String> {
    let sample = match Sample::take(|| thread::sleep(LASTING)) {
        Ok(sample) => sample,
        Err(why) if form == Form::Json => return Ok((json::render_blind(&why), COULD_NOT_LOOK)),
        Err(why) => return Err(why),
    };
    let inspection = Inspection::new(&sample);
    let text = match form {
        Form::Text => text::render(&inspection),
        Form::Json => json::render(&inspection),
    };
    Ok((text, inspection.verdict as u8))
}

/// The exit status when something, or everything, could not be seen.
pub const COULD_NOT_LOOK: u8 = 2;

#[derive(Debug)]
struct Inspection<'a> {
    sample: &'a Sample,
    verdict: Verdict,
    tree: Vec<Node<'a>>,
    graves: Vec<Graves<'a>>,
    stuck: Vec<Stuck<'a>>,
    limits: Limits,
    since_boot: Duration,
    ticks_in_a_second: u64,
    myself: Pid,
}

/// Its number is the exit status.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// There are no zombies.
    Healthy = 0,
    Zombies = 1,
    /// No zombies were seen, but not everything could be.
    Incomplete = COULD_NOT_LOOK as isize,
}

impl Inspection<'_> {
    fn new(sample: &Sample) -> Inspection<'_> {
        let tree = tree::order(sample);
        let graves = zombies::find(sample, &tree);
        let verdict = if !graves.is_empty() {
            Verdict::Zombies
        } else if sample.unseen.is_some() {
            Verdict::Incomplete
        } else {
            Verdict::Healthy
        };
        let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
        let hanging = sample.seen.iter().filter(|seen| seen.lasting && seen.process.state == b'D');
        Inspection {
            sample,
            verdict,
            tree,
            graves,
            stuck: hanging.map(|seen| stuck(&seen.process)).collect(),
            limits: Limits::read(sample),
            since_boot: clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from),
            ticks_in_a_second: ticks.filter(|ticks| *ticks > 0).unwrap_or(100),
            myself: getpid(),
        }
    }

    /// /proc has a process's start in ticks since boot.
    fn age(&self, process: &Process) -> Duration {
        let started = Duration::from_millis(process.started.saturating_mul(1000) / self.ticks_in_a_second);
        self.since_boot.saturating_sub(started)
    }
}

/// A process that stays uninterruptible, and where in the kernel it waits.
#[derive(Debug)]
struct Stuck<'a> {
    process: &'a Process,
    /// The kernel function that it waits in, if that may be read (`/proc/PID/wchan`).
    waits_in: Option<String>,
    /// The functions on its kernel stack, innermost first, if they may be read (`/proc/PID/stack`).
    stack: Vec<String>,
}

fn stuck(process: &Process) -> Stuck<'_> {
    let read = |file| fs::read_to_string(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
    // Without permission it reads "0".
    let waits_in = Some(read("wchan")).filter(|name| !matches!(name.as_str(), "" | "0"));
    // A line: [<0>] io_schedule+0x46/0x80
    let function = |line: &str| Some(line.split_whitespace().nth(1)?.split('+').next()?.to_owned());
    let stack = read("stack").lines().filter_map(function).collect();
    Stuck { process, waits_in, stack }
}

/// What a state's letter stands for (proc_pid_stat(5)).
fn state_word(process: &Process) -> &'static str {
    match process.state {
        b'R' => "running",
        b'S' => "sleeping",
        b'D' => "uninterruptible",
        b'Z' if process.is_zombie() => "zombie",
        // Its first thread has ended and others run on: it is not a zombie yet.
        b'Z' => "leader ended",
        b'T' => "stopped",
        b't' => "traced",
        b'X' | b'x' => "dead",
        b'I' => "idle",
        b'P' => "parked",
        _ => "unknown",
    }
}
