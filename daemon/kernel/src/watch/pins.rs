//! The directory in which the namespaces of sandboxes are pinned.
//!
//! A namespace that is unpinned often lives on, by the sockets and links that are left in
//! it, and then netlink tells nothing: only the file that goes does (`ip netns delete` too
//! unmounts and removes). One that is unmounted alone is found by the full check.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use postern_model::id::SandboxId;
use postern_model::resource::Owner;
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use tokio::io::unix::AsyncFd;

use super::Suspicion;
use crate::netlink::registered;

/// For some dozens of events, which have a name of 36 bytes each.
const BUFFER: usize = 4096;

/// Listens to what goes from the directory, which is made if it is not there. Must be called
/// within a tokio runtime.
pub(super) fn watch(directory: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    fs::create_dir_all(directory)?;
    let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    add_watch(&inotify, directory, WatchFlags::DELETE | WatchFlags::MOVED_FROM)?;
    registered(inotify)
}

/// Waits for a namespace that goes. Cancel safe: what was read and not told is no loss, as
/// one suspicion has everything compared.
pub(super) async fn next(inotify: &mut AsyncFd<OwnedFd>) -> io::Result<Suspicion> {
    loop {
        let mut ready = inotify.readable_mut().await?;
        match read(ready.get_inner()) {
            Ok(found) => {
                // Of several one may turn out to be in order and another not.
                if let Some(one) = found.into_iter().reduce(|_, _| Suspicion::Something) {
                    return Ok(one);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What one read gives to suspect; a file that is of no sandbox is nobody's loss.
fn read(inotify: &impl AsFd) -> io::Result<Vec<Suspicion>> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut events = Reader::new(inotify.as_fd(), &mut buffer);
    let mut found = Vec::new();
    loop {
        let event = events.next()?;
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            found.push(Suspicion::Something);
        }
        let name = event.file_name().and_then(|name| name.to_str().ok());
        let sandbox: Option<SandboxId> = name.and_then(|name| name.parse().ok());
        found.extend(sandbox.map(|id| Suspicion::Gone(Owner::Sandbox(id))));
        if events.is_buffer_empty() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SANDBOX: &str = "01932c07-a9d0-7000-8abc-0123456789ab";

    #[tokio::test]
    async fn what_goes_is_told_and_other_files_are_not() {
        let parent = std::env::temp_dir().join(format!("postern-pins-{}", std::process::id()));
        let directory = parent.join("netns");
        let mut inotify = watch(&directory).unwrap();
        let make_and_remove = |name: &str| {
            fs::write(directory.join(name), "").unwrap();
            fs::remove_file(directory.join(name)).unwrap();
        };
        make_and_remove("somebody-elses");
        fs::write(directory.join(SANDBOX), "").unwrap();
        assert!(timeout(Duration::from_millis(50), next(&mut inotify)).await.is_err());
        let gone = Suspicion::Gone(Owner::Sandbox(SANDBOX.parse().unwrap()));
        fs::rename(directory.join(SANDBOX), parent.join("elsewhere")).unwrap();
        assert_eq!(next(&mut inotify).await.unwrap(), gone);
        make_and_remove(SANDBOX);
        assert_eq!(next(&mut inotify).await.unwrap(), gone);
        make_and_remove(SANDBOX);
        make_and_remove("01932c07-a9d0-7000-8abc-0123456789ac");
        assert_eq!(next(&mut inotify).await.unwrap(), Suspicion::Something);
        fs::remove_dir_all(parent).unwrap();
    }
}
