//! The messages of the meeting in `collections` and `SyncMeetingSpaceCollections`.

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
            // Mute flags are not sent: in Google Meet they are unreliable.
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

    /// Sends the complete roster and all device outputs, as after a connect.
    pub(super) fn send_roster(&self) {
        self.send(&messages::roster_in_channel(&self.roster()));
        self.send(&self.outputs_of(None));
    }

    /// Sends the outputs of a person's device.
    pub(super) fn send_outputs(&self, name: &str) {
        self.send(&self.outputs_of(Some(name)));
    }

    /// Sends a newcomer. The voice comes before the name, as in Google Meet, where two services send them.
    pub(super) fn send_newcomer(&self, name: &str) {
        self.send_outputs(name);
        let roster = self.roster();
        let newcomer: Vec<_> = roster.into_iter().filter(|entry| entry.name == name).collect();
        self.send(&messages::roster_in_channel(&newcomer));
    }

    /// Sends a person of the roster, or only the person's screen, with the status "left".
    pub(super) fn send_gone(&self, name: &str, screen_only: bool) {
        let is_gone =
            |entry: &Entry<'_>| entry.name == name && (!screen_only || entry.screen_of.is_some());
        let mut gone: Vec<_> = self.roster().into_iter().filter(is_gone).collect();
        for entry in &mut gone {
            entry.status = Status::Out;
        }
        self.send(&messages::roster_in_channel(&gone));
    }

    /// Sends the bot's entry with another status.
    pub(super) fn send_own_status(&self, status: Status) {
        if let Some(entry) = self.own_entry(status) {
            self.send(&messages::roster_in_channel(&[entry]));
        }
    }

    /// Sends a line of chat, to the page and in `collections`.
    pub(super) fn send_chat(&mut self, device: &str, name: &str, text: &str) {
        let id = format!("{device}/messages/{}", self.chat.len());
        self.chat.push((name.to_owned(), text.to_owned()));
        self.version += 1;
        // The time is that of the meeting, and not of the line.
        self.send(&messages::chat(&id, device, 1_790_000_000_000, text));
    }

    /// Sends a version of a line of captions, uncompressed or as gzip.
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

    /// The bot wrote a line. It is sent back in `collections`, which confirms it.
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

    /// The answer of `SyncMeetingSpaceCollections`: the complete roster if it has changed, else empty.
    pub(crate) fn sync(&mut self) -> Vec<u8> {
        self.observed.syncs += 1;
        if !std::mem::take(&mut self.roster_is_news) || !self.screen.is_in() {
            return Vec::new();
        }
        messages::roster_in_rpc(&self.roster())
    }
}
