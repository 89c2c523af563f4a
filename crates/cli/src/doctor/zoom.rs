//! Zoom's apps: whether their settings and secrets can be used.

use meetbot_orchestrator::zoom::{Zoom, ZoomSettings};

use super::Finding;
use crate::output::counted;

const ZOOM: &str = "zoom";

/// The apps, where there are some.
pub(super) fn look(settings: &ZoomSettings) -> Option<Finding> {
    if settings.apps.is_empty() {
        return None;
    }
    Some(match Zoom::read(settings) {
        Ok(zoom) => {
            let apps = counted(zoom.apps.len() as u64, "app");
            Finding::ok(ZOOM, format!("{apps}; the secrets can be read"))
        }
        Err((setting, problem)) => Finding::fail(
            ZOOM,
            format!("{setting}: {problem}"),
            "a server does not start like this; docs/platforms/zoom.md says what the setting has to be",
        ),
    })
}

#[cfg(test)]
mod tests {
    use meetbot_orchestrator::zoom::AppSettings;

    use super::{super::State, *};

    #[test]
    fn a_secret_that_cannot_be_read_is_a_fault_and_no_secret_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        let app = AppSettings {
            client_id: "id".to_owned(),
            client_secret_file: secret.clone(),
            webhook_secret_files: vec![secret.clone()],
            account_id: None,
            consumer: "acme".to_owned(),
        };
        let hosts = vec!["zoom.us".to_owned()];
        let settings = ZoomSettings { hosts, apps: [("desk".to_owned(), app)].into() };
        let missing = look(&settings).unwrap();
        assert_eq!(missing.state, State::Fail);
        assert!(missing.found.starts_with("zoom.apps.desk.client_secret_file: "), "{missing:?}");
        std::fs::write(&secret, "s3cret").unwrap();
        let found = look(&settings).unwrap();
        assert_eq!((found.state, found.found.contains("s3cret")), (State::Ok, false), "{found:?}");
        assert_eq!(look(&ZoomSettings::default()), None);
    }
}
