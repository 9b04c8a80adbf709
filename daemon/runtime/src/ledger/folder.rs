//! Drivers that lie in a folder, installed when the daemon starts.
//!
//! What the folder says is brought about once, at the start; a driver that is taken out of
//! it stays installed. One that cannot be installed is logged, and nothing else happens: its
//! earlier version goes on, and so does the daemon.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use postern_kernel::Kernel;
use postern_model::grant::{Grants, InvalidGrant};
use postern_model::intent::InstallDriver;
use postern_model::refusal::Refusal;
use postern_plugin::digest;

use super::{Ledger, chain};

/// Why a file of the folder is not installed.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Grants { path: PathBuf, source: InvalidGrant },
    #[error("{} has no 64 bytes", path.display())]
    Signature { path: PathBuf },
    #[error(transparent)]
    Refused(Refusal),
}

impl<K: Kernel> Ledger<K> {
    /// Installs every module of a folder; that there is no folder is fine.
    pub(crate) async fn install_from(&self, folder: &Path) {
        let modules = match modules(folder) {
            Ok(modules) => modules,
            Err(error) => return tracing::error!(error = chain(&error), "drivers are left out"),
        };
        for module in modules {
            match self.install_file(&module).await {
                Ok(Some(name)) => {
                    tracing::info!(driver = name, path = %module.display(), "driver installed");
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(error = chain(&error), path = %module.display(), "a driver is not installed");
                }
            }
        }
    }

    /// Installs one; returns its name if something came of it.
    async fn install_file(&self, path: &Path) -> Result<Option<String>, FileError> {
        let module = read(path)?;
        let grants = grants(&path.with_extension("grants"))?;
        let found = digest(&module);
        let known = {
            let state = self.0.state();
            let mut drivers = state.topology().drivers();
            drivers.any(|driver| driver.digest == found && driver.grants == grants)
        };
        if known {
            return Ok(None);
        }
        let intent = InstallDriver {
            module,
            grants: Some(grants),
            digest: None,
            signature: signature(&path.with_extension("sig"))?,
            upgrade: true,
            accept_changes: false,
        };
        let installed = self.install_driver_now(intent, (None, false)).await;
        Ok(Some(installed.map_err(FileError::Refused)?.object.driver.name))
    }
}

fn modules(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let failed = |source| FileError::Read { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut modules = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            modules.push(path);
        }
    }
    modules.sort();
    Ok(modules)
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|source| FileError::Read { path: path.to_owned(), source })
}

/// A grant a line; none without a file. Lines that begin with # are for people.
fn grants(path: &Path) -> Result<Grants, FileError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Grants::default()),
        Err(source) => return Err(FileError::Read { path: path.to_owned(), source }),
        Ok(text) => text,
    };
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.try_into().map_err(|source| FileError::Grants { path: path.to_owned(), source })
}

fn signature(path: &Path) -> Result<Option<[u8; 64]>, FileError> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = <[u8; 64]>::try_from(read(path)?);
    bytes.map(Some).map_err(|_| FileError::Signature { path: path.to_owned() })
}
