//! Locks by key, so that calls about different objects do not wait for each other.
//!
//! Every call takes its locks in the order of [`LockKey`]'s variants; with one order
//! for all there is no deadlock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use postern_model::id::{EndpointId, NetworkId, SandboxId};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// What a lock is about, in the order in which locks are taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LockKey {
    /// A request id: a retry waits for the first try.
    Request(String),
    /// A new name of a network, a sandbox, an endpoint.
    NetworkName(String),
    /// See [`LockKey::NetworkName`].
    SandboxName(String),
    /// See [`LockKey::NetworkName`].
    EndpointName(String),
    /// A policy's name.
    Policy(String),
    /// A sandbox's name as the source of links: who changes its endpoints has it, and who
    /// changes a link to it, so that neither misses the other.
    LinkSource(String),
    /// A sandbox: its default routes and its files depend on all of its endpoints. Several
    /// of them are taken in the order of their ids.
    Sandbox(SandboxId),
    /// A network: read to use it, write to change or delete it.
    Network(NetworkId),
    /// An endpoint.
    Endpoint(EndpointId),
    /// The blocks of a network from which this host gives addresses: whoever takes one.
    Blocks(NetworkId),
    /// Whether frames between the neighbours of a network are judged: whoever sets it.
    Judging(NetworkId),
}

/// Above so many entries the unused ones are swept out.
const SWEEP_ABOVE: usize = 256;

type Lock = RwLock<()>;

#[derive(Debug, Default)]
pub(crate) struct Locks(Mutex<HashMap<LockKey, Weak<Lock>>>);

impl Locks {
    fn get(&self, key: LockKey) -> Arc<Lock> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        if locks.len() >= SWEEP_ABOVE {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(Lock::default());
        locks.insert(key, Arc::downgrade(&lock));
        lock
    }

    /// Waits until nobody else uses the object.
    pub(crate) async fn write(&self, key: LockKey) -> OwnedRwLockWriteGuard<()> {
        self.get(key).write_owned().await
    }

    /// Waits until nobody changes the object.
    pub(crate) async fn read(&self, key: LockKey) -> OwnedRwLockReadGuard<()> {
        self.get(key).read_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_key_excludes_and_another_does_not() {
        let locks = Locks::default();
        let name = |text: &str| LockKey::NetworkName(text.to_owned());
        let held = locks.write(name("a")).await;
        assert!(locks.get(name("a")).try_read().is_err());
        assert!(locks.get(name("b")).try_write().is_ok());
        drop(held);
        assert!(locks.get(name("a")).try_write().is_ok());
    }

    #[tokio::test]
    async fn unused_locks_are_swept_out() {
        let locks = Locks::default();
        let held = locks.write(LockKey::NetworkName("held".into())).await;
        for index in 0..3 * SWEEP_ABOVE {
            drop(locks.write(LockKey::NetworkName(index.to_string())).await);
        }
        assert!(locks.0.lock().unwrap().len() <= SWEEP_ABOVE + 1);
        assert!(locks.get(LockKey::NetworkName("held".into())).try_read().is_err());
        drop(held);
    }
}
