//! The samples in examples/ci/: the Makefile is run; the YAML files are parsed, and their options compared with
//! `--help`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::docs::{help, options_in, options_of_help};
use crate::support::{
    PATIENCE, Suite, TemporaryDirectory, find_program, probe, sexton_only, skip, under_test, within,
};

pub(crate) fn tests(suite: &mut Suite) {
    suite.test("ci::makefile_ends_a_leaky_job_and_keeps_the_report", makefile);
    suite.test("ci::makefile_fails_when_the_job_does", makefile_fails);
    suite.test("ci::yaml_files_can_be_read", yaml);
    suite.test("ci::only_options_that_help_knows", known_options);
}

const YAML: [&str; 2] = ["github.yml", "gitlab.yml"];

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(name)
}

/// Runs `make check` with this job. `output` reads the pipes to end-of-file, as a CI runner does.
fn make_check(job: &str) -> (std::process::Output, Value) {
    sexton_only();
    let make = find_program("make").unwrap_or_else(|| skip("needs make"));
    let directory = TemporaryDirectory::new();
    let report = directory.join("report.json");
    let makefile = sample("Makefile");
    let output = Command::new(make)
        .current_dir(directory.path())
        .arg("-f")
        .arg(makefile)
        .arg("check")
        .arg(format!("SEXTON={}", under_test().path().display()))
        .arg(format!("JOB={job}"))
        .output()
        .expect("cannot run make");
    let report = fs::read_to_string(report).unwrap_or_else(|error| panic!("no report: {error}: {output:?}"));
    (output, serde_json::from_str(&report).expect("the report is not JSON"))
}

fn makefile() {
    const GRACE: Duration = Duration::from_secs(2);
    within(GRACE + Duration::from_secs(2), GRACE + PATIENCE, || {
        let start = Instant::now();
        let (output, report) = make_check(&probe("leaky_job").display().to_string());
        let took = start.elapsed();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("done\n"), "{output:?}");
        let leftovers = report["leftovers"].as_array().expect("`leftovers` should be a list");
        assert_eq!(leftovers.len(), 5, "{report}");
        assert!(leftovers.iter().all(|one| one["end"]["kind"] == json!("signaled")), "{report}");
        took
    });
}

fn makefile_fails() {
    let (output, report) = make_check("sh -c 'exit 3'");
    assert_eq!(output.status.code(), Some(2), "make exits with 2 when a recipe fails");
    assert_eq!(report["exit_code"], json!(3));
}

fn yaml() {
    let python = find_program("python3").unwrap_or_else(|| skip("needs python3"));
    let has_yaml = Command::new(&python).args(["-c", "import yaml"]).output().expect("cannot run python3");
    if !has_yaml.status.success() {
        skip("needs python3's yaml");
    }
    for name in YAML {
        let script =
            "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1])), default=str))";
        let output = Command::new(&python).args(["-c", script]).arg(sample(name)).output();
        let output = output.expect("cannot run python3");
        assert!(output.status.success(), "{name}: {output:?}");
        // YAML 1.1 reads the key `on` as true; json.dumps() makes the string "true" of it.
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let job: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        let expected = ["report.json", "sexton --timeout"];
        assert!(expected.iter().all(|word| job.to_string().contains(word)), "{name}: {job}");
    }
}

fn known_options() {
    let known = options_of_help(&help());
    for name in YAML.into_iter().chain(["Makefile"]) {
        let text = fs::read_to_string(sample(name)).expect("cannot read a sample");
        let is_command = |line: &&str| line.contains("--report") && !line.trim_start().starts_with('#');
        let commands: Vec<&str> = text.lines().filter(is_command).collect();
        assert!(!commands.is_empty(), "{name} has no command with --report");
        for command in commands {
            let own = command.split(" -- ").next().unwrap_or_default();
            for option in options_in(own) {
                assert!(known.contains(&option), "{name}: {option} is not in --help");
            }
        }
    }
}
