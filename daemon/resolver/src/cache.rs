//! What servers said, for as long as it holds.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::limits::Limits;
use crate::message::Relayed;
use crate::upstream::Key;

/// Answers by question and servers; the one that was not asked for the longest goes first.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: LruCache<Key, Entry>,
    answer_max: usize,
    ttl_max: Duration,
    negative_max: Duration,
}

#[derive(Debug)]
struct Entry {
    bytes: Arc<[u8]>,
    since: Instant,
    ttl: Duration,
}

impl Cache {
    /// Empty.
    pub(crate) fn new(limits: &Limits) -> Self {
        let capacity = NonZeroUsize::new(limits.cache_entries).unwrap_or(NonZeroUsize::MIN);
        // Without a capacity, the table grows with what it holds.
        let mut entries = LruCache::unbounded();
        entries.resize(capacity);
        Self {
            entries,
            // With room for nothing, nothing is short enough to be kept.
            answer_max: if limits.cache_entries == 0 { 0 } else { limits.cache_answer_max },
            ttl_max: limits.cache_ttl_max,
            negative_max: limits.cache_negative_max,
        }
    }

    /// The server's message and its age, if it still holds.
    pub(crate) fn get(&mut self, key: &Key, now: Instant) -> Option<(Arc<[u8]>, Duration)> {
        let entry = self.entries.get(key)?;
        let age = now.saturating_duration_since(entry.since);
        if age < entry.ttl {
            return Some((Arc::clone(&entry.bytes), age));
        }
        self.entries.pop(key);
        None
    }

    /// Keeps a server's message, if it may be kept.
    pub(crate) fn put(&mut self, key: Key, bytes: &Arc<[u8]>, relayed: Relayed, now: Instant) {
        let max = if relayed.negative { self.negative_max } else { self.ttl_max };
        let Some(ttl) = relayed.ttl.map(|ttl| ttl.min(max)) else { return };
        if ttl.is_zero() || bytes.len() > self.answer_max {
            return;
        }
        self.entries.put(key, Entry { bytes: Arc::clone(bytes), since: now, ttl });
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::{Name, RecordType};

    use super::*;
    use crate::upstream::Question;

    fn key(name: &str, server: &str) -> Key {
        Key {
            servers: Arc::from([server.parse().unwrap()]),
            question: Question {
                name: Name::from_ascii(name).unwrap(),
                record_type: RecordType::A,
                dnssec_ok: false,
                checking_disabled: false,
            },
        }
    }

    fn kept(seconds: u64) -> Relayed {
        Relayed { ttl: Some(Duration::from_secs(seconds)), negative: false }
    }

    fn cache(entries: usize) -> Cache {
        Cache::new(&Limits { cache_entries: entries, ..Limits::default() })
    }

    #[test]
    fn no_room_keeps_nothing() {
        let (mut cache, now) = (cache(0), Instant::now());
        cache.put(key("a.", "192.0.2.1:53"), &Arc::from([0; 12]), kept(60), now);
        assert!(cache.get(&key("a.", "192.0.2.1:53"), now).is_none());
    }

    #[test]
    fn an_answer_ages_and_goes() {
        let (mut cache, now) = (cache(8), Instant::now());
        let bytes: Arc<[u8]> = Arc::from([1, 2, 3]);
        cache.put(key("a.example.", "192.0.2.1:53"), &bytes, kept(10), now);
        let at = |cache: &mut Cache, name: &str, server: &str, seconds| {
            let found = cache.get(&key(name, server), now + Duration::from_secs(seconds));
            found.map(|(_, age)| age.as_secs())
        };
        assert_eq!(at(&mut cache, "A.Example.", "192.0.2.1:53", 9), Some(9));
        assert_eq!(at(&mut cache, "a.example.", "192.0.2.2:53", 9), None);
        assert_eq!(at(&mut cache, "a.example.", "192.0.2.1:53", 10), None);
        assert_eq!(cache.entries.len(), 0);
    }

    #[test]
    fn what_may_not_be_kept_is_not() {
        let (mut cache, now) = (cache(8), Instant::now());
        let key = || key("a.example.", "192.0.2.1:53");
        let bytes: Arc<[u8]> = Arc::from([0]);
        cache.put(key(), &bytes, Relayed { ttl: None, negative: true }, now);
        cache.put(key(), &bytes, kept(0), now);
        cache.put(key(), &Arc::from([0; 9000]), kept(10), now);
        assert!(cache.get(&key(), now).is_none());
        let day = Duration::from_secs(24 * 60 * 60);
        cache.put(key(), &bytes, kept(u64::from(u32::MAX)), now);
        assert!(cache.get(&key(), now + day).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let (mut cache, now) = (cache(2), Instant::now());
        for name in ["a.example.", "b.example.", "c.example."] {
            cache.put(key(name, "192.0.2.1:53"), &Arc::from([0]), kept(10), now);
        }
        assert!(cache.get(&key("a.example.", "192.0.2.1:53"), now).is_none());
        assert!(cache.get(&key("c.example.", "192.0.2.1:53"), now).is_some());
    }
}
