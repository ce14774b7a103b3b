//! A pod whose containers share a PID namespace, with sexton as its pause container.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use super::engine::{Engine, Image};
use crate::support::suite::explain_failure;
use crate::support::{Suite, TemporaryDirectory, poll, within};

pub(super) const ENGINE: Engine = Engine::Podman;

pub(crate) fn tests(suite: &mut Suite) {
    suite.alone_with("engines::pod_with_a_shared_pid_namespace::with_podman", (), |()| {
        // podman kills after the pod's grace.
        within(Duration::from_secs(3), Duration::from_secs(10), shared_namespace);
    });
}

/// A pod, removed when this is dropped.
pub(super) struct Pod {
    pub(super) name: String,
    /// Holds the containers.conf that names the pause image.
    directory: TemporaryDirectory,
}

impl Pod {
    /// Starts the pod of this name in `yaml`.
    pub(super) fn play(name: &str, yaml: &str) -> Pod {
        let pause = ENGINE.image(Image::Pause);
        let pod = Pod { name: name.to_owned(), directory: TemporaryDirectory::new() };
        pod.directory.write("containers.conf", &configuration(&pause));
        let yaml = pod.directory.write("pod.yaml", yaml);
        pod.podman(&["kube", "play", "--network", "none", yaml.to_str().expect("the path is not UTF-8")]);
        pod
    }

    pub(super) fn podman(&self, words: &[&str]) -> String {
        let mut command = ENGINE.command(words);
        command.env("CONTAINERS_CONF", self.directory.join("containers.conf"));
        let output = command.output().expect("cannot run timeout(1)");
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn full_name(&self, container: &str) -> String {
        format!("{}-{container}", self.name)
    }

    pub(super) fn exec(&self, container: &str, words: &[&str]) -> String {
        self.podman(&[&["exec", &self.full_name(container)], words].concat())
    }

    pub(super) fn logs(&self, container: &str) -> String {
        self.podman(&["logs", &self.full_name(container)])
    }

    /// Waits until the probe succeeds. A single failure does not count: kubelets wait for three.
    pub(super) fn is_healthy(&self, container: &str) {
        let name = self.full_name(container);
        let healthy = || ENGINE.output(["healthcheck", "run", &name]).status.success();
        poll("the probe succeeds", || healthy().then_some(()));
    }

    /// The processes that a container sees.
    pub(super) fn ps(&self, container: &str) -> Vec<Process> {
        let text = self.exec(container, &["/bin/ps", "-o", "pid,ppid,args"]);
        let process = |line: &str| {
            let mut words = line.split_whitespace();
            let (pid, parent) = (words.next()?.to_owned(), words.next()?.to_owned());
            Some(Process { pid, parent, command_line: words.collect::<Vec<_>>().join(" ") })
        };
        text.lines().skip(1).filter_map(process).collect()
    }

    /// Stops it. Returns how long that took.
    pub(super) fn stop(&self, options: &[&str]) -> Duration {
        let start = Instant::now();
        self.podman(&[&["pod", "stop"], options, &[&self.name]].concat());
        start.elapsed()
    }

    /// A line `NAME CODE` for each container.
    pub(super) fn exit_codes(&self) -> String {
        let filter = format!("pod={}", self.name);
        self.podman(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}} {{.ExitCode}}"])
    }
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) pid: String,
    pub(super) parent: String,
    pub(super) command_line: String,
}

pub(super) fn find<'a>(processes: &'a [Process], command_line: &str) -> Option<&'a Process> {
    processes.iter().find(|process| process.command_line == command_line)
}

impl Drop for Pod {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut text = String::new();
            for words in [&["pod", "top", &self.name][..], &["ps", "--all", "--pod"]] {
                let output = ENGINE.output(words);
                _ = write!(text, "podman {words:?}: {}", String::from_utf8_lossy(&output.stdout));
            }
            explain_failure(&text);
        }
        ENGINE.output(["pod", "rm", "--force", "--time", "0", &self.name]);
    }
}

/// The caller's configuration, with this pause image.
fn configuration(pause: &str) -> String {
    let path = std::env::var_os("CONTAINERS_CONF");
    let text = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let (engine, lines) = ("[engine]\n", format!("infra_image = \"{pause}\"\n"));
    match text.split_once(engine) {
        Some((before, after)) => format!("{before}{engine}{lines}{after}"),
        None => format!("{text}\n{engine}{lines}"),
    }
}

/// Pause adopts the orphan: in `two` because there is no other init, in `one` because an exec'ed process does not
/// descend from the container's init.
fn pause_reaps_an_orphan_of(pod: &Pod, container: &str) {
    pod.exec(container, &["/bin/sh", "-c", "(exec sleep 1003 &)"]);
    let orphan = poll("pause adopts the orphan", || {
        let orphan = find(&pod.ps(container), "sleep 1003")?.clone();
        (orphan.parent == "1").then_some(orphan.pid)
    });
    pod.exec(container, &["/bin/kill", &orphan]);
    poll("pause reaps the orphan", || {
        (!pod.ps(container).iter().any(|process| process.pid == orphan)).then_some(())
    });
}

/// Returns how long the stop took.
fn shared_namespace() -> Duration {
    let image = ENGINE.image(Image::Busybox);
    let name = format!("sexton-test-pod-{}", std::process::id());
    // `one` runs under sexton, `two` has no init of its own.
    let yaml = format!(
        r#"apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 10
  containers:
    - name: one
      image: {image}
      imagePullPolicy: Never
      command: ["/init", "--", "/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 1001 & wait; done"]
    - name: two
      image: {image}
      imagePullPolicy: Never
      command: ["/bin/sh", "-c", "trap 'exit 4' TERM; while :; do sleep 1002 & wait; done"]
"#
    );
    let pod = Pod::play(&name, &yaml);
    for container in ["one", "two"] {
        let processes = poll("both containers run", || {
            let processes = pod.ps(container);
            find(&processes, "sleep 1001")?;
            find(&processes, "sleep 1002")?;
            Some(processes)
        });
        let first = &processes[0];
        assert_eq!((&*first.pid, &*first.parent, &*first.command_line), ("1", "0", "/pause"));
    }
    for container in ["one", "two"] {
        pause_reaps_an_orphan_of(&pod, container);
    }
    // No zombie is left anywhere.
    pod.exec("one", &["/init", "--inspect"]);

    let took = pod.stop(&[]);
    let ended = pod.exit_codes();
    // podman 4.3 stops all three at the same time, and when pause, PID 1, ends, the kernel kills the rest. So in 4
    // of 8 runs a container is killed before it has stopped by itself, and in 5 of 8 with podman's own pause
    // (catatonit -P). A pause that waited for the others would not stop at once, and the original does.
    let ended_with = |name: &str, codes: &[&str]| {
        let suffixes = codes.iter().map(|code| format!("-{name} {code}"));
        suffixes.into_iter().any(|suffix| ended.lines().any(|line| line.ends_with(&suffix)))
    };
    let all =
        ended_with("infra", &["0"]) && ended_with("one", &["3", "137"]) && ended_with("two", &["4", "137"]);
    assert!(all, "{ended}");
    took
}
