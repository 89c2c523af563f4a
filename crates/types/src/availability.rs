//! Which platforms the bots of a server can join, and what is missing for the others.

use serde::{Deserialize, Serialize};

use crate::Platform;

words! {
    /// How bots get into a platform's meetings.
    pub enum Via {
        /// They speak the platform's own protocol.
        Native = "native",
        /// They open the platform's web page.
        Browser = "browser",
        /// The platform streams the meeting to them; no bot is in the room.
        Rtms = "rtms",
        /// The server plays the meeting itself.
        Sandbox = "sandbox",
    }
}

/// One way into a platform's meetings. A platform may have several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    /// The platform.
    pub platform: Platform,
    /// How bots get in.
    pub via: Via,
    /// It may break with any change that the platform makes.
    pub experimental: bool,
    /// What a bot would need and does not have: on its machine, or in the configuration.
    pub missing: Vec<Missing>,
}

impl Availability {
    /// Whether bots can get in this way.
    pub fn joinable(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Something that a bot would need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = MissingRequirement))]
pub struct Missing {
    /// A stable word for programs.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z_]+$"))]
    pub code: String,
    /// What is missing and how an operator provides it, for people.
    pub message: String,
}

/// Whether a server's bots can join the meetings of a platform, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlatformAvailability {
    /// The platform.
    pub platform: Platform,
    /// How bots get into its meetings; `null` where this version has no bot for it.
    pub via: Option<Via>,
    /// Whether a job for one of its meetings is taken. It follows from what the server's settings and its machine have, not from the bots that run at the moment.
    pub joinable: bool,
    /// Whether it may break with any change that the platform makes.
    pub experimental: bool,
    /// What the operator has to install or set; empty where it can be joined.
    pub missing: Vec<Missing>,
}

/// How bots of this version get into a platform's meetings; `live` is false for jobs of a test key, whose meetings the sandbox plays. `None` where there is no bot.
pub fn via_of(platform: &Platform, live: bool) -> Option<Via> {
    match platform {
        _ if !live => Some(Via::Sandbox),
        Platform::Sandbox => Some(Via::Sandbox),
        Platform::Janus => Some(Via::Native),
        Platform::GoogleMeet => Some(Via::Browser),
        Platform::ZoomWeb => Some(Via::Rtms),
        _ => None,
    }
}

/// The platforms that bots can join, each once.
pub fn joinable(ways: &[Availability]) -> Vec<&Platform> {
    let mut platforms: Vec<&Platform> = Vec::new();
    for way in ways.iter().filter(|way| way.joinable()) {
        if !platforms.contains(&&way.platform) {
            platforms.push(&way.platform);
        }
    }
    platforms
}

/// The ways into meetings as they are with a test key: the sandbox plays those of every platform, as far as bots can join the sandbox.
pub fn with_test_key(ways: &[Availability]) -> Vec<Availability> {
    let sandbox = ways.iter().find(|way| way.platform == Platform::Sandbox);
    let Some(sandbox) = sandbox else { return Vec::new() };
    let played =
        |platform: &Platform| Availability { platform: platform.clone(), ..sandbox.clone() };
    Platform::ALL.iter().map(played).collect()
}

/// Every platform that is known, with each way into its meetings.
pub fn of_platforms(ways: &[Availability]) -> Vec<PlatformAvailability> {
    Platform::ALL.iter().flat_map(|platform| of_platform(ways, platform)).collect()
}

/// A platform with each way into its meetings.
pub fn of_platform(ways: &[Availability], platform: &Platform) -> Vec<PlatformAvailability> {
    let of_it = ways.iter().filter(|way| way.platform == *platform);
    let mut found: Vec<PlatformAvailability> = of_it
        .map(|way| PlatformAvailability {
            platform: platform.clone(),
            via: Some(way.via.clone()),
            joinable: way.joinable(),
            experimental: way.experimental,
            missing: way.missing.clone(),
        })
        .collect();
    if found.is_empty() {
        found.push(PlatformAvailability {
            platform: platform.clone(),
            via: None,
            joinable: false,
            experimental: false,
            missing: vec![Missing {
                code: "no_bot".to_owned(),
                message: format!("this version of meetbot has no bot for {platform}"),
            }],
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(platform: Platform, via: Via, missing: &[&str]) -> Availability {
        let missing = missing
            .iter()
            .map(|code| Missing { code: (*code).to_owned(), message: format!("{code} is missing") })
            .collect();
        Availability { platform, via, experimental: false, missing }
    }

    #[test]
    fn every_platform_is_listed_with_each_way_into_its_meetings() {
        let ways = [
            way(Platform::Sandbox, Via::Sandbox, &[]),
            way(Platform::ZoomWeb, Via::Rtms, &["no_zoom_app"]),
            way(Platform::ZoomWeb, Via::Browser, &[]),
        ];
        let all = of_platforms(&ways);
        assert_eq!(all.len(), Platform::ALL.len() + 1);
        let zoom: Vec<_> = all.iter().filter(|one| one.platform == Platform::ZoomWeb).collect();
        assert_eq!((zoom[0].via.as_ref(), zoom[0].joinable), (Some(&Via::Rtms), false));
        assert_eq!((zoom[1].via.as_ref(), zoom[1].joinable), (Some(&Via::Browser), true));
        let teams = all.iter().find(|one| one.platform == Platform::Teams).unwrap();
        assert_eq!((&teams.via, teams.joinable), (&None, false));
        assert_eq!(teams.missing[0].code, "no_bot");
        // What can be joined lacks nothing, and what cannot says what it lacks.
        assert!(all.iter().all(|one| one.joinable == one.missing.is_empty()));
    }

    #[test]
    fn with_a_test_key_the_sandbox_plays_every_platform_or_none() {
        let sandbox = way(Platform::Sandbox, Via::Sandbox, &[]);
        let google = way(Platform::GoogleMeet, Via::Browser, &["no_chromium"]);
        let all = of_platforms(&with_test_key(&[google.clone(), sandbox.clone()]));
        assert_eq!(all.len(), Platform::ALL.len());
        assert!(all.iter().all(|one| one.joinable && one.via == Some(Via::Sandbox)));
        let without = Availability { missing: google.missing.clone(), ..sandbox };
        let all = of_platforms(&with_test_key(&[google, without]));
        assert!(all.iter().all(|one| !one.joinable));
        assert!(of_platforms(&with_test_key(&[])).iter().all(|one| !one.joinable));
    }
}
