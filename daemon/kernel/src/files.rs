//! Files of sandboxes, for a runtime to mount.
//!
//! A file is made under another name and renamed, so that it is whole from its first
//! moment. Later it is changed in place, by one write: a runtime mounts the file itself,
//! and a mount follows the inode, not the name. Beside each file, hidden, is a copy of what
//! was written last, by which the hand of somebody else is known; such a file is left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use postern_model::id::SandboxId;
use postern_model::resource::{Content, Resource, SandboxFile};

/// Anybody in the sandbox may read.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// Where a sandbox's files are, below the daemon's run directory.
pub fn path_of(run_dir: &Path, sandbox: SandboxId) -> PathBuf {
    directory(run_dir).join(sandbox.to_string())
}

fn directory(run_dir: &Path) -> PathBuf {
    run_dir.join("files")
}

/// The names of a file and of its copies: of what was written last, and of what is being
/// written.
struct Names {
    file: PathBuf,
    written: PathBuf,
    coming: PathBuf,
}

impl Names {
    fn of(folder: &Path, file: SandboxFile) -> Self {
        let name = file.name();
        Self {
            file: folder.join(name),
            written: folder.join(format!(".{name}")),
            coming: folder.join(format!(".{name}.coming")),
        }
    }

    /// What is there; none if there is no file.
    fn read(&self) -> io::Result<Option<Content>> {
        let Some(text) = read(&self.file)? else { return Ok(None) };
        // A run that was cut off has left either the old text or the coming one.
        let known = [&self.written, &self.coming];
        for copy in known {
            if read(copy)?.as_ref() == Some(&text) {
                return Ok(Some(Content::Written(String::from_utf8_lossy(&text).into_owned())));
            }
        }
        Ok(Some(Content::Edited))
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file, unless somebody else has edited it.
pub(crate) fn write(
    run_dir: &Path,
    sandbox: SandboxId,
    file: SandboxFile,
    text: &str,
) -> io::Result<()> {
    let folder = path_of(run_dir, sandbox);
    make_directory(&directory(run_dir))?;
    make_directory(&folder)?;
    let names = Names::of(&folder, file);
    match names.read()? {
        Some(Content::Edited) => {
            tracing::info!(path = %names.file.display(), "edited by somebody else; left alone");
            Ok(())
        }
        Some(Content::Written(there)) if there == text => Ok(()),
        Some(Content::Written(_)) => {
            make(&names.coming, text)?;
            overwrite(&names.file, text)?;
            fs::rename(&names.coming, &names.written)
        }
        None => {
            make(&names.written, text)?;
            make(&names.coming, text)?;
            fs::rename(&names.coming, &names.file)
        }
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(DIRECTORY_MODE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn make(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
    file.write_all(text.as_bytes())
}

/// One write, as long as the longer of the two texts, and only then the new length: at no
/// time does the end of the old text stand behind the new one.
fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let old = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut padded = text.as_bytes().to_vec();
    padded.resize(text.len().max(old), b'\n');
    file.write_all(&padded)?;
    file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))
}

/// Removes a file, edited or not, and with the last one the sandbox's folder. That it is
/// gone already is no error.
pub(crate) fn remove(run_dir: &Path, sandbox: SandboxId, file: SandboxFile) -> io::Result<()> {
    let folder = path_of(run_dir, sandbox);
    let Names { file, written, coming } = Names::of(&folder, file);
    for path in [file, coming, written] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::remove_dir(&folder) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Every file of every sandbox.
pub(crate) fn observe(run_dir: &Path) -> io::Result<Vec<Resource>> {
    let folders = match fs::read_dir(directory(run_dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        folders => folders?,
    };
    let mut found = Vec::new();
    for folder in folders.flatten() {
        let name = folder.file_name();
        let Some(sandbox) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        for file in SandboxFile::ALL {
            if let Some(content) = Names::of(&folder.path(), file).read()? {
                found.push(Resource::File { sandbox, file, content });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SANDBOX: &str = "01932c07-a9d0-7000-8abc-0123456789ab";

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::TempDir::new().unwrap())
        }

        fn write(&self, text: &str) {
            write(self.0.path(), SANDBOX.parse().unwrap(), SandboxFile::Hosts, text).unwrap();
        }

        fn path(&self) -> PathBuf {
            path_of(self.0.path(), SANDBOX.parse().unwrap()).join("hosts")
        }

        fn text(&self) -> String {
            fs::read_to_string(self.path()).unwrap()
        }

        fn observed(&self) -> Vec<Content> {
            let found = observe(self.0.path()).unwrap().into_iter();
            let content = found.filter_map(|resource| match resource {
                Resource::File { content, .. } => Some(content),
                _ => None,
            });
            content.collect()
        }
    }

    #[test]
    fn a_file_that_is_mounted_follows_every_change() {
        let files = Files::new();
        files.write("127.0.0.1 localhost\n10.0.0.2 web\n");
        let mut mounted = File::open(files.path()).unwrap();
        for text in ["127.0.0.1 localhost\n", "127.0.0.1 localhost\n10.0.0.3 a longer one\n", ""] {
            files.write(text);
            assert_eq!(files.text(), text);
            let mut seen = String::new();
            io::Seek::rewind(&mut mounted).unwrap();
            io::Read::read_to_string(&mut mounted, &mut seen).unwrap();
            assert_eq!(seen, text);
            assert_eq!(files.observed(), [Content::Written(text.to_owned())]);
        }
    }

    #[test]
    fn what_somebody_edited_is_left_alone() {
        let files = Files::new();
        files.write("one\n");
        fs::write(files.path(), "mine\n").unwrap();
        assert_eq!(files.observed(), [Content::Edited]);
        files.write("two\n");
        assert_eq!(files.text(), "mine\n");
        fs::remove_file(files.path()).unwrap();
        assert_eq!(files.observed(), []);
        files.write("three\n");
        assert_eq!(files.text(), "three\n");
    }

    #[test]
    fn a_run_that_was_cut_off_is_no_edit() {
        let files = Files::new();
        files.write("old\n");
        let names = Names::of(files.path().parent().unwrap(), SandboxFile::Hosts);
        make(&names.coming, "new\n").unwrap();
        assert_eq!(files.observed(), [Content::Written("old\n".into())]);
        overwrite(&names.file, "new\n").unwrap();
        assert_eq!(files.observed(), [Content::Written("new\n".into())]);
        files.write("next\n");
        assert_eq!(files.text(), "next\n");
    }

    #[test]
    fn the_folder_goes_with_its_last_file() {
        let files = Files::new();
        let sandbox = SANDBOX.parse().unwrap();
        files.write("a\n");
        write(files.0.path(), sandbox, SandboxFile::Hostname, "web\n").unwrap();
        remove(files.0.path(), sandbox, SandboxFile::Hosts).unwrap();
        assert_eq!(files.observed().len(), 1);
        remove(files.0.path(), sandbox, SandboxFile::Hostname).unwrap();
        remove(files.0.path(), sandbox, SandboxFile::Hostname).unwrap();
        assert!(!path_of(files.0.path(), sandbox).exists());
    }
}
