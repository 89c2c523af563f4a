//! A stream that is polled only after it woke its task. A bot's task is woken by media many times a second, and its signalling has a message now and then:
//! a look into a WebSocket costs about as much as the recording of a packet.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{Stream, StreamExt as _, task::AtomicWaker};

/// A stream with a waker of its own.
#[derive(Debug)]
pub(crate) struct Woken<S> {
    stream: S,
    flag: Arc<Flag>,
    /// Sets the flag.
    waker: Waker,
}

#[derive(Debug)]
struct Flag {
    /// The stream was not polled since it woke the task.
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<S> Woken<S> {
    pub(crate) fn new(stream: S) -> Self {
        let flag = Arc::new(Flag { woken: AtomicBool::new(true), task: AtomicWaker::new() });
        Self { stream, waker: Arc::clone(&flag).into(), flag }
    }
}

impl<S: Stream + Unpin> Stream for Woken<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        // Before the flag is read: what wakes after that wakes this task.
        this.flag.task.register(context.waker());
        if !this.flag.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let next = this.stream.poll_next_unpin(&mut Context::from_waker(&this.waker));
        if next.is_ready() {
            // There may be more, which wakes nobody.
            this.flag.woken.store(true, Ordering::Release);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio_util::sync::CancellationToken;

    use super::*;

    /// What a test gives, and how often it was polled.
    #[derive(Default)]
    struct Scripted {
        ready: VecDeque<u32>,
        polled: u32,
        waker: Option<Waker>,
    }

    impl Stream for Scripted {
        type Item = u32;

        fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<u32>> {
            self.polled += 1;
            self.waker = Some(context.waker().clone());
            self.ready.pop_front().map_or(Poll::Pending, |next| Poll::Ready(Some(next)))
        }
    }

    #[test]
    fn a_stream_is_polled_at_first_and_after_it_woke_and_until_it_has_nothing_more() {
        let mut stream = Woken::new(Scripted::default());
        let next = |stream: &mut Woken<Scripted>| {
            stream.poll_next_unpin(&mut Context::from_waker(Waker::noop()))
        };
        for _ in 0..3 {
            assert_eq!(next(&mut stream), Poll::Pending);
        }
        assert_eq!(stream.stream.polled, 1);
        stream.stream.ready = [7, 8].into();
        stream.stream.waker.take().unwrap().wake();
        assert_eq!(next(&mut stream), Poll::Ready(Some(7)));
        assert_eq!(next(&mut stream), Poll::Ready(Some(8)));
        for _ in 0..3 {
            assert_eq!(next(&mut stream), Poll::Pending);
        }
        assert_eq!(stream.stream.polled, 4);
    }

    #[tokio::test]
    async fn a_stream_wakes_the_task_that_polled_it_last() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let stream = futures_util::stream::unfold(receiver, async |mut receiver| {
            Some((receiver.recv().await?, receiver))
        });
        let mut stream = Woken::new(Box::pin(stream));
        let polled = CancellationToken::new();
        let looked = stream.poll_next_unpin(&mut Context::from_waker(Waker::noop()));
        assert!(looked.is_pending());
        let reads = tokio::spawn({
            let polled = polled.clone();
            async move {
                let next = stream.next();
                tokio::pin!(next);
                std::future::poll_fn(|context| {
                    let next = next.as_mut().poll(context);
                    polled.cancel();
                    next
                })
                .await
            }
        });
        polled.cancelled().await;
        sender.send(7).await.unwrap();
        assert_eq!(reads.await.unwrap(), Some(7));
    }
}
