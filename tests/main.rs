//! The tests of sexton's behaviour. A test's name has the point of sexton's promises that it checks.
//!
//! They are one binary, because starting an init in a PID namespace takes the code in `support` and a hidden mode of
//! this binary. `tests/README.md` says how to run it, also with other inits.

mod ci;
mod docs;
mod drop_in;
mod drop_in_differences;
mod drop_in_effects;
mod ending;
mod engines;
mod examples;
mod exec_failure;
mod exec_hang;
mod floods;
mod hard_leftovers;
mod identity;
mod inspect;
mod install;
mod leftovers;
mod library;
mod pause;
mod qemu_user;
mod real_programs;
mod reaping;
mod report;
mod signals;
mod starting;
mod stopping;
mod support;
mod terminal;
mod terminal_alone;
mod terminal_exec;
mod terminal_jobs;
mod terminal_options;
mod terminal_programs;
mod terminal_stress;
mod transparency;
mod tree;

use std::ffi::OsString;

fn main() {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some(support::launcher::LAUNCH) => support::launcher::main(words.into_iter().skip(1).collect()),
        Some(support::launcher::QUEUE) => support::launcher::queue_from_inside(&words[1..]),
        Some(library::HOST) => library::host(),
        _ => run_tests(),
    }
}

fn run_tests() {
    support::guardian::clean_up_afterwards();
    support::raw::become_subreaper().expect("cannot become a child subreaper");
    support::suite::keep_panic_messages();
    let mut suite = support::Suite::default();
    transparency::tests(&mut suite);
    signals::tests(&mut suite);
    floods::tests(&mut suite);
    reaping::tests(&mut suite);
    ending::tests(&mut suite);
    exec_failure::tests(&mut suite);
    exec_hang::tests(&mut suite);
    leftovers::tests(&mut suite);
    hard_leftovers::tests(&mut suite);
    report::tests(&mut suite);
    stopping::tests(&mut suite);
    tree::tests(&mut suite);
    starting::tests(&mut suite);
    identity::tests(&mut suite);
    terminal::tests(&mut suite);
    terminal_jobs::tests(&mut suite);
    terminal_programs::tests(&mut suite);
    terminal_alone::tests(&mut suite);
    terminal_options::tests(&mut suite);
    terminal_exec::tests(&mut suite);
    terminal_stress::tests(&mut suite);
    inspect::tests(&mut suite);
    library::tests(&mut suite);
    qemu_user::tests(&mut suite);
    real_programs::tests(&mut suite);
    ci::tests(&mut suite);
    drop_in::tests(&mut suite);
    drop_in_effects::tests(&mut suite);
    drop_in_differences::tests(&mut suite);
    pause::tests(&mut suite);
    install::tests(&mut suite);
    examples::tests(&mut suite);
    engines::tests(&mut suite);
    docs::tests(&mut suite);
    support::waiting::tests(&mut suite);
    libtest2_mimic::Harness::with_env().discover(suite.trials).main()
}
