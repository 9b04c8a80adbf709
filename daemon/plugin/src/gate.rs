//! How many calls there may be at a time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lets so many through at a time, and so many more wait.
#[derive(Debug)]
pub(crate) struct Gate {
    inside: usize,
    waiting: usize,
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    waiting: usize,
}

/// Somebody inside.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(inside: usize, waiting: usize) -> Self {
        Self { inside, waiting, state: Mutex::default(), left: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes through, waiting if need be. If too many wait already it is refused, and told
    /// how many it would have made.
    pub(crate) fn enter(&self) -> Result<Pass<'_>, usize> {
        let mut state = self.state();
        if state.inside >= self.inside {
            if state.waiting >= self.waiting {
                return Err(state.waiting + 1);
            }
            state.waiting += 1;
            state = self
                .left
                .wait_while(state, |state| state.inside >= self.inside)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.inside += 1;
        Ok(Pass(self))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.inside -= 1;
        if state.waiting > 0 {
            self.0.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_finds_the_queue_full_is_refused() {
        let gate = Gate::new(1, 0);
        let pass = gate.enter();
        assert!(pass.is_ok());
        assert_eq!(gate.enter().map(drop), Err(1));
        drop(pass);
        assert!(gate.enter().is_ok());
    }

    #[test]
    fn who_waits_gets_in() {
        let gate = Gate::new(1, 1);
        let pass = gate.enter();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter().is_ok());
            while gate.state().waiting == 0 && !waiting.is_finished() {
                thread::sleep(Duration::from_millis(1));
            }
            drop(pass);
            assert!(waiting.join().unwrap());
        });
    }
}
