//! The library: sexton as part of another program, here of the examples `web_server` and `launch`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use sexton::{Ending, Error, Launcher};

use crate::support::output::Output;
use crate::support::{self, Init, Mode, Suite, deadline, poll, probe, process, raw, skip};

pub(crate) fn tests(suite: &mut Suite) {
    suite.test("library::a_program_that_is_not_pid_1_stays_as_it_is", not_pid_1);
    suite.test("library::a_server_that_is_pid_1_ends_gracefully", server_as_pid_1);
    suite.test("library::orphans_of_a_server_that_is_pid_1_are_reaped", orphans_of_a_server);
    suite.test("library::a_launcher_tells_how_the_program_ended", launcher_tells);
    suite.test("library::a_launchers_program_has_default_signal_actions", launched_world);
    suite.test("library::a_hosts_handlers_are_its_own_alone", handlers_of_a_host);
    suite.test("library::a_run_leaves_the_process_as_it_was", host_is_as_before);
    suite.test("library::sockets_are_handed_on_when_pid_1_becomes_an_init", sockets);
    suite.test("library::several_threads_are_refused", several_threads);
    suite.test("library::a_filter_that_refuses_unshare_is_no_hindrance", filtered);
}

/// The web server and its output.
struct Server {
    child: Child,
    output: Output,
    lines: usize,
}

impl Server {
    fn start(command: &mut Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("cannot start the server");
        let output = Output::of(child.stdout.take().expect("its stdout is a pipe"));
        Server { child, output, lines: 0 }
    }

    fn as_pid_1() -> Server {
        if !nix::unistd::geteuid().is_root() {
            skip("making a PID namespace needs root");
        }
        let words = ["--pid", "--fork", "--mount-proc", "--kill-child", "--"];
        let server =
            Server::start(Command::new("unshare").args(words).arg(probe("web_server")).arg("127.0.0.1:0"));
        server.output.line(0, deadline()).expect("the server prints that it is ready");
        server
    }

    fn line(&mut self) -> String {
        let line = self.output.line(self.lines, deadline()).expect("the server prints another line");
        self.lines += 1;
        line.text
    }

    /// PID 1 of the namespace, as the test sees it.
    fn init(&self) -> i32 {
        poll("the namespace has an init", || {
            process::children(self.child.id().cast_signed()).first().map(|child| child.pid)
        })
    }

    fn wait(&mut self) -> Option<i32> {
        poll("the server ends", || self.child.try_wait().expect("cannot wait for the server")).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The PID that the server sees itself as, and its address.
fn ready(server: &mut Server) -> (String, String) {
    let line = server.line();
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "ready", "{line}");
    (words[1].to_owned(), words[2].to_owned())
}

fn not_pid_1() {
    let mut server = Server::start(Command::new(probe("web_server")).arg("127.0.0.1:0"));
    let (pid, _) = ready(&mut server);
    assert_eq!(pid, server.child.id().to_string());
    raw::kill(server.child.id().cast_signed(), 15).expect("cannot send SIGTERM");
    assert_eq!(server.wait(), Some(0));
}

fn server_as_pid_1() {
    let mut server = Server::as_pid_1();
    let (pid, address) = ready(&mut server);
    assert_ne!(pid, "1", "the server has left PID 1 to its init");
    let mut request = TcpStream::connect(address).expect("cannot connect");
    request.set_read_timeout(Some(deadline())).expect("cannot set a deadline");
    request.write_all(b"GET /slow HTTP/1.0\r\n\r\n").expect("cannot send a request");
    assert_eq!(server.line(), "slow request");
    raw::kill(server.init(), 15).expect("cannot send SIGTERM");
    assert_eq!(server.line(), "stopping");
    let mut answer = String::new();
    request.read_to_string(&mut answer).expect("the request in flight is answered");
    assert!(answer.ends_with(&format!("PID {pid} answers\n")), "{answer}");
    assert_eq!(server.line(), "done");
    assert_eq!(server.wait(), Some(0));
}

fn orphans_of_a_server() {
    let mut server = Server::as_pid_1();
    ready(&mut server);
    let init = server.init();
    let made = Command::new("nsenter")
        .args(["--target", &init.to_string(), "--pid", "--mount", "--", "sh", "-c", "sleep 0.3 &"])
        .status()
        .expect("cannot enter the namespace");
    assert!(made.success());
    let names = || process::children(init).iter().map(|child| child.name.clone()).collect::<Vec<_>>();
    poll("the orphan is adopted or gone", || (names().len() <= 2).then_some(()));
    poll("only the server is left", || {
        (names().len() == 1 && !process::children(init)[0].is_zombie()).then_some(())
    });
}

fn launch(words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(probe("launch")).args(words).output().expect("cannot start the launcher");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn launcher_tells() {
    let (code, told) = launch(&["sh", "-c", "sleep 100 & exit 3"]);
    assert_eq!(code, Some(3));
    assert!(told.contains("exited with 3; 1 orphans were reaped"), "{told}");
    let (code, told) = launch(&["sh", "-c", "kill -KILL $$"]);
    assert_eq!(code, Some(137));
    assert!(told.contains("SIGKILL"), "{told}");
    let (code, told) = launch(&["no-such-program-anywhere"]);
    assert_eq!(code, Some(127));
    assert!(told.contains("not started"), "{told}");
}

fn launched_world() {
    let (code, told) = launch(&["grep", "SigIgn", "/proc/self/status"]);
    assert_eq!(code, Some(0));
    let ignored = told.lines().next().and_then(|line| line.strip_prefix("SigIgn:\t")).expect("the line");
    let ignored = u64::from_str_radix(ignored, 16).expect("a mask");
    // The launcher's Rust runtime ignores it. (The harness's posix_spawn(3) may leave glibc's own 32 and 33 ignored.)
    assert_eq!(ignored & raw::bit(nix::libc::SIGPIPE), 0, "{told}");
    let (_, told) = launch(&["sh", "-c", "echo $LAUNCHED"]);
    assert!(told.starts_with("yes\n"), "{told}");
}

/// As under Docker's seccomp profile.
fn filtered() {
    let launch = || Init::new(Mode::Child).instead([probe("launch")]).without_separator();
    let finished = launch().world("no-unshare").shell("exit 3").run();
    assert_eq!(finished.ending, support::Ending::Exited(3));
}

/// Socket activation, as in sd_listen_fds(3).
fn sockets() {
    let init = Init::new(Mode::Pid1).instead([probe("show_world")]).without_separator();
    let init = init.env("LISTEN_PID", "1").env("LISTEN_FDS", "1").env("LISTEN_PIDFDID", "77");
    let finished = init.args(["--become-init"]).run();
    let world: serde_json::Value = serde_json::from_str(&finished.stdout).expect("it is JSON");
    assert_ne!(world["pid"], 1, "{world}");
    assert_eq!(world["environment"]["LISTEN_PID"], world["pid"].to_string());
    assert_eq!(world["environment"]["LISTEN_PIDFDID"], serde_json::Value::Null);
}

fn several_threads() {
    // This thread is one; the harness's main thread is another.
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || held.recv());
    let result = Launcher::new("true").run();
    drop(hold);
    other.join().expect("the other thread waits").expect_err("nothing was sent");
    assert_eq!(result.map(|outcome| outcome.ending), Err::<Ending, _>(Error::SeveralThreads));
}

/// The example `job_on_signal`. Its handlers catch what comes before and after a run. They neither catch what comes during
/// the run, nor run in the job's process before its exec, where they would write to the host's memory and descriptors.
fn handlers_of_a_host() {
    let mut host = Server::start(
        Command::new(probe("job_on_signal")).arg(probe("print_signals")).args(["--until", "1"]),
    );
    let pid = host.child.id().cast_signed();
    assert_eq!(host.line(), format!("ready {pid}"));
    for _ in 0..2 {
        raw::kill(pid, 10).expect("cannot send SIGUSR1");
        assert_eq!(host.line(), "got SIGUSR1");
        assert!(host.line().starts_with("ready "), "the job is ready");
        raw::kill(pid, 10).expect("cannot send SIGUSR1");
        let (line, sender) = (host.line(), format!("pid {pid} "));
        assert!(line.starts_with("signal 10 ") && line.contains(&sender), "{line}");
        assert_eq!(host.line(), "the job exited with 0");
    }
    raw::kill(pid, 15).expect("cannot send SIGTERM");
    assert_eq!(host.line(), "got SIGTERM");
    assert_eq!(host.wait(), Some(0));

    // The search along 60,000 missing directories leaves time to meet the job's process before its exec.
    let path = format!("{}/bin:/usr/bin", "-:".repeat(60_000));
    let mut host =
        Server::start(Command::new(probe("job_on_signal")).args(["sleep", "100"]).env("PATH", path));
    let pid = host.child.id().cast_signed();
    assert_eq!(host.line(), format!("ready {pid}"));
    raw::kill(pid, 10).expect("cannot send SIGUSR1");
    assert_eq!(host.line(), "got SIGUSR1");
    let job = poll("the job has a process", || process::listed_children(pid).first().copied());
    raw::kill(job, 10).expect("cannot send SIGUSR1");
    assert_eq!(host.line(), "the job was ended by SIGUSR1");
    raw::kill(pid, 15).expect("cannot send SIGTERM");
    assert_eq!(host.line(), "got SIGTERM");
    assert_eq!(host.wait(), Some(0));
}

/// The first argument that makes this program a host of runs, before it has a second thread.
pub(crate) const HOST: &str = "--host";

/// What a run changes while it lasts: mask, dispositions, subreaper, parent death signal, directory, descriptors.
fn own_state() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("cannot read the status");
    let signals = status.lines().filter(|line| line.starts_with("Sig") && !line.starts_with("SigQ"));
    let signals: Vec<&str> = signals.collect();
    let subreaper = nix::sys::prctl::get_child_subreaper();
    let death = nix::sys::prctl::get_pdeathsig();
    let directory = std::env::current_dir();
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("cannot list descriptors").count();
    format!("{signals:?} {subreaper:?} {death:?} {directory:?} {descriptors}")
}

/// Runs programs, one that cannot be started among them, and says how the process has changed.
pub(crate) fn host() {
    raw::set_mask(raw::bit(nix::libc::SIGUSR2)).expect("cannot set the mask");
    raw::set_disposition(nix::libc::SIGCHLD, raw::Disposition::Ignore).expect("cannot ignore SIGCHLD");
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGWINCH).expect("cannot set the signal");
    let before = own_state();
    for (program, code) in [("true", Ok(0)), ("no-such-program-anywhere", Err(127)), ("false", Ok(1))] {
        let launcher = Launcher::new(program).parent_death_signal(sexton::Signal::TERM);
        let result = launcher.run().map(|outcome| outcome.exit_code()).map_err(|error| error.exit_code());
        assert_eq!(result, code, "{program}");
        assert_eq!(own_state(), before, "after {program}");
    }
    println!("as before");
}

fn host_is_as_before() {
    let myself = std::env::current_exe().expect("this program has a path");
    let output = Command::new(myself).arg(HOST).output().expect("cannot start the host");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "as before\n", "{output:?}");
}
