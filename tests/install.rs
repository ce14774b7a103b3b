//! `--install`: a complete copy, or none.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::drop_in::called;
use crate::support::{
    Ending, Finished, Init, Mode, Suite, TemporaryDirectory, poll, process, sexton_only, skip, under_test,
};

pub(crate) fn tests(suite: &mut Suite) {
    suite.test("install::to_a_file", to_a_file);
    suite.test("install::into_a_directory_under_its_own_name", into_a_directory);
    suite.test("install::replaces_a_program_that_runs", replaces_a_running_program);
    suite.test("install::replaces_a_link_and_not_what_it_leads_to", replaces_a_link);
    suite.test("install::without_proc", without_proc);
    suite.test("install::from_a_root_that_holds_nothing_else", from_an_empty_root);
    suite.test("install::a_failure_is_one_line_and_leaves_nothing", failures);
}

fn install(to: &Path) -> Init {
    sexton_only();
    Init::new(Mode::Subreaper).instead([under_test().path(), "--install".as_ref(), to]).world("umask=77")
}

fn assert_installed(finished: &Finished, file: &Path) {
    assert_eq!((finished.ending, finished.stderr.as_str()), (Ending::Exited(0), ""));
    assert_eq!(finished.stdout, "");
    assert!(
        fs::read(file).expect("cannot read the copy")
            == fs::read(under_test().path()).expect("cannot read the init"),
        "not a copy of the init"
    );
    let mode = fs::symlink_metadata(file).expect("cannot look at the copy").permissions().mode();
    assert_eq!(mode, 0o100_755, "{mode:o}");
    let directory = file.parent().expect("the file has no directory");
    let beside: Vec<OsString> = fs::read_dir(directory)
        .expect("cannot read the directory")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(!beside.iter().any(|name| name.to_string_lossy().starts_with('.')), "left behind: {beside:?}");
}

fn to_a_file() {
    let directory = TemporaryDirectory::new();
    let file = directory.join("init");
    assert_installed(&install(&file).run(), &file);
    let finished = Init::new(Mode::Subreaper).instead([&file]).shell("exit 3").run();
    assert_eq!(finished.ending, Ending::Exited(3));
    // A name without a directory means the working directory.
    let finished = install("here".as_ref()).directory(directory.path()).run();
    assert_installed(&finished, &directory.join("here"));
}

fn into_a_directory() {
    let directory = TemporaryDirectory::new();
    assert_installed(&install(directory.path()).run(), &directory.join("sexton"));
    let (path, _directory) = called("init");
    let words = [path.as_path(), "--install".as_ref(), directory.path()];
    assert_installed(&Init::new(Mode::Subreaper).instead(words).run(), &directory.join("init"));
}

fn replaces_a_running_program() {
    let directory = TemporaryDirectory::new();
    let file = directory.copy("/bin/sleep", "tini");
    let mut running = Init::new(Mode::Subreaper).program(&file).args(["99"]).spawn();
    let runs = || process::children(running.pid).iter().any(|child| child.name == "tini");
    poll("it runs", || runs().then_some(()));
    assert_installed(&install(&file).run(), &file);
    assert!(running.is_running());
}

fn replaces_a_link() {
    let directory = TemporaryDirectory::new();
    let (file, link) = (directory.write("file", "text"), directory.join("init"));
    std::os::unix::fs::symlink(&file, &link).expect("cannot make a link");
    assert_installed(&install(&link).run(), &link);
    assert_eq!(fs::read_to_string(&file).expect("cannot read the file"), "text");
}

fn without_proc() {
    need_root();
    let directory = TemporaryDirectory::new();
    let file = directory.join("init");
    assert_installed(&install(&file).world("mount=no-proc").run(), &file);
}

/// As in an init container with an image `FROM scratch`.
fn from_an_empty_root() {
    sexton_only();
    need_root();
    let root = TemporaryDirectory::new();
    root.copy(under_test().path(), "init");
    fs::create_dir(root.join("tools")).expect("cannot make a directory");
    let mut command = std::process::Command::new("/usr/sbin/chroot");
    let output =
        command.arg(root.path()).args(["/init", "--install", "/tools"]).output().expect("cannot run chroot");
    if String::from_utf8_lossy(&output.stderr).contains("No such file") {
        skip("needs a static build");
    }
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    assert_eq!(fs::metadata(root.join("tools/init")).expect("no copy").mode(), 0o100_755);
}

fn failures() {
    let directory = TemporaryDirectory::new();
    let file = directory.write("file", "");
    // A trailing slash means a directory, and this one does not exist.
    let missing = directory.join("missing/");
    for to in [directory.join("nowhere/init"), file.join("init"), "/proc/init".into(), "".into(), missing] {
        let finished = install(&to).run();
        assert_eq!(finished.ending, Ending::Exited(125), "{to:?}");
        let lines = if to.as_os_str().is_empty() { 2 } else { 1 };
        assert_eq!(finished.stderr.lines().count(), lines, "{}", finished.stderr);
        assert!(finished.stderr.contains(&to.display().to_string()), "{}", finished.stderr);
    }
    assert_eq!(fs::read_dir(directory.path()).expect("cannot read the directory").count(), 1);
}

fn need_root() {
    if !nix::unistd::geteuid().is_root() {
        skip("needs root");
    }
}
