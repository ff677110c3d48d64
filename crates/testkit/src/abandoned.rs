//! Calls that are polled, and then polled no more: a future stands still where an application has put it into a stream that
//! it isn't reading.
#![expect(clippy::future_not_send, reason = "the runtime is the tester's, and may have one thread")]

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// A call of a port.
pub(crate) type Call<'a, E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send + 'a>>;

/// Abandons each call of a port wherever it waits for something, and makes each other call then. Those must end, though the
/// first is neither polled nor dropped.
///
/// `call` makes one of `methods`, new each time. `ends` judges what the second one gave: it names both in its panic.
pub(crate) async fn each_beside_each<'a, E>(
    methods: &[&'static str],
    call: impl Fn(&'static str) -> Call<'a, E>,
    ends: impl Fn(&str, Result<(), E>),
) {
    for first in methods {
        for polls in 1..=MOST_POLLS {
            let mut abandoned = call(first);
            if is_over_after(polls, &mut abandoned).await {
                break;
            }
            for second in methods {
                let which = format!("`{second}` beside a `{first}` that was abandoned after {polls} polls");
                ends(&which, call(second).await);
            }
        }
    }
}

/// Polls a call so often, each time when it was woken. True if it is over by then.
async fn is_over_after<E>(polls: usize, call: &mut Call<'_, E>) -> bool {
    let mut left = polls;
    poll_fn(|context| {
        left = left.saturating_sub(1);
        match call.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A call of a server waits for few things: a connection, and an answer for each message.
const MOST_POLLS: usize = 24;
