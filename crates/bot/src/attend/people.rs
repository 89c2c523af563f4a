//! Changes of the roster: participants who join and leave, and ids that the orchestrator reports as bots.

use std::{collections::HashSet, io};

use meetbot_types::bot::{BotReport, Participant};

use super::Bot;
use crate::{
    bounds::{self, Exceeded},
    clock,
    leave_policy::Observed,
    recording::people::RosterChange,
};

impl Bot<'_> {
    /// Replaces the roster: exactly these people are in the meeting.
    pub(super) async fn replace_roster(&mut self, people: Vec<Participant>) -> io::Result<()> {
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

    /// A participant joined, was renamed, or turned out to be a bot.
    pub(super) fn joined(&mut self, mut participant: Participant) -> io::Result<()> {
        self.observe(Observed::Joined(participant.clone()));
        participant.is_bot = self.leave_policy.is_bot(&participant.id);
        let mut seen = self.leave_policy.people();
        if let Some(recording) = &mut self.recording {
            match recording.joined(&participant, clock::now())? {
                Some(RosterChange::Joined(participant)) => {
                    self.reporter.report(BotReport::ParticipantJoined { participant });
                }
                Some(RosterChange::Renamed { participant, previous_name }) => {
                    self.reporter
                        .report(BotReport::ParticipantRenamed { participant, previous_name });
                }
                // Only the recording keeps this: the server counts people who came.
                Some(RosterChange::RoleChanged(_)) | None => {}
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

    /// This server's bots are in the room under these ids: a participant who counted as a person may be one.
    pub(super) fn set_own_bots(&mut self, ids: Vec<String>) -> io::Result<()> {
        let present =
            self.recording.as_ref().map_or_else(Vec::new, |recording| recording.present_of(&ids));
        self.observe(Observed::OwnBots { ids, own_id: self.own_id.clone() });
        present.into_iter().try_for_each(|bot| self.joined(bot))
    }
}
