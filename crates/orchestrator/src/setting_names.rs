//! Names of settings: their line in a file, unknown environment variables, and the known setting that is most similar to an unknown name.

use toml::de::{DeTable, DeValue};

/// Only this many characters of a name are compared.
const MOST_LETTERS: usize = 200;

/// The line number of a section or key (as `bots.max`) in a TOML text.
pub(crate) fn line(text: &str, name: &str) -> Option<usize> {
    let parsed = DeTable::parse(text).ok()?;
    let (mut table, mut parts) = (parsed.get_ref(), name.split('.').peekable());
    let place = loop {
        let (place, value) = table.get_key_value(parts.next()?)?;
        if parts.peek().is_none() {
            break place;
        }
        let DeValue::Table(inner) = value.get_ref() else { return None };
        table = inner;
    };
    Some(1 + text.bytes().take(place.span().start).filter(|byte| *byte == b'\n').count())
}

/// The variable of a setting, as in `MEETBOT_BOTS_MAX`.
pub(crate) fn variable(setting: &str) -> String {
    format!("MEETBOT_{}", setting.replace('.', "_")).to_uppercase()
}

/// The variables that look like settings but are unknown, each with the most similar known variable. Variables with other purposes
/// (`MEETBOT_API_KEY`) are accepted, unless they are very similar to a setting.
pub(crate) fn unknown_variables<'a>(
    variables: impl Iterator<Item = (&'a str, &'a str)>,
    settings: &[String],
) -> Vec<(&'a str, Option<String>)> {
    let known: Vec<String> = settings.iter().map(|setting| variable(setting)).collect();
    let of_section = |name: &str| {
        let mut sections = settings.iter().filter_map(|setting| setting.split_once('.'));
        sections.any(|(section, _)| name.starts_with(&format!("{}_", variable(section))))
    };
    let others = variables.filter(|(name, value)| {
        name.starts_with("MEETBOT_")
            && !value.is_empty()
            && known.iter().all(|known| known != name)
            && !is_of_kubernetes(name, value)
    });
    others
        .filter_map(|(name, _)| {
            let (distance, near) = nearest(name, known.iter().map(String::as_str))?;
            let near = (distance <= near.len() / 3).then(|| near.to_owned());
            (of_section(name) || distance <= 2).then_some((name, near))
        })
        .collect()
}

/// Kubernetes sets variables for the services in a namespace: those of a service `meetbot-server` begin like settings of `[server]`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && value.contains("://"))
        || ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
            name.split_once("_PORT_").is_some_and(|(_, rest)| rest.contains(protocol))
        })
}

/// The known setting with the most similar name, in any section, if one is similar enough.
pub(crate) fn meant<'a>(name: &str, settings: &'a [String]) -> Option<&'a str> {
    let key = |setting: &'a str| setting.rsplit('.').next().unwrap_or(setting);
    let wanted = name.rsplit('.').next().unwrap_or(name);
    let same_section = |setting: &str| {
        setting.split_once('.').map(|(section, _)| section) == name.split_once('.').map(|it| it.0)
    };
    let alike = settings.iter().map(String::as_str).filter(|setting| {
        let key = key(setting);
        key == wanted
            || (same_section(setting) && (key.starts_with(wanted) || wanted.starts_with(key)))
    });
    nearest(name, alike).map(|(_, near)| near).or_else(|| {
        let (distance, near) = nearest(name, settings.iter().map(String::as_str))?;
        (distance <= near.len() / 3).then_some(near)
    })
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    // A name in a file may have any length.
    let name: String = name.chars().take(MOST_LETTERS).collect();
    known.map(|known| (strsim::levenshtein(&name, known), known)).min_by_key(|(edits, _)| *edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Vec<String> {
        ["server.listen", "server.data_dir", "bots.max", "recordings.keep_days", "jobs.keep_days"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn an_unknown_setting_is_probably_the_one_with_the_most_similar_name() {
        let settings = settings();
        for (name, near) in [
            ("bots.maximum", Some("bots.max")),
            ("server.lissten", Some("server.listen")),
            ("server.max", Some("bots.max")),
            ("bot.max", Some("bots.max")),
            ("jobs.keepdays", Some("jobs.keep_days")),
            ("jobs.colour", None),
            ("", None),
        ] {
            assert_eq!(meant(name, &settings), near, "{name}");
        }
        let long = "x".repeat(1 << 20);
        assert_eq!(meant(&long, &settings), None);
    }

    #[test]
    fn other_variables_are_accepted_unless_they_are_similar_to_a_setting() {
        let settings = settings();
        let unknown = |name: &'static str, value: &'static str| {
            unknown_variables([(name, value)].into_iter(), &settings).pop()
        };
        let near = |name: &str| Some(name.to_owned());
        for (name, found) in [
            ("MEETBOT_BOTS_MAXX", near("MEETBOT_BOTS_MAX")),
            ("MEETBOT_BOT_MAX", near("MEETBOT_BOTS_MAX")),
            ("MEETBOT_SERVER_PORT", near("MEETBOT_SERVER_LISTEN")),
            ("MEETBOT_SERVER_DATADIR", near("MEETBOT_SERVER_DATA_DIR")),
        ] {
            assert_eq!(unknown(name, "3"), Some((name, found)), "{name}");
        }
        for (name, value) in [
            ("MEETBOT_BOTS_MAX", "3"),
            ("MEETBOT_BOTS_MAXX", ""),
            ("MEETBOT_API_KEY", "mb_test_1"),
            ("MEETBOT_LOG", "debug"),
            ("MEETBOT_WEBHOOK_SECRET", "whsec_"),
            ("MEETBOT_SERVER_SERVICE_HOST", "10.0.0.1"),
            ("MEETBOT_SERVER_SERVICE_PORT_HTTP", "3010"),
            ("MEETBOT_SERVER_PORT", "tcp://10.0.0.1:3010"),
            ("MEETBOT_SERVER_PORT_3010_TCP_ADDR", "10.0.0.1"),
            ("HOME", "/root"),
        ] {
            assert_eq!(unknown(name, value), None, "{name}");
        }
    }

    #[test]
    fn each_name_has_its_line() {
        let text = "# a\n[server]\nlisten = \"x\"\n\n[bots]\nmax = 3\nlist = [\n 1 ]\nlast = 1\n";
        let line = |name: &str| line(text, name);
        assert_eq!((line("server"), line("server.listen")), (Some(2), Some(3)));
        assert_eq!((line("bots.max"), line("bots.last"), line("max")), (Some(6), Some(9), None));
    }
}
