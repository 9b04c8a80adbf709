//! Files of sandboxes, for a runtime to mount.
//!
//! A file is made under another name and renamed, so that it is whole from its first
//! moment. Later it is changed in place, by one write: a runtime mounts the file itself,
//! and a mount follows the inode, not the name. In a folder that is offered to nobody lie
//! copies of what was written last, by which the hand of somebody else is known; such a file
//! is left alone.
//!
//! What is mounted may be in the hands of a workload. So no link is followed, nothing but a
//! regular file is opened for long, and none is read that is longer than what we write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use postern_failpoint::point;
use postern_model::id::SandboxId;
use postern_model::resource::{Content, Resource, SandboxFile};

/// Anybody in the sandbox may read.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
/// The copies are the daemon's own.
const PRIVATE_MODE: u32 = 0o700;
/// More than any file of ours has; a longer one is somebody else's.
const LENGTH_MAX: u64 = 4 << 20;

/// Where a sandbox's files are, below the daemon's run directory.
pub fn path_of(run_dir: &Path, sandbox: SandboxId) -> PathBuf {
    directory(run_dir).join(sandbox.to_string())
}

fn directory(run_dir: &Path) -> PathBuf {
    run_dir.join("files")
}

fn copies(run_dir: &Path) -> PathBuf {
    run_dir.join("files-written")
}

/// A file and its copies: of what was written last, and of what is being written.
struct Names {
    file: PathBuf,
    written: PathBuf,
    coming: PathBuf,
}

impl Names {
    fn of(run_dir: &Path, sandbox: SandboxId, file: SandboxFile) -> Self {
        let copies = copies(run_dir).join(sandbox.to_string());
        Self {
            file: path_of(run_dir, sandbox).join(file.name()),
            written: copies.join(file.name()),
            coming: copies.join(format!("{}.coming", file.name())),
        }
    }

    /// What is there; none if there is no file. What cannot be read is not what we wrote.
    fn read(&self) -> Option<Content> {
        let text = match read(&self.file) {
            Ok(text) => text?,
            Err(error) => {
                tracing::debug!(path = %self.file.display(), %error, "not a file of ours");
                return Some(Content::Edited);
            }
        };
        // A run that was cut off has left either the old text or the coming one.
        let known = [&self.written, &self.coming].into_iter().filter_map(|copy| read(copy).ok()?);
        let mut same = known.filter(|copy| copy.trim_end() == text.trim_end());
        Some(match same.next() {
            Some(_) => Content::Written(text),
            None => Content::Edited,
        })
    }
}

/// The text of a regular file; none if there is nothing of the name.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match open(OpenOptions::new().read(true), path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    file.take(LENGTH_MAX).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Opens a regular file of no more than our length; of a pipe nobody is waited for.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() <= LENGTH_MAX {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file, or too long"))
}

/// Writes a file, unless somebody else has edited it.
pub(crate) fn write(
    run_dir: &Path,
    sandbox: SandboxId,
    file: SandboxFile,
    text: &str,
) -> io::Result<()> {
    make_directory(&directory(run_dir), DIRECTORY_MODE)?;
    make_directory(&path_of(run_dir, sandbox), DIRECTORY_MODE)?;
    make_directory(&copies(run_dir), PRIVATE_MODE)?;
    make_directory(&copies(run_dir).join(sandbox.to_string()), PRIVATE_MODE)?;
    let names = Names::of(run_dir, sandbox, file);
    match names.read() {
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

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn make(path: &Path, text: &str) -> io::Result<()> {
    point("file.write")?;
    let mut file = File::create(path)?;
    file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
    file.write_all(text.as_bytes())
}

/// One write, as long as the longer of the two texts, and only then the new length: at no
/// time does the end of the old text stand behind the new one.
fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    point("file.write")?;
    let mut file = open(OpenOptions::new().write(true), path)?;
    let old = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut padded = text.as_bytes().to_vec();
    padded.resize(text.len().max(old), b'\n');
    file.write_all(&padded)?;
    file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))
}

/// Removes a file, edited or not, and with the last one the sandbox's folders. That it is
/// gone already is no error.
pub(crate) fn remove(run_dir: &Path, sandbox: SandboxId, file: SandboxFile) -> io::Result<()> {
    let Names { file, written, coming } = Names::of(run_dir, sandbox, file);
    // The file last: while it is there, it is observed and can be removed again.
    for path in [written, coming, file] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for folder in [copies(run_dir).join(sandbox.to_string()), path_of(run_dir, sandbox)] {
        match fs::remove_dir(folder) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes the folders of sandboxes of which a run was cut off before it had made a file:
/// none of them is observed.
pub(crate) fn remove_unwritten(run_dir: &Path) -> io::Result<()> {
    for of in [directory(run_dir), copies(run_dir)] {
        for sandbox in sandboxes(&of)? {
            let there = |file| Names::of(run_dir, sandbox, file).file.symlink_metadata().is_ok();
            if !SandboxFile::ALL.into_iter().any(there) {
                SandboxFile::ALL.into_iter().try_for_each(|file| remove(run_dir, sandbox, file))?;
            }
        }
    }
    Ok(())
}

/// Those that have a folder there.
fn sandboxes(of: &Path) -> io::Result<Vec<SandboxId>> {
    let folders = match fs::read_dir(of) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        folders => folders?,
    };
    let names = folders.flatten().map(|folder| folder.file_name());
    Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
}

/// Every file of every sandbox.
pub(crate) fn observe(run_dir: &Path) -> io::Result<Vec<Resource>> {
    let mut found = Vec::new();
    for sandbox in sandboxes(&directory(run_dir))? {
        for file in SandboxFile::ALL {
            if let Some(content) = Names::of(run_dir, sandbox, file).read() {
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

    /// What is put in a file's place, and how.
    type Swap<'a> = (&'a str, &'a dyn Fn(&Path));

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
            mounted.read_to_string(&mut seen).unwrap();
            assert_eq!(seen, text);
            assert_eq!(files.observed(), [Content::Written(text.to_owned())]);
        }
    }

    #[test]
    fn folders_that_a_run_was_cut_off_to_fill_go_and_others_stay() {
        let files = Files::new();
        files.write("one\n");
        let run_dir = files.0.path();
        let other: SandboxId = "01932c07-a9d0-7000-8abc-0123456789ac".parse().unwrap();
        let half = [path_of(run_dir, other), copies(run_dir).join(other.to_string())];
        let more = path_of(run_dir, "01932c07-a9d0-7000-8abc-0123456789ad".parse().unwrap());
        let foreign = directory(run_dir).join("of-somebody");
        half.iter().chain([&more, &foreign]).for_each(|path| fs::create_dir(path).unwrap());
        fs::write(half[1].join("hosts"), "").unwrap();
        fs::write(half[1].join("hosts.coming"), "").unwrap();
        fs::write(more.join("notes"), "somebody's").unwrap();
        remove_unwritten(run_dir).unwrap();
        assert_eq!(half.map(|path| path.exists()), [false, false]);
        assert!(more.join("notes").exists() && foreign.exists());
        assert_eq!(files.observed(), [Content::Written("one\n".to_owned())]);
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
        let names = Names::of(files.0.path(), SANDBOX.parse().unwrap(), SandboxFile::Hosts);
        make(&names.coming, "new\n").unwrap();
        assert_eq!(files.observed(), [Content::Written("old\n".into())]);
        overwrite(&names.file, "new\n").unwrap();
        assert_eq!(files.observed(), [Content::Written("new\n".into())]);
        // Cut off between the write and the new length.
        fs::write(&names.file, "new\n\n\n").unwrap();
        files.write("next\n");
        assert_eq!(files.text(), "next\n");
    }

    #[test]
    fn what_a_workload_puts_in_its_place_harms_nobody() {
        let files = Files::new();
        let victim = files.0.path().join("victim");
        fs::write(&victim, "of the host\n").unwrap();
        let swaps: [Swap<'_>; 4] = [
            ("a link", &|path| std::os::unix::fs::symlink(&victim, path).unwrap()),
            ("a directory", &|path| fs::create_dir(path).unwrap()),
            ("a pipe", &|path| {
                let mode = nix::sys::stat::Mode::S_IRWXU;
                nix::unistd::mkfifo(path, mode).unwrap();
            }),
            ("a huge file", &|path| File::create(path).unwrap().set_len(1 << 40).unwrap()),
        ];
        for (what, swap) in swaps {
            files.write("ours\n");
            fs::remove_file(files.path()).unwrap();
            swap(&files.path());
            assert_eq!(files.observed(), [Content::Edited], "{what}");
            files.write("new\n");
            assert_eq!(files.observed(), [Content::Edited], "{what}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "of the host\n", "{what}");
            let gone = fs::remove_file(files.path()).or_else(|_| fs::remove_dir(files.path()));
            gone.unwrap();
        }
        let offered = fs::read_dir(files.path().parent().unwrap()).unwrap().count();
        assert_eq!(offered, 0, "a copy lies where a workload could change it");
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
