//! Many calls in one stream.

use std::future::Future;
use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};
use tokio::sync::{Semaphore, watch};
use tonic::Status;

/// Calls of one stream that are worked on at once.
const AT_ONCE: usize = 64;
/// Those of all streams: a connection's limit is about its streams, not about their calls.
const IN_ALL: usize = 256;

/// What all streams of calls share.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    /// They end when it turns true.
    stopping: watch::Receiver<bool>,
    turns: Arc<Semaphore>,
}

impl Streams {
    pub(crate) fn new(stopping: watch::Receiver<bool>) -> Self {
        Self { stopping, turns: Arc::new(Semaphore::new(IN_ALL)) }
    }
}

/// What became of one call of a stream.
#[derive(Debug)]
pub(super) struct Answer<T> {
    /// Its place in the stream.
    pub(super) index: u64,
    pub(super) outcome: Result<T, Status>,
}

/// Does each call of a stream, and answers it as soon as it is done. It ends with an error
/// if the requests do, or when the daemon stops: what was begun by then is answered first.
pub(super) fn each<Q, T, Fut>(
    requests: impl Stream<Item = Result<Q, Status>> + Send + 'static,
    one: impl Fn(Q) -> Fut + Send + 'static,
    Streams { stopping, turns }: Streams,
) -> impl Stream<Item = Result<Answer<T>, Status>> + Send + 'static
where
    Q: Send + 'static,
    T: Send + 'static,
    Fut: Future<Output = Result<T, Status>> + Send + 'static,
{
    let (broken, why) = tokio::sync::oneshot::channel();
    let calls = stream::unfold(
        (Box::pin(requests), stopping, Some(broken)),
        |(mut requests, stopping, mut broken)| async move {
            let failure = tokio::select! {
                biased;
                () = super::until(stopping.clone()) => Status::unavailable("the daemon stops"),
                next = requests.next() => match next? {
                    Ok(request) => return Some((request, (requests, stopping, broken))),
                    Err(status) => status,
                },
            };
            // Nobody listens any more only if the answers are dropped too.
            let _ = broken.take()?.send(failure);
            None
        },
    );
    let answers = (stream::iter(0..).zip(calls)).map(move |(index, request)| {
        let (work, turns) = (one(request), Arc::clone(&turns));
        async move {
            // Nobody closes it.
            let _turn = turns.acquire_owned().await;
            Ok(Answer { index, outcome: work.await })
        }
    });
    // The sender is gone without a word where the requests came to their end.
    let last = stream::once(why).filter_map(async |why| why.ok().map(Err));
    answers.buffer_unordered(AT_ONCE).chain(last)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    /// The later it comes the sooner it is done, and odd numbers have no half.
    async fn half(request: u64) -> Result<u64, Status> {
        for _ in request..100 {
            tokio::task::yield_now().await;
        }
        if request.is_multiple_of(2) { Ok(request / 2) } else { Err(Status::not_found("no half")) }
    }

    fn answers(
        requests: impl Stream<Item = Result<u64, Status>> + Send + 'static,
        stopping: watch::Receiver<bool>,
    ) -> impl Stream<Item = Result<(u64, Option<u64>), Code>> {
        each(requests, half, Streams::new(stopping)).map(|item| {
            item.map(|one| (one.index, one.outcome.ok())).map_err(|status| status.code())
        })
    }

    #[tokio::test]
    async fn each_call_is_answered_as_soon_as_it_is_done() {
        let (_stop, stopping) = watch::channel(false);
        let told = answers(stream::iter([Ok(8), Ok(9), Ok(20)]), stopping);
        let expected = [Ok((2, Some(10))), Ok((1, None)), Ok((0, Some(4)))];
        assert_eq!(told.collect::<Vec<_>>().await, expected);
    }

    #[tokio::test]
    async fn requests_that_break_off_are_told_last() {
        let (_stop, stopping) = watch::channel(false);
        let requests = stream::iter([Ok(2), Err(Status::data_loss("torn")), Ok(4)]);
        let told = answers(requests, stopping).collect::<Vec<_>>().await;
        assert_eq!(told, [Ok((0, Some(1))), Err(Code::DataLoss)]);
    }

    #[tokio::test]
    async fn a_stopping_daemon_answers_what_it_has_begun() {
        let (stop, stopping) = watch::channel(false);
        let requests = stream::iter([Ok(20), Ok(2)]).chain(stream::pending());
        let mut told = Box::pin(answers(requests, stopping));
        assert_eq!(told.next().await, Some(Ok((0, Some(10)))));
        stop.send_replace(true);
        let rest = told.collect::<Vec<_>>().await;
        assert_eq!(rest, [Ok((1, Some(1))), Err(Code::Unavailable)]);
    }
}
