//! Machine code on disk, so that a driver is compiled once.
//!
//! A file of the cache is code that the daemon runs, so it is read only if the daemon wrote
//! it: the folder and the file are its own and closed to everybody else, and the file ends
//! with a checksum of the rest.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::disk::{self, UNFINISHED};

const SUFFIX: &str = ".cwasm";
const CHECKSUM: usize = 32;

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
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
    /// The folder is another user's, who could put code into it.
    #[error("{} belongs to user {owner}, not to the daemon's", path.display())]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// What was compiled does not load.
    #[error("the compiled code does not load: {reason}")]
    Unloadable {
        /// Why.
        reason: String,
    },
}

/// The folder of compiled drivers.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    compatibility: String,
}

impl Cache {
    /// Opens the folder, made if need be, and removes what other engines compiled.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, CacheError> {
        let failed =
            |operation, source| CacheError::Io { operation, path: folder.to_owned(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| failed("make", source))?;
        let metadata = fs::symlink_metadata(folder).map_err(|source| failed("read", source))?;
        if metadata.uid() != geteuid().as_raw() || !metadata.is_dir() {
            return Err(CacheError::Owner { path: folder.to_owned(), owner: metadata.uid() });
        }
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(folder, Permissions::from_mode(0o700))
                .map_err(|source| failed("close", source))?;
        }
        let cache = Self { folder: folder.to_owned(), compatibility: compatibility(engine) };
        cache.prune().map_err(|source| failed("tidy", source))?;
        Ok(cache)
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{}{SUFFIX}", self.compatibility))
    }

    fn prune(&self) -> io::Result<()> {
        let ours = format!("-{}{SUFFIX}", self.compatibility);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if (name.ends_with(SUFFIX) && !name.ends_with(&ours)) || name.ends_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// What was compiled from a module of this digest; none if there is none, or what is
    /// there is not whole, not ours or not this engine's.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Code> {
        let path = self.path(digest);
        match read(&path) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(path = %path.display(), "compiled driver is damaged; compiling again");
                return None;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read compiled driver");
                return None;
            }
        }
        match deserialize(engine, &path) {
            Ok(component) => Some(Code { path, component }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot load compiled driver");
                None
            }
        }
    }

    /// Writes what was compiled from a module of this digest, and loads it.
    pub(crate) fn store(
        &self,
        engine: &Engine,
        digest: &str,
        code: &[u8],
    ) -> Result<Code, CacheError> {
        let path = self.path(digest);
        disk::write(&path, &[code, &Sha256::digest(code)]).map_err(|source| CacheError::Io {
            operation: "write",
            path: path.clone(),
            source,
        })?;
        let component = deserialize(engine, &path).map_err(|error| unloadable(&error))?;
        Ok(Code { path, component })
    }
}

/// Machine code that is on disk, whole and ours.
pub(crate) struct Code {
    path: PathBuf,
    /// As the engine has it that was there when it was loaded.
    pub(crate) component: Component,
}

impl Code {
    /// For another engine, of the same settings as far as code is concerned.
    pub(crate) fn on(&self, engine: &Engine) -> Result<Component, CacheError> {
        deserialize(engine, &self.path).map_err(|error| unloadable(&error))
    }
}

fn unloadable(error: &wasmtime::Error) -> CacheError {
    CacheError::Unloadable { reason: format!("{error:#}") }
}

/// Whether the file is ours and whole.
fn read(path: &Path) -> io::Result<bool> {
    let mut file =
        OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let Some((code, checksum)) = bytes.split_last_chunk::<CHECKSUM>() else {
        return Ok(false);
    };
    Ok(Sha256::digest(code).as_slice() == checksum)
}

#[expect(unsafe_code, reason = "loading machine code is unsafe by nature")]
fn deserialize(engine: &Engine, path: &Path) -> Result<Component, wasmtime::Error> {
    // SAFETY: the file was written by this daemon from wasmtime's own output, into a folder
    // that only its user can change, and its checksum has been verified or it was written
    // just now. It is replaced by renaming only, so what is mapped never changes. wasmtime
    // itself refuses what another version or configuration made.
    unsafe { Component::deserialize_file(engine, path) }
}

/// What tells this engine's code from others'.
fn compatibility(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    // The way from core module to component is the daemon's, not the engine's.
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
