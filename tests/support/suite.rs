//! The list of tests, and how a test is run, skipped and reported.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::RwLock;

use libtest2_mimic::{RunContext, RunError, Trial};

use super::comparison;
use super::init::Mode;
use super::pty::{Shell, Terminal, Wrapper};

/// The panic payload of a skipped test.
struct Skip(String);

/// Ends the running test as ignored, for `reason`; as failed when `SEXTON_REQUIRE=all` is set.
pub(crate) fn skip(reason: impl Into<String>) -> ! {
    resume_unwind(Box::new(Skip(reason.into())))
}

thread_local! {
    /// What a failing test reports: message, place, and every init that it had started.
    static FAILURE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Adds to the message of the test that fails in this thread.
pub(crate) fn explain_failure(text: &str) {
    FAILURE.with_borrow_mut(|failure| {
        failure.push_str(text);
        failure.push('\n');
    });
}

/// Keeps panic messages for the report of the test, instead of mixing them on stderr.
pub(crate) fn keep_panic_messages() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let payload = panic.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message =
            message.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("panicked");
        explain_failure(&format!("{place}: {message}"));
    }));
}

/// Light tests share it; a test that needs the machine to itself holds it alone.
static MACHINE: RwLock<()> = RwLock::new(());

/// How much of the machine a test needs.
#[derive(Clone, Copy)]
enum Needs {
    Share,
    Whole,
}

#[derive(Default)]
pub(crate) struct Suite {
    pub(crate) trials: Vec<Trial>,
}

impl Suite {
    pub(crate) fn test(&mut self, name: &str, test: fn()) {
        self.add(name.to_owned(), Needs::Share, test);
    }

    pub(crate) fn test_with<T: Copy + Send + Sync + 'static>(&mut self, name: &str, with: T, test: fn(T)) {
        self.add(name.to_owned(), Needs::Share, move || test(with));
    }

    /// No other test runs meanwhile.
    pub(crate) fn alone_with<T: Copy + Send + Sync + 'static>(&mut self, name: &str, with: T, test: fn(T)) {
        self.add(name.to_owned(), Needs::Whole, move || test(with));
    }

    pub(crate) fn in_modes(&mut self, name: &str, modes: &[Mode], test: fn(Mode)) {
        for mode in modes.iter().copied() {
            self.add(format!("{name}::{}", mode.name()), Needs::Share, move || test(mode));
        }
    }

    /// For storms and measurements: no other test runs meanwhile.
    pub(crate) fn alone_in_modes(&mut self, name: &str, modes: &[Mode], test: fn(Mode)) {
        for mode in modes.iter().copied() {
            self.add(format!("{name}::{}", mode.name()), Needs::Whole, move || test(mode));
        }
    }

    /// A scenario in each of these shells, with the init under test in front of its programs and without.
    pub(crate) fn in_shells(&mut self, name: &str, shells: &[Shell], scenario: fn(&mut Terminal)) {
        self.in_shells_with(name, shells, &[Wrapper::Init("")], scenario);
    }

    /// The same with each of these wrappers.
    pub(crate) fn in_shells_with(
        &mut self,
        name: &str,
        shells: &[Shell],
        wrappers: &'static [Wrapper],
        scenario: fn(&mut Terminal),
    ) {
        for shell in shells.iter().copied() {
            self.add(format!("{name}::{}", shell.name()), Needs::Share, move || {
                comparison::same_with_and_without(wrappers, |wrapper| {
                    let mut terminal = Terminal::with_shell(shell, wrapper);
                    scenario(&mut terminal);
                    terminal
                });
            });
        }
    }

    fn add(&mut self, name: String, needs: Needs, test: impl Fn() + Send + Sync + 'static) {
        self.trials.push(Trial::test(name.clone(), move |context| run(&name, context, needs, &test)));
    }
}

fn run(name: &str, context: RunContext<'_>, needs: Needs, test: &dyn Fn()) -> Result<(), RunError> {
    FAILURE.with_borrow_mut(String::clear);
    let result = match needs {
        Needs::Share => {
            let _shared = MACHINE.read().unwrap_or_else(|poisoned| poisoned.into_inner());
            catch_unwind(AssertUnwindSafe(test))
        }
        Needs::Whole => {
            let _whole = MACHINE.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            catch_unwind(AssertUnwindSafe(test))
        }
    };
    let Err(payload) = result else { return Ok(()) };
    let Some(Skip(reason)) = payload.downcast_ref::<Skip>() else {
        return Err(RunError::fail(FAILURE.take()));
    };
    if std::env::var_os("SEXTON_REQUIRE").is_none_or(|value| value != "all") {
        // The harness shows the reason in JSON only.
        eprintln!("skipped {name}: {reason}");
        context.ignore_for(reason)?;
    }
    Err(RunError::fail(format!("cannot run: {reason}")))
}

/// Numbers for people. With `SEXTON_TEST_MEASURE=FILE` they are appended to that file.
pub(crate) fn measured(text: &str) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("SEXTON_TEST_MEASURE") else { return };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    _ = file.and_then(|mut file| writeln!(file, "{text}"));
}
