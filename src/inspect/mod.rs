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
use self::text::Style;
use self::tree::{Adoption, Adoptions, Node};
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

/// What was seen, what it means, and what to exit with.
#[derive(Debug)]
pub struct Answer {
    /// What to print.
    pub text: String,
    /// 0 healthy, 1 zombies found, 2 could not look (or not at all of it).
    pub code: u8,
}

/// How long a process must be a zombie, or uninterruptible, to be reported as one.
const LASTING: Duration = Duration::from_millis(150);

/// Looks at the PID namespace. The error is for stderr: a line on why nothing could be seen.
pub fn inspect(form: Form) -> Result<Answer, Answer> {
    let sample = match (Sample::take(|| thread::sleep(LASTING)), form) {
        (Ok(sample), _) => sample,
        (Err(blind), Form::Text) => {
            return Err(Answer { text: format!("sexton: cannot look: {blind}\n"), code: COULD_NOT_LOOK });
        }
        (Err(blind), Form::Json) => {
            return Ok(Answer { text: json::render_blind(&blind), code: COULD_NOT_LOOK });
        }
    };
    let inspection = Inspection::new(sample);
    let text = match form {
        Form::Text => text::render(&inspection, Style::of_stdout()),
        Form::Json => json::render(&inspection),
    };
    Ok(Answer { text, code: inspection.verdict().code() })
}

/// The exit status when something, or everything, could not be seen.
pub const COULD_NOT_LOOK: u8 = 2;

/// What was found.
#[derive(Debug)]
struct Inspection {
    sample: Sample,
    order: Vec<Node>,
    /// For each process in the sample, how it is known to be adopted, if it is.
    adoptions: Vec<Option<Adoption>>,
    graves: Vec<Graves>,
    stuck: Vec<Stuck>,
    limits: Limits,
    clock: Clock,
    myself: Pid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// There are no zombies.
    Healthy,
    Zombies,
    /// No zombies were seen, but not everything could be.
    Incomplete,
}

impl Verdict {
    fn code(self) -> u8 {
        match self {
            Verdict::Healthy => 0,
            Verdict::Zombies => 1,
            Verdict::Incomplete => COULD_NOT_LOOK,
        }
    }

    /// For programs; it does not change.
    fn word(self) -> &'static str {
        match self {
            Verdict::Healthy => "healthy",
            Verdict::Zombies => "zombies",
            Verdict::Incomplete => "incomplete",
        }
    }
}

impl Inspection {
    fn new(sample: Sample) -> Inspection {
        let adoptions = Adoptions::new(&sample);
        Inspection {
            order: tree::order(&sample),
            adoptions: sample.seen.iter().map(|seen| adoptions.of(&seen.process)).collect(),
            graves: zombies::find(&sample, &adoptions),
            stuck: sample.uninterruptible().map(Stuck::look).collect(),
            limits: Limits::read(&sample),
            clock: Clock::read(),
            myself: getpid(),
            sample,
        }
    }

    fn verdict(&self) -> Verdict {
        if !self.graves.is_empty() {
            Verdict::Zombies
        } else if !self.sample.unseen.is_empty() {
            Verdict::Incomplete
        } else {
            Verdict::Healthy
        }
    }

    fn zombie_count(&self) -> usize {
        self.graves.iter().map(|graves| graves.zombies.len()).sum()
    }
}

/// A process that stays uninterruptible, and where in the kernel it waits.
#[derive(Debug)]
struct Stuck {
    process: Process,
    /// The kernel function that it waits in, if that may be read (`/proc/PID/wchan`).
    waits_in: Option<String>,
    /// The functions on its kernel stack, innermost first, if they may be read (`/proc/PID/stack`).
    stack: Vec<String>,
}

impl Stuck {
    fn look(process: &Process) -> Stuck {
        let read = |file| fs::read_to_string(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
        // Without permission it reads "0".
        let waits_in = Some(read("wchan")).filter(|name| !matches!(name.as_str(), "" | "0"));
        // A line: [<0>] io_schedule+0x46/0x80
        let function = |line: &str| Some(line.split_whitespace().nth(1)?.split('+').next()?.to_owned());
        let stack = read("stack").lines().filter_map(function).collect();
        Stuck { process: process.clone(), waits_in, stack }
    }
}

/// Turns a process's start, in ticks since boot, into its age.
#[derive(Clone, Copy, Debug)]
struct Clock {
    since_boot: Duration,
    ticks_in_a_second: u64,
}

impl Clock {
    fn read() -> Clock {
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
        Clock { since_boot, ticks_in_a_second: ticks.filter(|ticks| *ticks > 0).unwrap_or(100) }
    }

    fn age(&self, process: &Process) -> Duration {
        let started = Duration::from_secs(process.started / self.ticks_in_a_second);
        let rest = process.started % self.ticks_in_a_second * 1000 / self.ticks_in_a_second;
        self.since_boot.saturating_sub(started + Duration::from_millis(rest))
    }
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
