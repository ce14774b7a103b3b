//! The configuration samples in examples/ have valid syntax, and use only options that exist. `.ci/schemas` checks
//! them against schemas, and `engines` runs those for engines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Ending, Init, Mode, Suite, find_program, sexton_only, skip, under_test};

pub(crate) fn tests(suite: &mut Suite) {
    suite.test("examples::json_can_be_read", || parse("json", "json.load(file)"));
    suite.test("examples::toml_can_be_read", || parse("conf", "__import__('tomllib').load(file)"));
    suite
        .test("examples::yaml_can_be_read", || parse("yaml", "list(__import__('yaml').safe_load_all(file))"));
    suite.test("examples::options_are_options", options_are_options);
}

fn samples() -> Vec<PathBuf> {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("cannot read a directory").flatten() {
            let path = entry.path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    // The Rust examples are programs, and those of the man page are in troff.
    files.retain(|file| file.extension().is_some_and(|extension| extension != "rs" && extension != "roff"));
    files
}

fn parse(extension: &str, expression: &str) {
    let python = find_program("python3").unwrap_or_else(|| skip("needs python3"));
    let files: Vec<PathBuf> = samples()
        .into_iter()
        .filter(|file| file.extension().is_some_and(|found| found == extension))
        .collect();
    assert!(!files.is_empty(), "no sample ends with .{extension}");
    for file in files {
        let program = format!("import json, sys\nwith open(sys.argv[1], 'rb') as file: {expression}");
        let output =
            Command::new(&python).args(["-c", &program]).arg(&file).output().expect("cannot run python3");
        let stderr = String::from_utf8_lossy(&output.stderr);
        if stderr.contains("ModuleNotFoundError") {
            skip(format!("python3 has no module for .{extension}"));
        }
        assert!(output.status.success(), "{}: {stderr}", file.display());
    }
}

/// The command lines of sexton in a sample: lists of words in brackets, and systemd's ExecStart=.
fn command_lines(text: &str) -> Vec<Vec<&str>> {
    let lists = text.split('[').skip(1).filter_map(|rest| rest.split(']').next());
    let lists =
        lists.map(|list| list.split(',').map(|word| word.trim().trim_matches('"')).collect::<Vec<_>>());
    let units = text.lines().filter_map(|line| line.strip_prefix("ExecStart="));
    let units = units.map(|line| line.split_whitespace().collect());
    let mut lines: Vec<Vec<&str>> = lists.chain(units).collect();
    lines.iter_mut().for_each(|words| words.retain(|word| *word != "CMD"));
    let is_init = |words: &Vec<&str>| {
        words.first().is_some_and(|word| word.ends_with("/init") || word.ends_with("/sexton"))
    };
    lines.into_iter().filter(is_init).collect()
}

fn options_are_options() {
    sexton_only();
    let mut checked = 0;
    for file in samples() {
        let text = fs::read_to_string(&file).unwrap_or_default();
        for words in command_lines(&text) {
            checked += 1;
            let Some(end) = words.iter().position(|word| *word == "--") else {
                let known = [&["--inspect"][..], &["--pause"], &["--install", "/shared/init"]];
                assert!(known.contains(&&words[1..]), "{}: {words:?}", file.display());
                continue;
            };
            let path = under_test().path().to_str().expect("the path is not UTF-8");
            let line = [&[path, "--explain"], &words[1..end], &["--", "true"]].concat();
            let finished = Init::new(Mode::Subreaper).instead(line).run();
            assert_eq!(finished.ending, Ending::Exited(0), "{}: {words:?}", file.display());
        }
    }
    assert!(checked >= 8, "only {checked} command lines were found");
}
