//! The operator's Zoom apps, with their secrets.

use std::{collections::BTreeMap, fs, path::PathBuf};

use meetbot_types::{
    Availability, Missing, Platform, Via,
    bot::{Secret, ZoomApp},
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The settings `[zoom]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZoomSettings {
    /// Domains that the streams' servers may belong to, as in `zoom.us`.
    pub hosts: Vec<String>,
    /// The sections `[zoom.apps.NAME]`, by their names.
    pub apps: BTreeMap<String, AppSettings>,
}

/// The settings of an app. Its secrets are in files, which are read when the server starts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSettings {
    /// The app's client id.
    pub client_id: String,
    /// The file with its client secret.
    pub client_secret_file: PathBuf,
    /// The files with its webhook secret tokens: two while one is rotated.
    pub webhook_secret_files: Vec<PathBuf>,
    /// The Zoom account whose streams alone are taken; all where it is not set.
    #[serde(default)]
    pub account_id: Option<String>,
    /// The consumer whose live jobs alone get the app's streams.
    pub consumer: String,
    /// Whether the camera of who speaks is recorded, for jobs that do not say it.
    #[serde(default = "yes")]
    pub record_video: bool,
    /// The body of `POST /api/v1/jobs`, without what follows from the stream, of the job that is made for a stream that no job waits for; none is made where it is
    /// not set.
    #[serde(default)]
    pub auto_dispatch: Option<Map<String, Value>>,
}

const fn yes() -> bool {
    true
}

/// The apps, ready to be used.
#[derive(Debug, Clone, Default)]
pub struct Zoom {
    /// Domains that the streams' servers may belong to.
    pub hosts: Vec<String>,
    /// The apps, in the order of their names.
    pub apps: Vec<App>,
}

/// An app with its secrets.
#[derive(Debug, Clone)]
pub struct App {
    /// The operator's name for it.
    pub name: String,
    /// What the settings say of it.
    pub settings: AppSettings,
    /// Its client secret.
    pub client_secret: Secret,
    /// Its webhook secret tokens.
    pub webhook_secrets: Vec<Secret>,
}

impl Zoom {
    /// Reads the secrets of the settings' apps. The error is the setting and what is wrong with it.
    pub fn read(settings: &ZoomSettings) -> Result<Self, (String, String)> {
        let mut apps: Vec<App> = Vec::new();
        for (name, app) in &settings.apps {
            let invalid = |key: &str, problem: String| (format!("zoom.apps.{name}.{key}"), problem);
            if app.client_id.is_empty() || app.client_id.chars().any(|it| !it.is_ascii_graphic()) {
                let problem = "must be the client id of the app, without spaces".to_owned();
                return Err(invalid("client_id", problem));
            }
            if let Some(other) = apps.iter().find(|it| it.settings.client_id == app.client_id) {
                let problem = format!("is that of zoom.apps.{} too", other.name);
                return Err(invalid("client_id", problem));
            }
            if let Some(other) = apps.iter().find(|it| it.settings.consumer == app.consumer) {
                let problem = format!(
                    "{:?} has the app zoom.apps.{} already; a consumer has one",
                    app.consumer, other.name
                );
                return Err(invalid("consumer", problem));
            }
            if app.consumer.trim().is_empty() {
                return Err(invalid("consumer", "must name a consumer".to_owned()));
            }
            if !matches!(app.webhook_secret_files.len(), 1 | 2) {
                let problem = "must name one file, or two while the token is rotated".to_owned();
                return Err(invalid("webhook_secret_files", problem));
            }
            let secret = |key: &str, file: &PathBuf| {
                read_secret(file).map_err(|problem| invalid(key, problem))
            };
            let webhook_secrets: Result<Vec<Secret>, _> = app
                .webhook_secret_files
                .iter()
                .map(|file| secret("webhook_secret_files", file))
                .collect();
            apps.push(App {
                name: name.clone(),
                settings: app.clone(),
                client_secret: secret("client_secret_file", &app.client_secret_file)?,
                webhook_secrets: webhook_secrets?,
            });
        }
        Ok(Self { hosts: settings.hosts.clone(), apps })
    }

    /// The app of a consumer's live jobs.
    pub fn of_consumer(&self, consumer: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.settings.consumer == consumer)
    }

    /// What the bot of a consumer's live job needs.
    pub(crate) fn order(&self, consumer: &str) -> Option<ZoomApp> {
        let app = self.of_consumer(consumer)?;
        Some(ZoomApp {
            name: app.name.clone(),
            client_id: app.settings.client_id.clone(),
            client_secret: app.client_secret.clone(),
            hosts: self.hosts.clone(),
            video: app.settings.record_video,
        })
    }

    /// The availability of platforms for a consumer: without an app its jobs get no stream.
    pub(crate) fn available(
        &self,
        available: &[Availability],
        consumer: &str,
    ) -> Vec<Availability> {
        let mut available = available.to_vec();
        if self.of_consumer(consumer).is_none() {
            let streams = |way: &&mut Availability| {
                (&way.platform, &way.via) == (&Platform::ZoomWeb, &Via::Rtms)
            };
            for way in available.iter_mut().filter(streams) {
                way.missing.push(Missing {
                    code: "no_zoom_app".to_owned(),
                    message: format!(
                        "no Zoom app is configured for {consumer:?}: the operator sets [zoom.apps.NAME] with consumer = {consumer:?}"
                    ),
                });
            }
        }
        available
    }
}

/// Reads a secret of one line. White space at its ends is no part of it.
fn read_secret(file: &PathBuf) -> Result<Secret, String> {
    let shown = file.display();
    let text =
        fs::read_to_string(file).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(format!("{shown} is empty: write the secret into it"));
    }
    if let Some(odd) = secret.chars().find(|letter| !letter.is_ascii_graphic()) {
        return Err(format!(
            "{shown} holds a character that no secret of Zoom has (U+{:04X}): copy the secret again",
            u32::from(odd)
        ));
    }
    Ok(Secret::new(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &std::path::Path) -> ZoomSettings {
        fs::write(folder.join("client"), "client-secret\n").unwrap();
        fs::write(folder.join("hook"), "hook-token").unwrap();
        let app = AppSettings {
            client_id: "id1".to_owned(),
            client_secret_file: folder.join("client"),
            webhook_secret_files: vec![folder.join("hook")],
            account_id: None,
            consumer: "acme".to_owned(),
            record_video: true,
            auto_dispatch: None,
        };
        ZoomSettings { hosts: vec!["zoom.us".to_owned()], apps: [("a".to_owned(), app)].into() }
    }

    #[test]
    fn an_app_that_cannot_be_used_is_refused_with_its_setting() {
        let folder = tempfile::tempdir().unwrap();
        let good = settings(folder.path());
        let read = Zoom::read(&good).unwrap();
        assert_eq!(read.apps[0].client_secret.expose(), "client-secret");
        assert!(!format!("{read:?}").contains("client-secret"), "no secret in a log");
        fs::write(folder.path().join("empty"), " \n").unwrap();
        fs::write(folder.path().join("odd"), "to\u{200b}ken").unwrap();
        let problem = |change: &dyn Fn(&mut AppSettings)| {
            let mut bad = good.clone();
            change(bad.apps.get_mut("a").unwrap());
            let (setting, problem) = Zoom::read(&bad).unwrap_err();
            format!("{setting}: {problem}")
        };
        let file = |name: &str| folder.path().join(name);
        for (reported, expected) in [
            (problem(&|app| app.client_id = "a b".into()), "zoom.apps.a.client_id"),
            (problem(&|app| app.consumer = " ".into()), "zoom.apps.a.consumer"),
            (problem(&|app| app.client_secret_file = file("none")), "cannot be read"),
            (problem(&|app| app.client_secret_file = file("empty")), "is empty"),
            (problem(&|app| app.webhook_secret_files = vec![file("odd")]), "U+200B"),
            (problem(&|app| app.webhook_secret_files = vec![]), "must name one file, or two"),
        ] {
            assert!(reported.contains(expected), "{reported}");
        }
        let mut twice = good.clone();
        let other = AppSettings { consumer: "other".into(), ..good.apps["a"].clone() };
        twice.apps.insert("b".to_owned(), other);
        assert!(Zoom::read(&twice).unwrap_err().1.contains("is that of zoom.apps.a too"));
    }

    #[test]
    fn only_a_consumer_with_an_app_can_join_by_streams() {
        let folder = tempfile::tempdir().unwrap();
        let zoom = Zoom::read(&settings(folder.path())).unwrap();
        let rtms = Availability {
            platform: Platform::ZoomWeb,
            via: Via::Rtms,
            experimental: true,
            missing: Vec::new(),
        };
        assert!(zoom.available(std::slice::from_ref(&rtms), "acme")[0].joinable());
        let other = zoom.available(&[rtms], "other");
        assert!(other[0].missing[0].message.contains("[zoom.apps.NAME]"));
        assert!(zoom.order("other").is_none() && zoom.order("acme").is_some());
    }
}
