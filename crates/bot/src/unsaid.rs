//! What the bot was told to write into the chat. A bot is in the call some moments before it is in the chat: what it is told then waits.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use meetbot_types::{CommandId, ControlState};

use crate::meeting::Meeting;

/// How long a message waits for the chat.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages in the order in which they came, each since when.
#[derive(Debug, Default)]
pub(crate) struct Unsaid(VecDeque<(CommandId, String, Instant)>);

impl Unsaid {
    pub(crate) fn add(&mut self, id: CommandId, text: String, now: Instant) {
        self.0.push_back((id, text, now));
    }

    /// Writes what can be written. Answers what became of each command that waits no longer.
    pub(crate) async fn say(
        &mut self,
        mut meeting: Option<&mut Box<dyn Meeting>>,
        now: Instant,
    ) -> Vec<(CommandId, ControlState)> {
        let mut told = Vec::new();
        while let Some((id, text, since)) = self.0.pop_front() {
            let sent = match &mut meeting {
                Some(meeting) => meeting.send_chat(&text).await,
                None => Err("the meeting is lost".to_owned()),
            };
            let waited = now.saturating_duration_since(since);
            let state = match sent {
                Ok(true) => ControlState::Done,
                Ok(false) if waited < PATIENCE => {
                    self.0.push_front((id, text, since));
                    break;
                }
                Ok(false) | Err(_) => ControlState::Denied,
            };
            told.push((id, state));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use meetbot_types::Timestamp;

    use super::*;
    use crate::{
        media::TrackId,
        meeting::{Lost, MeetingEvent},
    };

    /// A meeting whose chat is there once it says so.
    struct Chat {
        open: bool,
        said: Arc<Mutex<Vec<String>>>,
    }

    #[async_trait]
    impl Meeting for Chat {
        async fn next(&mut self) -> MeetingEvent {
            std::future::pending().await
        }

        async fn send_chat(&mut self, text: &str) -> Result<bool, Lost> {
            if self.open {
                self.said.lock().unwrap().push(text.to_owned());
            }
            Ok(self.open)
        }

        async fn request_permission(&mut self) -> Result<(), Lost> {
            Err("nobody is asked here".to_owned())
        }

        fn request_keyframe(&mut self, _: TrackId) {}

        async fn leave(self: Box<Self>) {}
    }

    #[tokio::test]
    async fn what_comes_before_the_chat_is_said_in_order_once_it_is_there() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let meeting =
            |open| -> Box<dyn Meeting> { Box::new(Chat { open, said: Arc::clone(&said) }) };
        let (mut shut, mut open) = (meeting(false), meeting(true));
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let ids = [1, 2, 3].map(|ms| CommandId::generate(Timestamp::from_millis(ms)));
        let mut unsaid = Unsaid::default();
        unsaid.add(ids[0], "too early".to_owned(), at(0));
        unsaid.add(ids[1], "early".to_owned(), at(5));
        assert_eq!(unsaid.say(Some(&mut shut), at(9)).await, []);
        assert_eq!(unsaid.say(Some(&mut shut), at(10)).await, [(ids[0], ControlState::Denied)]);
        unsaid.add(ids[2], "in time".to_owned(), at(11));
        let done = [(ids[1], ControlState::Done), (ids[2], ControlState::Done)];
        assert_eq!(unsaid.say(Some(&mut open), at(11)).await, done);
        assert_eq!(*said.lock().unwrap(), ["early", "in time"]);
        unsaid.add(ids[0], "gone".to_owned(), at(12));
        assert_eq!(unsaid.say(None, at(12)).await, [(ids[0], ControlState::Denied)]);
    }
}
