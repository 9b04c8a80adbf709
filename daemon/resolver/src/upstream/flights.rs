//! Questions that are with servers: asked once, whoever else wants to know meanwhile.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_model::id::SandboxId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{Key, Question};

/// What came of a question.
#[derive(Debug, Clone)]
pub(crate) enum Landed {
    /// A server's message, and its age.
    Answer(Arc<[u8]>, Duration),
    /// No server answered.
    Failed,
}

/// Tells flights apart, too: a later one may be for the same question.
type Landing = watch::Receiver<Option<Landed>>;

/// All questions that are with servers.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    /// By what is asked; with each list of servers it is a flight of its own.
    table: Mutex<HashMap<Question, Vec<Flight>>>,
}

#[derive(Debug)]
struct Flight {
    servers: Arc<[SocketAddr]>,
    /// The server that is being asked.
    target: SocketAddr,
    /// Who waits, as often as it does.
    waiting: Vec<SandboxId>,
    landed: Landing,
}

/// What comes of the wish to ask.
#[derive(Debug)]
pub(crate) enum Boarding {
    /// It is being asked.
    Join(Seated),
    /// It is to be asked.
    Begin(Seated, Take),
    /// The server that is asked waits, by itself or through others, for the asker.
    Loop,
    /// Too much is being asked.
    Full,
}

/// A place among those who wait. Given up when dropped.
#[derive(Debug)]
pub(crate) struct Seated {
    flights: Arc<Flights>,
    key: Key,
    asker: SandboxId,
    landed: Landing,
}

/// The duty to ask. When it is dropped, those who wait are told that nothing came of it.
#[derive(Debug)]
pub(crate) struct Take {
    flights: Arc<Flights>,
    key: Key,
    landed: watch::Sender<Option<Landed>>,
    _permit: OwnedSemaphorePermit,
}

impl Flights {
    /// Takes a place with those who ask the same. `holders` tells which sandboxes answer at
    /// an address.
    pub(crate) fn board(
        self: &Arc<Self>,
        key: &Key,
        asker: SandboxId,
        permits: &Arc<Semaphore>,
        holders: impl Fn(SocketAddr) -> Vec<SandboxId>,
    ) -> Boarding {
        let mut table = self.lock();
        let flights = table.get(&key.question).map(Vec::as_slice).unwrap_or_default();
        let same = flights.iter().position(|flight| flight.servers == key.servers);
        let joined = same.and_then(|at| flights.get(at));
        let target = joined.map(|flight| flight.target).or_else(|| key.servers.first().copied());
        let Some(target) = target else { return Boarding::Full };
        if leads_to(flights, target, asker, holders) {
            return Boarding::Loop;
        }
        let seated = |landed| Seated { flights: Arc::clone(self), key: key.clone(), asker, landed };
        let entries = table.entry(key.question.clone()).or_default();
        if let Some(flight) = same.and_then(|at| entries.get_mut(at)) {
            flight.waiting.push(asker);
            return Boarding::Join(seated(flight.landed.clone()));
        }
        let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
            if entries.is_empty() {
                table.remove(&key.question);
            }
            return Boarding::Full;
        };
        let (sender, landed) = watch::channel(None);
        entries.push(Flight {
            servers: Arc::clone(&key.servers),
            target,
            waiting: vec![asker],
            landed: landed.clone(),
        });
        let take =
            Take { flights: Arc::clone(self), key: key.clone(), landed: sender, _permit: permit };
        Boarding::Begin(seated(landed), take)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Question, Vec<Flight>>> {
        // Nothing panics while it is held.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, key: &Key, landed: &Landing, change: impl FnOnce(&mut Flight)) {
        let mut table = self.lock();
        let mut flights = table.get_mut(&key.question).into_iter().flatten();
        if let Some(flight) = flights.find(|flight| flight.landed.same_channel(landed)) {
            change(flight);
        }
    }

    fn remove(&self, key: &Key, landed: &Landing) {
        let mut table = self.lock();
        let Some(flights) = table.get_mut(&key.question) else { return };
        flights.retain(|flight| !flight.landed.same_channel(landed));
        if flights.is_empty() {
            table.remove(&key.question);
        }
    }
}

/// Whether an answer of this server waits for the asker: it is asked itself, or a sandbox
/// that is asked waits here for the answer of one that is, and so on.
fn leads_to(
    flights: &[Flight],
    from: SocketAddr,
    asker: SandboxId,
    holders: impl Fn(SocketAddr) -> Vec<SandboxId>,
) -> bool {
    let (mut seen, mut open) = (Vec::new(), vec![from]);
    while let Some(target) = open.pop() {
        if seen.contains(&target) {
            continue;
        }
        seen.push(target);
        for holder in holders(target) {
            if holder == asker {
                return true;
            }
            let waits = |flight: &&Flight| flight.waiting.contains(&holder);
            open.extend(flights.iter().filter(waits).map(|flight| flight.target));
        }
    }
    false
}

impl Seated {
    /// Waits until the question is answered, or is not going to be.
    pub(crate) async fn landed(&mut self) -> Landed {
        match self.landed.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone().unwrap_or(Landed::Failed),
            Err(_) => Landed::Failed,
        }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.flights.change(&self.key, &self.landed, |flight| {
            if let Some(at) = flight.waiting.iter().position(|id| *id == self.asker) {
                flight.waiting.swap_remove(at);
            }
        });
    }
}

impl Take {
    /// What is to be asked.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Notes which server is asked now.
    pub(crate) fn turn_to(&self, server: SocketAddr) {
        let landed = self.landed.subscribe();
        self.flights.change(&self.key, &landed, |flight| flight.target = server);
    }

    /// Tells those who wait. Whoever asks from now on is no longer one of them.
    pub(crate) fn land(self, landed: Landed) {
        self.flights.remove(&self.key, &self.landed.subscribe());
        self.landed.send_replace(Some(landed));
    }
}

impl Drop for Take {
    fn drop(&mut self) {
        self.flights.remove(&self.key, &self.landed.subscribe());
    }
}

#[cfg(test)]
#[path = "flights_tests.rs"]
mod tests;
