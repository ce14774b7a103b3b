//! The documents agree with the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{
    Init, Mode, Suite, TemporaryDirectory, find_program, probe, sexton_only, skip, under_test,
};

pub(crate) fn tests(suite: &mut Suite) {
    suite.test("docs::readme_lists_the_options_of_help", readme_lists_the_options_of_help);
    suite.test("docs::every_option_has_a_variable", every_option_has_a_variable);
    suite.test("docs::man_page_names_the_options_of_help", man_page_names_the_options_of_help);
    suite.test("docs::man_page_renders_without_warnings", man_page_renders);
    suite.test("docs::completions_can_be_read_by_their_shells", completions_can_be_read);
    suite.test("docs::completions_offer_options_values_and_programs", completions_offer);
    suite.test("docs::links_lead_somewhere", links_lead_somewhere);
    suite.test("docs::readme_snippets_are_those_that_are_compiled", readme_snippets_are_compiled);
    suite.in_modes("docs::troubleshooting_shows_what_is_printed", &[Mode::Pid1], troubleshooting_is_printed);
    suite.in_modes("docs::zombies_are_told_of_as_shown", &[Mode::Pid1], zombies_are_told_of_as_shown);
    suite.test("docs::functions_that_are_named_exist", functions_exist);
    suite.test("docs::tests_that_are_named_exist", tests_exist);
    suite.test("docs::points_of_the_tests_are_explained", points_are_explained);
    suite.test("docs::map_of_the_house_is_complete", map_is_complete);
}

/// The options in a text, such as `-x` and `--xyz`, without values.
pub(crate) fn options_in(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    words.filter(|word| is_option(word)).map(str::to_owned)
}

fn is_option(word: &str) -> bool {
    let name = word.trim_start_matches('-');
    let dashes = word.len() - name.len();
    name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && (dashes == 1 && name.len() == 1 || dashes == 2 && name.len() > 1)
}

pub(crate) fn help() -> String {
    sexton_only();
    Init::new(Mode::Subreaper).options(["--help"]).run().stdout.clone()
}

/// The options at the start of the lines of `--help`. Two or more blanks separate them from the description.
pub(crate) fn options_of_help(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    lines
        .flat_map(|line| options_in(line.split("  ").next().unwrap_or_default()).collect::<Vec<_>>())
        .collect()
}

/// The options in backticks in the first column of the tables under `## Options`.
fn options_of_readme(readme: &str) -> BTreeSet<String> {
    let after =
        readme.split_once("\n## Options").map(|(_, after)| after).expect("README has no `## Options`");
    let section = after.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.trim().strip_prefix('|')?.split('|').next());
    let quoted = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.flat_map(|text| options_in(text).collect::<Vec<_>>()).collect()
}

fn readme_lists_the_options_of_help() {
    let help = options_of_help(&help());
    assert!(help.contains("--rewrite") && help.contains("-v"), "cannot parse --help: {help:?}");
    let readme = options_of_readme(&read(&project("README.md")));
    let missing: Vec<_> = help.difference(&readme).collect();
    let surplus: Vec<_> = readme.difference(&help).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing in README: {missing:?}; not in --help: {surplus:?}"
    );
}

/// [P4]: every long option has a variable that is read. Left out are options that run nothing, `--no-*`, and
/// variables that take any text.
fn every_option_has_a_variable() {
    let help = help();
    let directory = TemporaryDirectory::new();
    let without = ["--help", "--version", "--pause", "--inspect", "--install", "--explain", "--json"];
    let options = options_of_help(&help);
    let long =
        options.iter().filter(|option| option.starts_with("--") && !without.contains(&option.as_str()));
    for option in long.filter(|option| !option.starts_with("--no-")) {
        let variable = format!("SEXTON_{}", option[2..].replace('-', "_").to_uppercase());
        // An invalid value: sexton must refuse it and name the variable. Only a variable that takes any text
        // accepts it, SEXTON_REPORT as a file name in the working directory.
        let init = Init::new(Mode::Subreaper).directory(directory.path());
        let finished = init.env(&variable, "\u{1}").shell("exit 0").run();
        let read = finished.stderr.contains(&variable);
        let free_text = ["SEXTON_CHDIR", "SEXTON_USER", "SEXTON_REPORT", "SEXTON_UNSET_ENV", "SEXTON_LOG"];
        assert!(read || free_text.contains(&variable.as_str()), "{variable} is not read");
    }
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below `directory` with this extension.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("cannot read a directory entry").path());
    let below = |path: PathBuf| match path.is_dir() {
        true => files(&path, extension),
        false => vec![path],
    };
    paths.flat_map(below).filter(|path| path.extension().is_some_and(|one| one == extension)).collect()
}

/// A directory with what `cargo generate` writes.
fn generated() -> TemporaryDirectory {
    sexton_only();
    let directory = TemporaryDirectory::new();
    let output = Command::new(probe("generate")).arg(directory.path()).output().expect("cannot run generate");
    assert!(output.status.success(), "{output:?}");
    directory
}

fn man_page_names_the_options_of_help() {
    let page = read(&generated().join("sexton.1")).replace("\\-", "-");
    // Font escapes enclose the option names.
    let page = ["\\fB", "\\fI", "\\fR"].iter().fold(page, |page, font| page.replace(font, " "));
    let options = page
        .split("\n.SH ")
        .find(|section| section.starts_with("OPTIONS"))
        .expect("the man page has no OPTIONS");
    let named: BTreeSet<String> = options_in(options).collect();
    let missing: Vec<_> = options_of_help(&help()).difference(&named).cloned().collect();
    assert!(missing.is_empty(), "the man page lacks {missing:?}");
    for section in ["NAME", "SYNOPSIS", "EXIT STATUS", "SIGNALS", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"] {
        assert!(
            page.contains(&format!("\n.SH {section}\n")) || page.contains(&format!("\n.SH \"{section}\"\n")),
            "the man page has no section {section}"
        );
    }
}

fn man_page_renders() {
    let groff = find_program("groff").unwrap_or_else(|| skip("needs groff"));
    let directory = generated();
    let page = directory.join("sexton.1");
    let output =
        Command::new(groff).args(["-man", "-ww", "-Tutf8"]).arg(&page).output().expect("cannot run groff");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(output.stdout.len() > 5000, "{output:?}");
}

fn completions_can_be_read() {
    let directory = generated();
    let shells = [("bash", "sexton.bash"), ("zsh", "_sexton"), ("fish", "sexton.fish")];
    let mut missing = Vec::new();
    for (shell, file) in shells {
        let file = directory.join(file);
        assert!(read(&file).contains("timeout-signal"), "{}", file.display());
        match find_program(shell) {
            Some(shell) => {
                let output = Command::new(shell).arg("-n").arg(&file).output().expect("cannot run the shell");
                assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            }
            None => missing.push(shell),
        }
    }
    skip_if_missing(&missing);
}

fn skip_if_missing(shells: &[&str]) {
    if !shells.is_empty() {
        skip(format!("needs {}", shells.join(", ")));
    }
}

/// A command line, and the completions expected for its last word. (Not for zsh, which completes only in its line
/// editor.)
const OFFERS: [(&str, &[&str]); 5] = [
    ("sexton --gra", &["--grace"]),
    ("sexton -g --deliver ", &["group", "program", "tree"]),
    ("sexton --stop-signal US", &["USR1", "USR2"]),
    ("sexton --leftovers t", &["terminate"]),
    ("sexton --log-format j", &["json"]),
];

/// fish also completes the program and its arguments, even after options with values.
const OFFERS_OF_FISH: [(&str, &[&str]); 3] = [
    ("sexton -g --grace 5s -r TERM:INT unshar", &["unshare"]),
    ("sexton -g -- unshar", &["unshare"]),
    ("sexton -- cat /proc/self/mounti", &["/proc/self/mountinfo"]),
];

fn completions_offer() {
    let directory = generated();
    let mut missing = Vec::new();
    match find_program("bash") {
        Some(bash) => {
            let script = r#"source "$1"; line=$2; read -ra COMP_WORDS <<<"$line"; [[ $line == *" " ]] && COMP_WORDS+=("")
                COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
                _sexton sexton "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; printf '%s\n' "${COMPREPLY[@]}""#;
            let words = ["--norc", "-c", script, "bash"];
            OFFERS
                .iter()
                .for_each(|offer| assert_offers(&bash, &words, &directory.join("sexton.bash"), offer));
        }
        None => missing.push("bash"),
    }
    match find_program("fish") {
        Some(fish) => {
            let words = ["--no-config", "-c", "source $argv[1]; complete -C $argv[2]"];
            let offers = OFFERS.iter().chain(&OFFERS_OF_FISH);
            offers.for_each(|offer| assert_offers(&fish, &words, &directory.join("sexton.fish"), offer));
        }
        None => missing.push("fish"),
    }
    skip_if_missing(&missing);
}

fn assert_offers(shell: &Path, words: &[&str], file: &Path, (line, expected): &(&str, &[&str])) {
    let output = Command::new(shell).args(words).arg(file).arg(line).output().expect("cannot run the shell");
    let offered = String::from_utf8_lossy(&output.stdout);
    // fish adds the description after a tab.
    let mut offered: Vec<_> = offered.lines().filter_map(|line| line.split('\t').next()).collect();
    offered.sort_unstable();
    assert_eq!(offered, *expected, "{} completes {line:?}: {output:?}", shell.display());
}

/// README.md and the like, and all of docs/.
fn documents() -> Vec<PathBuf> {
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "tests/README.md"].map(project);
    top.into_iter().chain(files(&project("docs"), "md")).collect()
}

fn links_lead_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let text = read(&document);
        for link in text.split("](").skip(1).filter_map(|after| after.split(')').next()) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") {
                continue;
            }
            let target = match path {
                "" => document.clone(),
                path => document.parent().expect("a document has no directory").join(path),
            };
            let leads = target.exists() && (anchor.is_empty() || headings(&read(&target)).contains(anchor));
            if !leads {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links: {dead:#?}");
}

/// The anchors of the headings, as links write them.
fn headings(document: &str) -> BTreeSet<String> {
    let lines = document.lines().filter(|line| line.starts_with('#'));
    let slug = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
    };
    lines.map(slug).collect()
}

fn readme_snippets_are_compiled() {
    let crate_docs: String = read(&project("src/lib.rs"))
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let readme = read(&project("README.md"));
    let snippets: Vec<_> =
        readme.split("```rust\n").skip(1).filter_map(|after| after.split("```").next()).collect();
    assert!(!snippets.is_empty(), "README has no Rust snippet");
    for snippet in snippets {
        assert!(crate_docs.contains(snippet), "this snippet is not in the crate's documentation:\n{snippet}");
    }
}

/// PIDs differ from run to run.
fn without_numbers(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

fn assert_shows(document: &str, printed: &str) {
    let shown = without_numbers(&read(&project(document)));
    for line in printed.lines() {
        assert!(shown.contains(&without_numbers(line)), "{document} does not show this line:\n{line}");
    }
}

fn troubleshooting_is_printed(mode: Mode) {
    sexton_only();
    let init = || Init::new(mode);
    let explain = init().options(["--explain", "-k", "30s", "-r", "TERM:QUIT"]).program("nginx").run();
    assert_shows("README.md", &explain.stdout);
    let directory = TemporaryDirectory::new();
    directory.script("start.sh", "#!/bin/sh\r\necho hi\r\n");
    let failure = init().directory(directory.path()).program("./start.sh").run();
    assert!(failure.stderr.contains("CR LF"), "{}", failure.stderr);
    assert_shows("README.md", &failure.stderr);
}

fn zombies_are_told_of_as_shown(mode: Mode) {
    sexton_only();
    let script = "\"$1\" 3 | { read ready; \"$2\" --inspect; kill ${ready#ready }; }";
    let words = [probe("make_zombies"), under_test().path().to_owned()];
    let finished = Init::new(mode).shell(script).args(["sh"]).args(words).run();
    let advice = finished.stdout.lines().filter(|line| line.contains("why:") || line.contains("cure:"));
    let advice: Vec<_> = advice.collect();
    assert_eq!(advice.len(), 2, "{}", finished.stdout);
    for document in ["README.md", "docs/zombies.md"] {
        assert_shows(document, &advice.join("\n"));
    }
}

/// Every part of a name such as `Reaper::reap` in docs/how-it-works.md is a word in src/.
fn functions_exist() {
    let page = read(&project("docs/how-it-works.md"));
    let prose: String = page.split("```").step_by(2).collect();
    let source: String = files(&project("src"), "rs").iter().map(|path| read(path)).collect();
    let is_in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let words: BTreeSet<&str> = source.split(|letter| !is_in_word(letter)).collect();
    let names: Vec<_> = prose.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("::")).collect();
    assert!(names.len() > 20, "only {names:?}");
    for name in names {
        assert!(name.split("::").all(|part| words.contains(part)), "{name} is not in src/");
    }
}

/// The tests that README and tests/README.md name, such as `docs::tests_that_are_named_exist`.
fn tests_exist() {
    let source: String = files(&project("tests"), "rs").iter().map(|path| read(path)).collect();
    let text = [read(&project("README.md")), read(&project("tests/README.md"))].concat();
    let quoted =
        text.split('`').skip(1).step_by(2).filter_map(|quoted| Some((quoted, quoted.split_once("::")?.0)));
    let names: Vec<_> = quoted.filter(|(_, module)| source.contains(&format!("mod {module};"))).collect();
    assert!(names.len() > 70, "only {names:?}");
    for (name, _) in names {
        assert!(source.contains(&format!("\"{name}\"")), "there is no test {name}");
    }
}

/// The table in tests/README.md has every point that a test's name begins with.
fn points_are_explained() {
    let table = read(&project("tests/README.md"));
    let source: String = files(&project("tests"), "rs").iter().map(|path| read(path)).collect();
    let names = source.split('"').filter_map(|text| text.split_once("::")?.1.split_once('_'));
    let is_point = |word: &str| matches!(word.as_bytes(), [b'a'..=b'z', b'0'..=b'9']);
    let points: BTreeSet<_> = names.map(|(point, _)| point).filter(|point| is_point(point)).collect();
    assert!(points.len() > 40, "only {points:?}");
    for point in points {
        assert!(
            table.contains(&format!("\n| {} | ", point.to_uppercase())),
            "{point} is not in the table of tests/README.md"
        );
    }
}

fn map_is_complete() {
    let map = read(&project("CONTRIBUTING.md"));
    for file in files(&project("src"), "rs") {
        let path = file.strip_prefix(project("src")).expect("a file is not below src/").display().to_string();
        let room = path.split('/').next().unwrap_or_default();
        let is_named = [&path, &format!("{room}/")].iter().any(|name| map.contains(&format!("`{name}`")));
        let is_the_crate = path == "lib.rs" || path.ends_with("/tests.rs");
        assert!(is_named || is_the_crate, "CONTRIBUTING.md does not say what src/{path} is");
    }
}
