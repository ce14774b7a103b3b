//! Real programs as people run them, below sexton as PID 1 and as a subreaper. What is not installed is skipped.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use crate::support::{
    Ending, Init, Mode, Running, Suite, TemporaryDirectory, deadline, find_program, poll, process, skip,
};

pub(crate) fn tests(suite: &mut Suite) {
    let reaping = Mode::REAPING;
    suite.in_modes("real_programs::s1_nginx_reloads_on_sighup", reaping, nginx_reloads);
    suite.in_modes("real_programs::s6_nginx_finishes_a_slow_request", reaping, nginx_finishes_a_request);
    suite.in_modes("real_programs::s1_redis_saves_on_sigterm", reaping, redis_saves);
    suite.in_modes("real_programs::s1_bash_entrypoint_with_jobs", reaping, bash_entrypoint);
    suite.in_modes("real_programs::r1_bash_entrypoint_leaves_no_zombies", reaping, bash_leaves_no_zombies);
    suite.in_modes("real_programs::e1_python_multiprocessing_pool", reaping, python_pool);
    suite.in_modes("real_programs::s1_sigterm_ends_a_python_pool", reaping, sigterm_ends_a_python_pool);
}

fn installed(name: &str) -> PathBuf {
    find_program(name).unwrap_or_else(|| skip(format!("needs {name}")))
}

/// nginx on a socket in a directory of its own, with the test as its slow upstream.
struct Nginx {
    directory: TemporaryDirectory,
    upstream: UnixListener,
}

impl Nginx {
    fn new() -> Nginx {
        let directory = TemporaryDirectory::new();
        let place = directory.path().display().to_string();
        let upstream = UnixListener::bind(directory.join("upstream")).expect("cannot listen");
        let configuration = format!(
            "daemon off; worker_processes 2; pid {place}/nginx.pid; error_log {place}/error.log;
             user root;
             events {{ worker_connections 64; }}
             http {{
                 access_log off;
                 client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
                 fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
                 server {{
                     listen unix:{place}/http;
                     location / {{ return 200 'hello'; }}
                     location /slow {{ proxy_pass http://unix:{place}/upstream:/; }}
                 }}
             }}"
        );
        // For an ordinary user nginx warns of `user`, and a CI may fail on warnings.
        let root = nix::unistd::geteuid().is_root();
        let configuration = if root { configuration } else { configuration.replace("user root;", "") };
        directory.write("nginx.conf", &configuration);
        Nginx { directory, upstream }
    }

    fn start(&self, init: Init) -> Running {
        let running = init
            .program(installed("nginx"))
            .args(["-p".into(), self.directory.path().as_os_str().to_owned()])
            .args(["-e".into(), self.directory.join("error.log").into_os_string()])
            .args(["-c".into(), self.directory.join("nginx.conf").into_os_string()])
            .spawn();
        poll("nginx answers", || (self.get("/").ok()?.ends_with("hello")).then_some(()));
        running
    }

    fn connect(&self, path: &str) -> std::io::Result<UnixStream> {
        let mut stream = UnixStream::connect(self.directory.join("http"))?;
        stream.set_read_timeout(Some(deadline()))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n")?;
        Ok(stream)
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut answer = String::new();
        self.connect(path)?.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// The master, and its workers that are not zombies.
fn nginx_processes(running: &Running) -> (i32, Vec<i32>) {
    let children = process::children(running.pid);
    let master = children.first().map_or(0, |child| child.pid);
    let workers = process::children(master).into_iter().filter(|worker| !worker.is_zombie());
    (master, workers.map(|worker| worker.pid).collect())
}

fn nginx_reloads(mode: Mode) {
    installed("nginx");
    let nginx = Nginx::new();
    let mut running = nginx.start(Init::new(mode));
    let (master, old) =
        poll("there are two workers", || Some(nginx_processes(&running)).filter(|(_, all)| all.len() == 2));
    running.signal(1);
    poll("there are new workers, and the old ones are gone", || {
        let (now, workers) = nginx_processes(&running);
        assert_eq!(now, master, "the master lives on");
        (workers.len() == 2 && workers.iter().all(|worker| !old.contains(worker))).then_some(())
    });
    assert!(nginx.get("/").expect("nginx answers after the reload").ends_with("hello"));
    running.signal(15);
    assert_eq!(running.wait(), Ending::Exited(0));
}

/// `--rewrite TERM:QUIT` makes the usual stop signal nginx's graceful one.
fn nginx_finishes_a_request(mode: Mode) {
    installed("nginx");
    let nginx = Nginx::new();
    let mut running = nginx.start(Init::new(mode).options(["--rewrite", "TERM:QUIT"]));
    let (request_seen, seen) = mpsc::channel();
    let (answer, answer_now) = mpsc::channel::<()>();
    let upstream = nginx.upstream.try_clone().expect("cannot duplicate a descriptor");
    let slow = std::thread::spawn(move || {
        let (mut request, _) = upstream.accept().expect("nginx connects");
        let mut first = String::new();
        let clone = request.try_clone().expect("cannot duplicate a descriptor");
        BufReader::new(clone).read_line(&mut first).expect("nginx sends a request");
        request_seen.send(()).expect("the test waits");
        answer_now.recv_timeout(deadline()).expect("the test says when");
        request.write_all(b"HTTP/1.0 200 OK\r\n\r\nslow but complete").expect("nginx waits");
    });
    let mut client = nginx.connect("/slow").expect("nginx listens");
    seen.recv_timeout(deadline()).expect("the request reaches the upstream");
    running.signal(15);
    poll("nginx no longer listens", || nginx.connect("/").is_err().then_some(()));
    assert!(running.is_running(), "a request is in flight");
    answer.send(()).expect("the upstream waits");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an answer comes");
    assert!(text.ends_with("slow but complete"), "the request was cut off: {text:?}");
    assert_eq!(running.wait(), Ending::Exited(0));
    slow.join().expect("the upstream ends well");
}

/// Sends a command, and returns the first line of the answer.
fn redis(socket: &Path, command: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(deadline()))?;
    writeln!(stream, "{command}\r")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

fn redis_saves(mode: Mode) {
    let server = installed("redis-server");
    let directory = TemporaryDirectory::new();
    let socket = directory.join("socket");
    let mut running = Init::new(mode)
        .program(server)
        .args(["--port", "0", "--save", "3600 1", "--daemonize", "no"])
        .args(["--unixsocket".into(), socket.clone().into_os_string()])
        .args(["--dir".into(), directory.path().as_os_str().to_owned()])
        .spawn();
    poll("redis answers", || redis(&socket, "PING").ok().filter(|answer| answer == "+PONG"));
    assert_eq!(redis(&socket, "SET grave sexton").ok().as_deref(), Some("+OK"));
    running.signal(15);
    assert_eq!(running.wait(), Ending::Exited(0));
    let dump = std::fs::read(directory.join("dump.rdb")).expect("redis has saved");
    assert!(dump.windows(6).any(|bytes| bytes == b"sexton"), "the key is in the dump");
}

const ENTRYPOINT: &str = r#"#!/bin/bash
set -u
stop() { echo stopping; kill "$worker"; wait "$worker"; echo "worker $?"; exit 5; }
trap stop TERM
sleep 1000 & worker=$!
(sleep 0.1; (true &); true) &
for n in 1 2 3; do (true & true &) & done
echo ready $$
while :; do wait "$worker"; done
"#;

fn bash_script(directory: &TemporaryDirectory, mode: Mode) -> Running {
    installed("bash");
    let script = directory.script("entrypoint.sh", ENTRYPOINT);
    let mut running = Init::new(mode).program(script).spawn();
    running.ready();
    running
}

fn bash_entrypoint(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let mut running = bash_script(&directory, mode);
    running.signal(15);
    assert_eq!(running.next_line().text, "stopping");
    assert_eq!(running.next_line().text, "worker 143");
    assert_eq!(running.wait(), Ending::Exited(5));
}

fn bash_leaves_no_zombies(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let running = bash_script(&directory, mode);
    poll("the script and its worker are all that is left", || {
        let names: Vec<_> =
            process::descendants(running.pid).into_iter().map(|process| process.name).collect();
        (names == ["entrypoint.sh", "sleep"]).then_some(())
    });
}

const POOL: &str = "
import multiprocessing, os, sys, time

def square(number):
    return number * number

def sleep(number):
    os.write(1, b'busy\\n')
    time.sleep(1000)

if __name__ == '__main__':
    multiprocessing.set_start_method(sys.argv[1])
    with multiprocessing.Pool(3) as pool:
        print(sum(pool.map(square, range(1000))), flush=True)
        if sys.argv[2] == 'sleep':
            pool.map(sleep, range(3), chunksize=1)
    sys.exit(6)
";

/// The system's own python3, not a version manager's wrapper, which starts many processes.
fn python(init: Init, directory: &TemporaryDirectory, words: [&str; 2]) -> Running {
    let python = Some(PathBuf::from("/usr/bin/python3")).filter(|path| path.is_file());
    let python = python.unwrap_or_else(|| installed("python3"));
    let script = directory.write("pool.py", POOL);
    init.program(python).args([script]).args(words).spawn()
}

fn python_pool(mode: Mode) {
    let directory = TemporaryDirectory::new();
    for method in ["fork", "spawn", "forkserver"] {
        let finished = python(Init::new(mode), &directory, [method, "end"]).finish();
        assert_eq!(finished.stdout, "332833500\n", "{method}");
        assert_eq!(finished.ending, Ending::Exited(6), "{method}");
    }
}

/// Python has no handler for SIGTERM, which kills the program and leaves its workers to the init.
fn sigterm_ends_a_python_pool(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let mut running = python(Init::new(mode), &directory, ["fork", "sleep"]);
    assert_eq!(running.next_line().text, "332833500");
    for _ in 0..3 {
        assert_eq!(running.next_line().text, "busy");
    }
    running.signal(15);
    assert_eq!(running.wait(), Ending::Exited(143));
    if mode.is_pid1() {
        assert!(running.stdout.ends_within(deadline()), "a worker is left and holds stdout");
    }
}
