//! Joins a meeting for a while, and reports what its page, channels and messages have: for `meetbot doctor join`.

use std::{collections::HashSet, time::Duration};

use meetbot_types::{AddressPolicy, bot::BrowserSettings};
use tokio::sync::mpsc;

use super::{
    DriverCommand, MOST_EVENTS, Visit,
    examination::Examination,
    landmark_files::{self, Unusable},
    open,
};
use crate::{
    clock::{self, ms_between},
    meeting::MeetingEvent,
    platforms::joins::Joins,
};

/// Joins the Google Meet meeting with this link as a guest with this name. It waits at most `lobby` for its admission, and is in the meeting for at most `time`.
///
/// # Errors
/// The landmarks of the settings cannot be used. A join that fails is no error.
pub async fn examine(
    link: &str,
    name: &str,
    settings: &BrowserSettings,
    (lobby, time): (Duration, Duration),
) -> Result<Examination, Unusable> {
    let landmarks = landmark_files::of_google_meet(settings.landmarks_dir.as_deref())?;
    let mut examination = Examination::new(landmarks);
    let visit = Visit {
        meeting_url: link,
        display_name: name,
        record_video: false,
        imitation: None,
        evidence: None,
    };
    let opened = clock::now();
    let driver = match open(&visit, settings.clone()).await {
        Ok(driver) => driver,
        Err(event) => {
            examination.ended = event.why();
            return Ok(examination);
        }
    };
    let joins = Joins::new(AddressPolicy::default());
    let (sender, mut events) = mpsc::channel(MOST_EVENTS);
    let (orders, inbox) = mpsc::unbounded_channel();
    let (mut people, mut speakers) = (HashSet::new(), HashSet::new());
    let (mut joined_ms, mut ended) = (None, None);
    let mut read = super::examination::ReadFinding::default();
    let mut deadline = Some(opened + lobby);
    {
        let driving = driver.drive(&visit, sender, inbox, &joins, Some(&mut examination));
        tokio::pin!(driving);
        let mut is_driven = true;
        loop {
            tokio::select! {
                () = &mut driving, if is_driven => is_driven = false,
                event = events.recv() => match event {
                    None => break,
                    Some(MeetingEvent::Admitted { people: present, .. }) => {
                        let now = clock::now();
                        (joined_ms, deadline) = (Some(ms_between(opened, now)), Some(now + time));
                        people.extend(present.into_iter().map(|person| person.id));
                    }
                    Some(MeetingEvent::Joined(person)) => {
                        people.insert(person.id);
                    }
                    Some(MeetingEvent::Media { participant, .. }) => {
                        speakers.insert(participant);
                    }
                    Some(MeetingEvent::Caption(_)) => read.captions += 1,
                    Some(MeetingEvent::Chat(_)) => read.messages += 1,
                    Some(MeetingEvent::Ended) => ended = Some("the meeting is over".to_owned()),
                    Some(MeetingEvent::Removed) => ended = Some("the bot was removed".to_owned()),
                    Some(MeetingEvent::Lost(why)) => ended = Some(why),
                    Some(_) => {}
                },
                () = clock::sleep_until(deadline) => {
                    deadline = None;
                    if joined_ms.is_none() {
                        ended = Some("nobody admitted the bot in time".to_owned());
                    }
                    // The driver may have ended at this moment.
                    let _ = orders.send(DriverCommand::Leave);
                }
            }
        }
    }
    (read.people, read.speakers) = (people.len() as u64, speakers.len() as u64);
    (examination.read, examination.joined_ms) = (read, joined_ms);
    examination.ended = examination.ended.or(ended);
    examination.list_fields();
    Ok(examination)
}
