//! The Kubernetes samples, run by `podman kube play`. Test images stand in for those that they name.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::engine::Image;
use super::pod::{ENGINE, Pod, Process, find};
use crate::support::{Suite, poll, within};

pub(super) fn tests(suite: &mut Suite) {
    suite.alone_with("engines::kubernetes_sample_of_a_shared_namespace::with_podman", (), |()| {
        // What podman waits by default; here it is told to kill at once.
        within(Duration::from_secs(3), Duration::from_secs(10), shared_namespace);
    });
    suite.test_with("engines::kubernetes_sample_of_a_deployment::with_podman", (), |()| deployment());
}

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kubernetes").join(name);
    fs::read_to_string(path).expect("cannot read a sample")
}

/// Gives the test images the names that the samples use.
fn stand_in() {
    let (bare, busybox) = (ENGINE.image(Image::Bare), ENGINE.image(Image::Busybox));
    ENGINE.succeed(["tag", &bare, "localhost/sexton:latest"]);
    ENGINE.succeed(["tag", &busybox, "localhost/example/web:latest", "localhost/example/sidecar:latest"]);
}

fn wait_until_ready(pod: &Pod, container: &str) {
    poll(&format!("{container} is ready"), || pod.logs(container).contains("ready\n").then_some(()));
}

/// The sample unchanged. Returns how long the stop took.
fn shared_namespace() -> Duration {
    stand_in();
    let pod = Pod::play("shared-namespace", &sample("shared-namespace.yaml"));
    for container in ["web", "sidecar"] {
        wait_until_ready(&pod, container);
    }
    for container in ["web", "sidecar"] {
        let first = pod.ps(container).swap_remove(0);
        assert_eq!((&*first.pid, &*first.command_line), ("1", "/pause"));
        for init in ["/init -- web --port 8080", "/init --leftovers kill -- sidecar"] {
            poll(&format!("the orphan below {init}"), || {
                let processes = pod.ps(container);
                let init = find(&processes, init)?;
                let is_orphan =
                    |process: &Process| process.parent == init.pid && process.command_line == "sleep 1001";
                processes.iter().any(is_orphan).then_some(())
            });
        }
    }
    // The grace period that the sample asks for; podman 4.3 does not read it there.
    pod.stop(&["--time", "0"])
}

/// The sample with one replica, and changed for podman 4.3, which maps a port although there is no network, and
/// restarts an init container that has done its work.
fn deployment() {
    stand_in();
    let sample = sample("deployment.yaml");
    let lines = sample.lines().filter(|line| !line.contains("ports:") && !line.contains("containerPort:"));
    let yaml = lines.collect::<Vec<_>>().join("\n");
    let yaml = yaml.replace("replicas: 2\n", "replicas: 1\n");
    let volumes = "      volumes:\n";
    let yaml = yaml.replacen(volumes, &format!("      restartPolicy: OnFailure\n{volumes}"), 1);
    let pod = Pod::play("web-pod-0", &yaml);
    wait_until_ready(&pod, "web");

    let processes = pod.ps("web");
    let first = "/shared/init --stop-delay 10s --kill-after 30s -- web --port 8080";
    assert_eq!((&*processes[0].pid, &*processes[0].command_line), ("1", first));
    pod.is_healthy("web");

    // The stop request is held back; after that the program has time to end by itself.
    let took = pod.stop(&["--time", "45"]);
    assert!((10..30).contains(&took.as_secs()), "the pod stopped after {took:?}");
    assert_eq!(pod.logs("web"), "ready\nstopped\n");
    let ended = pod.exit_codes();
    assert!(ended.lines().any(|line| line == "web-pod-0-web 0"), "{ended}");
}
