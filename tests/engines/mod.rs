//! sexton as the init of containers that Docker and podman run. Skipped if an engine does not answer.
//!
//! The images are made here and left behind: `localhost/sexton-test-*`, some megabytes for each build under test.

mod compose;
mod engine;
mod kubernetes;
mod pids_limit;
mod pod;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use engine::{Container, Engine, Image, alone_with_engines, with_engines};

use crate::support::pty::{CTRL_C, CTRL_Z};
use crate::support::{
    DEFAULT_GRACE, Ending, Mode, Suite, TemporaryDirectory, Terminal, Wrapper, find_program, poll, skip,
    under_test, within,
};

pub(crate) fn tests(suite: &mut Suite) {
    with_engines(suite, "entrypoint_of_an_image_that_holds_nothing_else", entrypoint);
    with_engines(suite, "exit_codes_pass", exit_codes);
    alone_with_engines(suite, "stop_ends_a_script_gracefully", stop_ends_a_script);
    alone_with_engines(suite, "stop_ends_what_has_no_handler", stop_without_a_handler);
    with_engines(suite, "kill_sends_the_signal_to_the_program", kill);
    with_engines(suite, "run_it_has_job_control", terminal);
    with_engines(suite, "run_init_is_sexton", run_init);
    alone_with_engines(suite, "5000_orphans_with_64_pids", pids_limit::holds);
    with_engines(suite, "inspect_as_a_healthcheck", inspect);
    with_engines(suite, "install_into_a_volume", install);
    with_engines(suite, "with_everything_taken_away", hardened);
    suite.test_with("engines::in_a_user_namespace::with_podman", Engine::Podman, user_namespace);
    suite.test_with("engines::samples_of_configuration::with_docker", Engine::Docker, daemon_json);
    suite.test_with("engines::samples_of_configuration::with_podman", Engine::Podman, containers_conf);
    compose::tests(suite);
    kubernetes::tests(suite);
    pod::tests(suite);
}

fn entrypoint(engine: Engine) {
    let version = concat!("sexton ", env!("CARGO_PKG_VERSION"), "\n");
    Container::new(engine, Image::Bare).run(&[], &["/init", "--version"]).assert(0, version);
    let ran = Container::new(engine, Image::Bare).run(&[], &["/bin/sh"]);
    ran.assert(127, "");
    assert!(ran.stderr.contains("/bin/sh"), "{ran:?}");
}

fn exit_codes(engine: Engine) {
    let scripts = [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137)];
    for (script, code) in scripts {
        Container::new(engine, Image::Busybox).run(&[], &["sh", "-c", script]).assert(code, "");
    }
    Container::new(engine, Image::Busybox).run(&[], &["/etc"]).assert(126, "");
    let words = ["sh", "-c", "echo ready; exec sleep 1000"];
    let container = Container::new(engine, Image::Busybox).start(&[], &words);
    engine.succeed(["kill", &container.name]);
    assert_eq!(container.exit_code(), 137);
}

/// Starts and stops a container. That must be quick: the engines kill after ten seconds.
fn stops_with(engine: Engine, script: &str, code: i32, logs: &str) {
    within(Duration::from_secs(2), DEFAULT_GRACE, || {
        let container = Container::new(engine, Image::Busybox).start(&[], &["sh", "-c", script]);
        let start = Instant::now();
        engine.succeed(["stop", &container.name]);
        let took = start.elapsed();
        assert_eq!((container.exit_code(), container.logs().as_str()), (code, logs));
        took
    });
}

fn stop_ends_a_script(engine: Engine) {
    let script = "trap 'echo saved; exit 7' TERM; sleep 1000 & echo ready; wait";
    stops_with(engine, script, 7, "ready\nsaved\n");
}

/// As PID 1 itself, the shell would not die of SIGTERM.
fn stop_without_a_handler(engine: Engine) {
    stops_with(engine, "echo ready; sleep 1000; echo not here", 143, "ready\n");
}

fn kill(engine: Engine) {
    let script =
        "trap 'echo got USR1' USR1; trap 'exit 9' HUP; echo ready; while :; do sleep 1000 & wait; done";
    let container = Container::new(engine, Image::Busybox).start(&[], &["sh", "-c", script]);
    engine.succeed(["kill", "--signal", "USR1", &container.name]);
    container.expect("got USR1\n");
    engine.succeed(["kill", "--signal", "HUP", &container.name]);
    assert_eq!(container.exit_code(), 9);
}

fn terminal(engine: Engine) {
    let container = Container::new(engine, Image::Busybox);
    let program = find_program(engine.name()).expect("the engine is not in PATH");
    let mut words = vec![program.to_str().expect("the path is not UTF-8")];
    words.extend(container.run_words(&["-it", "--env", "PS1==$?=> "], &["sh"]));
    let mut terminal = Terminal::with_program(Mode::Child, Wrapper::None, &words);
    assert_eq!(terminal.prompt(), 0);
    // The echo may come in two parts: the engine passes the terminal's size on a little later, and the shell then
    // redraws its line.
    terminal.keys("sh -c 'echo rea\"\"dy; exec sleep 1000'\n");
    terminal.ready();
    terminal.keys(CTRL_Z);
    terminal.expect("Stopped");
    assert_eq!(terminal.prompt(), 128 + 20);
    terminal.jobs(1, 0);
    terminal.command("bg");
    terminal.jobs(0, 1);
    terminal.line("fg");
    terminal.expect("sleep 1000\"\r\n");
    poll("the job is in the foreground", || {
        // Field 5 is the process group, field 8 the terminal's foreground group. The job's leader has the name of
        // what it exec'ed.
        let output = container.exec(&["sh", "-c", "cat /proc/[0-9]*/stat"]);
        let stats = String::from_utf8_lossy(&output.stdout).into_owned();
        let sleep = stats.lines().find(|line| line.contains("(sleep)"))?;
        let fields: Vec<&str> = sleep.rsplit_once(") ")?.1.split(' ').collect();
        (fields[2] == fields[5]).then_some(())
    });
    terminal.keys(CTRL_C);
    assert_eq!(terminal.prompt(), 130);
    terminal.line("exit 9");
    assert_eq!(terminal.ending(), Ending::Exited(9));
    let screen = terminal.screen();
    for warning in ["job control", "tty", "sexton"] {
        assert!(!screen.contains(warning), "{screen}");
    }
}

/// A copy of the init under test by this name, which every user may run.
fn copy(name: &str) -> (String, TemporaryDirectory) {
    let directory = TemporaryDirectory::new();
    let path = directory.copy(under_test().path(), name);
    (path.to_str().expect("the path is not UTF-8").to_owned(), directory)
}

fn podman_has_an_init_path() -> bool {
    let path = std::env::var_os("CONTAINERS_CONF");
    path.and_then(|path| fs::read_to_string(path).ok()).is_some_and(|text| text.contains("\ninit_path"))
}

/// `--init`: the engine runs sexton, by the name that it expects, in a container whose entrypoint is no init.
fn run_init(engine: Engine) {
    let (init, _directory) = copy("podman-init");
    let options: &[&str] = match engine {
        Engine::Podman if !podman_has_an_init_path() => &["--init", "--init-path", &init],
        _ => &["--init"],
    };
    let options = [options, &["--entrypoint", "/bin/sh"]].concat();
    let (path, licence) = match engine {
        Engine::Docker => ("/sbin/docker-init", "-l"),
        Engine::Podman => ("/run/podman-init", "-L"),
    };
    // The licence that it prints shows whether it is sexton.
    let script = format!("{path} {licence}; cat /proc/1/cmdline");
    let ran = Container::new(engine, Image::Busybox).run(&options, &["-c", &script]);
    if !ran.stdout.contains("sexton") {
        skip(format!("{}'s own init is not sexton; .ci/engines makes it so: {ran:?}", engine.name()));
    }
    assert!(ran.stdout.contains(&format!("{path}\0--\0/bin/sh\0")), "{ran:?}");

    Container::new(engine, Image::Busybox).run(&options, &["-c", "exit 5"]).assert(5, "");
    let script = "trap 'exit 6' TERM; (sleep 1000 &); sleep 1000 & echo ready; wait";
    let container = Container::new(engine, Image::Busybox).start(&options, &["-c", script]);
    engine.succeed(["stop", &container.name]);
    assert_eq!(container.exit_code(), 6);
}

fn inspect(engine: Engine) {
    let script = "(sleep 1000 &); echo ready; sleep 1000";
    let container = Container::new(engine, Image::Busybox).start(&[], &["sh", "-c", script]);
    let output = container.exec(&["/init", "--inspect"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("\\_ sleep").count(), 2, "{output:?}");
}

/// As in an init container.
fn install(engine: Engine) {
    let directory = TemporaryDirectory::new();
    let volume = format!("{}:/shared", directory.path().display());
    let options = ["--entrypoint", "/init", "--volume", &volume];
    let ran = Container::new(engine, Image::Bare).run(&options, &["--install", "/shared/init"]);
    ran.assert(0, "");
    let same = fs::read(directory.join("init")).ok() == fs::read(under_test().path()).ok();
    assert!(same, "not a copy: {ran:?}");
}

/// The restrictions of a cautious deployment. The engine's seccomp profile is on by default.
fn hardened(engine: Engine) {
    let options =
        ["--read-only", "--cap-drop", "ALL", "--user", "65534:65534", "--security-opt", "no-new-privileges"];
    let script = "id -u; touch /file 2>/dev/null || echo read-only
        while read -r key value; do case $key in CapEff:|NoNewPrivs:|Seccomp:) echo $key $value;; esac; done </proc/1/status
        trap 'echo stopped; exit 4' TERM; (sleep 0.01 &); sleep 1000 & echo ready; wait";
    let container = Container::new(engine, Image::Busybox).start(&options, &["sh", "-c", script]);
    assert!(container.exec(&["/init", "--inspect"]).status.success());
    engine.succeed(["stop", &container.name]);
    assert_eq!(container.exit_code(), 4);
    let expected = "65534\nread-only\nCapEff: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\nready\nstopped\n";
    assert_eq!(container.logs(), expected);
}

fn user_namespace(engine: Engine) {
    let options = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
    let script = "set -- $(cat /proc/1/uid_map); echo $@; id -u
        trap 'exit 8' TERM; (sleep 1000 &); sleep 1000 & echo ready; wait";
    let container = Container::new(engine, Image::Busybox).start(&options, &["sh", "-c", script]);
    engine.succeed(["stop", &container.name]);
    assert_eq!((container.exit_code(), container.logs().as_str()), (8, "0 100000 65536\n0\nready\n"));
}

fn sample(name: &str) -> String {
    format!("{}/examples/engines/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// dockerd complains first about keys that it does not know, and then about options that are set twice. Setting
/// them twice also keeps it from starting.
fn daemon_json(engine: Engine) {
    engine.need();
    let mut dockerd = Command::new("timeout");
    dockerd.args(["10", "/usr/sbin/dockerd", "--pidfile", "/dev/null/none"]);
    dockerd.args(["--config-file", &sample("daemon.json"), "--init", "--init-path", "/other"]);
    let output = dockerd.output().expect("cannot run dockerd");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let twice = "specified both as a flag and in the configuration file: init: (from flag: true, from file: true), \
                 init-path: (from flag: /other, from file: /usr/local/bin/docker-init)";
    assert!(complaint.contains(twice), "{complaint}");
}

/// podman reports the keys that it does not know, but only at the level `debug`.
fn containers_conf(engine: Engine) {
    engine.need();
    let mut command = engine.command(["--log-level", "debug", "version"]);
    let sample = sample("containers.conf");
    let output = command.env("CONTAINERS_CONF", &sample).output().expect("cannot run timeout(1)");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && log.contains(&sample) && !log.contains("Failed to decode"), "{log}");
}
