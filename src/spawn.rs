//! What the program is started from, and why it could not be started.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

use crate::error::Error;
use crate::exec_failure::{Attempt, ExecFailure};
use crate::plan::{Group, Plan, c_string};
use crate::signal::Signal;
use crate::sys::exec::{Failure, Image, Step};

/// Where execvp(3) of glibc looks when there is no PATH.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// The longest path that a system call takes, with its NUL (path_resolution(7)).
const PATH_MAX: usize = libc::PATH_MAX as usize;

/// Makes everything ready that the child needs.
pub fn prepare(plan: &Plan) -> Result<Image, Error> {
    if plan.config.program.is_empty() {
        return Err(Error::NoProgram);
    }
    let program = c_string(&plan.config.program)?;
    let arguments = plan.config.arguments.iter().map(|argument| c_string(argument));
    let arguments = [Ok(program.clone())].into_iter().chain(arguments).collect::<Result<_, Error>>()?;
    Ok(Image {
        candidates: candidates(program, plan.environment.get(b"PATH").unwrap_or(DEFAULT_PATH)),
        arguments,
        environment: plan.environment.clone(),
        listen_pid: plan.listen_pid,
        steps: steps(plan)?,
        mask: plan.mask,
    })
}

/// The files that the name may mean: itself where it has a slash, else one in each directory of PATH, of
/// which an empty one is the working directory (execvp(3)).
fn candidates(program: CString, path: &[u8]) -> Vec<CString> {
    if program.as_bytes().contains(&b'/') {
        return vec![program];
    }
    let in_directory = |directory: &[u8]| {
        let directory = if directory.is_empty() { b"." } else { directory };
        // Neither part has a NUL in it: both were C strings.
        CString::new([directory, b"/", program.as_bytes()].concat()).ok()
    };
    // One that is longer than any path is passed over, as glibc does: nothing can be in it.
    let directories = path.split(|byte| *byte == b':').filter(|directory| directory.len() < PATH_MAX);
    directories.filter_map(in_directory).collect()
}

/// What the child does to itself before it executes the program.
pub fn steps(plan: &Plan) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    if plan.config.embedded {
        // std ignores SIGPIPE in every Rust program, which is not meant for others.
        steps.extend([Step::DropHandlers, Step::Default(Signal::PIPE)]);
    }
    if let Group::Own { terminal } = plan.group {
        steps.push(Step::LeadGroup);
        steps.extend(terminal.map(Step::TakeTerminal));
    }
    if let Group::Session(_) = plan.group {
        steps.push(Step::LeadSession);
    }
    if plan.ignore_child_signal {
        steps.push(Step::Ignore(Signal::CHLD));
    }
    if let Some(identity) = plan.identity.as_ref().filter(|identity| !identity.is_own) {
        steps.push(Step::SetGroups(identity.groups.clone()));
        steps.push(Step::SetGroup(identity.group));
        // Last of the three: it takes away the privilege to do the others.
        steps.push(Step::SetUser(identity.user));
    }
    // As the user: where that may not go, the program could not either.
    if let Some(directory) = &plan.config.directory {
        steps.push(Step::ChangeDirectory(c_string(directory.as_os_str())?));
    }
    if plan.config.no_new_privs {
        steps.push(Step::NoNewPrivs);
    }
    Ok(steps)
}

/// Why a candidate could not be executed, found out by the child that tried, from the directory that it was started in.
#[cold]
#[inline(never)]
pub fn explain(plan: &Plan, image: &Image, candidate: usize, errno: Errno) -> ExecFailure {
    let candidates = image.candidates.iter().map(|file| as_seen_from_here(plan, file)).collect();
    let attempt = Attempt {
        program: &plan.config.program,
        path: plan.environment.get(b"PATH"),
        default_path: DEFAULT_PATH,
        candidates,
        arguments: &image.arguments,
        environment: &plan.environment,
        candidate,
        errno,
        directory: plan.config.directory.as_deref().unwrap_or(Path::new("")),
    };
    attempt.explain()
}

/// Relative paths are told of as they look from the directory that sexton was started in.
fn as_seen_from_here(plan: &Plan, file: &CString) -> CString {
    let directory = plan.config.directory.as_ref().filter(|_| !file.as_bytes().starts_with(b"/"));
    let joined =
        directory.map(|directory| [directory.as_os_str().as_bytes(), b"/", file.as_bytes()].concat());
    joined.and_then(|joined| CString::new(joined).ok()).unwrap_or_else(|| file.clone())
}

/// Why the child did not become the program.
#[cold]
#[inline(never)]
pub fn error(plan: &Plan, image: &Image, failure: Failure) -> Error {
    match failure {
        Failure::Step(index, errno) => Error::step(describe(&image.steps[index]), errno),
        Failure::Exec(errno, text) => {
            Error::Exec(Box::new(ExecFailure::decode(&plan.config.program, errno, &text)))
        }
    }
}

fn describe(step: &Step) -> String {
    match step {
        Step::LeadGroup => "give the program a process group of its own".to_owned(),
        Step::LeadSession => "give the program a session of its own".to_owned(),
        Step::TakeTerminal(_) => "hand the terminal to the program".to_owned(),
        Step::Ignore(signal) => format!("ignore {signal}"),
        Step::Default(signal) => format!("set the default action for {signal}"),
        Step::DropHandlers => "drop signal handlers".to_owned(),
        Step::SetGroups(_) => "set the program's supplementary groups".to_owned(),
        Step::SetGroup(group) => format!("run the program as group {group}"),
        Step::SetUser(user) => format!("run the program as user {user}"),
        Step::NoNewPrivs => "forbid new privileges".to_owned(),
        Step::ChangeDirectory(directory) => format!("go to {directory:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_where_execvp_looks() {
        let found = |program: &str, path: &[u8]| -> Vec<String> {
            let program = CString::new(program).unwrap();
            candidates(program, path).into_iter().map(|file| file.into_string().unwrap()).collect()
        };
        assert_eq!(found("./a", b"/bin"), ["./a"]);
        assert_eq!(found("a", b"/bin:/usr/bin"), ["/bin/a", "/usr/bin/a"]);
        assert_eq!(found("a", b":/x:"), ["./a", "/x/a", "./a"]);
        assert_eq!(found("a", b""), ["./a"]);
    }
}
