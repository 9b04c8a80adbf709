//! Golden cases: files with a request and what is expected to come of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use postern_model::grant::Grants;
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use crate::ask::{self, Answer};
use crate::load::Workbench;
use crate::outcome::Outcome;
use crate::request::{RequestError, RequestFile};

/// Where cases are if nobody says.
pub const FOLDER: &str = "cases";

/// A golden case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What is granted of what the driver asks for; all of it if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,
    /// The request.
    #[serde(default)]
    pub request: RequestFile,
    /// What is to come of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Outcome>,
}

/// Why a case cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a case.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// The daemon would not ask the driver this.
    #[error("{}: {source}", path.display())]
    Request {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: RequestError,
    },
    /// There is none.
    #[error("no case in {}: a case is a file that ends in .json", .0.display())]
    None(PathBuf),
}

/// How a case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// As expected.
    Passed,
    /// Not as expected: the difference line by line, `-` expected and `+` come of it.
    Differs(String),
    /// Nothing was expected yet: what came of it.
    Unexpected(String),
    /// What came of it is in the file now; false where it was already.
    Blessed(bool),
}

/// The files of cases: those that are named, and the JSON files in folders that are.
///
/// # Errors
/// A folder cannot be read, or has none.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CaseError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found =
            in_folder(path).map_err(|source| CaseError::Read { path: path.clone(), source })?;
        if found.is_empty() {
            return Err(CaseError::None(path.clone()));
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

fn in_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Reads a request by itself, or that of a case.
///
/// # Errors
/// The file cannot be read, or holds neither.
pub fn read_request(path: &Path) -> Result<RequestFile, CaseError> {
    let text = read(path)?;
    let failed = |source| CaseError::Json { path: path.to_owned(), source };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(failed)?;
    if value.get("request").is_some() {
        return serde_json::from_str::<Case>(&text).map(|case| case.request).map_err(failed);
    }
    serde_json::from_str(&text).map_err(failed)
}

fn read(path: &Path) -> Result<String, CaseError> {
    fs::read_to_string(path).map_err(|source| CaseError::Read { path: path.to_owned(), source })
}

/// Runs a case. With `bless`, what comes of it becomes what is expected.
///
/// # Errors
/// The file cannot be read or written, or is no case for this driver.
pub fn run(bench: &Workbench, path: &Path, bless: bool) -> Result<Verification, CaseError> {
    let failed = |source| CaseError::Json { path: path.to_owned(), source };
    let case: Case = serde_json::from_str(&read(path)?).map_err(failed)?;
    let Answer { outcome, .. } = answer(bench, &case, path)?;
    if bless {
        return self::bless(case, outcome, path).map(Verification::Blessed);
    }
    let shown = pretty(&outcome).map_err(failed)?;
    Ok(match &case.expect {
        Some(expected) if *expected == outcome => Verification::Passed,
        Some(expected) => {
            Verification::Differs(difference(&pretty(expected).map_err(failed)?, &shown))
        }
        None => Verification::Unexpected(shown),
    })
}

fn answer(bench: &Workbench, case: &Case, path: &Path) -> Result<Answer, CaseError> {
    let request = case
        .request
        .resolve(bench.manifest())
        .map_err(|source| CaseError::Request { path: path.to_owned(), source })?;
    let granted = bench.granted(case.grants.as_ref());
    Ok(ask::ask(bench.driver(), &request, &granted))
}

fn bless(mut case: Case, outcome: Outcome, path: &Path) -> Result<bool, CaseError> {
    if case.expect.as_ref() == Some(&outcome) {
        return Ok(false);
    }
    case.expect = Some(outcome);
    let text = pretty(&case).map_err(|source| CaseError::Json { path: path.to_owned(), source })?;
    fs::write(path, text).map_err(|source| CaseError::Write { path: path.to_owned(), source })?;
    Ok(true)
}

fn pretty(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// The lines that differ, with three around them.
fn difference(expected: &str, found: &str) -> String {
    let diff = TextDiff::from_lines(expected, found);
    let text = diff.unified_diff().context_radius(3).to_string();
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::fixture;

    fn case(folder: &TempDir, text: &str) -> PathBuf {
        let path = folder.path().join("case.json");
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn what_is_blessed_passes_and_what_changes_is_shown() {
        let (bench, folder) = (fixture::bench(), TempDir::new().unwrap());
        let path = case(&folder, r#"{"description": "a network", "request": {}}"#);
        assert!(matches!(run(&bench, &path, false).unwrap(), Verification::Unexpected(_)));
        assert_eq!(run(&bench, &path, true).unwrap(), Verification::Blessed(true));
        assert_eq!(run(&bench, &path, true).unwrap(), Verification::Blessed(false));
        assert_eq!(run(&bench, &path, false).unwrap(), Verification::Passed);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"description\": \"a network\""), "{text}");
        fs::write(&path, text.replace("\"mtu\": 1500", "\"mtu\": 1400")).unwrap();
        let Verification::Differs(difference) = run(&bench, &path, false).unwrap() else {
            panic!("it passes");
        };
        assert!(difference.contains("-          \"mtu\": 1400"), "{difference}");
        assert!(difference.contains("+          \"mtu\": 1500"), "{difference}");
    }

    #[test]
    fn what_is_not_granted_is_rejected() {
        let (bench, folder) = (fixture::bench(), TempDir::new().unwrap());
        let path = case(&folder, r#"{"grants": ["veth"], "request": {}}"#);
        let Verification::Unexpected(text) = run(&bench, &path, false).unwrap() else {
            panic!("it was expected");
        };
        assert!(text.contains("capability `bridge` is not granted"), "{text}");
    }

    #[test]
    fn a_case_that_is_none_is_told_where() {
        let (bench, folder) = (fixture::bench(), TempDir::new().unwrap());
        let path = case(&folder, r#"{"requests": {}}"#);
        let error = run(&bench, &path, false).unwrap_err().to_string();
        assert!(error.contains("case.json: unknown field `requests`"), "{error}");
        assert!(
            matches!(files(&[PathBuf::from("/nonexistent.json")]), Ok(files) if files.len() == 1)
        );
        let empty = TempDir::new().unwrap();
        let none = files(&[empty.path().to_owned()]).unwrap_err();
        assert!(matches!(none, CaseError::None(_)));
    }

    #[test]
    fn a_request_is_read_alone_or_out_of_a_case() {
        let folder = TempDir::new().unwrap();
        let internal = |path: &Path| read_request(path).unwrap().network.internal;
        let path = case(&folder, r#"{"request": {"network": {"internal": true}}}"#);
        assert_eq!(internal(&path), Some(true));
        let path = case(&folder, r#"{"network": {"internal": true}}"#);
        assert_eq!(internal(&path), Some(true));
    }
}
