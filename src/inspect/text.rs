//! The answer for people: first the verdict, then the tree, then what is wrong.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::limits::Usage;
use super::tree::Node;
use super::zombies::Graves;
use super::{Inspection, Stuck, Verdict, state_word};
use crate::process_tree::{Process, printable};
use crate::sys::terminal;

/// The SGR sequences that paint a line (console_codes(4)).
const PLAIN: &str = "";
const BOLD: &str = "\x1b[1m";
const GOOD: &str = "\x1b[1;32m";
const BAD: &str = "\x1b[1;31m";
const WARNING: &str = "\x1b[33m";

pub fn render(inspection: &Inspection<'_>) -> String {
    let mut page = Page::for_stdout();
    page.verdict(inspection);
    page.tree(inspection);
    page.zombies(inspection);
    page.stuck(inspection);
    page.limits(inspection);
    page.text
}

struct Page {
    text: String,
    colours: bool,
    /// How many columns a line may have; `None` for no limit.
    columns: Option<usize>,
}

impl Page {
    /// Only a terminal has colours and a width. NO_COLOR (no-color.org) is respected, and COLUMNS comes before the
    /// terminal's own answer.
    fn for_stdout() -> Page {
        if !io::stdout().is_terminal() {
            return Page { text: String::new(), colours: false, columns: None };
        }
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|kind| kind == "dumb");
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        // A terminal that does not know says 0, and so do programs that asked it.
        let columns = columns
            .filter(|columns| *columns > 0)
            .or_else(|| terminal::columns(io::stdout().as_fd()).map(usize::from));
        let colours = !is_set("NO_COLOR") && !is_dumb;
        Page { text: String::new(), colours, columns: Some(columns.unwrap_or(80).max(20)) }
    }

    /// One line, cut at the edge.
    fn line(&mut self, paint: &str, line: &str) {
        let line = self.columns.map_or(line, |columns| fitting(line, columns));
        if !self.colours || paint.is_empty() {
            self.text.push_str(line);
        } else {
            self.text.extend([paint, line, "\x1b[0m"]);
        }
        self.text.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        self.text.push('\n');
        self.line(BOLD, heading);
    }

    /// A sentence, behind a label. It is not cut but wrapped; only a word longer than a line goes over the edge.
    fn sentence(&mut self, label: &str, sentence: &str) {
        let columns = self.columns.unwrap_or(usize::MAX);
        let indent = " ".repeat(label.width());
        let mut line = label.to_owned();
        for word in sentence.split(' ') {
            if line.width() + word.width() > columns && line.width() > label.width() {
                self.text.extend([line.trim_end(), "\n"]);
                line.clone_from(&indent);
            }
            line.push_str(word);
            line.push(' ');
        }
        self.text.extend([line.trim_end(), "\n"]);
    }

    fn verdict(&mut self, inspection: &Inspection<'_>) {
        let processes = counted(inspection.sample.seen.len(), "process", "processes");
        let (paint, mut line) = match inspection.verdict {
            Verdict::Healthy => (GOOD, format!("healthy: {processes}, no zombies")),
            Verdict::Zombies => {
                let count = inspection.graves.iter().map(|graves| graves.zombies.len()).sum();
                let zombies = counted(count, "zombie", "zombies");
                (BAD, format!("not healthy: {zombies} among {processes}"))
            }
            Verdict::Incomplete => {
                (WARNING, format!("not all can be seen: {processes}, no zombies among them"))
            }
        };
        if !inspection.stuck.is_empty() {
            line.push_str(&format!(", {} uninterruptible", inspection.stuck.len()));
        }
        if inspection.limits.is_near() {
            line.push_str(", and a limit is near");
        }
        self.line(paint, &line);
        if let Some(unseen) = &inspection.sample.unseen {
            self.sentence("  ", unseen);
        }
    }

    fn tree(&mut self, inspection: &Inspection<'_>) {
        self.heading("    PID  STATE                AGE  NAME");
        for siblings in folded(&inspection.tree) {
            for node in &siblings[..shown(siblings.len())] {
                self.row(inspection, node);
            }
            let hidden = siblings.len() - shown(siblings.len());
            if let Some(node) = siblings.last().filter(|_| hidden > 0) {
                let branch = self.branch(node.depth);
                self.line(BAD, &format!("{:>7}  {:<24}  {branch}and {hidden} more zombies", "...", ""));
            }
        }
    }

    fn row(&mut self, inspection: &Inspection<'_>, node: &Node<'_>) {
        let process = &node.seen.process;
        let paint = match process.state {
            b'Z' if process.is_zombie() => BAD,
            b'D' | b'T' | b't' => WARNING,
            _ => PLAIN,
        };
        let row = format!(
            "{:>7}  {} {:<15} {:>6}  {}{}{}",
            process.pid,
            char::from(process.state),
            state_word(process),
            age(inspection.age(process)),
            self.branch(node.depth),
            printable(&process.name),
            notes(inspection, node),
        );
        self.line(paint, &row);
    }

    /// What leads from the left edge to the name. Far down in a deep tree, where it would fill the line, it names the
    /// depth instead.
    fn branch(&self, depth: usize) -> String {
        let deepest = self.columns.map_or(40, |columns| columns / 6);
        match depth {
            0 => String::new(),
            depth if depth <= deepest => format!("{}\\_ ", "  ".repeat(depth - 1)),
            depth => format!("{}[{depth} deep] \\_ ", "  ".repeat(deepest.saturating_sub(6))),
        }
    }

    fn zombies(&mut self, inspection: &Inspection<'_>) {
        if inspection.graves.is_empty() {
            return;
        }
        self.heading("zombies: dead, and not yet reaped by their parents");
        for graves in &inspection.graves {
            self.sentence("  ", &owner(graves));
            self.sentence("    why:  ", &graves.why);
            self.sentence("    cure: ", &graves.cure);
        }
    }

    fn stuck(&mut self, inspection: &Inspection<'_>) {
        if inspection.stuck.is_empty() {
            return;
        }
        self.heading("uninterruptible: waiting in the kernel, where no signal reaches them");
        for Stuck { process, waits_in, stack } in &inspection.stuck {
            let place = waits_in.as_deref().unwrap_or("a place that only root may know");
            self.sentence("  ", &format!("{} waits in {place}", named(process)));
            if !stack.is_empty() {
                self.sentence("    called by: ", &stack.join(" < "));
            }
        }
    }

    fn limits(&mut self, inspection: &Inspection<'_>) {
        let limits = &inspection.limits;
        self.heading("limits: tasks in use, threads included");
        if let Some(cgroup) = &limits.cgroup {
            let refused = match cgroup.refused {
                None | Some(0) => String::new(),
                Some(count) => format!(", forks refused so far: {count}"),
            };
            let directory = printable(cgroup.directory.as_os_str().as_encoded_bytes());
            self.limit("cgroup pids.max", cgroup.usage, &format!("{refused}  {directory}"));
        }
        for user in limits.users.iter().filter(|user| user.usage.limit.is_some()) {
            self.limit(&format!("ulimit -u of user {}", user.id), user.usage, "");
        }
        if let Some(pid_max) = limits.pid_max {
            self.limit("kernel.pid_max", pid_max, "");
        }
    }

    fn limit(&mut self, name: &str, usage: Usage, note: &str) {
        let (paint, near) = if usage.is_near() { (WARNING, ", near") } else { (PLAIN, "") };
        let limit = usage.limit.map_or("no limit".to_owned(), |limit| limit.to_string());
        self.line(paint, &format!("  {name:<24} {} of {limit}{near}{note}", usage.used));
    }
}

/// The tree in pieces: zombies of one parent are one piece, every other process is its own.
fn folded<'a>(tree: &'a [Node<'_>]) -> impl Iterator<Item = &'a [Node<'a>]> {
    tree.chunk_by(|one, other| {
        let (one, other) = (&one.seen.process, &other.seen.process);
        one.is_zombie() && other.is_zombie() && one.parent == other.parent
    })
}

/// How many of this many zombies are shown one by one: there may be thousands.
fn shown(count: usize) -> usize {
    const MOST: usize = 8;
    if count <= MOST + 1 { count } else { MOST }
}

fn owner(graves: &Graves<'_>) -> String {
    let shown = shown(graves.zombies.len());
    let mut names: Vec<String> =
        graves.zombies[..shown].iter().map(|zombie| named(&zombie.seen.process)).collect();
    if graves.zombies.len() > shown {
        names.push(format!("and {} more", graves.zombies.len() - shown));
    }
    let count = counted(graves.zombies.len(), "zombie", "zombies");
    let parent = graves.parent.map_or("a process outside".to_owned(), named);
    format!("{parent} has {count}: {}", names.join(", "))
}

fn named(process: &Process) -> String {
    format!("{} ({})", process.pid, printable(&process.name))
}

fn notes(inspection: &Inspection<'_>, node: &Node<'_>) -> String {
    let process = &node.seen.process;
    let mut notes = Vec::new();
    if node.adopted.is_some() {
        notes.push(format!("adopted by {}", process.parent));
    }
    if process.threads > 1 {
        notes.push(format!("{} threads", process.threads));
    }
    if process.pid == inspection.myself {
        notes.push("this command".to_owned());
    }
    if notes.is_empty() { String::new() } else { format!("  ({})", notes.join(", ")) }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The two largest units: `59s`, `3m05s`, `2h03m`, `4d07h`.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// As much of the start as fits into this many columns.
fn fitting(line: &str, columns: usize) -> &str {
    let mut used = 0;
    for (index, c) in line.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return &line[..index];
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        let shown =
            [(0, "0s"), (59, "59s"), (185, "3m05s"), (7380, "2h03m"), (4 * 86400 + 7 * 3600, "4d07h")];
        for (seconds, text) in shown {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn lines_are_cut_by_columns_and_not_by_letters() {
        assert_eq!(fitting("abcdef", 3), "abc");
        assert_eq!(fitting("abc", 3), "abc");
        assert_eq!(fitting("\u{4e2d}\u{6587}", 3), "\u{4e2d}");
        assert_eq!(fitting("e\u{301}e\u{301}", 1), "e\u{301}");
    }

    #[test]
    fn sentences_go_on_in_the_next_line() {
        let mut page = Page { text: String::new(), colours: false, columns: Some(12) };
        page.sentence("why: ", "one two three");
        assert_eq!(page.text, "why: one two\n     three\n");
        assert!(page.text.lines().all(|line| line.width() <= 12));
        page.text.clear();
        page.sentence("cure: ", "see waitpid(2)");
        assert_eq!(page.text, "cure: see\n      waitpid(2)\n", "a word is not cut");
    }

    #[test]
    fn a_deep_branch_says_how_deep_it_is() {
        let page = Page { text: String::new(), colours: false, columns: None };
        assert_eq!(page.branch(0), "");
        assert_eq!(page.branch(3), "    \\_ ");
        assert!(page.branch(20_000).len() < 100);
        assert!(page.branch(20_000).contains("[20000 deep]"));
    }

    #[test]
    fn colours_are_put_around_the_line() {
        let mut page = Page { text: String::new(), colours: true, columns: Some(20) };
        page.line(BAD, "zombie");
        page.line(PLAIN, "plain");
        assert_eq!(page.text, "\x1b[1;31mzombie\x1b[0m\nplain\n");
    }
}
