//! The platforms that a bot can join, one folder or file each.

pub(crate) mod browser;
mod dial;
mod drain;
pub(crate) mod janus;
pub(crate) mod joins;
mod keyframes;
mod messages;
mod outbox;

pub(crate) mod rtms;
mod sandbox;
pub(crate) mod webrtc;
mod wire;
mod woken;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use meetbot_types::{
    Availability, Missing, Platform, Via,
    bot::{BotOrder, BrowserSettings},
};

use self::{
    browser::BrowserMeeting, janus::JanusMeeting, joins::Joins, rtms::RtmsMeeting,
    sandbox::SandboxMeeting,
};
use crate::{
    connect::Connect,
    meeting::{Lost, Meeting},
};

/// The capabilities of the machine on which bots run.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Processes can send and receive UDP datagrams, which WebRTC needs.
    pub datagrams: bool,
}

impl Machine {
    /// Examines the machine of this process.
    pub fn look() -> Self {
        let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let datagrams = any.into_iter().any(|address| UdpSocket::bind((address, 0)).is_ok());
        Self { datagrams }
    }
}

/// Whether a bot joins the order's meeting with a browser.
pub fn needs_browser(order: &BotOrder) -> bool {
    order.sandbox.is_none() && order.link.platform == Platform::GoogleMeet
}

/// The platforms that bots can join, and what the machine or the settings lack for each. `browser` is `None` if the operator has switched browsers off.
pub fn available(machine: &Machine, browser: Option<&BrowserSettings>) -> Vec<Availability> {
    let no_datagrams = || Missing {
        code: "no_datagrams".to_owned(),
        message: "this machine lets the server open no UDP socket, by which media come".to_owned(),
    };
    let ways = [(Platform::Sandbox, Via::Sandbox), (Platform::Janus, Via::Native)];
    let ways = ways.map(|(platform, via)| Availability {
        platform,
        via,
        experimental: false,
        missing: if machine.datagrams { Vec::new() } else { vec![no_datagrams()] },
    });
    // The server checks the settings that Zoom needs.
    let zoom = Availability {
        platform: Platform::ZoomWeb,
        via: Via::Rtms,
        experimental: true,
        missing: Vec::new(),
    };
    let by_browser = Availability {
        platform: Platform::GoogleMeet,
        via: Via::Browser,
        experimental: true,
        missing: match browser {
            Some(settings) => browser::missing(settings),
            None => vec![Missing {
                code: "browser_off".to_owned(),
                message: "bots join it with Chromium, which `bots.browser.enabled` switches on"
                    .to_owned(),
            }],
        },
    };
    ways.into_iter().chain([zoom, by_browser]).collect()
}

/// Begins to join the order's meeting. After an error another try may succeed; a refusal comes as an event.
pub(crate) async fn join(
    order: &BotOrder,
    connect: &Connect,
    joins: &Joins,
) -> Result<Box<dyn Meeting>, Lost> {
    Ok(match (&order.sandbox, &order.link.platform) {
        // With a test key the sandbox replaces the meetings of every platform.
        (Some(seat), _) => Box::new(SandboxMeeting::join(order, seat, connect, joins).await?),
        (None, Platform::Janus) => Box::new(JanusMeeting::join(order, connect, joins).await?),
        (None, Platform::ZoomWeb) if let Some(app) = &order.zoom => {
            Box::new(RtmsMeeting::join(order, app, connect, joins))
        }
        (None, Platform::GoogleMeet) if let Some(settings) = &order.browser => {
            Box::new(BrowserMeeting::join(order, settings, connect, joins).await)
        }
        (None, platform) => return Err(format!("no bot can join {platform} yet")),
    })
}

#[cfg(test)]
mod tests {
    use meetbot_types::availability::{joinable, via_of};

    use super::*;

    #[test]
    fn a_machine_without_datagrams_lacks_webrtc_platforms_and_names_the_reason() {
        let ways = available(&Machine { datagrams: true }, None);
        assert_eq!(joinable(&ways), [&Platform::Sandbox, &Platform::Janus, &Platform::ZoomWeb]);
        let ways = available(&Machine { datagrams: false }, None);
        // Zoom's media use TCP.
        assert_eq!(joinable(&ways), [&Platform::ZoomWeb]);
        let missing = ways.iter().flat_map(|way| &way.missing);
        let codes: Vec<_> = missing.map(|missing| missing.code.as_str()).collect();
        assert_eq!(codes, ["no_datagrams", "no_datagrams", "browser_off"]);
        assert!(Machine::look().datagrams);
        for way in &ways {
            assert_eq!(via_of(&way.platform, true).as_ref(), Some(&way.via), "{way:?}");
        }
    }

    #[test]
    fn a_server_without_a_working_chromium_names_the_reason() {
        let missing = |settings: &BrowserSettings| {
            let ways = available(&Machine { datagrams: true }, Some(settings));
            let way = ways.into_iter().find(|way| way.via == Via::Browser).unwrap();
            assert!(way.experimental);
            way.missing.into_iter().map(|missing| missing.code).collect::<Vec<_>>()
        };
        let nowhere = BrowserSettings {
            binary: Some("/no/such/chromium".into()),
            no_sandbox: true,
            ..BrowserSettings::default()
        };
        assert_eq!(missing(&nowhere), ["no_chromium"]);
        let no_browser = BrowserSettings { binary: Some("/etc/passwd".into()), ..nowhere };
        assert_eq!(missing(&no_browser), ["chromium_does_not_start"]);
    }
}
