//! The view that the page shows, and the reports that it sends.

use serde::{Deserialize, Serialize};

use super::Meeting;
use crate::{
    Chat, Click, Decoys, Dialect, Dialog, Fault, Screen, Signal, Sound, observed::Devices,
};

/// The content of the page.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
pub(crate) struct View {
    version: u64,
    /// A newer page was loaded: this one is obsolete.
    over: bool,
    screen: Screen,
    /// The screen's text, with the dialect's apostrophe.
    text: String,
    lobby_text: String,
    dialog: Option<DialogView>,
    /// How many media sessions the page must have opened.
    session: u32,
    dialect: Dialect,
    decoys: Decoys,
    sound: Sound,
    join_button: String,
    device_dialog: bool,
    account: Option<String>,
    banner: bool,
    captions_v2: bool,
    tiles: Vec<Tile>,
    chat: Chat,
    lines: Vec<(String, String)>,
    /// For how long a script must occupy the main thread in all since the meeting began, in ms.
    busy_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct DialogView {
    kind: Dialog,
    text: String,
    primary: &'static str,
    consent: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tile {
    device: String,
    name: String,
    own: bool,
}

/// Properties of the page's browser.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Browser {
    webdriver: bool,
    user_agent: String,
    platform: String,
    query: String,
    language: String,
    width: u32,
    height: u32,
    globals: Vec<String>,
}

/// A report of the page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    Browser(Browser),
    Click(Click),
    /// A script wrote text into a field.
    UntrustedName,
    Devices(Devices),
    Knock {
        name: Option<String>,
        devices: Devices,
        trusted: bool,
    },
    /// A dialog was closed, with its primary button or not.
    Dialog {
        accepted: bool,
    },
    /// Why the banner is not visible.
    BannerHidden(String),
    Chat(String),
    Sound(String),
    WorkerFrames(u64),
    Decoy(String),
    PageError(String),
    Leave,
}

impl Meeting {
    fn worded(&self, text: &str) -> String {
        match self.scenario.dialect {
            Dialect::Labels => text.to_owned(),
            Dialect::Text => text.replace('\'', "’"),
        }
    }

    /// The view for the page of this visit.
    pub(crate) fn view(&self, visit: u32) -> View {
        let wordings = self.screen.wordings();
        let text = wordings[self.wording.min(wordings.len() - 1)];
        let others = self.attendees.iter().filter_map(|one| {
            Some(Tile { device: one.device.clone()?, name: one.person.name.clone(), own: false })
        });
        let own = self.bot.clone().map(|device| Tile {
            device,
            name: self.observed.name.clone().unwrap_or_default(),
            own: true,
        });
        View {
            version: self.version,
            over: visit != self.visit,
            screen: self.screen,
            text: self.worded(text),
            lobby_text: self.worded(Screen::WaitingRoom.wordings()[0]),
            dialog: self.dialog.map(|kind| DialogView {
                kind,
                text: self.worded(kind.text()),
                primary: kind.primary(),
                consent: kind.must_be_accepted(),
            }),
            session: self.session,
            dialect: self.scenario.dialect,
            decoys: self.scenario.decoys.clone(),
            sound: self.scenario.sound,
            join_button: self.scenario.join_button.clone(),
            device_dialog: self.scenario.device_dialog,
            account: self.account(),
            banner: self.scenario.banner,
            captions_v2: self.scenario.captions_v2,
            tiles: others.chain(own).collect(),
            chat: self.scenario.chat,
            lines: self.chat.clone(),
            busy_ms: self.busy_ms,
        }
    }

    /// Handles a report of the page.
    pub(crate) fn report(&mut self, report: Report) {
        match report {
            Report::Browser(browser) => self.observed.faults.extend(faults(browser)),
            Report::Click(click) => {
                let fault = if !click.trusted {
                    Some(Fault::Untrusted(click.name.clone()))
                } else if click.moves == 0 {
                    Some(Fault::Unmoved(click.name.clone()))
                } else {
                    None
                };
                self.observed.faults.extend(fault);
                self.observed.clicks.push(click);
            }
            Report::UntrustedName => self.observed.faults.push(Fault::UntrustedName),
            Report::Devices(devices) => self.observed.devices = Some(devices),
            Report::Knock { name, devices, trusted } => {
                // A script's click is ignored.
                if trusted && self.screen == Screen::PreJoin {
                    self.knocked(name, devices);
                }
            }
            Report::Dialog { accepted } => self.on_dialog_closed(accepted),
            Report::BannerHidden(why) => {
                if self.screen.is_in() && self.scenario.banner {
                    self.observed.faults.push(Fault::BannerHidden(why));
                    self.show(Screen::Removed, 0);
                }
            }
            Report::Chat(text) => self.bot_wrote(text),
            Report::Sound(sound) => self.observed.sound = Some(sound),
            Report::WorkerFrames(frames) => self.observed.worker_frames = frames,
            Report::Decoy(name) => self.observed.faults.push(Fault::Decoy(name)),
            Report::PageError(error) => self.observed.faults.push(Fault::PageError(error)),
            Report::Leave => {
                self.observed.left = true;
                self.show(Screen::Left, 0);
                self.signal(&Signal::Left);
            }
        }
    }

    fn on_dialog_closed(&mut self, accepted: bool) {
        let Some(dialog) = self.dialog.take() else { return };
        self.version += 1;
        match (dialog.must_be_accepted(), accepted) {
            (true, true) => {
                self.observed.accepted.push(dialog);
                self.signal(&Signal::Accepted);
            }
            (true, false) => {
                self.observed.faults.push(Fault::Dismissed(dialog));
                self.show(Screen::Left, 0);
            }
            (false, true) => self.observed.faults.push(Fault::PressedUnknown(dialog)),
            (false, false) => {
                self.observed.closed.push(dialog);
                self.signal(&Signal::Closed);
            }
        }
    }
}

fn faults(browser: Browser) -> Vec<Fault> {
    let mut faults = Vec::new();
    if browser.webdriver {
        faults.push(Fault::Webdriver);
    }
    if browser.user_agent.contains("Headless") {
        faults.push(Fault::HeadlessUserAgent(browser.user_agent.clone()));
    }
    let linux = browser.platform.contains("Linux");
    if browser.user_agent.contains("Linux") != linux {
        faults.push(Fault::UserAgentContradicts {
            user_agent: browser.user_agent,
            platform: browser.platform,
        });
    }
    let languages: Vec<_> = browser
        .query
        .trim_start_matches('?')
        .split('&')
        .filter(|pair| pair.split('=').next() == Some("hl"))
        .collect();
    if languages != ["hl=en"] {
        faults.push(Fault::Language(browser.query));
    }
    if browser.language != "en-US" {
        faults.push(Fault::Language(browser.language));
    }
    if browser.width < 1_000 || browser.height < 500 {
        faults.push(Fault::Window(format!("{}x{}", browser.width, browser.height)));
    }
    faults.extend(browser.globals.into_iter().map(Fault::Global));
    faults
}
