//! Which servers kept silent lately: others are asked before them, so that a dead server
//! costs one question its patience and not every one.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// How long a server that kept silent comes last.
const LATELY: Duration = Duration::from_secs(30);
/// Servers that are remembered.
const SERVERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The servers that kept silent, and when.
#[derive(Debug)]
pub(crate) struct Health(Mutex<LruCache<SocketAddr, Instant>>);

impl Default for Health {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(SERVERS)))
    }
}

impl Health {
    /// The servers in the order to ask them.
    pub(super) fn order(&self, servers: &[SocketAddr], now: Instant) -> Vec<SocketAddr> {
        let mut silent = self.lock();
        let mut is_silent = |server: &SocketAddr| {
            silent.get(server).is_some_and(|at| now.saturating_duration_since(*at) < LATELY)
        };
        let mut ordered = servers.to_vec();
        ordered.sort_by_cached_key(|server| is_silent(server));
        ordered
    }

    /// Notes that a server kept silent.
    pub(super) fn is_silent(&self, server: SocketAddr, now: Instant) {
        self.lock().put(server, now);
    }

    /// Notes that a server answered.
    pub(super) fn answers(&self, server: SocketAddr) {
        self.lock().pop(&server);
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<SocketAddr, Instant>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_kept_silent_comes_last_for_a_while() {
        let servers: Vec<SocketAddr> =
            ["192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"].map(|s| s.parse().unwrap()).to_vec();
        let (health, now) = (Health::default(), Instant::now());
        let first = |at| health.order(&servers, at)[0];
        assert_eq!(health.order(&servers, now), servers);
        health.is_silent(servers[0], now);
        assert_eq!(health.order(&servers, now), [servers[1], servers[2], servers[0]]);
        assert_eq!(first(now + LATELY), servers[0]);
        servers.iter().for_each(|server| health.is_silent(*server, now));
        assert_eq!(health.order(&servers, now), servers);
        health.answers(servers[1]);
        assert_eq!(first(now), servers[1]);
    }
}
