//! What a file that should be a program is, by its first bytes, as the kernel reads them.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use elf::abi;
use elf::endian::{AnyEndian, EndianParse as _};
use elf::file::{Class, FileHeader};
use elf::segment::SegmentTable;

use super::reason::Reason;

/// How much of a file the kernel reads to tell what it is (BINPRM_BUF_SIZE).
const HEAD: u64 = 256;
/// The kernel takes no longer path (PATH_MAX).
const LONGEST_PATH: u64 = 4096;
/// The kernel reads no longer table of segments (load_elf_phdrs() in fs/binfmt_elf.c).
const LONGEST_TABLE: u64 = 65536;

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub enum Contents {
    /// An ELF program or library.
    Elf {
        /// By the name that uname(2) has for it.
        architecture: String,
        /// The dynamic loader it asks for; a static program asks for none.
        loader: Option<PathBuf>,
    },
    /// A script for this interpreter.
    Script(PathBuf),
    /// Text without `#!`.
    Text,
    /// Nothing that anybody could execute.
    Unusable(Reason),
}

impl Contents {
    /// Looks into a regular file.
    pub fn read(path: &Path) -> io::Result<Contents> {
        let file = File::open(path)?;
        let head = read_up_to(HEAD, &file, 0)?;
        Ok(match head.as_slice() {
            [] => Contents::Unusable(Reason::Empty),
            [0x7f, b'E', b'L', b'F', ..] => elf(&file, &head).unwrap_or(Contents::Unusable(Reason::Damaged)),
            [b'#', b'!', line @ ..] => script(line, head.len() as u64 == HEAD),
            _ => match foreign(&head) {
                Some(kind) => Contents::Unusable(Reason::NotAProgram(kind)),
                None if is_text(&head) => Contents::Text,
                None => Contents::Unusable(Reason::UnknownFormat),
            },
        })
    }
}

fn read_up_to(most: u64, mut file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes apart what follows `#!`, as load_script() in fs/binfmt_script.c does. `cut`: the file may go on.
fn script(head: &[u8], cut: bool) -> Contents {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = head.iter().position(|byte| *byte == b'\n');
    let line = &head[..end.unwrap_or(head.len())];
    let start = line.iter().position(|byte| !blank(byte)).unwrap_or(line.len());
    let line = &line[start..];
    let path = match line.iter().position(|byte| blank(byte) || *byte == 0) {
        Some(end) => &line[..end],
        None if end.is_none() && cut && !line.is_empty() => {
            return Contents::Unusable(Reason::InterpreterLineTooLong);
        }
        None => line,
    };
    let interpreter = PathBuf::from(OsString::from_vec(path.to_vec()));
    match path {
        [] => Contents::Unusable(Reason::NoInterpreter),
        // The kernel takes the CR of a CR LF for the last letter of the path.
        [.., b'\r'] => Contents::Unusable(Reason::CarriageReturn(interpreter)),
        _ => Contents::Script(interpreter),
    }
}

/// `None` where the kernel would not accept the header.
fn elf(file: &File, head: &[u8]) -> Option<Contents> {
    let identity = elf::file::parse_ident::<AnyEndian>(head.get(..abi::EI_NIDENT)?).ok()?;
    let header = FileHeader::parse_tail(identity, head.get(abi::EI_NIDENT..)?).ok()?;
    let not_a_program = |what| Some(Contents::Unusable(Reason::NotAProgram(what)));
    match header.e_type {
        abi::ET_REL => not_a_program("an object file, not linked yet"),
        abi::ET_CORE => not_a_program("a core dump"),
        _ => Some(Contents::Elf { architecture: architecture(&header), loader: loader(file, &header)? }),
    }
}

/// `None` where the kernel would not accept the table of segments, or the loader's name in it. The table's size cannot
/// be trusted: it may come to 4 GiB.
fn loader(file: &File, header: &FileHeader<AnyEndian>) -> Option<Option<PathBuf>> {
    let size = u64::from(header.e_phnum) * u64::from(header.e_phentsize);
    if size > LONGEST_TABLE {
        return None;
    }
    let table = read_up_to(size, file, header.e_phoff).ok()?;
    let segments = SegmentTable::new(header.endianness, header.class, &table);
    let Some(segment) = segments.iter().find(|segment| segment.p_type == abi::PT_INTERP) else {
        return Some(None);
    };
    let mut path = read_up_to(segment.p_filesz.min(LONGEST_PATH), file, segment.p_offset).ok()?;
    path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
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

/// Whether a shell could make sense of it: no control characters but those that lay out text.
fn is_text(head: &[u8]) -> bool {
    const ESCAPE: u8 = 0x1b;
    head.iter().all(|byte| !byte.is_ascii_control() || matches!(byte, b'\t'..=b'\r' | &ESCAPE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Contents {
        script(line.as_bytes(), line.len() as u64 + 2 >= HEAD)
    }

    #[test]
    fn hash_bang_lines_are_read_as_the_kernel_reads_them() {
        let path = |path: &str| Contents::Script(PathBuf::from(path));
        assert_eq!(read("/bin/sh\necho"), path("/bin/sh"));
        assert_eq!(read(" \t/bin/sh -e \n"), path("/bin/sh"));
        assert_eq!(read("/bin/sh"), path("/bin/sh"));
        assert_eq!(read("/bin/sh -e\r\n"), path("/bin/sh"));
        assert_eq!(read("/bin/sh\r\n"), Contents::Unusable(Reason::CarriageReturn("/bin/sh\r".into())));
        for nobody in ["", "\n", "  \n/bin/sh\n"] {
            assert_eq!(read(nobody), Contents::Unusable(Reason::NoInterpreter), "{nobody:?}");
        }
        assert_eq!(read(&"x".repeat(300)), Contents::Unusable(Reason::InterpreterLineTooLong));
        assert_eq!(read(&format!("/x {}", "y".repeat(300))), path("/x"));
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
        let Contents::Elf { architecture, .. } = myself else { panic!("{myself:?}") };
        assert_eq!(architecture, std::env::consts::ARCH);
    }

    #[test]
    fn the_loader_of_a_dynamic_program_is_found() {
        let Ok(Contents::Elf { loader, .. }) = Contents::read(Path::new("/bin/sh")) else {
            panic!("no /bin/sh")
        };
        let loader = loader.expect("Debian's shell is linked dynamically");
        assert!(loader.to_string_lossy().contains("/ld-"), "{loader:?}");
    }
}
