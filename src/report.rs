//! `--report`: how a run went, as one JSON object. README describes it.

use std::fs;
use std::io;
use std::iter;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use log::warn;
use nix::errno::Errno;
use nix::libc::{self, c_long};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use nix::unistd::{AccessFlags, Pid, eaccess};
use serde_json::{Value, json};

use crate::config::ReportTo;
use crate::error::Error;
use crate::mounts;
use crate::outcome::{Leftover, LeftoverEnd, Outcome};
use crate::plan::Plan;
use crate::process_tree::printable;
use crate::replacement::replace;
use crate::status::Ending;
use crate::stderr;

/// Raised when a field changes its meaning or goes away, not when one is added.
const VERSION: u32 = 1;

/// How long the whole report waits while stderr is full.
const STDERR_PATIENCE: Duration = Duration::from_secs(1);

/// Where the report goes. Paths are absolute: sexton's working directory is going to change.
#[derive(Debug)]
enum Target {
    Stderr,
    /// A file that is replaced.
    File(PathBuf),
    /// A file that is a mount point, so it cannot be replaced (EBUSY, rename(2)), only overwritten.
    MountPoint(PathBuf),
}

/// A report to be written at the end.
#[derive(Debug)]
pub struct Report {
    to: Target,
    program: Vec<String>,
    started: SystemTime,
    started_at: Instant,
    /// What children had used before this process became sexton by exec: the kernel keeps adding to these sums.
    used_before: Option<Usage>,
}

impl Report {
    /// Makes sure that it can be written, as far as is known before the program starts.
    #[cold]
    #[inline(never)]
    pub fn prepare(to: &ReportTo, plan: &Plan) -> Result<Report, Error> {
        let to = match to {
            ReportTo::Stderr => Target::Stderr,
            ReportTo::File(path) => Target::of(path).map_err(|errno| {
                let why = if errno == Errno::EEXIST { ", which is not a regular file" } else { "" };
                Error::step(format!("write the report {path:?}{why}"), errno)
            })?,
        };
        let words = iter::once(&plan.config.program).chain(&plan.config.arguments);
        Ok(Report {
            to,
            program: words.map(|word| word.to_string_lossy().into_owned()).collect(),
            started: SystemTime::now(),
            started_at: Instant::now(),
            used_before: getrusage(UsageWho::RUSAGE_CHILDREN).ok(),
        })
    }

    /// Writes it. A failure is a warning: the exit status is the program's.
    pub fn write(&self, program: Pid, outcome: &Outcome) {
        let mut text = self.json(program, outcome).to_string();
        text.push('\n');
        let result = match &self.to {
            Target::Stderr => {
                stderr::write_within(text.as_bytes(), STDERR_PATIENCE);
                Ok(())
            }
            Target::File(path) => replace(path, text.as_bytes(), None),
            Target::MountPoint(path) => fs::write(path, text),
        };
        if let Err(error) = result {
            warn!("cannot write the report: {error}");
        }
    }

    fn json(&self, program: Pid, outcome: &Outcome) -> Value {
        let duration = self.started_at.elapsed();
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let used = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
        let forwarded = outcome.tally.forwarded.iter();
        let forwarded =
            forwarded.map(|(signal, count)| json!({ "signal": signal.to_string(), "count": count }));
        json!({
            "version": VERSION,
            "sexton": env!("CARGO_PKG_VERSION"),
            "program": self.program,
            "pid": program.as_raw(),
            "started": seconds(started),
            "ended": seconds(started + duration),
            "duration": seconds(duration),
            "ending": ending(outcome.ending),
            "exit_code": outcome.exit_code(),
            "timed_out": outcome.timed_out,
            "resources": used.map(|used| resources(&used, self.used_before.as_ref())),
            "orphans_reaped": outcome.tally.orphans_reaped,
            "signals_forwarded": forwarded.collect::<Vec<_>>(),
            "leftovers": outcome.tally.leftovers.iter().map(leftover).collect::<Vec<_>>(),
        })
    }
}

/// Exact to the microsecond: a number in JSON cannot be relied on for more.
fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

fn ending(ending: Ending) -> Value {
    match ending {
        Ending::Exited(code) => json!({ "kind": "exited", "code": code }),
        Ending::Signaled { signal, core_dumped } => json!({
            "kind": "signaled",
            "signal": signal.to_string(),
            "number": signal.number(),
            "core_dumped": core_dumped,
        }),
    }
}

fn leftover(leftover: &Leftover) -> Value {
    let words = leftover.command_line.iter().map(|word| String::from_utf8_lossy(word).into_owned());
    json!({
        "pid": leftover.pid,
        "name": printable(&leftover.name),
        "command_line": words.collect::<Vec<_>>(),
        "state": char::from(leftover.state).to_string(),
        "end": match leftover.end {
            LeftoverEnd::Reaped(reaped) => ending(reaped),
            LeftoverEnd::Unseen => json!({ "kind": "unseen" }),
            LeftoverEnd::Alive => json!({ "kind": "alive" }),
        },
    })
}

/// What all descendants that were waited for have used (getrusage(2)), less what was used before.
fn resources(used: &Usage, before: Option<&Usage>) -> Value {
    let time = |part: fn(&Usage) -> TimeVal| {
        let time = part(used) - before.map_or(TimeVal::zero(), part);
        time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
    };
    let count = |part: fn(&Usage) -> c_long| part(used) - before.map_or(0, part);
    json!({
        "user_seconds": time(Usage::user_time),
        "system_seconds": time(Usage::system_time),
        // In KiB, and of the largest process, not a sum: what was before cannot be taken from it.
        "max_rss_bytes": used.max_rss() * 1024,
        "minor_page_faults": count(Usage::minor_page_faults),
        "major_page_faults": count(Usage::major_page_faults),
        "voluntary_context_switches": count(Usage::voluntary_context_switches),
        "involuntary_context_switches": count(Usage::involuntary_context_switches),
    })
}

impl Target {
    /// The file that the path leads to, if it can be written.
    fn of(path: &Path) -> Result<Target, Errno> {
        let path = match fs::metadata(path) {
            // A device or a pipe must not be replaced by a file; nor must a link to one. (realpath(3) finds nothing
            // behind the links in /proc/self/fd: a pipe has no path.)
            Ok(file) if file.is_dir() => return Err(Errno::EISDIR),
            Ok(file) if !file.is_file() => return Err(Errno::EEXIST),
            Ok(_) => fs::canonicalize(path).map_err(errno)?,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => match fs::read_link(path) {
                // A link to a file that does not exist yet: it is made there, as by open(2) with O_CREAT.
                Ok(target) => return Target::of(&path.with_file_name(target)),
                Err(_) => new_file(path)?,
            },
            Err(error) => return Err(errno(error)),
        };
        if mounts::all().iter().any(|mount| mount.point == path) {
            eaccess(&path, AccessFlags::W_OK)?;
            return Ok(Target::MountPoint(path));
        }
        let directory = path.parent().ok_or(Errno::EISDIR)?;
        eaccess(directory, AccessFlags::W_OK | AccessFlags::X_OK)?;
        Ok(Target::File(path))
    }
}

/// The absolute path of a file that does not exist yet.
fn new_file(path: &Path) -> Result<PathBuf, Errno> {
    // These ends, which Path leaves out of the name, ask for a directory (path_resolution(7)).
    let bytes = path.as_os_str().as_bytes();
    if bytes.ends_with(b"/") || bytes.ends_with(b"/.") {
        return Err(Errno::EISDIR);
    }
    let name = path.file_name().ok_or(Errno::EISDIR)?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    Ok(fs::canonicalize(directory.unwrap_or(Path::new("."))).map_err(errno)?.join(name))
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
