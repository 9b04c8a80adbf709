//! Loading a driver from a file, as the daemon would.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postern_model::driver::{Capability, DriverInfo, Manifest};
use postern_model::grant::Grants;
use postern_plugin::{
    CompileError, Compiler, DriverHost, HostOptions, InspectError, Limits, LoadedDriver,
};
use serde::Serialize;
use tempfile::TempDir;

/// Names that drivers of the daemon have.
pub const BUILT_IN: [&str; 4] = ["bridge", "host", "null", "overlay"];

/// Why there is no driver to work with.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no folder for what is compiled.
    #[error("cannot make a temporary folder: {0}")]
    Folder(io::Error),
    /// There is no host.
    #[error(transparent)]
    Host(postern_plugin::OpenError),
    /// The daemon would not load it.
    #[error("{}: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<postern_plugin::LoadError>,
    },
    /// The daemon has a driver of this name.
    #[error("{}: the daemon has a driver `{name}` of its own", path.display())]
    NameTaken {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
}

impl LoadError {
    /// Whether it is the driver that is at fault.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::NameTaken { .. })
    }

    /// What its author may do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { source, .. } => hint(source),
            Self::NameTaken { .. } => Some("give it another `name` in its manifest"),
            _ => None,
        }
    }
}

fn hint(error: &postern_plugin::LoadError) -> Option<&'static str> {
    use postern_plugin::LoadError as Error;
    Some(match error {
        Error::Inspect(error) => return hint_of_form(error),
        Error::Compile(CompileError::Componentize { .. }) => {
            "the crate's own exports and those of the SDK do not fit together: is there one \
             `export_driver!`, and one version of postern-sdk in Cargo.lock?"
        }
        Error::Link { .. } => "rebuild it with the SDK of this version",
        Error::Describe(_) => "`describe` must do no more than return the manifest",
        Error::Needs(_) => {
            "set a smaller stack: rustflags = [\"-C\", \"link-arg=-zstack-size=65536\"]"
        }
        _ => return None,
    })
}

fn hint_of_form(error: &InspectError) -> Option<&'static str> {
    Some(match error {
        InspectError::TooLarge { .. } => {
            "build it with --release, opt-level = \"s\" and strip = \"debuginfo\""
        }
        InspectError::Malformed { .. } | InspectError::Precompiled => {
            "the file is target/wasm32-unknown-unknown/release/NAME.wasm, which \
             `cargo build --release --target wasm32-unknown-unknown` makes"
        }
        InspectError::NoContract => {
            "the crate must depend on postern-sdk and have crate-type = [\"cdylib\"]"
        }
        InspectError::NoExport => "is `postern_sdk::export_driver!(…)` there?",
        InspectError::UnknownImport { name } if name.starts_with("wasi") => {
            "build it for wasm32-unknown-unknown: the wasip1 and wasip2 targets import WASI"
        }
        InspectError::UnknownImport { .. } => {
            "some dependency wants an environment, as of a browser: `cargo tree` shows which"
        }
        InspectError::ContractVersion { .. } | InspectError::TwoDrivers { .. } => return None,
    })
}

/// What a driver is, for its author to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What it says of itself.
    pub manifest: Manifest,
    /// `sha256:…` of the file, by which grants and upgrades name it.
    pub digest: String,
    /// Bytes of the file.
    pub size: usize,
    /// `core module` or `component`.
    pub form: &'static str,
    /// Milliseconds from the file to a driver that can be called.
    pub load_ms: u64,
}

/// A driver that is loaded into a host of its own, all it asks for granted.
#[derive(Debug)]
pub struct Workbench {
    driver: Arc<LoadedDriver>,
    report: Report,
    /// What was compiled; removed with the rest.
    _folder: TempDir,
}

impl Workbench {
    /// Loads a driver.
    ///
    /// # Errors
    /// The file cannot be read, or the daemon would refuse it.
    pub fn load(path: &Path, compiler: Compiler) -> Result<Self, LoadError> {
        let bytes =
            fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let (host, folder) = host(compiler)?;
        let began = Instant::now();
        let loaded = host.load(&bytes, false, &Grants::all_of(Capability::ALL));
        let info = loaded.map_err(|error| LoadError::Refused {
            path: path.to_owned(),
            source: Box::new(error),
        })?;
        let took = began.elapsed();
        let name = info.manifest.name.as_str();
        match host.driver(name) {
            Some(driver) if !BUILT_IN.contains(&name) => {
                Ok(Self { report: report(info, &bytes, took), driver, _folder: folder })
            }
            _ => Err(LoadError::NameTaken { path: path.to_owned(), name: name.to_owned() }),
        }
    }

    /// One of the daemon's own.
    #[cfg(test)]
    pub(crate) fn built_in(name: &str) -> Self {
        let (host, folder) = host(Compiler::InProcess).unwrap();
        host.load_built_in().unwrap();
        let driver = host.driver(name).unwrap();
        let report = report(driver.info().clone(), b"", Duration::ZERO);
        Self { report, driver, _folder: folder }
    }

    /// The driver.
    pub fn driver(&self) -> &LoadedDriver {
        &self.driver
    }

    /// What it is.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// What it says of itself.
    pub const fn manifest(&self) -> &Manifest {
        &self.report.manifest
    }

    /// What it may do: of what it asks for, what is granted; all of it if nothing is said.
    pub fn granted(&self, grants: Option<&Grants>) -> Grants {
        let asked = &self.manifest().capabilities;
        let all = || Grants::all_of(asked.iter().copied());
        grants.map_or_else(all, |grants| grants.within(asked))
    }
}

/// A host without drivers, and the folder of what it compiles.
fn host(compiler: Compiler) -> Result<(DriverHost, TempDir), LoadError> {
    let folder = TempDir::new().map_err(LoadError::Folder)?;
    let state = folder.path().to_owned();
    let host = DriverHost::open(HostOptions { state, limits: Limits::default(), compiler });
    Ok((host.map_err(LoadError::Host)?, folder))
}

fn report(info: DriverInfo, bytes: &[u8], took: Duration) -> Report {
    // The layer, after the magic number and the version: 0 is a core module's.
    let form = if bytes.get(6) == Some(&0) { "core module" } else { "component" };
    Report {
        manifest: info.manifest,
        digest: info.digest,
        size: bytes.len(),
        form,
        load_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> LoadError {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("driver.wasm");
        fs::write(&path, bytes).unwrap();
        Workbench::load(&path, Compiler::InProcess).unwrap_err()
    }

    #[test]
    fn what_is_no_driver_is_told_what_to_do() {
        let error = refused(b"#!/bin/sh");
        assert!(error.is_refusal());
        assert!(error.to_string().contains("not a WebAssembly binary"), "{error}");
        assert!(error.hint().unwrap().contains("wasm32-unknown-unknown"));
        // An empty core module.
        let error = refused(b"\0asm\x01\0\0\0");
        assert!(error.hint().unwrap().contains("postern-sdk"), "{error}");
    }

    #[test]
    fn the_names_that_are_taken_are_those_of_the_daemon_s_drivers() {
        let (host, _folder) = host(Compiler::InProcess).unwrap();
        let names = host.load_built_in().unwrap().into_iter().map(|info| info.manifest.name);
        assert_eq!(names.map(String::from).collect::<Vec<_>>(), BUILT_IN);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Workbench::load(Path::new("/nonexistent/a.wasm"), Compiler::InProcess);
        let error = error.unwrap_err();
        assert!(!error.is_refusal());
        assert!(error.to_string().contains("/nonexistent/a.wasm"));
    }
}
