//! How a driver fares: what its calls came to, and when it is not asked any more.
//!
//! Faults in a row put a driver into quarantine. When its time is over, one call is let
//! through to try it; another fault doubles the time, an answer ends it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::call::CallError;
use crate::limits::Quarantine;

/// What the calls of a driver came to since it was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that were begun.
    pub calls: u64,
    /// It said no, as it may.
    pub faults: u64,
    /// It hit a limit.
    pub limits: u64,
    /// It crashed.
    pub traps: u64,
    /// Its answer was no decision.
    pub bad_decisions: u64,
    /// Its decision was well-formed, and not admitted.
    pub rejected: u64,
    /// The host failed, not it.
    pub host_errors: u64,
    /// Too many waited already.
    pub overloads: u64,
    /// It was not asked, for it was in quarantine.
    pub quarantined: u64,
}

impl Counters {
    /// Each with its name.
    pub const fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("calls", self.calls),
            ("faults", self.faults),
            ("limits", self.limits),
            ("traps", self.traps),
            ("bad-decisions", self.bad_decisions),
            ("rejected", self.rejected),
            ("host-errors", self.host_errors),
            ("overloads", self.overloads),
            ("quarantined", self.quarantined),
        ]
    }
}

/// A driver that is not asked for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// How long still.
    pub left: Duration,
    /// The fault that led to it.
    pub reason: String,
}

#[derive(Debug)]
pub(crate) struct Health {
    terms: Quarantine,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counters: Counters,
    /// When it failed, without an answer since.
    faults: VecDeque<Instant>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    lasts: Duration,
    reason: String,
    /// A call is under way that tries it.
    trying: bool,
}

impl Health {
    pub(crate) fn new(terms: Quarantine) -> Self {
        Self { terms, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counters(&self) -> Counters {
        self.state().counters
    }

    pub(crate) fn reject(&self) {
        self.state().counters.rejected += 1;
    }

    /// Its quarantine, if it is in one.
    pub(crate) fn rest(&self, now: Instant) -> Option<Rest> {
        let state = self.state();
        let open = state.open.as_ref()?;
        Some(Rest { left: open.until.saturating_duration_since(now), reason: open.reason.clone() })
    }

    /// Whether it may be asked; to be followed by [`Health::note`].
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Rest> {
        let mut state = self.state();
        if let Some(open) = &mut state.open {
            let left = open.until.saturating_duration_since(now);
            if open.trying || !left.is_zero() {
                let rest = Rest { left, reason: open.reason.clone() };
                state.counters.quarantined += 1;
                return Err(rest);
            }
            open.trying = true;
        }
        state.counters.calls += 1;
        Ok(())
    }

    /// What a call came to.
    pub(crate) fn note<T>(&self, result: &Result<T, CallError>, now: Instant) {
        let mut state = self.state();
        let counters = &mut state.counters;
        let (count, faulty) = match result {
            Ok(_) => return state.answered(),
            Err(CallError::Fault(_)) => {
                counters.faults += 1;
                return state.answered();
            }
            Err(CallError::Limit(hit)) if hit.which.is_load() => (&mut counters.overloads, false),
            Err(CallError::Limit(_)) => (&mut counters.limits, true),
            Err(CallError::Trap { .. }) => (&mut counters.traps, true),
            Err(CallError::BadDecision { .. }) => (&mut counters.bad_decisions, true),
            Err(CallError::Host { .. }) => (&mut counters.host_errors, false),
            Err(CallError::Quarantined(_)) => (&mut counters.quarantined, false),
        };
        *count += 1;
        match result {
            Err(error) if faulty => state.failed(error.to_string(), self.terms, now),
            _ => state.abandoned(),
        }
    }
}

impl State {
    fn answered(&mut self) {
        self.faults.clear();
        self.open = None;
    }

    /// The trial said nothing about the driver.
    fn abandoned(&mut self) {
        if let Some(open) = &mut self.open {
            open.trying = false;
        }
    }

    fn failed(&mut self, reason: String, terms: Quarantine, now: Instant) {
        let lasts = match self.open.take() {
            Some(open) => (open.lasts * 2).min(terms.longest),
            None => {
                self.faults.push_back(now);
                let old = |at: &Instant| now.saturating_duration_since(*at) > terms.window;
                while self.faults.front().is_some_and(old) {
                    self.faults.pop_front();
                }
                if self.faults.len() < terms.faults {
                    return;
                }
                terms.first
            }
        };
        self.open = Some(Open { until: now + lasts, lasts, reason, trying: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Fault;

    const TERMS: Quarantine = Quarantine {
        faults: 3,
        window: Duration::from_secs(60),
        first: Duration::from_secs(30),
        longest: Duration::from_secs(100),
    };

    fn trap() -> Result<(), CallError> {
        Err(CallError::Trap { message: "unreachable".into() })
    }

    fn says_no() -> Result<(), CallError> {
        Err(CallError::Fault(Fault::Unsupported("no".into())))
    }

    struct Driver {
        health: Health,
        start: Instant,
    }

    impl Driver {
        fn new() -> Self {
            Self { health: Health::new(TERMS), start: Instant::now() }
        }

        /// Asks it at a second; how long it still rests if it is not asked.
        fn ask(&self, second: u64, comes_to: &Result<(), CallError>) -> Option<u64> {
            let now = self.start + Duration::from_secs(second);
            match self.health.admit(now) {
                Ok(()) => {
                    self.health.note(comes_to, now);
                    None
                }
                Err(rest) => Some(rest.left.as_secs()),
            }
        }
    }

    #[test]
    fn faults_in_a_row_end_in_quarantine_which_doubles_until_it_answers() {
        let driver = Driver::new();
        for second in 0..3 {
            assert_eq!(driver.ask(second, &trap()), None);
        }
        assert_eq!(driver.ask(3, &Ok(())), Some(29));
        assert_eq!(driver.ask(32, &trap()), None, "one is let through to try");
        assert_eq!(driver.ask(33, &Ok(())), Some(59));
        assert_eq!(driver.ask(92, &trap()), None);
        assert_eq!(driver.ask(93, &Ok(())), Some(99), "but not beyond the longest");
        assert_eq!(driver.ask(192, &Ok(())), None);
        assert_eq!(driver.ask(193, &trap()), None, "it begins anew");
        assert_eq!(driver.ask(194, &Ok(())), None);
        let counters = driver.health.counters();
        assert_eq!((counters.calls, counters.traps, counters.quarantined), (8, 6, 3));
    }

    #[test]
    fn answers_between_and_faults_long_ago_do_not_count() {
        let driver = Driver::new();
        for second in 0..10 {
            driver.ask(second, &trap());
            let answer = if second % 2 == 0 { Ok(()) } else { says_no() };
            assert_eq!(driver.ask(second, &answer), None);
        }
        for round in 0..10 {
            assert_eq!(driver.ask(100 + 70 * round, &trap()), None);
        }
    }

    #[test]
    fn one_at_a_time_tries_a_driver_and_a_failing_host_proves_nothing() {
        let driver = Driver::new();
        for second in 0..3 {
            driver.ask(second, &trap());
        }
        let later = driver.start + Duration::from_secs(40);
        assert!(driver.health.admit(later).is_ok());
        assert!(driver.health.admit(later).is_err(), "while it is tried");
        driver.health.note::<()>(&Err(CallError::Host { reason: "full".into() }), later);
        assert!(driver.health.admit(later).is_ok());
        driver.health.note(&says_no(), later);
        assert!(driver.health.rest(later).is_none(), "to say no is to answer");
    }
}
