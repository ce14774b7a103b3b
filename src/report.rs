//! `--report`: what came of a run, as one JSON object. README describes it.

use std::fs;
use std::io;
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

/// Raised when a field changes its meaning or goes away; not for one more.
const VERSION: u32 = 1;

/// How long the whole report waits for a stderr that is full.
const STDERR_PATIENCE: Duration = Duration::from_secs(1);

/// Where it goes. Paths are absolute: sexton's working directory is going to be another.
#[derive(Debug)]
enum Target {
    Stderr,
    /// To a file that is replaced.
    File(PathBuf),
    /// To a file that is mounted there by itself, which no other can take the place of (EBUSY, rename(2)).
    MountPoint(PathBuf),
}

/// A report that is going to be written.
#[derive(Debug)]
pub struct Report {
    to: Target,
    program: Vec<String>,
    started: SystemTime,
    started_at: Instant,
    /// Of the children that a process had waited for before it became sexton by exec: the kernel keeps the sums.
    used_before: Option<Usage>,
}

impl Report {
    /// Makes sure, as far as can be known before the program starts, that it can be written.
    #[cold]
    #[inline(never)]
    pub fn prepare(to: &ReportTo, plan: &Plan) -> Result<Report, Error> {
        let to = match to {
            ReportTo::Stderr => Target::Stderr,
            ReportTo::File(path) => Target::of(path).map_err(|errno| {
                let what = match errno {
                    Errno::EEXIST => {
                        format!("put a report in the place of {path:?}, which is no regular file")
                    }
                    _ => format!("write the report {path:?}"),
                };
                Error::step(what, errno)
            })?,
        };
        let words = [&plan.program].into_iter().chain(&plan.arguments);
        Ok(Report {
            to,
            program: words.map(|word| word.to_string_lossy().into_owned()).collect(),
            started: SystemTime::now(),
            started_at: Instant::now(),
            used_before: getrusage(UsageWho::RUSAGE_CHILDREN).ok(),
        })
    }

    /// Writes it. What goes wrong is a warning: the program's status counts.
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
        let forwarded = outcome.tally.forwarded.iter();
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
            "resources": getrusage(UsageWho::RUSAGE_CHILDREN)
                .map(|used| resources(&used, self.used_before.as_ref()))
                .unwrap_or_default(),
            "orphans_reaped": outcome.tally.orphans_reaped,
            "signals_forwarded": forwarded
                .map(|(signal, count)| json!({ "signal": signal.to_string(), "count": count }))
                .collect::<Vec<_>>(),
            "leftovers": outcome.tally.leftovers.iter().map(leftover).collect::<Vec<_>>(),
        })
    }
}

/// Microseconds are as exact as a number in JSON can be relied on to be.
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

/// Of all descendants that were waited for, theirs included (getrusage(2)), since `before`.
fn resources(used: &Usage, before: Option<&Usage>) -> Value {
    let time = |part: fn(&Usage) -> TimeVal| {
        let time = part(used) - before.map_or(TimeVal::zero(), part);
        time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
    };
    let count = |part: fn(&Usage) -> c_long| part(used) - before.map_or(0, part);
    json!({
        "user_seconds": time(Usage::user_time),
        "system_seconds": time(Usage::system_time),
        // The kernel counts in KiB, and gives the largest of the processes, not their sum. What was before cannot be
        // taken from that.
        "max_rss_bytes": used.max_rss() * 1024,
        "minor_page_faults": count(Usage::minor_page_faults),
        "major_page_faults": count(Usage::major_page_faults),
        "voluntary_context_switches": count(Usage::voluntary_context_switches),
        "involuntary_context_switches": count(Usage::involuntary_context_switches),
    })
}

impl Target {
    /// The file that the path leads to. An error when it cannot be written.
    fn of(path: &Path) -> Result<Target, Errno> {
        let path = match fs::metadata(path) {
            // A device or a pipe is not to be replaced by a file; nor is a link to one. (realpath(3) would say of the links
            // in /proc/self/fd that there is nothing: a pipe has no path.)
            Ok(file) if file.is_dir() => return Err(Errno::EISDIR),
            Ok(file) if !file.is_file() => return Err(Errno::EEXIST),
            Ok(_) => fs::canonicalize(path).map_err(errno)?,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => match fs::read_link(path) {
                // It leads to where the first report is to be, as open(2) with O_CREAT has it.
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

/// The path to a file that is not there yet.
fn new_file(path: &Path) -> Result<PathBuf, Errno> {
    // What Path takes for no part of the name means a directory (path_resolution(7)).
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
