//! [P2] and [E1]: one line says why a program cannot be executed and what to do about it; the exit code is 127 only
//! if nothing was found. No case is simulated.

mod formats;

use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};

use crate::support::{
    Ending, Init, Mode, NOBODY, Suite, TemporaryDirectory, find_program, poll, sexton_only, skip, under_test,
};

pub(crate) fn tests(suite: &mut Suite) {
    suite.in_modes("exec_failure::p2_not_in_path", Mode::REAPING, not_in_path);
    suite.test("exec_failure::p2_near_name", near_name);
    suite.test("exec_failure::p2_path_is_unset", path_is_unset);
    suite.test("exec_failure::p2_too_long_a_directory_in_path", too_long_in_path);
    suite.test("exec_failure::p2_unsearchable_directory_in_path", unsearchable_in_path);
    suite.test("exec_failure::p2_in_working_directory", in_working_directory);
    suite.test("exec_failure::p2_several_words", several_words);
    suite.in_modes("exec_failure::p2_missing_part_of_a_path", Mode::ALL, missing_part);
    suite.test("exec_failure::p2_dangling_link", dangling_link);
    suite.test("exec_failure::p2_links_in_a_circle", links_in_a_circle);
    suite.test("exec_failure::p2_file_as_directory", file_as_directory);
    suite.test("exec_failure::p2_open_file", open_file);
    suite.in_modes("exec_failure::p2_not_executable", Mode::ALL, not_executable);
    suite.test("exec_failure::p2_not_executable_in_path", not_executable_in_path);
    suite.test("exec_failure::p2_not_executable_for_the_user", not_executable_for_user);
    suite.test("exec_failure::p2_not_executable_for_root_without_its_capabilities", not_executable_for_root);
    suite.test("exec_failure::p2_no_search_permission", no_search_permission);
    suite.test("exec_failure::p2_directory", directory);
    suite.test("exec_failure::p2_device", device);
    suite.in_modes("exec_failure::p2_noexec_mount", Mode::REAPING, noexec_mount);
    suite.test("exec_failure::p2_interpreter_missing", interpreter_missing);
    suite.test("exec_failure::p2_interpreter_cannot_be_executed", interpreter_not_executable);
    suite.test("exec_failure::p2_scripts_for_scripts", scripts_for_scripts);
    suite.test("exec_failure::p2_carriage_return", carriage_return);
    suite.test("exec_failure::p2_hash_bang_line_of_nothing", bad_hash_bang_lines);
    formats::tests(suite);
    suite.test("exec_failure::p2_as_another_user_from_another_directory", another_user_and_directory);
    suite.test("exec_failure::p2_relative_names_from_another_directory", relative_names);
    suite.test("exec_failure::p2_arguments_too_long", arguments_too_long);
    suite.test("exec_failure::p2_open_for_writing", open_for_writing);
    suite.in_modes("exec_failure::p2_text_is_run_by_the_shell", Mode::REAPING, text_is_run_by_the_shell);
    suite.test("exec_failure::p2_text_without_a_shell", text_without_a_shell);
    suite.test("exec_failure::p2_hostile_name", hostile_name);
}

const MODE: Mode = Mode::Subreaper;

/// Runs it: it must fail with this code and one line that has all these parts. Returns the line.
fn fails(init: Init, code: i32, parts: &[&str]) -> String {
    sexton_only();
    let finished = init.run();
    assert_eq!(finished.ending, Ending::Exited(code));
    assert_eq!(finished.stdout, "");
    assert_eq!(finished.stderr.lines().count(), 1, "one line: {}", finished.stderr);
    for part in parts {
        assert!(finished.stderr.contains(part), "no {part:?} in: {}", finished.stderr);
    }
    finished.stderr.clone()
}

fn run(program: impl Into<OsString>) -> Init {
    Init::new(MODE).program(program)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is not UTF-8")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("cannot set the mode");
}

fn not_in_path(mode: Mode) {
    let init = Init::new(mode).env("PATH", "/usr/games:/nowhere").program("no-such-thing-at-all");
    fails(init, 127, &["cannot find no-such-thing-at-all in PATH (/usr/games:/nowhere)", "install it"]);
}

fn near_name() {
    let directory = TemporaryDirectory::new();
    directory.script("nginx", "#!/bin/sh\n");
    directory.write("ngnixx", "not executable, though nearer");
    let path = text(directory.path());
    let meant = format!("did you mean {path}/nginx?");
    fails(run("ngnix").env("PATH", path), 127, &[&meant]);
    fails(run("NGINX").env("PATH", path), 127, &[&meant]);
    fails(run(directory.join("ngnix")), 127, &[&format!("there is no ngnix in {path}"), &meant]);
    fails(run("/nowhere/nginx").env("PATH", path), 127, &["there is no nowhere in /"]);
    fails(run("/usr/games/nginx").env("PATH", path), 127, &[&meant]);
    let line = fails(run("something-else").env("PATH", path), 127, &[]);
    assert!(!line.contains("did you mean"), "{line}");
}

/// Such a directory is skipped, as by glibc's execvp(3), instead of a failure with ENAMETOOLONG.
fn too_long_in_path() {
    let path = |second: &str| format!("/{}:{second}", "directory/".repeat(1000));
    let finished = run("sh").args(["-c", "exit 3"]).env("PATH", path("/bin")).run();
    assert_eq!(finished.ending, Ending::Exited(3), "{}", finished.stderr);
    fails(
        run("no-such-thing-at-all").env("PATH", path("/nowhere")),
        127,
        &["cannot find no-such-thing-at-all in PATH"],
    );
}

fn path_is_unset() {
    let init = run("no-such-thing-at-all").without_env("PATH");
    fails(init, 127, &["in /bin:/usr/bin (PATH is not set)"]);
}

/// What is in such a directory counts as not found: 127, and not 126 for execvp's EACCES.
fn unsearchable_in_path() {
    let directory = TemporaryDirectory::new();
    let hidden = directory.join("hidden");
    fs::create_dir(&hidden).expect("cannot make a directory");
    set_mode(&hidden, 0o700);
    let path = format!("{}:/nowhere", hidden.display());
    let init = run("no-such-thing-at-all").env("PATH", path).user(NOBODY);
    fails(init, 127, &["in PATH", &format!("of which {} may not be searched", hidden.display())]);
}

fn in_working_directory() {
    let directory = TemporaryDirectory::new();
    directory.script("app", "#!/bin/sh\n");
    let init = run("app").env("PATH", "/nowhere").directory(directory.path());
    fails(init, 127, &["it is in the working directory: write ./"]);
}

fn several_words() {
    fails(run("sleep 5"), 127, &["cannot find \"sleep 5\"", "sleep is there: write program and arguments"]);
    fails(run("/bin/sleep 5"), 127, &["/bin/sleep is there: write program and arguments"]);
}

fn missing_part(mode: Mode) {
    let init = Init::new(mode).program("/usr/no-such-directory/bin/app");
    fails(init, 127, &["cannot find /usr/no-such-directory/bin/app: there is no no-such-directory in /usr"]);
    let init = Init::new(mode).program("./app").directory(Path::new("/usr"));
    fails(init, 127, &["there is no app in the working directory"]);
}

fn dangling_link() {
    let directory = TemporaryDirectory::new();
    let link = directory.join("app");
    symlink("/usr/no-such-program", &link).expect("cannot make a link");
    let parts =
        [format!("{} is a symbolic link", link.display()), "there is no no-such-program in /usr".into()];
    fails(run(&link), 127, &[&parts[0], &parts[1]]);
}

fn links_in_a_circle() {
    let directory = TemporaryDirectory::new();
    let link = directory.join("app");
    symlink(&link, &link).expect("cannot make a link");
    fails(run(&link), 126, &["too many symbolic links"]);
}

fn file_as_directory() {
    fails(run("/etc/passwd/app"), 127, &["cannot find /etc/passwd/app: /etc/passwd is not a directory"]);
    fails(run("/etc/passwd/"), 127, &["cannot find /etc/passwd/: /etc/passwd is not a directory"]);
}

/// The text of a link to an open file, such as `pipe:[7]`, is not a path to look up.
fn open_file() {
    let directory = TemporaryDirectory::new();
    let path = directory.write("app", "#!/bin/sh\n");
    set_mode(&path, 0o644);
    let script = format!("exec 7< {0}; rm {0}; exec \"$@\"", path.display());
    let nameless = |program: &str| {
        let sexton = under_test().path().display().to_string();
        run("sh").args(["-c", &script, "sh", &sexton, program])
    };
    fails(nameless("/proc/self/fd/7"), 126, &["/proc/self/fd/7 is not executable (mode 644)"]);
    let piped = run("sh").args(["-c", "true | \"$0\" /proc/self/fd/0", text(under_test().path())]);
    fails(piped, 126, &["/proc/self/fd/0 is not a regular file"]);
}

fn not_executable(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let path = directory.write("app", "#!/bin/sh\n");
    set_mode(&path, 0o644);
    let parts = [&format!("{} is not executable (mode 644)", path.display()), "chmod +x", "COPY --chmod"];
    fails(Init::new(mode).program(&path), 126, &parts);
}

fn not_executable_in_path() {
    let directory = TemporaryDirectory::new();
    let path = directory.write("app", "#!/bin/sh\n");
    let init = run("app").env("PATH", format!("/nowhere:{}:/usr/games", directory.path().display()));
    fails(init, 126, &[&format!("{} is not executable", path.display())]);
}

fn not_executable_for_user() {
    let directory = TemporaryDirectory::new();
    let path = directory.script("app", "#!/bin/sh\n");
    set_mode(&path, 0o700);
    fails(run(&path).user(NOBODY), 126, &["is not executable for user 65534 (mode 700, owner 0:0)"]);
    assert_eq!(run(&path).run().ending, Ending::Exited(0), "its owner may execute it");
}

/// As under `docker run --cap-drop all`: root without CAP_DAC_OVERRIDE is a user like any other.
fn not_executable_for_root() {
    let Some(setpriv) = find_program("setpriv") else { skip("needs setpriv") };
    let directory = TemporaryDirectory::new();
    let path = directory.script("app", "#!/bin/sh\n");
    set_mode(&path, 0o700);
    std::os::unix::fs::chown(&path, Some(NOBODY), None).unwrap_or_else(|_| skip("needs root"));
    let part = format!("is not executable for user 0 (mode 700, owner {NOBODY}:0)");
    for options in [&["-u", "0"][..], &[]] {
        let words = ["--bounding-set", "-dac_override", "--inh-caps", "-dac_override"].map(OsString::from);
        let sexton = [under_test().path().into()].into_iter().chain(options.iter().map(OsString::from));
        let init = run(&setpriv).args(words.into_iter().chain(sexton).chain([path.clone().into()]));
        fails(init, 126, &[&part]);
    }
}

fn no_search_permission() {
    let directory = TemporaryDirectory::new();
    fs::create_dir_all(directory.join("closed/bin")).expect("cannot make directories");
    let closed = directory.join("closed");
    let path = directory.script("closed/bin/app", "#!/bin/sh\n");
    set_mode(&closed, 0o740);
    let part = format!("user 65534 may not search {} (mode 740, owner 0:0)", closed.display());
    fails(run(&path).user(NOBODY), 126, &[&part, "chmod o+x"]);
    let link = directory.join("link");
    symlink(&path, &link).expect("cannot make a link");
    fails(run(&link).user(NOBODY), 126, &[&part]);
}

/// What counts is what the program's user may do, not what sexton may; and the program's working directory.
fn another_user_and_directory() {
    let directory = TemporaryDirectory::new();
    fs::create_dir_all(directory.join("closed/bin")).expect("cannot make directories");
    let path = directory.script("closed/bin/app", "#!/bin/sh\n");
    let run = |program: &str| {
        let user = format!("{NOBODY}:{NOBODY}");
        let options = ["-u".into(), OsString::from(user), "-C".into(), directory.path().into()];
        Init::new(MODE).options(options).program(program)
    };
    assert_eq!(run("./closed/bin/app").run().ending, Ending::Exited(0));
    fails(run("./closed/bin/appp"), 127, &["there is no appp in ", "closed/bin; did you mean ", "/app?"]);
    set_mode(&path, 0o744);
    fails(run("./closed/bin/app"), 126, &["is not executable for user 65534 (mode 744, owner 0:0)"]);
    set_mode(&path, 0o755);
    set_mode(&directory.join("closed"), 0o700);
    fails(run("./closed/bin/app"), 126, &["user 65534 may not search ", "closed (mode 700, owner 0:0)"]);
}

/// With `--chdir`, relative paths start there, also in a `#!` line and in advice.
fn relative_names() {
    let directory = TemporaryDirectory::new();
    let [here, there] = ["here", "there"].map(|name| directory.join(name));
    for path in [&here, &there] {
        fs::create_dir(path).expect("cannot make a directory");
    }
    directory.script("here/app", "#!/bin/sh\n");
    directory.script("here/interpreter", "#!/bin/sh\n");
    directory.script("there/script", "#!./interpreter\n");
    let run = |program: &str| {
        let options: [OsString; 2] = ["-C".into(), "../there".into()];
        Init::new(MODE).options(options).directory(&here).env("PATH", "/nowhere:bin").program(program)
    };
    let line = fails(run("app"), 127, &["cannot find app in PATH"]);
    assert!(!line.contains("working directory"), "not in the program's directory: {line}");
    let line = fails(run("./app -v"), 127, &[]);
    assert!(!line.contains("is there"), "not in the program's directory: {line}");
    let missing = "is a script for ./interpreter, which is not in the working directory";
    fails(run("./script"), 126, &[missing]);
    set_mode(&directory.write("there/interpreter", ""), 0o644);
    fails(run("./script"), 126, &["is a script for ./interpreter, and ./interpreter is not executable"]);
    directory.script("there/tool", "#!/bin/sh\n");
    fails(run("tool"), 127, &["it is in the working directory: write ./"]);
    fs::create_dir(there.join("bin")).expect("cannot make a directory");
    directory.script("there/bin/server", "#!/bin/sh\n");
    fails(run("sevrer"), 127, &["did you mean ../there/bin/server?"]);
    fails(run("server -v"), 127, &["server is there: write program and arguments"]);
}

fn directory() {
    fails(run("/usr"), 126, &["/usr is a directory"]);
    fails(run("lib").env("PATH", "/usr"), 126, &["/usr/lib is a directory"]);
}

fn device() {
    fails(run("/dev/null"), 126, &["/dev/null is not a regular file"]);
}

fn noexec_mount(mode: Mode) {
    let directory = TemporaryDirectory::new();
    fs::create_dir(directory.join("a b")).expect("cannot make a directory");
    let path = directory.script("a b/app", "#!/bin/sh\n");
    let point = directory.join("a b");
    let init = Init::new(mode).world(format!("mount=noexec:{}", point.display())).program(&path);
    let part = format!("is on {:?}, which is mounted noexec: mount it with exec", text(&point));
    fails(init, 126, &[&part]);
}

fn interpreter_missing() {
    let directory = TemporaryDirectory::new();
    let script = directory.script("app", "#!/opt/python/bin/python3 -u\n");
    let is_script = "is a script for /opt/python/bin/python3, which is not in this image: install it";
    fails(run(&script), 126, &[text(&script), is_script]);
    fails(run("app").env("PATH", directory.path()), 126, &[text(&script), is_script]);
    let script = directory.script("relative", "#!python3\n");
    fails(run(&script), 126, &["is a script for python3,", "write #!/usr/bin/env python3"]);
    let script = directory.script("through-file", "#!/etc/passwd/sh\n");
    fails(run(&script), 126, &["is a script for /etc/passwd/sh, which is not in this image"]);
}

fn interpreter_not_executable() {
    let directory = TemporaryDirectory::new();
    let interpreter = directory.write("interpreter", "#!/bin/sh\n");
    set_mode(&interpreter, 0o644);
    let script = directory.script("app", &format!("#!{}\n", interpreter.display()));
    let part = format!("is a script for {0}, and {0} is not executable (mode 644)", interpreter.display());
    fails(run(&script), 126, &[&part]);
    let script = directory.script("nested", &format!("#!{}\n", script.display()));
    fails(run(&script), 126, &[&part]);
    let text = directory.script("text", "echo hello\n");
    let script = directory.script("for-text", &format!("#!{}\n", text.display()));
    let part = format!("is a script for {0}, and {0} is neither an ELF program nor a script", text.display());
    fails(run(&script), 126, &[&part]);
}

fn scripts_for_scripts() {
    let directory = TemporaryDirectory::new();
    let mut script = PathBuf::from("/bin/true");
    for number in 0..8 {
        script = directory.script(&number.to_string(), &format!("#!{}\n", script.display()));
    }
    fails(run(&script), 126, &["is a script for a script", "deeper than the kernel goes"]);
    assert_eq!(run(directory.join("2")).run().ending, Ending::Exited(0), "three levels are not too many");
}

fn carriage_return() {
    let directory = TemporaryDirectory::new();
    let script = directory.script("app", "#!/bin/sh\r\necho hello\r\n");
    fails(run(&script), 126, &["ends in CR LF", "\"/bin/sh\\r\"", "sed -i"]);
}

fn bad_hash_bang_lines() {
    let directory = TemporaryDirectory::new();
    let script = directory.script("empty", "#!  \necho hello\n");
    fails(run(&script), 126, &["names no interpreter"]);
    let script = directory.script("long", &format!("#!/{}\necho hello\n", "x".repeat(300)));
    fails(run(&script), 126, &["longer than the kernel reads"]);
}

/// For a script the kernel adds arguments: its own path once more, and its interpreter's. So there is a length that
/// sexton itself can be started with and the script cannot.
fn arguments_too_long() {
    let directory = TemporaryDirectory::new();
    let script = directory.script("app", "#!/bin/sh\n");
    let path = format!("{}{}/app", directory.path().display(), "/.".repeat(1900));
    assert!(script.exists());
    let (stack, _) = getrlimit(Resource::RLIMIT_STACK).expect("cannot read the limit");
    let limit = usize::try_from(stack / 4).unwrap_or(usize::MAX).clamp(128 << 10, 6 << 20);
    let environment: usize = std::env::vars_os().map(|(name, value)| name.len() + value.len() + 2 + 8).sum();
    let mut left = limit - environment - path.len() - 2000;
    let mut words = Vec::new();
    while left > 0 {
        let length = left.min(100_000);
        words.push("x".repeat(length.saturating_sub(9)));
        left -= length;
    }
    fails(run(path).args(words), 126, &["arguments and environment take ", &format!("{limit} is the limit")]);
}

fn open_for_writing() {
    let directory = TemporaryDirectory::new();
    let path = directory.copy("/bin/true", "app");
    let writing = OpenOptions::new().append(true).open(&path).expect("cannot open a copy");
    fails(run(&path), 126, &[&format!("{} is open for writing", path.display())]);
    drop(writing);
    // A child that another test has just forked may keep it open a little longer.
    poll("it can be executed", || (run(&path).run().ending == Ending::Exited(0)).then_some(()));
}

fn text_is_run_by_the_shell(mode: Mode) {
    sexton_only();
    let directory = TemporaryDirectory::new();
    let path = directory.script("app", "echo \"$0 $1 $2\"\nexit 7\n");
    let run = |init: Init, name: &str| {
        let finished = init.args(["a b", "-c"]).run();
        assert_eq!((finished.ending, finished.stderr.as_str()), (Ending::Exited(7), ""));
        assert_eq!(finished.stdout, format!("{name} a b -c\n"));
    };
    run(Init::new(mode).program(&path), text(&path));
    run(Init::new(mode).program("app").env("PATH", directory.path()), text(&path));
    fs::create_dir(directory.join("-e")).expect("cannot make a directory");
    directory.script("-e/app", "echo \"$0 $1 $2\"\nexit 7\n");
    run(Init::new(mode).program("-e/app").directory(directory.path()), "./-e/app");
}

fn text_without_a_shell() {
    let directory = TemporaryDirectory::new();
    let path = directory.script("app", "echo hello\n");
    let bin = fs::canonicalize("/bin").expect("cannot resolve /bin");
    let init = run(&path).world(format!("mount=tmpfs:{}", bin.display()));
    fails(init, 126, &["is text without a #! line, and there is no /bin/sh"]);
}

fn hostile_name() {
    let directory = TemporaryDirectory::new();
    let name = OsString::from_vec(b"a\x1b[2J\nb\xff".to_vec());
    let path = directory.path().join(&name);
    assert!(name.as_bytes().contains(&b'\n'));
    fs::write(&path, "").expect("cannot write a file");
    let line = fails(run(&path), 126, &["a\\u{1b}[2J\\nb\\xFF\" is not executable"]);
    assert!(!line.trim_end().contains(char::is_control), "{line:?}");
}
