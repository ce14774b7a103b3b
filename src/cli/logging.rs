//! Logs: one event a line on stderr, as text or as JSON.

use std::ffi::OsStr;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use env_filter::{Builder, Filter, FilteredLog};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::stderr;

/// What to log, and how.
#[derive(Debug)]
pub struct LogSettings {
    /// Which events.
    pub which: Which,
    /// In which form.
    pub format: LogFormat,
}

/// Which events to log.
#[derive(Debug)]
pub enum Which {
    /// Those of a level, and of the more urgent ones.
    Level(LevelFilter),
    /// Those that a filter lets through.
    Filter(Filter),
}

/// In which form events are written.
#[derive(Clone, Copy, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// In another tool's: the text is one or more lines.
    Other(fn(&Record<'_>) -> String),
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<LogFormat, String> {
        match word {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("{word:?} is none of text, json")),
        }
    }
}

/// The verbosity that tells all.
pub const EVERYTHING: i32 = 3;
/// The verbosity that tells only why sexton cannot go on.
pub const ERRORS_ONLY: i32 = -1;

/// The events for a verbosity: 0 tells of what is wrong, more tells more, less tells less.
pub fn of_verbosity(verbosity: i32) -> Which {
    Which::Level(match verbosity {
        ..=-2 => LevelFilter::Off,
        -1 => LevelFilter::Error,
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        3.. => LevelFilter::Trace,
    })
}

/// The events that SEXTON_LOG asks for, in env_logger's syntax: `debug`, `sexton=trace`, `warn,sexton::run=info`.
/// Kept apart: env_filter needs some 3 KiB of stack, which most starts do without.
#[cold]
#[inline(never)]
pub fn of_directives(directives: &OsStr) -> Result<Which, String> {
    let directives = directives.to_str().ok_or("it is not UTF-8")?;
    let mut builder = Builder::new();
    builder.try_parse(directives).map_err(|error| error.to_string())?;
    Ok(Which::Filter(builder.build()))
}

/// Sets the logger up; the first call counts.
pub fn init(settings: LogSettings) {
    let stderr = Stderr { format: settings.format };
    let (logger, level): (Box<dyn Log>, _) = match settings.which {
        // What `log` itself compares with.
        Which::Level(level) => (Box::new(stderr), level),
        Which::Filter(filter) => {
            let level = filter.filter();
            (Box::new(FilteredLog::new(stderr, filter)), level)
        }
    };
    if log::set_boxed_logger(logger).is_ok() {
        log::set_max_level(level);
    }
}

struct Stderr {
    format: LogFormat,
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = match self.format {
            LogFormat::Text => text(record),
            LogFormat::Json => json(record),
            LogFormat::Other(format) => format(record),
        };
        stderr::write(line.as_bytes());
    }

    fn flush(&self) {}
}

fn text(record: &Record<'_>) -> String {
    let level = match record.level() {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    format!("sexton[{}]: {level}: {}\n", std::process::id(), record.args())
}

fn json(record: &Record<'_>) -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let event = serde_json::json!({
        "time": time.as_micros() as f64 / 1e6,
        "level": record.level().as_str().to_ascii_lowercase(),
        "pid": std::process::id(),
        "message": record.args().to_string(),
    });
    format!("{event}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_checked() {
        let level = |directives: &str| match of_directives(directives.as_ref()) {
            Ok(Which::Filter(filter)) => Some(filter.filter()),
            _ => None,
        };
        assert_eq!(level("debug"), Some(LevelFilter::Debug));
        assert_eq!(level("sexton=trace"), Some(LevelFilter::Trace));
        assert_eq!(level("sexton=loud"), None);
    }
}
