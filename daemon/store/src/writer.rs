//! The one thread that writes.
//!
//! It takes whatever has been asked for meanwhile, writes it change by change, and has the
//! disk take all of it at once: calls that come together share one flush, and none hears
//! that it is done before it is on disk.
//!
//! Not sled's `flush_async`: it waits on the very threads that do sled's writing, and eight
//! flushes at a time leave none to write (seen: all of them wait for ever). Nor from the
//! callers' threads: a batch waits for a flush that is under way.
//!
//! sled does nothing more after the first error of the disk, though what it refused can be
//! read until it is closed. So the first one is kept, and nothing is written or read then.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use postern_failpoint::{passage, point};
use postern_model::topology::Change;
use sled::Db;
use tokio::sync::oneshot;

use crate::batch::batch;
use crate::error::CommitError;

/// At most so many changes share a flush, so that the first does not wait for ever more.
const GROUP_MAX: usize = 256;

/// What the thread is asked for. It is answered when all before it is on disk.
struct Job {
    /// None: only to be told.
    change: Option<Arc<Change>>,
    reply: oneshot::Sender<Result<(), CommitError>>,
}

/// A change that is on its way to disk.
#[derive(Debug)]
#[must_use]
pub struct Written(oneshot::Receiver<Result<(), CommitError>>);

impl Written {
    /// Waits until the change is on disk.
    ///
    /// # Errors
    /// A record cannot be encoded, or the disk refuses: nothing of the change is there, or
    /// it may be gone after a crash.
    pub async fn done(self) -> Result<(), CommitError> {
        self.0.await.map_err(|_| CommitError::Stopped)?
    }
}

/// The thread, seen from outside. When it is dropped, all that was asked for is on disk.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Both there until it is dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<sled::Error>>,
}

impl Writer {
    pub(crate) fn start(db: Db) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let failure = Arc::default();
        let disk = Disk { db, failure: Arc::clone(&failure) };
        let thread = thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || serve(&disk, &queue))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), failure })
    }

    /// The error after which nothing is written any more.
    pub(crate) fn failure(&self) -> Option<sled::Error> {
        let panicked = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        let panicked = panicked.then(|| io::Error::other("the store has stopped").into());
        self.failure.get().cloned().or(panicked)
    }

    /// Asks for a change to be written, after all that were asked for before.
    pub(crate) fn ask(&self, change: Option<Arc<Change>>) -> Written {
        let (reply, told) = oneshot::channel();
        // If the thread is gone, the reply goes with the job, and whoever waits is told.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(Job { change, reply });
        }
        Written(told)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // If it panicked, whoever waited was told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// sled, until it fails.
struct Disk {
    db: Db,
    failure: Arc<OnceLock<sled::Error>>,
}

impl Disk {
    /// Writes a change: all of it or nothing.
    fn apply(&self, change: &Change) -> Result<(), CommitError> {
        let batch = batch(&self.db, change)?;
        point("store.commit").map_err(|error| CommitError::Sled(error.into()))?;
        self.attempt(|db| db.apply_batch(batch)).map_err(CommitError::Sled)?;
        passage("store.committed");
        Ok(())
    }

    fn flush(&self) -> Result<(), sled::Error> {
        point("store.flush")?;
        self.attempt(|db| db.flush().map(drop))?;
        passage("store.flushed");
        Ok(())
    }

    fn attempt(&self, write: impl FnOnce(&Db) -> sled::Result<()>) -> sled::Result<()> {
        if let Some(error) = self.failure.get() {
            return Err(error.clone());
        }
        let done = point("store.broken").map_err(Into::into).and_then(|()| write(&self.db));
        // Nobody else sets it.
        done.inspect_err(|error| drop(self.failure.set(error.clone())))
    }
}

fn serve(disk: &Disk, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        let group = std::iter::once(job).chain(jobs.try_iter()).take(GROUP_MAX);
        write(disk, group.collect());
    }
}

fn write(disk: &Disk, group: Vec<Job>) {
    let mut waiting = Vec::new();
    for Job { change, reply } in group {
        match change.map_or(Ok(()), |change| disk.apply(&change)) {
            Ok(()) => waiting.push(reply),
            Err(error) => tell(reply, Err(error)),
        }
    }
    if waiting.is_empty() {
        return;
    }
    let flushed = disk.flush();
    for reply in waiting {
        tell(reply, flushed.clone().map_err(CommitError::Sled));
    }
}

fn tell(reply: oneshot::Sender<Result<(), CommitError>>, result: Result<(), CommitError>) {
    // Whoever asked may have gone; the change is written either way.
    drop(reply.send(result));
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use postern_model::event::{Action, Event, ObjectKind};

    use super::*;
    use crate::Store;

    fn change(generation: u64) -> Arc<Change> {
        let event = Event {
            generation,
            time: std::time::SystemTime::UNIX_EPOCH.into(),
            kind: ObjectKind::Network,
            action: Action::Created,
            uid: String::new(),
            name: format!("n{generation}"),
            attributes: Default::default(),
        };
        Arc::new(Change { generation, puts: Vec::new(), events: vec![event], request: None })
    }

    fn open(path: &Path) -> Store {
        Store::open(path, 1).unwrap().0
    }

    /// Far more than sled has threads; with a flush for each, all of them waited for ever.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_changes_at_a_time_are_all_written() {
        const MANY: u64 = 2000;
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let mut calls = tokio::task::JoinSet::new();
        for generation in 1..=MANY {
            let written = store.commit(change(generation));
            calls.spawn(written.done());
            if generation % 16 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let all = async {
            while let Some(done) = calls.join_next().await {
                done.unwrap().unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("a write never ends");
        let events = store.events_after(0, usize::MAX).unwrap();
        let generations: Vec<u64> = events.iter().map(|event| event.generation).collect();
        assert_eq!(generations, (1..=MANY).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_handed_over_is_there_after_the_store_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let written: Vec<Written> = (1..=10).map(|n| store.commit(change(n))).collect();
        drop((written, store));
        assert_eq!(open(folder.path()).events_after(0, 100).unwrap().len(), 10);
    }
}
