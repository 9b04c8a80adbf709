//! The project of a new driver.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use postern_model::name::{InvalidName, Name};

use crate::load::BUILT_IN;

/// The files, with `{{…}}` where they differ.
const FILES: [(&str, &str); 9] = [
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    (".cargo/config.toml", include_str!("../template/.cargo/config.toml")),
    (".gitignore", include_str!("../template/gitignore")),
    ("README.md", include_str!("../template/README.md")),
    ("src/lib.rs", include_str!("../template/src/lib.rs")),
    ("cases/network.json", include_str!("../template/cases/network.json")),
    ("cases/no-uplink.json", include_str!("../template/cases/no-uplink.json")),
    ("cases/endpoint.json", include_str!("../template/cases/endpoint.json")),
    ("cases/internal-port.json", include_str!("../template/cases/internal-port.json")),
];

/// Where the SDK is, unless a folder is named.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Why there is no new project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The name is none.
    #[error("the name {0}")]
    Name(InvalidName),
    /// The daemon has a driver of this name.
    #[error("the daemon has a driver `{0}` of its own")]
    NameTaken(String),
    /// The folder has files that could be overwritten.
    #[error("{} is there already and not empty", .0.display())]
    NotEmpty(PathBuf),
    /// There is no SDK.
    #[error("no postern-sdk in {}: it is the folder `sdk` of Postern's sources", .0.display())]
    Sdk(PathBuf),
    /// The path cannot stand in Cargo.toml.
    #[error("{} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// A file operation failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl ProjectError {
    /// Whether it is what was asked for that is wrong.
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}

/// A project that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its folder.
    pub folder: PathBuf,
    /// The driver, in that folder, once it is built.
    pub wasm: String,
}

/// Makes the project of a driver in a folder, new or empty: by default one of the
/// package's name. `sdk` is a folder with the SDK; without it, Cargo takes the SDK from
/// Postern's repository, as it is not in a registry.
///
/// # Errors
/// The name is no driver's, there is no SDK, or the folder is not empty.
pub fn new(name: &str, folder: Option<&Path>, sdk: Option<&Path>) -> Result<Project, ProjectError> {
    let name = Name::short(name).map_err(ProjectError::Name)?;
    if BUILT_IN.contains(&name.as_str()) {
        return Err(ProjectError::NameTaken(name.to_string()));
    }
    let package = package(&name);
    let wasm = format!("target/wasm32-unknown-unknown/release/{}.wasm", package.replace('-', "_"));
    let sdk = dependency(sdk)?;
    let folder = folder.map_or_else(|| PathBuf::from(&package), Path::to_owned);
    check_empty(&folder)?;
    let values = [("name", name.as_str()), ("package", &package), ("wasm", &wasm), ("sdk", &sdk)];
    for (path, template) in FILES {
        write(&folder.join(path), &fill(template, &values))?;
    }
    Ok(Project { folder, wasm })
}

/// The package's name: Cargo allows no dots, and wants a letter first.
fn package(name: &Name) -> String {
    format!("postern-driver-{}", name.as_str().replace(['.', '_'], "-").to_lowercase())
}

fn dependency(sdk: Option<&Path>) -> Result<String, ProjectError> {
    let Some(sdk) = sdk else { return Ok(format!("{{ git = \"{REPOSITORY}\" }}")) };
    let found = fs::read_to_string(sdk.join("Cargo.toml"));
    if !found.is_ok_and(|text| text.contains("name = \"postern-sdk\"")) {
        return Err(ProjectError::Sdk(sdk.to_owned()));
    }
    let whole = sdk.canonicalize().map_err(|source| ProjectError::Io {
        operation: "find",
        path: sdk.to_owned(),
        source,
    })?;
    let text = whole.to_str().ok_or_else(|| ProjectError::NotUtf8(whole.clone()))?;
    // A TOML basic string has the escapes of JSON, which are more than a path needs.
    Ok(format!("{{ path = {} }}", serde_json::Value::from(text)))
}

fn check_empty(folder: &Path) -> Result<(), ProjectError> {
    let failed = |source| ProjectError::Io { operation: "read", path: folder.to_owned(), source };
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(ProjectError::NotEmpty(folder.to_owned())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (key, value)| {
        text.replace(&format!("{{{{{key}}}}}"), value)
    })
}

fn write(path: &Path, text: &str) -> Result<(), ProjectError> {
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| ProjectError::Io { operation, path, source }
    };
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(failed("make", folder))?;
    fs::write(path, text).map_err(failed("write", path))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn every_place_is_filled_in() {
        let folder = TempDir::new().unwrap();
        let project = new("my_Net.2", Some(&folder.path().join("a/b")), None).unwrap();
        assert_eq!(
            project.wasm,
            "target/wasm32-unknown-unknown/release/postern_driver_my_net_2.wasm"
        );
        for (path, _) in FILES {
            let text = fs::read_to_string(project.folder.join(path)).unwrap();
            assert!(!text.contains("{{"), "{path}: {text}");
        }
        let manifest = fs::read_to_string(project.folder.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"postern-driver-my-net-2\""));
        assert!(manifest.contains("postern-sdk = { git = \"https://"));
        let driver = fs::read_to_string(project.folder.join("src/lib.rs")).unwrap();
        assert!(driver.contains("\"my_Net.2\""));
    }

    #[test]
    fn nothing_is_written_over() {
        let folder = TempDir::new().unwrap();
        let path = Some(folder.path());
        new("blue", path, None).unwrap();
        assert!(matches!(new("blue", path, None), Err(ProjectError::NotEmpty(_))));
    }

    #[test]
    fn the_sdk_is_looked_for() {
        let folder = TempDir::new().unwrap();
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk");
        new("blue", Some(folder.path()), Some(&sdk)).unwrap();
        let manifest = fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("postern-sdk = { path = \"/"), "{manifest}");
        let wrong = new("blue", None, Some(folder.path()));
        assert!(matches!(wrong, Err(ProjectError::Sdk(_))));
    }

    #[test]
    fn names_are_those_of_manifests() {
        for name in ["", "-a", "a b", "a/b", "../a"] {
            assert!(matches!(new(name, None, None), Err(ProjectError::Name(_))), "{name}");
        }
        assert!(matches!(new("bridge", None, None), Err(ProjectError::NameTaken(_))));
    }
}
