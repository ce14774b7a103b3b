//! Docker and podman, as far as these tests need them: images without a registry, and containers without a network.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::support::suite::explain_failure;
use crate::support::{Suite, TemporaryDirectory, find_program, poll, sexton_only, skip, under_test};

/// Seconds that a single command of an engine may take.
const PATIENCE: &str = "60";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Engine {
    Docker,
    Podman,
}

pub(crate) fn with_engines(suite: &mut Suite, name: &str, test: fn(Engine)) {
    for engine in [Engine::Docker, Engine::Podman] {
        suite.test_with(&format!("engines::{name}::with_{}", engine.name()), engine, test);
    }
}

/// For tests that measure time.
pub(crate) fn alone_with_engines(suite: &mut Suite, name: &str, test: fn(Engine)) {
    for engine in [Engine::Docker, Engine::Podman] {
        suite.alone_with(&format!("engines::{name}::with_{}", engine.name()), engine, test);
    }
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Engine::Docker => "docker",
            Engine::Podman => "podman",
        }
    }

    /// Skips the test if the engine is missing, does not answer, or was not set up by `.ci/engines`.
    pub(crate) fn need(self) {
        // An engine that answers may still be unable to run anything, or use another init than sexton.
        if std::env::var_os("SEXTON_ENGINES").is_none() {
            skip("needs the engines that .ci/engines sets up: .ci/engines target/release/sexton cargo test");
        }
        static ANSWERS: [OnceLock<Result<(), String>>; 2] = [const { OnceLock::new() }; 2];
        sexton_only();
        let answer = ANSWERS[self as usize].get_or_init(|| {
            find_program(self.name()).ok_or_else(|| format!("needs {}", self.name()))?;
            let format = match self {
                Engine::Docker => "{{.ServerVersion}}",
                Engine::Podman => "{{.Version.Version}}",
            };
            let output = self.output(["info", "--format", format]);
            let answers = output.status.success() && !output.stdout.trim_ascii().is_empty();
            let stderr = String::from_utf8_lossy(&output.stderr);
            answers.then_some(()).ok_or_else(|| format!("{} does not answer: {}", self.name(), stderr.trim()))
        });
        if let Err(reason) = answer {
            skip(reason);
        }
    }

    /// A command of the engine. It ends, even if the engine hangs.
    pub(crate) fn command<W: AsRef<OsStr>>(self, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", PATIENCE, self.name()]).args(words).stdin(Stdio::null());
        command
    }

    pub(crate) fn output<W: AsRef<OsStr>>(self, words: impl IntoIterator<Item = W>) -> Output {
        self.command(words).output().expect("cannot run timeout(1)")
    }

    /// The stdout of a command that must succeed.
    pub(crate) fn succeed<W: AsRef<OsStr>>(self, words: impl IntoIterator<Item = W>) -> String {
        must_succeed(self.command(words))
    }

    /// Makes the image unless it exists. Returns its tag.
    pub(crate) fn image(self, image: Image) -> String {
        static MADE: Mutex<BTreeSet<(Engine, Image)>> = Mutex::new(BTreeSet::new());
        self.need();
        let busybox = (image == Image::Busybox).then(static_busybox);
        let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let tag = image.tag();
        if made.contains(&(self, image)) || self.output(["image", "inspect", &tag]).status.success() {
            return tag;
        }
        let (directory, archive) = (TemporaryDirectory::new(), TemporaryDirectory::new());
        let init = directory.join(image.init());
        fs::copy(under_test().path(), init).expect("cannot copy the init");
        if let Some(busybox) = busybox {
            install_busybox(&directory, &busybox);
        }
        let archive = archive.join("image.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(directory.path()).args(["--owner=0", "--group=0", "-cf"]).arg(&archive).arg(".");
        must_succeed(tar);
        let archive = archive.to_str().expect("the path is not UTF-8");
        self.succeed(["import", "--change", image.entrypoint(), archive, &tag]);
        made.insert((self, image));
        tag
    }
}

pub(crate) fn must_succeed(mut command: Command) -> String {
    let output = command.output().expect("cannot run the command");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What an image holds. None is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Image {
    /// `/init` and nothing else.
    Bare,
    /// `/init` and the applets of busybox.
    Busybox,
    /// `/pause` and nothing else.
    Pause,
}

impl Image {
    fn init(self) -> &'static str {
        match self {
            Image::Bare | Image::Busybox => "init",
            Image::Pause => "pause",
        }
    }

    fn entrypoint(self) -> &'static str {
        match self {
            Image::Bare | Image::Busybox => r#"ENTRYPOINT ["/init","--"]"#,
            Image::Pause => r#"ENTRYPOINT ["/pause"]"#,
        }
    }

    /// The tag depends on the build under test, so each build has its own images.
    fn tag(self) -> String {
        let mut hasher = DefaultHasher::new();
        fs::read(under_test().path()).expect("cannot read the init").hash(&mut hasher);
        format!("localhost/sexton-test-{}:{:016x}", format!("{self:?}").to_lowercase(), hasher.finish())
    }
}

/// A busybox that runs in an image without a libc.
fn static_busybox() -> Vec<u8> {
    let busybox = find_program("busybox").and_then(|path| fs::read(path).ok());
    let interpreter = b"/lib64/ld-linux";
    busybox
        .filter(|bytes| !bytes.windows(interpreter.len()).any(|window| window == interpreter))
        .unwrap_or_else(|| skip("needs a static busybox (Debian: busybox-static)"))
}

/// Stands in for the samples' programs. It leaves an orphan.
const SERVER: &str = "#!/bin/sh
trap 'echo stopped; exit 0' TERM
(exec sleep 1001 &)
echo ready
while :; do sleep 1002 & wait; done
";

fn install_busybox(directory: &TemporaryDirectory, busybox: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    let bin = directory.join("bin");
    fs::create_dir(&bin).expect("cannot make a directory");
    fs::write(bin.join("busybox"), busybox).expect("cannot write busybox");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(bin.join("busybox"), executable).expect("cannot make it executable");
    for server in ["web", "sidecar", "worker"] {
        fs::write(bin.join(server), SERVER).expect("cannot write a server");
        fs::set_permissions(bin.join(server), fs::Permissions::from_mode(0o755))
            .expect("cannot make it executable");
    }
    for applet in ["cat", "id", "kill", "ps", "sh", "sleep", "true", "touch"] {
        symlink("busybox", bin.join(applet)).expect("cannot make a link");
    }
}

/// A container, removed when this is dropped.
pub(crate) struct Container {
    engine: Engine,
    pub(crate) name: String,
    image: String,
}

impl Container {
    pub(crate) fn new(engine: Engine, image: Image) -> Container {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sexton-test-{}-{number}", std::process::id());
        Container { engine, name, image: engine.image(image) }
    }

    /// The words of a `run` command, without the engine's name.
    pub(crate) fn run_words<'a>(&'a self, options: &[&'a str], words: &[&'a str]) -> Vec<&'a str> {
        let own = ["run", "--name", &self.name, "--network", "none", "--pull", "never"];
        [&own[..], options, &[self.image.as_str()], words].concat()
    }

    /// Runs it in the foreground until it ends.
    pub(crate) fn run(&self, options: &[&str], words: &[&str]) -> Ran {
        let words = self.run_words(options, words);
        let output = self.engine.output(&words);
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: words.join(" "),
        }
    }

    /// Starts it in the background, and waits until it prints `ready`.
    pub(crate) fn start(self, options: &[&str], words: &[&str]) -> Container {
        self.engine.succeed(self.run_words(&[&["--detach"], options].concat(), words));
        self.expect("ready\n");
        self
    }

    pub(crate) fn logs(&self) -> String {
        let output = self.engine.output(["logs", &self.name]);
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    pub(crate) fn expect(&self, text: &str) {
        poll(&format!("{text:?} in the logs of {}", self.name), || self.logs().contains(text).then_some(()));
    }

    /// Waits until it has ended.
    pub(crate) fn exit_code(&self) -> i32 {
        let format = "{{.State.Status}} {{.State.ExitCode}}";
        poll(&format!("{} has ended", self.name), || {
            let state = self.engine.succeed(["inspect", "--format", format, &self.name]);
            state.trim().strip_prefix("exited ")?.parse().ok()
        })
    }

    pub(crate) fn exec(&self, words: &[&str]) -> Output {
        self.engine.output([&["exec", &self.name], words].concat())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut text = format!("{} {}:\n", self.engine.name(), self.name);
            for words in [&["logs", &self.name][..], &["top", &self.name]] {
                let output = self.engine.output(words);
                _ = write!(text, "{words:?} {}", String::from_utf8_lossy(&output.stdout));
                _ = write!(text, "{}", String::from_utf8_lossy(&output.stderr));
            }
            explain_failure(&text);
        }
        self.engine.output(["rm", "--force", "--volumes", &self.name]);
    }
}

/// What came of a container that ran in the foreground.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    command: String,
}

impl Ran {
    pub(crate) fn assert(&self, code: i32, stdout: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (Some(code), stdout),
            "{}\n{}",
            self.command,
            self.stderr
        );
    }
}
