//! What the meeting says in `collections` and by `SyncMeetingSpaceCollections`.

use super::{Meeting, ToPeer};
use crate::{
    Chat, Compression, Signal,
    messages::{self, Caption, Entry, Output, Status},
};

impl Meeting {
    fn send(&self, message: &[u8]) {
        if let Some(peer) = &self.peer {
            let _ = peer.send(ToPeer::Collections(self.scenario.compression.pack(message)));
        }
    }

    /// The entry of the bot itself.
    fn own_entry(&self, status: Status) -> Option<Entry<'_>> {
        let device = self.bot.as_deref()?;
        let name = self.observed.name.as_deref().unwrap_or("Guest");
        Some(Entry { device, name, status, is_self: true, is_host: false, screen_of: None })
    }

    fn roster(&self) -> Vec<Entry<'_>> {
        let others = self.attendees.iter().flat_map(|one| {
            let device = one.device.as_deref().map(|device| Entry {
                device,
                name: &one.person.name,
                status: Status::In,
                is_self: false,
                is_host: one.person.host,
                screen_of: None,
            });
            let screen = one.screen.as_deref().map(|device| Entry {
                device,
                name: &one.person.name,
                status: Status::In,
                is_self: false,
                is_host: false,
                screen_of: one.device.as_deref(),
            });
            device.into_iter().chain(screen)
        });
        let own = if self.screen.is_in() { Status::In } else { Status::Out };
        others.chain(self.own_entry(own)).collect()
    }

    fn outputs_of(&self, only: Option<&str>) -> Vec<u8> {
        let mut outputs = Vec::new();
        for one in self.attendees.iter().filter(|one| only.is_none_or(|x| one.person.name == x)) {
            let Some(device) = one.device.as_deref() else { continue };
            // That somebody is muted says nothing: such flags go stale in the real one.
            outputs.push(Output {
                device,
                stream: one.person.csrc.to_string(),
                is_video: false,
                disabled: true,
            });
            let seen = self.camera.as_ref().is_some_and(|seen| seen.person == one.person.name);
            let stream = self.streams.first().cloned().filter(|_| seen);
            outputs.push(Output {
                device,
                stream: stream.unwrap_or_else(|| format!("camera-{}", one.person.csrc)),
                is_video: true,
                disabled: !seen,
            });
            if let (Some(screen), Some(stream)) = (one.screen.as_deref(), self.streams.get(1)) {
                let stream = stream.clone();
                outputs.push(Output { device: screen, stream, is_video: true, disabled: false });
            }
        }
        messages::outputs(&outputs)
    }

    /// The whole roster and all device outputs, as a page that has just connected gets them.
    pub(super) fn send_roster(&self) {
        self.send(&messages::roster_in_channel(&self.roster()));
        self.send(&self.outputs_of(None));
    }

    /// What somebody's device sends.
    pub(super) fn send_outputs(&self, name: &str) {
        self.send(&self.outputs_of(Some(name)));
    }

    /// A newcomer alone. The voice comes before the name, as in the real one where two services tell of them.
    pub(super) fn send_newcomer(&self, name: &str) {
        self.send_outputs(name);
        let roster = self.roster();
        let newcomer: Vec<_> = roster.into_iter().filter(|entry| entry.name == name).collect();
        self.send(&messages::roster_in_channel(&newcomer));
    }

    /// Somebody who is still in the roster, or only their screen, with the status of those who have left.
    pub(super) fn send_gone(&self, name: &str, screen_only: bool) {
        let is_gone =
            |entry: &Entry<'_>| entry.name == name && (!screen_only || entry.screen_of.is_some());
        let mut gone: Vec<_> = self.roster().into_iter().filter(is_gone).collect();
        for entry in &mut gone {
            entry.status = Status::Out;
        }
        self.send(&messages::roster_in_channel(&gone));
    }

    /// The bot's own entry with another status.
    pub(super) fn send_own_status(&self, status: Status) {
        if let Some(entry) = self.own_entry(status) {
            self.send(&messages::roster_in_channel(&[entry]));
        }
    }

    /// A line of chat, to the page and in `collections`.
    pub(super) fn send_chat(&mut self, device: &str, name: &str, text: &str) {
        let id = format!("{device}/messages/{}", self.chat.len());
        self.chat.push((name.to_owned(), text.to_owned()));
        self.version += 1;
        // The time is that of the meeting, not of the line.
        self.send(&messages::chat(&id, device, 1_790_000_000_000, text));
    }

    /// A version of a line of captions. They come plain or as gzip.
    pub(super) fn send_caption(&self, name: &str, line: u32, version: u32, text: &str, last: bool) {
        let device = self.attendees.iter().find(|one| one.person.name == name);
        let Some(device) = device.and_then(|one| one.device.as_deref()) else { return };
        let caption = Caption { device, line, version, text, last };
        let message = if self.scenario.captions_v2 {
            messages::caption_v2(&caption)
        } else {
            messages::caption(&caption)
        };
        let packing = match self.scenario.compression {
            Compression::Gzip | Compression::PrefixedGzip => Compression::Gzip,
            _ => Compression::Plain,
        };
        if let Some(peer) = &self.peer {
            let _ = peer.send(ToPeer::Captions(packing.pack(&message)));
        }
    }

    /// The bot wrote a line. It comes back by `collections`, which proves that it was sent.
    pub(super) fn bot_wrote(&mut self, text: String) {
        let length = text.chars().count();
        if length > 500 {
            self.observed.faults.push(crate::Fault::LongMessage(length));
            return;
        }
        let may_write = self.screen.is_in() && self.scenario.chat == Chat::Open;
        let (Some(device), true) = (self.bot.clone(), may_write) else { return };
        let name = self.observed.name.clone().unwrap_or_default();
        self.send_chat(&device, &name, &text);
        self.observed.written.push(text);
        self.signal(&Signal::BotWrote);
    }

    /// What `SyncMeetingSpaceCollections` answers: the whole roster where it has changed, nothing where not.
    pub(crate) fn sync(&mut self) -> Vec<u8> {
        self.observed.syncs += 1;
        if !std::mem::take(&mut self.roster_is_news) || !self.screen.is_in() {
            return Vec::new();
        }
        messages::roster_in_rpc(&self.roster())
    }
}
