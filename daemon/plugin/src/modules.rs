//! The modules of installed drivers on disk, each by the digest of its bytes.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::digest::{digest, stem};
use crate::disk;

const SUFFIX: &str = ".wasm";

/// Why a module cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// An operation on a file failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is not what was installed.
    #[error("{} does not have its digest any more", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

/// The folder of modules. What is in it is checked again whenever it is read.
#[derive(Debug)]
pub struct Modules(PathBuf);

impl Modules {
    /// Opens the folder, made if need be.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(state: &Path) -> Result<Self, ModuleError> {
        let folder = state.join("drivers").join("modules");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(failed("make", &folder))?;
        Ok(Self(folder))
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.0.join(format!("{}{SUFFIX}", stem(digest)))
    }

    /// Keeps a module: on disk, whole or not at all, when it returns.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep(&self, digest: &str, bytes: &[u8]) -> Result<(), ModuleError> {
        let path = self.path(digest);
        disk::write(&path, &[bytes]).map_err(failed("write", &path))
    }

    /// The bytes of a module.
    ///
    /// # Errors
    /// It is not there, or not what it was.
    pub fn read(&self, of: &str) -> Result<Vec<u8>, ModuleError> {
        let path = self.path(of);
        let bytes = fs::read(&path).map_err(failed("read", &path))?;
        if digest(&bytes) == of { Ok(bytes) } else { Err(ModuleError::Damaged { path }) }
    }

    /// Removes every module but these: those of drivers that are gone, and what a crash left.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep_only(&self, digests: &BTreeSet<String>) -> Result<(), ModuleError> {
        let kept: BTreeSet<PathBuf> = digests.iter().map(|digest| self.path(digest)).collect();
        let entries = fs::read_dir(&self.0).map_err(failed("list", &self.0))?;
        for entry in entries {
            let path = entry.map_err(failed("list", &self.0))?.path();
            if !kept.contains(&path) {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ModuleError {
    let path = path.to_owned();
    move |source| ModuleError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_and_what_is_damaged_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let modules = Modules::open(folder.path()).unwrap();
        let (one, two) = (digest(b"one"), digest(b"two"));
        modules.keep(&one, b"one").unwrap();
        modules.keep(&two, b"two").unwrap();
        assert_eq!(modules.read(&one).unwrap(), b"one");
        fs::write(modules.path(&two), b"too").unwrap();
        assert!(matches!(modules.read(&two), Err(ModuleError::Damaged { .. })));
        modules.keep_only(&BTreeSet::from([one.clone()])).unwrap();
        assert!(matches!(modules.read(&two), Err(ModuleError::Io { .. })));
        assert!(modules.read(&one).is_ok());
    }
}
