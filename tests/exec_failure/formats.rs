//! [P2]: exec failures caused by what the file contains.

use std::process::Command;

use nix::libc;

use crate::support::{Init, Mode, Suite, TemporaryDirectory, skip, under_test};

use super::{fails, run, set_mode, text};

pub(super) fn tests(suite: &mut Suite) {
    suite.test("exec_failure::p2_loader_missing", loader_missing);
    suite.test("exec_failure::p2_loader_not_executable", loader_not_executable);
    suite.test("exec_failure::p2_other_architecture", other_architecture);
    suite.test("exec_failure::p2_loader_of_another_word_size_missing", loader_of_32_bits_missing);
    suite.test("exec_failure::p2_damaged_elf", damaged_elf);
    suite.test("exec_failure::p2_no_program_at_all", no_program_at_all);
    suite.in_modes("exec_failure::p2_empty_file", Mode::REAPING, empty_file);
}

/// ELF's ET_EXEC, and two machine numbers: this machine's and another's (elf(5)).
const PROGRAM: u16 = 2;
const X86_64: u16 = 62;
const AARCH64: u16 = 183;
const HERE: u16 = if cfg!(target_arch = "x86_64") { X86_64 } else { AARCH64 };
const ELSEWHERE: u16 = if cfg!(target_arch = "x86_64") { AARCH64 } else { X86_64 };

/// A little-endian 64-bit ELF file that has only a header and, with a loader, the segment that names it.
fn elf(kind: u16, machine: u16, loader: Option<&str>) -> Vec<u8> {
    const HEADER: u16 = 64;
    const SEGMENT: u16 = 56;
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([kind, machine].map(u16::to_le_bytes).concat());
    bytes.extend(1u32.to_le_bytes());
    let entry = 0u64;
    bytes.extend([entry, HEADER.into(), 0].map(u64::to_le_bytes).concat());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend([HEADER, SEGMENT, u16::from(loader.is_some()), 0, 0, 0].map(u16::to_le_bytes).concat());
    if let Some(loader) = loader {
        let length = loader.len() as u64 + 1;
        let interpreter = 3u32;
        bytes.extend([interpreter, 4].map(u32::to_le_bytes).concat());
        bytes.extend([u64::from(HEADER + SEGMENT), 0, 0, length, length, 1].map(u64::to_le_bytes).concat());
        bytes.extend(loader.bytes().chain([0]));
    }
    bytes
}

fn loader_missing() {
    let directory = TemporaryDirectory::new();
    for (loader, cure) in [
        ("/lib/ld-musl-x86_65.so.1", "build it static, or use an Alpine base"),
        ("/lib64/ld-linux-x86-65.so.2", "use a Debian base, or build with a musl target"),
        ("/system/bin/linker65", "build it static, or use the base it was built for"),
    ] {
        let path = directory.executable("app", &elf(PROGRAM, HERE, Some(loader)));
        let line = format!("{} is linked for {loader}, which is not in this image: {cure}\n", path.display());
        let told = fails(run(&path), 126, &[&line]);
        assert!(told.ends_with(&line), "{told}");
        fails(run("app").env("PATH", directory.path()), 126, &[&line]);
    }
}

fn loader_not_executable() {
    let directory = TemporaryDirectory::new();
    let loader = directory.write("ld-linux.so.2", "");
    set_mode(&loader, 0o644);
    let path = directory.executable("app", &elf(PROGRAM, HERE, Some(text(&loader))));
    fails(run(&path), 126, &[&format!("is linked for {0}, and {0} is not executable", loader.display())]);
}

fn other_architecture() {
    let (here, elsewhere) = if HERE == X86_64 { ("x86_64", "aarch64") } else { ("aarch64", "x86_64") };
    let directory = TemporaryDirectory::new();
    let part = format!("is built for {elsewhere}, and this machine is {here}");
    for loader in [None, Some("/lib/ld-linux-foreign.so.1")] {
        let path = directory.executable("app", &elf(PROGRAM, ELSEWHERE, loader));
        fails(run(&path), 126, &[text(&path), &part, "--platform linux/"]);
    }
    let path = directory.executable("app", &elf(PROGRAM, 12345, None));
    fails(run(&path), 126, &["is built for ELF machine 12345"]);
}

/// A kernel that also runs 32-bit programs says ENOENT, any other ENOEXEC.
fn loader_of_32_bits_missing() {
    const I386: u16 = 3;
    if HERE != X86_64 {
        skip("the test's program is for x86");
    }
    let loader = "/lib/ld-linux-foreign.so.2";
    let (header, segment) = (52u16, 32u16);
    let length = loader.len() as u32 + 1;
    let mut bytes = b"\x7fELF\x01\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([PROGRAM, I386].map(u16::to_le_bytes).concat());
    bytes.extend([1, 0, header.into(), 0, 0].map(u32::to_le_bytes).concat());
    bytes.extend([header, segment, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    bytes.extend([3, u32::from(header + segment), 0, 0, length, length, 4, 1].map(u32::to_le_bytes).concat());
    bytes.extend(loader.bytes().chain([0]));
    let directory = TemporaryDirectory::new();
    let path = directory.executable("app", &bytes);
    let errno = Command::new(&path).spawn().expect_err("it was started without its loader").raw_os_error();
    let part = match errno {
        Some(libc::ENOENT) => "is linked for /lib/ld-linux-foreign.so.2, which is not in this image",
        _ => "is built for i386, and this machine is x86_64",
    };
    fails(run(&path), 126, &[text(&path), part]);
}

/// sexton does not trust the header: it announces a segment table of 4 GiB, more memory than sexton may have here.
fn damaged_elf() {
    const PART: &str = "is an ELF file that the kernel does not understand";
    let directory = TemporaryDirectory::new();
    let mut bytes = elf(PROGRAM, HERE, Some("/lib/ld.so"));
    bytes[54..58].fill(0xff);
    let path = directory.executable("app", &bytes);
    let script = "ulimit -v 2000000; exec \"$0\" \"$1\"";
    let init = run("sh").args(["-c", script, text(under_test().path()), text(&path)]);
    fails(init, 126, &[PART]);
    let path = directory.executable("app", &elf(PROGRAM, HERE, Some("")));
    fails(run(&path), 126, &[PART]);
}

fn no_program_at_all() {
    let directory = TemporaryDirectory::new();
    for (contents, part) in [
        (&elf(1, HERE, None)[..], "is an object file, not linked yet, not a program"),
        (&elf(PROGRAM, HERE, None)[..30], "is an ELF file that the kernel does not understand"),
        (b"MZ\x90\0\x03\0", "is a Windows program"),
        (b"\0asm\x01\0\0\0", "is a WebAssembly module"),
        (b"\x1f\x8b\x08\0", "is a gzip archive"),
        (b"\x01\x02\x03", "is neither an ELF program nor a script"),
    ] {
        let path = directory.executable("app", contents);
        fails(run(&path), 126, &[part]);
    }
}

fn empty_file(mode: Mode) {
    let directory = TemporaryDirectory::new();
    let path = directory.script("app", "");
    fails(Init::new(mode).program(&path), 126, &[&format!("{} is an empty file", path.display())]);
}
