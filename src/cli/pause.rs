//! The name `pause`: Kubernetes' pod sandbox (build/pause/linux/pause.c, version 3.10).

use std::ffi::OsString;

use log::warn;

use crate::news::News;
use crate::sys::signals;

use super::Request;
use super::logging::{Format, LogSettings};

const VERSION: &str = concat!("pause.c 3.10 (sexton ", env!("CARGO_PKG_VERSION"), ")\n");

/// Reads pause's command line: it looks for one word, wherever that is, and ignores all others.
pub fn parse(arguments: &[OsString]) -> Request {
    let asks_for_version = |word: &OsString| word.eq_ignore_ascii_case("-v") || word == "--version";
    if arguments.iter().skip(1).any(asks_for_version) {
        return Request::Print(VERSION.to_owned());
    }
    Request::Pause(LogSettings::of_verbosity(0, Format(|_, text| format!("{text}\n"))), tell)
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
