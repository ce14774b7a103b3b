//! The name `pause`: Kubernetes' pod sandbox (build/pause/linux/pause.c, version 3.10).

use std::ffi::OsString;

use log::{Record, warn};

use crate::news::News;
use crate::sys::signals;

use super::logging::{self, LogFormat, LogSettings};
use super::{Pause, Request};

const VERSION: &str = concat!("pause.c 3.10 (sexton ", env!("CARGO_PKG_VERSION"), ")\n");

/// Reads its command line. There is no grammar for clap to read: it looks for one word wherever that is and passes
/// over all others.
pub fn parse(arguments: &[OsString]) -> Request {
    let asks_for_version = |word: &OsString| word.eq_ignore_ascii_case("-v") || word == "--version";
    if arguments.iter().skip(1).any(asks_for_version) {
        return Request::Print(VERSION.to_owned());
    }
    let log = LogSettings { which: logging::of_verbosity(0), format: LogFormat::Other(format) };
    Request::Pause(Pause { log, tell })
}

fn format(record: &Record<'_>) -> String {
    format!("{}\n", record.args())
}

fn tell(news: &News<'_>) {
    match news {
        News::PausingBelowInit => warn!("Warning: pause should be the first process"),
        News::PauseOver(signal) => {
            warn!("Shutting down, got signal: {}", signals::description(*signal));
        }
        _ => {}
    }
}
