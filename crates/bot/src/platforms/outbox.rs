//! The queue of messages to a meeting's server: the bot's protocol messages, and those of commands, which wait for a limited time.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    time::{Duration, Instant},
};

use futures_util::{Sink, SinkExt as _};
use meetbot_types::CommandId;
use tokio_tungstenite::tungstenite::Message;

use crate::bounds::UNSENT_BYTES;

/// How long a command's message waits to be sent.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sending the last messages may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Messages that are not sent yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: VecDeque<Outgoing>,
    /// The total size of their texts, in bytes.
    bytes: usize,
    /// The sink holds messages that may not be written to the socket.
    unflushed: bool,
    /// The commands among these messages.
    flushing: Vec<CommandId>,
}

#[derive(Debug)]
struct Outgoing {
    text: String,
    /// The command of the message, and until when it waits.
    command: Option<(CommandId, Instant)>,
}

impl Outbox {
    /// Adds a protocol message. Returns whether there is room for it; if not, the server does not read, and the meeting is lost.
    #[must_use]
    pub(crate) fn push(&mut self, text: String) -> bool {
        self.bytes += text.len();
        self.messages.push_back(Outgoing { text, command: None });
        self.bytes <= UNSENT_BYTES
    }

    /// Adds the message of a command. Returns whether there is room for it.
    #[must_use]
    pub(crate) fn push_for(&mut self, command: CommandId, text: String, now: Instant) -> bool {
        let fits = self.bytes + text.len() <= UNSENT_BYTES;
        if fits {
            self.bytes += text.len();
            self.messages
                .push_back(Outgoing { text, command: Some((command, now + COMMAND_TIMEOUT)) });
        }
        fits
    }

    /// Removes the first message, to be sent without a sink.
    pub(crate) fn pop(&mut self) -> Option<(Option<CommandId>, String)> {
        let Outgoing { text, command } = self.messages.pop_front()?;
        self.bytes -= text.len();
        Some((command.map(|(id, _)| id), text))
    }

    /// Removes the messages of commands that have waited for too long, and returns the commands.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<CommandId> {
        if self.wake().is_none_or(|due| now < due) {
            return Vec::new();
        }
        let mut overdue = Vec::new();
        self.messages.retain(|message| match message.command {
            Some((id, until)) if until <= now => {
                self.bytes -= message.text.len();
                overdue.push(id);
                false
            }
            _ => true,
        });
        overdue
    }

    /// When to call [`Outbox::overdue`].
    pub(crate) fn wake(&self) -> Option<Instant> {
        // All commands have the same timeout, so the first one is due first.
        self.messages.iter().find_map(|message| message.command).map(|(_, until)| until)
    }

    /// Whether [`Outbox::send`] has something to do.
    pub(crate) fn is_waiting(&self) -> bool {
        self.unflushed || !self.messages.is_empty()
    }

    /// Sends all messages. Returns the commands whose messages were written to the socket. Cancel-safe: a message stays here until the sink accepts
    /// it, and the next call flushes what the sink still holds.
    pub(crate) async fn send<S>(&mut self, sink: &mut S) -> Result<Vec<CommandId>, S::Error>
    where
        S: Sink<Message> + Unpin,
    {
        while !self.messages.is_empty() {
            poll_fn(|context| sink.poll_ready_unpin(context)).await?;
            let Some((command, text)) = self.pop() else { break };
            self.unflushed = true;
            self.flushing.extend(command);
            sink.start_send_unpin(Message::text(text))?;
        }
        sink.flush().await?;
        self.unflushed = false;
        Ok(mem::take(&mut self.flushing))
    }

    /// Sends the remaining messages and closes the socket, within [`CLOSE_TIMEOUT`]. Returns the commands whose messages were written to the socket.
    pub(crate) async fn close<S>(mut self, sink: &mut S) -> Vec<CommandId>
    where
        S: Sink<Message> + Unpin,
    {
        let mut sent = Vec::new();
        let last_messages = async {
            sent = self.send(sink).await.unwrap_or_default();
            let _ = sink.close().await;
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, last_messages).await;
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use meetbot_types::Timestamp;

    use super::*;
    use crate::clock;

    /// A sink that is ready, or flushed, only at the second poll.
    #[derive(Default)]
    struct Slow {
        asked: bool,
        held: Vec<String>,
        sent: Vec<String>,
    }

    impl Slow {
        fn answer(&mut self) -> Poll<Result<(), Infallible>> {
            self.asked = !self.asked;
            if self.asked { Poll::Pending } else { Poll::Ready(Ok(())) }
        }
    }

    impl Sink<Message> for Slow {
        type Error = Infallible;

        fn poll_ready(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<(), Infallible>> {
            self.answer()
        }

        fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Infallible> {
            self.held.push(message.into_text().unwrap().to_string());
            Ok(())
        }

        fn poll_flush(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<(), Infallible>> {
            let answer = self.answer();
            if answer.is_ready() {
                let held = mem::take(&mut self.held);
                self.sent.extend(held);
            }
            answer
        }

        fn poll_close(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Result<(), Infallible>> {
            self.poll_flush(context)
        }
    }

    fn command(number: i64) -> CommandId {
        CommandId::generate(Timestamp::from_millis(number))
    }

    #[test]
    fn a_call_dropped_at_any_moment_loses_no_message_and_sends_none_twice() {
        let (mut outbox, mut sink) = (Outbox::default(), Slow::default());
        let ids = [command(1), command(2)];
        let now = clock::now();
        assert!(outbox.push("own".to_owned()));
        for (id, text) in ids.into_iter().zip(["first", "second"]) {
            assert!(outbox.push_for(id, text.to_owned(), now));
        }
        let mut done = Vec::new();
        // Each call is polled once and dropped: before a message is passed to the sink, and before the flush.
        for _ in 0..20 {
            if !outbox.is_waiting() {
                break;
            }
            let sent = std::pin::pin!(outbox.send(&mut sink));
            if let Poll::Ready(Ok(commands)) = sent.poll(&mut Context::from_waker(Waker::noop())) {
                done.extend(commands);
            }
        }
        assert!(!outbox.is_waiting(), "{outbox:?}");
        assert_eq!(sink.sent, ["own", "first", "second"]);
        assert_eq!(done, ids);
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn commands_wait_for_ten_seconds_and_protocol_messages_without_a_limit() {
        let (mut outbox, start) = (Outbox::default(), clock::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let ids = [command(1), command(2)];
        assert_eq!(outbox.wake(), None);
        assert!(outbox.push("own".to_owned()));
        assert!(outbox.push_for(ids[0], "first".to_owned(), at(0)));
        assert!(outbox.push_for(ids[1], "second".to_owned(), at(5)));
        assert_eq!(outbox.wake(), Some(at(10)));
        assert_eq!(outbox.overdue(at(9)), []);
        assert_eq!(outbox.overdue(at(10)), [ids[0]]);
        assert_eq!(outbox.wake(), Some(at(15)));
        assert_eq!(outbox.pop(), Some((None, "own".to_owned())));
        assert_eq!(outbox.pop(), Some((Some(ids[1]), "second".to_owned())));
        assert_eq!((outbox.pop(), outbox.bytes), (None, 0));
    }

    #[test]
    fn the_outbox_is_bounded_when_the_server_does_not_read() {
        let (mut outbox, now) = (Outbox::default(), clock::now());
        assert!(outbox.push("x".repeat(UNSENT_BYTES - 10)));
        assert!(!outbox.push_for(command(1), "x".repeat(11), now));
        assert!(outbox.push_for(command(2), "x".repeat(10), now));
        assert!(!outbox.push("x".to_owned()));
    }
}
