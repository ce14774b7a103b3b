//! Logs: one event a line on stderr, as text or as JSON.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use env_logger::{Builder, Logger, Target};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::stderr;

/// Which events to log, and how.
#[derive(Debug)]
pub struct LogSettings {
    /// The least urgent level that is logged at all.
    level: LevelFilter,
    /// What SEXTON_LOG says, if it is set.
    directives: Option<String>,
    format: Format,
}

/// Makes one or more lines of an event.
#[derive(Clone, Copy, Debug)]
pub struct Format(pub fn(Level, &str) -> String);

impl Default for Format {
    fn default() -> Format {
        Format(text)
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Format, String> {
        match word {
            "text" => Ok(Format(text)),
            "json" => Ok(Format(json)),
            _ => Err(format!("{word:?} is neither text nor json")),
        }
    }
}

pub const EVERYTHING: i32 = 3;
/// The verbosity that logs only why sexton cannot go on.
pub const ERRORS_ONLY: i32 = -1;

impl LogSettings {
    /// The events for a verbosity: 0 is for what is wrong, a higher one logs more, a lower one less.
    pub fn of_verbosity(verbosity: i32, format: Format) -> LogSettings {
        let level = match verbosity {
            ..=-2 => LevelFilter::Off,
            -1 => LevelFilter::Error,
            0 => LevelFilter::Warn,
            1 => LevelFilter::Info,
            2 => LevelFilter::Debug,
            3.. => LevelFilter::Trace,
        };
        LogSettings { level, directives: None, format }
    }

    /// The events that SEXTON_LOG asks for, in env_logger's syntax: `debug`, `sexton=trace`, `warn,sexton::run=info`.
    ///
    /// env_filter, which is env_logger's own parser, checks them here: env_logger only warns of a bad one and ignores it.
    #[cold]
    #[inline(never)]
    pub fn of_directives(directives: &OsStr, format: Format) -> Result<LogSettings, String> {
        let directives = directives.to_str().ok_or("it is not UTF-8")?;
        let mut filter = env_filter::Builder::new();
        filter.try_parse(directives).map_err(|error| error.to_string())?;
        let level = filter.build().filter();
        Ok(LogSettings { level, directives: Some(directives.to_owned()), format })
    }

    /// env_logger's logger, built for the first event that gets past `log`'s own check of the level: most runs log
    /// nothing.
    #[cold]
    #[inline(never)]
    fn logger(&self) -> &'static Logger {
        LOGGER.get_or_init(|| {
            let mut builder = Builder::new();
            match &self.directives {
                Some(directives) => builder.parse_filters(directives),
                None => builder.filter_level(self.level),
            };
            let Format(lines) = self.format;
            builder.format(move |to, record| {
                to.write_all(lines(record.level(), &record.args().to_string()).as_bytes())
            });
            builder.target(Target::Pipe(Box::new(Stderr))).build()
        })
    }
}

/// Sets the logger up; only the first call counts.
pub fn init(settings: LogSettings) {
    let settings = SETTINGS.get_or_init(|| settings);
    if log::set_logger(settings).is_ok() {
        log::set_max_level(settings.level);
    }
}

static SETTINGS: OnceLock<LogSettings> = OnceLock::new();
static LOGGER: OnceLock<Logger> = OnceLock::new();

impl Log for LogSettings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.logger().log(record);
    }

    fn flush(&self) {}
}

/// Where env_logger writes to, one event at a time.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        stderr::write(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn text(level: Level, message: &str) -> String {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    format!("sexton[{}]: {level}: {message}\n", std::process::id())
}

fn json(level: Level, message: &str) -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let event = serde_json::json!({
        "time": time.as_micros() as f64 / 1e6,
        "level": level.as_str().to_ascii_lowercase(),
        "pid": std::process::id(),
        "message": message,
    });
    format!("{event}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_checked() {
        let level = |directives: &str| {
            let settings = LogSettings::of_directives(directives.as_ref(), Format::default());
            settings.ok().map(|settings| settings.level)
        };
        assert_eq!(level("debug"), Some(LevelFilter::Debug));
        assert_eq!(level("sexton=trace"), Some(LevelFilter::Trace));
        assert_eq!(level("sexton=loud"), None);
    }
}
