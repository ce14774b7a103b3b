//! A system call that hangs at its very beginning until the test lets it go (seccomp_unotify(2)). Other than in
//! `held_exec`, the process that makes it can be stopped meanwhile.
//!
//! The launcher's step [`hold`] installs the filter, and all that comes of that process has it.
#![allow(unsafe_code, reason = "no safe wrapper covers the notifications of seccomp")]

use std::fs::File;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::unistd::Pid;

use super::{Running, poll, raw, skip};

/// The launcher's step. Needs root.
pub(crate) fn hold() -> &'static str {
    if nix::unistd::geteuid().is_root() { HOLD } else { skip("needs root") }
}

pub(crate) const HOLD: &str = "hold";

/// The calls that are asked about. exec is one of them, so the init does not start before the test answers.
const CALLS: [libc::c_long; 3] = [libc::SYS_execve, libc::SYS_execveat, libc::SYS_setpgid];

/// In the launcher: installs the filter, and returns the descriptor to answer at. It is closed on exec.
pub(crate) fn install() -> nix::Result<i32> {
    let instruction =
        |code: u32, jump_if, k: u32| libc::sock_filter { code: code as u16, jt: jump_if, jf: 0, k };
    let number_of_the_call = 0;
    let mut program = vec![instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, number_of_the_call)];
    for (index, call) in CALLS.iter().enumerate() {
        let to_the_last = (CALLS.len() - index) as u8;
        program.push(instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, to_the_last, *call as u32));
    }
    program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW));
    program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_USER_NOTIF));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let (operation, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // SAFETY: the pointer is to a filter of as many instructions as it says.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) };
    Errno::result(result).map(|listener| listener as i32)
}

/// The matching calls hang as long as this lives.
pub(crate) struct HeldCall {
    shared: Arc<Shared>,
}

struct Shared {
    listener: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the call, and the PID of the process that makes it.
    held: Option<(u64, i32)>,
    released: bool,
}

impl HeldCall {
    /// Every exec of a file whose path ends so.
    pub(crate) fn exec(running: &Running, file: &str) -> HeldCall {
        let file = file.to_owned();
        HeldCall::start(running, move |call| {
            let path = match libc::c_long::from(call.data.nr) {
                libc::SYS_execve => text_at(call.pid, call.data.args[0]),
                libc::SYS_execveat => text_at(call.pid, call.data.args[1]),
                _ => None,
            };
            path.is_some_and(|path| path.ends_with(file.as_bytes()))
        })
    }

    /// setpgid(2) by anybody but the init.
    pub(crate) fn setpgid(running: &Running) -> HeldCall {
        let init = running.pid.cast_unsigned();
        HeldCall::start(running, move |call| {
            libc::c_long::from(call.data.nr) == libc::SYS_setpgid && call.pid != init
        })
    }

    fn start(running: &Running, is_held: impl Fn(&libc::seccomp_notif) -> bool + Send + 'static) -> HeldCall {
        let number = running.reported("listener ").and_then(|number| number.parse::<i32>().ok());
        let number = number.expect("the launcher took the step");
        let launcher = raw::open_pidfd(Pid::from_raw(running.pid)).expect("it waits for its exec");
        // SAFETY: pidfd_getfd takes integers.
        let listener = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_getfd, launcher, number, 0) });
        raw::close_descriptor(launcher);
        let listener = listener.unwrap_or_else(|error| skip(format!("needs root and pidfd_getfd: {error}")));
        // SAFETY: the kernel has just made it for this process.
        let listener = unsafe { OwnedFd::from_raw_fd(listener as i32) };
        let shared = Arc::new(Shared { listener, state: Mutex::default() });
        let held = HeldCall { shared: shared.clone() };
        std::thread::spawn(move || while shared.take_next(&is_held) {});
        held
    }

    /// Waits until a call is held, and returns the PID of the process that makes it.
    pub(crate) fn wait(&self) -> i32 {
        poll("somebody makes the call", || self.caller())
    }

    /// Waits until a call is held, or until nobody has to make it any more.
    pub(crate) fn wait_or(&self, needless: impl Fn() -> bool) {
        poll("somebody makes the call", || (self.caller().is_some() || needless()).then_some(()));
    }

    fn caller(&self) -> Option<i32> {
        self.shared.lock().held.map(|(_, pid)| pid)
    }
}

/// Lets it go on, and all that follow.
impl Drop for HeldCall {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.released = true;
        if let Some((id, _)) = state.held {
            self.shared.go_on(id);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// False when nobody is left who could make a call.
    fn take_next(&self, is_held: &impl Fn(&libc::seccomp_notif) -> bool) -> bool {
        let mut waited = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        if nix::poll::poll(&mut waited, PollTimeout::NONE).is_err() {
            return true;
        }
        if !waited[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN)) {
            return false;
        }
        // SAFETY: all zeros is one.
        let mut call: libc::seccomp_notif = unsafe { zeroed() };
        let (descriptor, request) = (self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV);
        // SAFETY: `call` is writable and zero.
        if unsafe { libc::ioctl(descriptor, request, &raw mut call) } < 0 {
            // It was interrupted by a signal, and is made again.
            return true;
        }
        let is_held = is_held(&call);
        let mut state = self.lock();
        if is_held && !state.released {
            state.held = Some((call.id, call.pid.cast_signed()));
        } else {
            self.go_on(call.id);
        }
        true
    }

    fn go_on(&self, id: u64) {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        let answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
        let (descriptor, request) = (self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND);
        // SAFETY: `answer` is readable. (ENOENT: a signal has interrupted it.)
        unsafe { libc::ioctl(descriptor, request, &raw const answer) };
    }
}

/// The text that ends with NUL at this address of a process.
fn text_at(pid: u32, address: u64) -> Option<Vec<u8>> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut text = Vec::new();
    loop {
        let mut byte = [0];
        memory.read_exact_at(&mut byte, address + text.len() as u64).ok()?;
        if byte == [0] {
            return Some(text);
        }
        text.push(byte[0]);
    }
}
