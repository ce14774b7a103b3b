//! The Compose sample, run by docker-compose with Docker. Test images stand in for those that it names.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::engine::{Engine, Image, must_succeed};
use crate::support::suite::explain_failure;
use crate::support::{Suite, TemporaryDirectory, find_program, poll, skip};

const ENGINE: Engine = Engine::Docker;

/// The containers are named `PROJECT_SERVICE_1`.
const PROJECT: &str = "sexton-test-compose";

pub(super) fn tests(suite: &mut Suite) {
    suite.test_with("engines::compose_sample::with_docker", (), |()| sample());
}

/// The sample and its overrides. All of it goes when this is dropped.
struct Project {
    directory: TemporaryDirectory,
}

impl Project {
    fn up() -> Project {
        let directory = TemporaryDirectory::new();
        // A sandbox may refuse a network; and the first health check must not come half a minute late.
        let over = "services:
  web: {network_mode: none, healthcheck: {interval: 1s}}
  worker: {network_mode: none}
";
        std::fs::write(directory.join("over.yaml"), over).expect("cannot write the overrides");
        let project = Project { directory };
        must_succeed(project.command(&["up", "--detach"]));
        project
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "60", "docker-compose", "--project-name", PROJECT]);
        command.arg("--file").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/compose.yaml"));
        command.arg("--file").arg(self.directory.join("over.yaml")).args(words);
        command
    }

    fn container(service: &str) -> String {
        format!("{PROJECT}_{service}_1")
    }

    fn logs(service: &str) -> String {
        ENGINE.succeed(["logs", &Project::container(service)])
    }

    fn inspect(service: &str, format: &str) -> String {
        ENGINE.succeed(["inspect", "--format", format, &Project::container(service)]).trim().to_owned()
    }

    /// The command line of the container's PID 1.
    fn init(service: &str) -> String {
        let pid = Project::inspect(service, "{{.State.Pid}}");
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .expect("cannot read the command line of the container's PID 1");
        line.trim_end_matches('\0').replace('\0', " ")
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.command(&["logs", "--no-color"]).output().expect("cannot run timeout(1)");
            explain_failure(&String::from_utf8_lossy(&logs.stdout));
        }
        _ = self.command(&["down", "--timeout", "0", "--volumes"]).output();
    }
}

/// The sample unchanged, except for the network and the interval of the health check.
fn sample() {
    ENGINE.need();
    if find_program("docker-compose").is_none() {
        skip("needs docker-compose");
    }
    let image = ENGINE.image(Image::Busybox);
    for name in ["example/web", "example/worker"] {
        ENGINE.succeed(["tag", &image, name]);
    }
    let project = Project::up();
    for service in ["web", "worker"] {
        poll(&format!("{service} is ready"), || Project::logs(service).contains("ready\n").then_some(()));
    }

    assert_eq!(Project::init("web"), "/init --stop-delay 3s --kill-after 20s -- web --port 8080");
    must_succeed(project.command(&["exec", "-T", "web", "/init", "--inspect"]));
    poll("web is healthy", || {
        (Project::inspect("web", "{{.State.Health.Status}}") == "healthy").then_some(())
    });
    // Docker runs its own init by this name, and the image's ENTRYPOINT below it.
    assert_eq!(Project::init("worker"), "/sbin/docker-init -- /init -- worker");

    let start = Instant::now();
    must_succeed(project.command(&["stop"]));
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(3), "web's stop is not delayed: {took:?}");
    for service in ["web", "worker"] {
        assert_eq!(Project::inspect(service, "{{.State.ExitCode}}"), "0", "{service}");
        assert_eq!(Project::logs(service), "ready\nstopped\n", "{service}");
    }
}
