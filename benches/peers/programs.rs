//! The programs that run under the inits: `programs.c`, built with the first C compiler that is installed.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/programs.c");
/// musl-gcc is preferred: glibc's own start takes longer than everything that is measured.
const COMPILERS: [&str; 2] = ["musl-gcc", "cc"];

/// The executable that was built.
pub struct Programs {
    /// Where it is.
    pub path: PathBuf,
    /// What built it.
    pub compiler: &'static str,
}

impl Programs {
    /// Builds it in this directory.
    pub fn build(directory: &Path) -> Result<Programs, Box<dyn Error>> {
        fs::create_dir_all(directory)?;
        let path = directory.join("programs");
        for compiler in COMPILERS {
            let built = Command::new(compiler)
                .args(["-O2", "-static", "-Wall", "-o"])
                .args([path.as_path(), SOURCE.as_ref()])
                .stdin(Stdio::null())
                .status();
            match built {
                Ok(status) if status.success() => return Ok(Programs { path, compiler }),
                Ok(status) => return Err(format!("{compiler} {SOURCE}: {status}").into()),
                Err(_) => {}
            }
        }
        Err(format!("needs one of these C compilers: {}", COMPILERS.join(", ")).into())
    }
}
