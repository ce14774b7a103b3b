//! Writes the man page `sexton.1` and the completions for bash, zsh and fish, from the definition that the command
//! line's parser uses.
//!
//! ```text
//! cargo generate [DIRECTORY]        # default: target/generated
//! ```
//!
//! What to watch: `man -l target/generated/sexton.1`. The options and variables come from the program, the text around
//! them from `before_options.roff`, `after_options.roff` and `after_variables.roff`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use sexton::Signal;
use sexton::cli::{command, variables};

fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1).map_or_else(default_directory, PathBuf::from);
    fs::create_dir_all(&directory)?;
    let page = directory.join("sexton.1");
    fs::write(&page, man_page()?)?;
    println!("{}", page.display());
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let file = clap_complete::generate_to(shell, &mut with_hints(command()), "sexton", &directory)?;
        if shell == Shell::Fish {
            fs::OpenOptions::new().append(true).open(&file)?.write_all(fish_program().as_bytes())?;
        }
        println!("{}", file.display());
    }
    Ok(())
}

fn default_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/generated")
}

fn man_page() -> io::Result<Vec<u8>> {
    // A real date would differ with each build; without any, the rest of the line would move up.
    let man = Man::new(command())
        .date(" ")
        .source(concat!("sexton ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.write_all(include_bytes!("before_options.roff"))?;
    man.render_options_section(&mut page)?;
    page.write_all(include_bytes!("after_options.roff"))?;
    render_variables(&mut page)?;
    page.write_all(include_bytes!("after_variables.roff"))?;
    Ok(page)
}

fn render_variables(page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    for (variable, option, form) in variables() {
        roff.control("TP", []);
        roff.text([bold(variable)]);
        roff.text([roman("As "), bold(format!("--{option}")), roman(format!(": {form}"))]);
    }
    roff.to_writer(page)
}

/// Adds what a shell can offer for a value. The program itself does not use this: it says more about a bad value than
/// clap would.
fn with_hints(command: Command) -> Command {
    command.mut_args(|arg| {
        let word = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        let arg = match &word {
            // For zsh, a colon ends the word.
            Some(word) => arg.value_name(as_static(&word.replace(':', "\\:"))),
            None => arg,
        };
        match word.as_deref() {
            Some("SIG") => arg.value_parser(PossibleValuesParser::new(signals())),
            Some("FILE" | "PATH") => arg.value_hint(ValueHint::FilePath),
            Some("DIR") => arg.value_hint(ValueHint::DirPath),
            Some("USER[:GROUP]") => arg.value_hint(ValueHint::Username),
            Some(words) if words.contains('|') => one_of(words, arg),
            Some(_) => arg.value_hint(ValueHint::Other),
            None if arg.is_positional() => arg.value_hint(ValueHint::CommandWithArguments),
            None => arg,
        }
    })
}

/// Makes fish complete the program and its arguments as a command of its own, as after sudo(8). clap_complete does not.
/// The function needs the options that take a value, to tell that value from the program. Short ones come first: fish
/// would take a long one there for an option of the function.
fn fish_program() -> String {
    let command = command();
    let with_value = || command.get_opts().filter(|option| option.get_action().takes_values());
    let short = with_value().filter_map(Arg::get_short).map(|letter| format!(" -{letter}"));
    let long = with_value().filter_map(Arg::get_long).map(|name| format!(" --{name}"));
    let names: String = short.chain(long).collect();
    format!("complete -c sexton -x -a \"(__fish_complete_subcommand{names})\"\n")
}

fn one_of(words: &str, arg: Arg) -> Arg {
    arg.value_parser(PossibleValuesParser::new(words.split('|').map(as_static)))
}

/// Without its feature `string`, clap takes only static strings.
fn as_static(word: &str) -> &'static str {
    word.to_owned().leak()
}

/// The names of the signals below 32 that can be caught, without SIG.
fn signals() -> Vec<&'static str> {
    let all = Signal::all().filter(|signal| signal.is_catchable() && signal.number() < 32);
    all.map(|signal| as_static(signal.to_string().trim_start_matches("SIG"))).collect()
}
