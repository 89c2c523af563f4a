//! Who comes and goes, and what the orchestrator says of them.

use std::{collections::HashSet, io};

use meetbot_types::bot::{BotReport, Participant};

use super::Bot;
use crate::{
    bounds::{self, Exceeded},
    brain::Observed,
    clock,
    recording::people::News,
};

impl Bot<'_> {
    /// These are there, and nobody else.
    pub(super) async fn take_roster(&mut self, people: Vec<Participant>) -> io::Result<()> {
        let Some(recording) = &self.recording else { return Ok(()) };
        let here: HashSet<&str> = people.iter().map(|person| person.id.as_str()).collect();
        let mut gone = recording.present();
        gone.retain(|id| !here.contains(id.as_str()));
        let people = recording.in_order(people);
        for id in gone {
            self.left(id)?;
            tokio::task::consume_budget().await;
        }
        for person in people {
            self.joined(person)?;
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// Someone is there, has another name, or turned out to be a bot.
    pub(super) fn joined(&mut self, mut participant: Participant) -> io::Result<()> {
        self.observe(Observed::Joined(participant.clone()));
        participant.is_bot = self.brain.is_bot(&participant.id);
        let mut seen = self.brain.people();
        if let Some(recording) = &mut self.recording {
            match recording.joined(&participant, clock::now())? {
                Some(News::Came(participant)) => {
                    self.reporter.report(BotReport::ParticipantJoined { participant });
                }
                Some(News::Renamed { participant, previous_name }) => {
                    self.reporter
                        .report(BotReport::ParticipantRenamed { participant, previous_name });
                }
                // The recording says it; what a server counts is who came.
                Some(News::OtherRole(_)) | None => {}
            }
            seen = seen.max(recording.people_seen());
        }
        if seen > bounds::PEOPLE { Err(Exceeded::People.into()) } else { Ok(()) }
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
