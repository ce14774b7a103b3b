//! What a file that should be a program is, by its first bytes, as the kernel looks at them.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use elf::abi;
use elf::endian::{AnyEndian, EndianParse as _};
use elf::file::{Class, FileHeader};
use elf::segment::SegmentTable;

/// How much of a file the kernel looks at to tell what it is (BINPRM_BUF_SIZE).
const HEAD: usize = 256;
/// A longer path is no path (PATH_MAX).
const LONGEST_PATH: u64 = 4096;
/// The kernel reads no longer table of segments (load_elf_phdrs() in fs/binfmt_elf.c).
const LONGEST_TABLE: usize = 65536;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing is in it.
    Empty,
    /// An ELF file.
    Elf(Elf),
    /// It claims to be an ELF file, and its header makes no sense.
    DamagedElf,
    /// A script, by its `#!` line.
    Script(Interpreter),
    /// Text without `#!`.
    Text,
    /// A program for something else, named.
    Foreign(&'static str),
    /// Anything else.
    Other,
}

/// The header of an ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// The architecture it is for, by the name that uname(2) has for it.
    pub architecture: String,
    /// What it is, where it is no program and no library.
    pub not_a_program: Option<&'static str>,
    /// The dynamic loader it asks for; a static program asks for none.
    pub loader: Option<PathBuf>,
}

/// Who a `#!` line says is to run the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interpreter {
    /// This program.
    Path(PathBuf),
    /// This program, and the line ends in carriage return and line feed: the kernel takes the carriage return
    /// for the last letter of the path.
    PathAndCarriageReturn(PathBuf),
    /// Nobody is named.
    Nobody,
    /// The line is longer than the kernel reads.
    TooLong,
}

impl Contents {
    /// Looks into a regular file.
    pub fn read(path: &Path) -> io::Result<Contents> {
        let file = File::open(path)?;
        let mut head = [0; HEAD];
        let length = read_up_to(&file, &mut head, 0)?;
        let head = &head[..length];
        Ok(match head {
            [] => Contents::Empty,
            [0x7f, b'E', b'L', b'F', ..] => {
                Elf::read(&file, head).map_or(Contents::DamagedElf, Contents::Elf)
            }
            [b'#', b'!', line @ ..] => Contents::Script(Interpreter::parse(line, head.len() == HEAD)),
            _ => match foreign(head) {
                Some(kind) => Contents::Foreign(kind),
                None if is_text(head) => Contents::Text,
                None => Contents::Other,
            },
        })
    }
}

/// A file may be shorter, and a read may be cut short.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

impl Interpreter {
    /// The `#!` line, without these two, as load_script() in fs/binfmt_script.c takes it apart.
    fn parse(head: &[u8], cut: bool) -> Interpreter {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let end = head.iter().position(|byte| *byte == b'\n');
        let line = &head[..end.unwrap_or(head.len())];
        let Some(start) = line.iter().position(|byte| !blank(byte)) else { return Interpreter::Nobody };
        let line = &line[start..];
        let path = match line.iter().position(|byte| blank(byte) || *byte == 0) {
            Some(end) => &line[..end],
            None if end.is_none() && cut => return Interpreter::TooLong,
            None => line,
        };
        let path_buf = |path: &[u8]| PathBuf::from(OsString::from_vec(path.to_vec()));
        match path.strip_suffix(b"\r") {
            Some(path) => Interpreter::PathAndCarriageReturn(path_buf(path)),
            None if path.is_empty() => Interpreter::Nobody,
            None => Interpreter::Path(path_buf(path)),
        }
    }
}

impl Elf {
    fn read(file: &File, head: &[u8]) -> Option<Elf> {
        let identity = elf::file::parse_ident::<AnyEndian>(head.get(..abi::EI_NIDENT)?).ok()?;
        let header = FileHeader::parse_tail(identity, head.get(abi::EI_NIDENT..)?).ok()?;
        let not_a_program = match header.e_type {
            abi::ET_REL => Some("an object file, not linked yet"),
            abi::ET_CORE => Some("a core dump"),
            _ => None,
        };
        let loader = if not_a_program.is_none() { loader(file, &header)? } else { None };
        Some(Elf { architecture: architecture(&header), not_a_program, loader })
    }
}

/// `None` where the kernel would not take the table of segments, or the name of the loader in it. The table's size is not to be
/// believed: it may come to 4 GiB.
fn loader(file: &File, header: &FileHeader<AnyEndian>) -> Option<Option<PathBuf>> {
    let size = usize::from(header.e_phnum) * usize::from(header.e_phentsize);
    if size > LONGEST_TABLE {
        return None;
    }
    let mut table = vec![0; size];
    let length = read_up_to(file, &mut table, header.e_phoff).ok()?;
    let segments = SegmentTable::new(header.endianness, header.class, &table[..length]);
    let Some(segment) = segments.iter().find(|segment| segment.p_type == abi::PT_INTERP) else {
        return Some(None);
    };
    let mut path = vec![0; segment.p_filesz.min(LONGEST_PATH) as usize];
    let length = read_up_to(file, &mut path, segment.p_offset).ok()?;
    path.truncate(path[..length].iter().position(|byte| *byte == 0).unwrap_or(length));
    if path.is_empty() { None } else { Some(Some(PathBuf::from(OsString::from_vec(path)))) }
}

/// The name that uname(2) gives to a machine of this kind.
fn architecture(header: &FileHeader<AnyEndian>) -> String {
    let little = header.endianness.is_little();
    let wide = header.class == Class::ELF64;
    let name = match (header.e_machine, little, wide) {
        (abi::EM_386, ..) => "i386",
        (abi::EM_X86_64, ..) => "x86_64",
        (abi::EM_AARCH64, true, _) => "aarch64",
        (abi::EM_AARCH64, false, _) => "aarch64_be",
        (abi::EM_ARM, ..) => "arm",
        (abi::EM_RISCV, _, true) => "riscv64",
        (abi::EM_RISCV, _, false) => "riscv32",
        (abi::EM_PPC64, true, _) => "ppc64le",
        (abi::EM_PPC64, false, _) => "ppc64",
        (abi::EM_PPC, ..) => "ppc",
        (abi::EM_S390, _, true) => "s390x",
        (abi::EM_S390, _, false) => "s390",
        (abi::EM_MIPS, _, true) => "mips64",
        (abi::EM_MIPS, _, false) => "mips",
        (abi::EM_LOONGARCH, ..) => "loongarch64",
        (abi::EM_SPARCV9, ..) => "sparc64",
        (other, ..) => return format!("ELF machine {other}"),
    };
    name.to_owned()
}

fn foreign(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'M', b'Z', _, 0, ..] => "a Windows program",
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => "a macOS program",
        [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1..=9, ..] => "a macOS program",
        [0xca, 0xfe, 0xba, 0xbe, ..] => "a Java class",
        [0, b'a', b's', b'm', ..] => "a WebAssembly module",
        [b'P', b'K', 3, 4, ..] => "a zip or jar archive",
        [0x1f, 0x8b, ..] => "a gzip archive",
        _ => return None,
    })
}

/// Whether a shell could make sense of it: no control characters but those that text is laid out with.
fn is_text(head: &[u8]) -> bool {
    const ESCAPE: u8 = 0x1b;
    head.iter().all(|byte| !byte.is_ascii_control() || matches!(byte, b'\t'..=b'\r' | &ESCAPE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(line: &str) -> Interpreter {
        Interpreter::parse(line.as_bytes(), line.len() + 2 >= HEAD)
    }

    #[test]
    fn hash_bang_lines_are_read_as_the_kernel_reads_them() {
        let path = |path: &str| Interpreter::Path(PathBuf::from(path));
        assert_eq!(interpreter("/bin/sh\necho"), path("/bin/sh"));
        assert_eq!(interpreter(" \t/bin/sh -e \n"), path("/bin/sh"));
        assert_eq!(interpreter("/bin/sh"), path("/bin/sh"));
        assert_eq!(interpreter("/bin/sh -e\r\n"), path("/bin/sh"));
        assert_eq!(interpreter("/bin/sh\r\n"), Interpreter::PathAndCarriageReturn("/bin/sh".into()));
        for nobody in ["", "\n", "  \n/bin/sh\n"] {
            assert_eq!(interpreter(nobody), Interpreter::Nobody, "{nobody:?}");
        }
        assert_eq!(interpreter(&"x".repeat(300)), Interpreter::TooLong);
        assert_eq!(interpreter(&format!("/x {}", "y".repeat(300))), path("/x"));
    }

    #[test]
    fn text_is_told_from_bytes() {
        assert!(is_text(b"echo hello\n\tcaf\xc3\xa9 \x1b[1m\r\n"));
        assert!(!is_text(b"echo\0hello"));
        assert!(!is_text(b"\x01\x02"));
    }

    #[test]
    fn this_program_is_an_elf_file_for_this_machine() {
        let myself = Contents::read(Path::new("/proc/self/exe")).unwrap();
        let Contents::Elf(elf) = myself else { panic!("{myself:?}") };
        assert_eq!(elf.architecture, std::env::consts::ARCH);
        assert_eq!(elf.not_a_program, None);
    }

    #[test]
    fn the_loader_of_a_dynamic_program_is_found() {
        let Ok(Contents::Elf(shell)) = Contents::read(Path::new("/bin/sh")) else { panic!("no /bin/sh") };
        let loader = shell.loader.expect("Debian's shell is linked dynamically");
        assert!(loader.to_string_lossy().contains("/ld-"), "{loader:?}");
    }
}
