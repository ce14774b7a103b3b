//! The results as a Markdown table and as JSON.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Map, Value, json};

use crate::Bench;
use crate::candidates::Candidate;

/// One measurement, with a value for each candidate in order.
pub struct Column {
    /// What was measured.
    pub name: &'static str,
    /// The unit of the values.
    pub unit: &'static str,
    decimals: usize,
    /// `None` if it does not apply or failed.
    pub values: Vec<Option<f64>>,
}

impl Column {
    /// Values are shown with this many decimals.
    pub fn new(name: &'static str, unit: &'static str, decimals: usize, values: Vec<Option<f64>>) -> Column {
        Column { name, unit, decimals, values }
    }

    /// A value as shown, with commas between thousands.
    pub fn text(&self, index: usize) -> String {
        let Some(value) = self.values[index] else { return "-".to_owned() };
        let digits = format!("{value:.*}", self.decimals);
        let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
        let mut text = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) && !text.ends_with('-') {
                text.push(',');
            }
            text.push(digit);
        }
        text + fraction
    }
}

/// How noisy the machine was.
pub struct Noise {
    /// The median start of the bare program, in microseconds.
    pub bare_start: f64,
    /// The interquartile range of the bare starts, as a fraction of their median.
    pub spread: f64,
    /// How much the median changed from the first half of the run to the second, as a fraction.
    pub drift: f64,
}

/// The machine that ran the benchmark.
pub struct Machine {
    processor: String,
    kernel: String,
    load: String,
}

impl Machine {
    /// This machine, with its present load.
    pub fn here() -> Machine {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        Machine {
            processor: model.and_then(|line| Some(line.split_once(':')?.1.trim())).unwrap_or("?").to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// The results for people.
pub fn markdown(bench: &Bench, machine: &Machine, columns: &[Column], noise: &Noise) -> String {
    let mut text = String::new();
    let heads = columns.iter().map(|column| format!(" {}<br>{} |", column.name, column.unit));
    let _ = writeln!(text, "| |{}", heads.collect::<String>());
    let _ = writeln!(text, "| --- |{}", " ---: |".repeat(columns.len()));
    for (index, candidate) in bench.candidates.iter().enumerate() {
        let cells = columns.iter().map(|column| format!(" {} |", column.text(index)));
        let _ = writeln!(text, "| {} |{}", title(candidate), cells.collect::<String>());
    }
    let Machine { processor, kernel, load } = machine;
    let _ = writeln!(
        text,
        "\nMedians of one run, the candidates in turn, on core {} of {processor}, Linux {kernel}, {} \
         (Start and Instructions never are); programs built by {}.\nNoise: half of the bare program's starts \
         (median {:.0} us) were within {:.1} % of one another, and their median\nmoved by {:+.1} % from the first \
         half to the second; load average at the start: {load}.",
        bench.core,
        if bench.as_pid_1 { "as PID 1" } else { "not as PID 1" },
        bench.programs.compiler,
        noise.bare_start,
        noise.spread * 100.0,
        noise.drift * 100.0
    );
    text
}

/// The results for programs.
pub fn json(bench: &Bench, machine: &Machine, columns: &[Column], noise: &Noise) -> Value {
    let candidate = |(index, candidate): (usize, &Candidate)| {
        let measured: Map<String, Value> = columns
            .iter()
            .map(|column| (format!("{} ({})", column.name, column.unit), json!(column.values[index])))
            .collect();
        let command: Vec<_> = candidate.command.iter().map(|word| word.to_string_lossy()).collect();
        json!({ "name": candidate.name, "command": command, "measured": measured })
    };
    json!({
        "machine": {
            "processor": machine.processor, "kernel": machine.kernel, "load": machine.load, "core": bench.core, "as_pid_1": bench.as_pid_1,
        },
        "compiler": bench.programs.compiler,
        "noise": { "bare_start_us": noise.bare_start, "spread": noise.spread, "drift": noise.drift },
        "candidates": bench.candidates.iter().enumerate().map(candidate).collect::<Vec<_>>(),
    })
}

/// The candidate's name. A dynamic executable is marked: its file is smaller, and it uses more memory.
pub fn title(candidate: &Candidate) -> String {
    let dynamic = candidate.executable().is_some_and(is_dynamic);
    if dynamic { format!("{} (dynamic)", candidate.name) } else { candidate.name.clone() }
}

/// Whether a 64-bit ELF file names a program interpreter (elf(5)).
fn is_dynamic(file: &std::path::Path) -> bool {
    const PT_INTERP: [u8; 4] = 3u32.to_le_bytes();
    let file = fs::read(file).unwrap_or_default();
    let number = |at: usize, size: usize| {
        let bytes = file.get(at..at + size).unwrap_or_default();
        bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (table, entry_size, entries) = (number(32, 8), number(54, 2), number(56, 2));
    (0..entries).any(|entry| file[table + entry * entry_size..].starts_with(&PT_INTERP))
}
