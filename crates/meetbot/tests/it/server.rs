//! A scripted server, and clients of it.

use std::ops::Deref;

use meetbot::{MeetBot, blocking};
use meetbot_testkit::scripted::{self, Script};

pub(crate) use meetbot_testkit::scripted::Reply;

pub(crate) const KEY: &str = "mb_test_0123456789abcdef";

#[derive(Debug)]
pub(crate) struct Server(scripted::Server);

impl Deref for Server {
    type Target = scripted::Server;

    fn deref(&self) -> &scripted::Server {
        &self.0
    }
}

/// An answer with a body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    Reply::answer(status, headers, body)
}

impl Server {
    /// Gives these answers in turn, and 599 after the last.
    pub(crate) fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self(scripted::Server::start(replies).unwrap())
    }

    /// The same, with other answers to requests for a stream of events, if there are any.
    pub(crate) fn with_events(
        replies: impl IntoIterator<Item = Reply>,
        events: impl IntoIterator<Item = Reply>,
    ) -> Self {
        let events =
            Some(events.into_iter().collect()).filter(|events: &Vec<_>| !events.is_empty());
        let script = Script { replies: replies.into_iter().collect(), events };
        Self(scripted::Server::start(script).unwrap())
    }

    pub(crate) fn client(&self) -> MeetBot {
        MeetBot::builder().api_key(KEY).base_url(self.url()).build().unwrap()
    }

    pub(crate) fn blocking(&self) -> blocking::MeetBot {
        blocking::MeetBot::builder().api_key(KEY).base_url(self.url()).build().unwrap()
    }
}

/// A job as the server shows it.
pub(crate) fn job(id: u32, status: &str) -> String {
    let vectors = xtask::spec_file::read_json("spec/vectors/models.json");
    let mut job = vectors["cases"][0]["json"].clone();
    job["id"] = format!("job_01KAB1CDEFGHJKMNPQRS{id:06}").into();
    job["status"] = status.into();
    job.to_string()
}
