//! Running a mutation once: retries with the same `request_id` get the first outcome, and
//! a client that goes away does not stop half-way what it began.

use std::future::Future;

use postern_kernel::Kernel;
use postern_model::intent::{Mutation, Outcome};
use postern_model::refusal::{Class, Refusal};

use super::locks::LockKey;
use super::{Ledger, Retry, outcome};

/// Runs something to its end in a task of its own: a caller that goes away, and his future
/// with him, must not leave it half-done.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|error| Err(outcome::internal("PANIC", &error)))
}

/// What a mutation runs with: the request's id, and whether it only validates.
pub(crate) type Run = (Option<Retry>, bool);

impl<K: Kernel> Ledger<K> {
    /// Runs a mutation. `again` gives the outcome of one that ran before, by the uid of
    /// its object.
    pub(crate) async fn once<I, T, Fut>(
        &self,
        mutation: Mutation<I>,
        run: impl FnOnce(Self, I, Run) -> Fut,
        again: impl FnOnce(&Self, &str) -> Result<T, Refusal>,
    ) -> Result<Outcome<T>, Refusal>
    where
        I: Send + 'static,
        T: Send + 'static,
        Fut: Future<Output = Result<Outcome<T>, Refusal>> + Send + 'static,
    {
        let Mutation { intent, request_id, digest, validate_only } = mutation;
        let retry = request_id.filter(|_| !validate_only).map(|id| Retry { id, digest });
        let one_try = match &retry {
            Some(retry) => Some(self.0.locks.write(LockKey::Request(retry.id.clone())).await),
            None => None,
        };
        if let Some(uid) = self.earlier(retry.as_ref())? {
            return again(self, &uid).map(|object| Outcome { object, plan: None });
        }
        let run = run(self.clone(), intent, (retry, validate_only));
        detached(async move {
            let outcome = run.await;
            // A retry waits for the outcome, not for the first caller.
            drop(one_try);
            outcome
        })
        .await
    }

    /// The uid of the object that an earlier try of this request made.
    fn earlier(&self, retry: Option<&Retry>) -> Result<Option<String>, Refusal> {
        let Some(retry) = retry else { return Ok(None) };
        let record = self.0.store.request(&retry.id);
        match record.map_err(|error| outcome::internal("STORE_FAILED", &error))? {
            None => Ok(None),
            Some(record) if record.digest == retry.digest => Ok(Some(record.uid)),
            Some(_) => {
                let text = format!("`{}` was used for another request", retry.id);
                Err(Refusal::new(Class::Invalid, "REQUEST_ID_REUSED", text).at("request_id"))
            }
        }
    }
}
