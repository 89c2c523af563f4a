//! Who comes and goes, and what the orchestrator says of them.

use std::io;

use meetbot_types::bot::{BotReport, Participant};

use super::Bot;
use crate::{brain::Observed, clock};

impl Bot<'_> {
    /// These are there, and nobody else.
    pub(super) fn take_roster(&mut self, people: Vec<Participant>) -> io::Result<()> {
        let Some(recording) = &self.recording else { return Ok(()) };
        let (people, gone) = (recording.in_order(people), recording.present());
        for id in gone.iter().filter(|id| people.iter().all(|person| person.id != **id)) {
            self.left(id.clone())?;
        }
        people.into_iter().try_for_each(|person| self.joined(person))
    }

    /// Someone is there, has another name, or turned out to be a bot.
    pub(super) fn joined(&mut self, mut participant: Participant) -> io::Result<()> {
        let is_bot = self.brain.is_bot(&participant);
        self.observe(Observed::Joined(participant.clone()));
        participant.is_bot = is_bot;
        let Some(recording) = &mut self.recording else { return Ok(()) };
        if let Some(participant) = recording.joined(&participant, clock::now())? {
            self.reporter.report(BotReport::ParticipantJoined { participant });
        }
        Ok(())
    }

    pub(super) fn left(&mut self, id: String) -> io::Result<()> {
        let Some(recording) = &mut self.recording else { return Ok(()) };
        if let Some(participant) = recording.left(&id, clock::now())? {
            self.reporter.report(BotReport::ParticipantLeft { participant });
        }
        self.observe(Observed::Left(id));
        Ok(())
    }

    /// Under these ids bots of this server are in the room: who was taken for a person may be one.
    pub(super) fn know_own_bots(&mut self, ids: Vec<String>) -> io::Result<()> {
        let present =
            self.recording.as_ref().map_or_else(Vec::new, |recording| recording.present_of(&ids));
        self.observe(Observed::OwnBots { ids, own_id: self.own_id.clone() });
        present.into_iter().try_for_each(|bot| self.joined(bot))
    }
}
