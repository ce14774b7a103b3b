//! A web server that may be PID 1: `sexton::become_init()` is the first line of `main`, before the runtime starts
//! its threads. It answers every request with its PID. On SIGTERM (signal-hook) it answers the requests in flight, and
//! ends with 0.
//!
//! ```text
//! cargo build --example web_server
//! sudo unshare --pid --fork --mount-proc --kill-child target/debug/examples/web_server 127.0.0.1:8080 &
//! curl http://127.0.0.1:8080/         # "PID 2 answers": PID 1 stayed behind as the init
//! ```
//!
//! What to watch: `kill -TERM` of PID 1 ends the server gracefully, orphans do not stay as zombies, and the exit status
//! is the server's.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use signal_hook::consts::SIGTERM;
use signal_hook::low_level::pipe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;

fn main() -> ExitCode {
    if let Err(error) = sexton::become_init() {
        eprintln!("cannot leave PID 1 to an init: {error}");
        return ExitCode::FAILURE;
    }
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(serve(&address)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &io::Error) -> ExitCode {
    eprintln!("web_server: {error}");
    ExitCode::FAILURE
}

async fn serve(address: &str) -> io::Result<()> {
    // The handler writes a byte, which the runtime can wait for.
    let (mut stop, handlers_end) = UnixStream::pair()?;
    pipe::register(SIGTERM, handlers_end.into_std()?)?;
    let listener = TcpListener::bind(address).await?;
    println!("ready {} {}", std::process::id(), listener.local_addr()?);
    // Each request holds a sender. When all senders are gone, all requests are answered.
    let (in_flight, mut all_answered) = mpsc::channel::<()>(1);
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let in_flight = in_flight.clone();
            tokio::spawn(async move {
                let _in_flight = in_flight;
                answer(stream).await
            });
        }
    });
    stop.read_u8().await?;
    println!("stopping");
    accepting.abort();
    all_answered.recv().await;
    println!("done");
    Ok(())
}

/// Answers one request, for `/slow` after 300 ms.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = [0; 1024];
    let length = stream.read(&mut request).await?;
    if request[..length].starts_with(b"GET /slow") {
        println!("slow request");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let body = format!("PID {} answers\n", std::process::id());
    let head = format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}
