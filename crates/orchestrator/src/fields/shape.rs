//! Which fields the bodies of the API have.

use std::sync::LazyLock;

use meetbot_types::{AutoLeaveConfig, NewJob, Webhooks, control::ChatRequest};
use serde::de::DeserializeOwned;

use super::{
    Fields, Ignored, Issues,
    known::names,
    other_names::{self, OtherNames},
    spelling,
};

/// The body of `POST /api/v1/jobs`.
pub(crate) static NEW_JOB: LazyLock<Shape> = LazyLock::new(|| {
    Shape::of::<NewJob>(other_names::OF_A_JOB)
        .with("webhooks", Shape::of::<Webhooks>(other_names::OF_WEBHOOKS))
        .with("autoLeave", Shape::of::<AutoLeaveConfig>(other_names::OF_AUTO_LEAVE))
});

/// The body of `…/send-chat-message`.
pub(crate) static CHAT_MESSAGE: LazyLock<Shape> =
    LazyLock::new(|| Shape::of::<ChatRequest>(other_names::OF_A_CHAT_MESSAGE));

/// The fields of an object, those of the objects among them included. What is not listed in `objects` is not looked into.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    names: &'static [&'static str],
    objects: Vec<(&'static str, Shape)>,
    other_names: OtherNames,
}

impl Shape {
    fn of<T: DeserializeOwned>(other_names: OtherNames) -> Self {
        Self { names: names::<T>(), objects: Vec::new(), other_names }
    }

    fn with(mut self, name: &'static str, shape: Self) -> Self {
        self.objects.push((name, shape));
        self
    }

    /// Judges the names of a body's fields, not their values.
    pub(crate) fn judge(&self, fields: &Fields<'_>, issues: &mut Issues, ignored: &mut Ignored) {
        self.judge_at(&[], fields, issues, ignored);
    }

    fn judge_at(
        &self,
        path: &[&str],
        fields: &Fields<'_>,
        issues: &mut Issues,
        ignored: &mut Ignored,
    ) {
        let mut seen = Vec::new();
        for (name, raw) in &fields.0 {
            let at = [path, &[name.as_str()]].concat();
            if !self.names.contains(&name.as_str()) {
                match self.meant(name) {
                    Some(right) => issues.misspelt(&at, &right),
                    None => ignored.add(&at),
                }
                continue;
            }
            if seen.contains(&name) {
                let message = "stands more than once; which one counts?";
                issues.add_one_of_many(&at, "duplicate_field", message);
                continue;
            }
            seen.push(name);
            let shape = self.objects.iter().find(|(object, _)| object == name);
            // What is no object is a problem of its value.
            if let Some((_, shape)) = shape
                && let Ok(within) = Fields::read(raw.get())
            {
                shape.judge_at(&at, &within, issues, ignored);
            }
        }
    }

    /// The right name for one that is not known: a known one misspelt, what it is called elsewhere, or a field of one of the objects.
    fn meant(&self, name: &str) -> Option<String> {
        let is = |other: &&str| spelling::is_same(name, other);
        let misplaced = || {
            let mut all = self
                .objects
                .iter()
                .flat_map(|(object, shape)| shape.names.iter().map(move |field| (*object, *field)));
            let (object, field) = all.find(|(_, field)| is(field))?;
            Some(format!("{object}.{field}"))
        };
        let elsewhere = || {
            let mut all = self.other_names.iter();
            Some(all.find(|(_, others)| others.iter().any(&is))?.0.to_owned())
        };
        elsewhere()
            .or_else(misplaced)
            .or_else(|| Some(spelling::meant(name, self.names.iter().copied())?.to_owned()))
    }
}

#[cfg(test)]
impl Shape {
    /// The names as the tests compare them: `autoLeave.onBotDetected`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let own = self.names.iter().map(ToString::to_string);
        let within = self.objects.iter().flat_map(|(object, shape)| {
            shape.paths().into_iter().map(move |name| format!("{object}.{name}"))
        });
        own.chain(within).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(shape: &Shape, body: &str) -> (Vec<String>, String) {
        let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
        shape.judge(
            &Fields::read(body).unwrap_or_else(|_| panic!("{body}")),
            &mut issues,
            &mut ignored,
        );
        let told = issues
            .into_vec()
            .into_iter()
            .map(|issue| format!("{} {} {}", issue.path.join("."), issue.code, issue.message));
        (told.collect(), ignored.header().unwrap_or_default().to_owned())
    }

    /// What is asked of a field, if it is misspelt.
    fn right_name(shape: &Shape, body: &str) -> Option<String> {
        let (issues, _) = judged(shape, body);
        let [issue] = issues.as_slice() else { return None };
        assert!(issue.contains(" unknown_field "), "{issue}");
        Some(issue.split("did you mean ").nth(1)?.trim_end_matches('?').to_owned())
    }

    #[test]
    fn every_known_name_in_any_other_spelling_has_its_right_name() {
        let snake = |name: &str| {
            name.chars().fold(String::new(), |mut snake, letter| {
                if letter.is_uppercase() {
                    snake.push('_');
                }
                snake.extend(letter.to_lowercase());
                snake
            })
        };
        let spellings = |name: &str| {
            let mut all = vec![
                snake(name),
                snake(name).replace('_', "-"),
                snake(name).to_uppercase(),
                name.to_lowercase(),
                format!("{}{}", name[..1].to_uppercase(), &name[1..]),
            ];
            if name.len() >= 6 {
                all.extend([format!("{name}s"), name[1..].to_owned(), format!("x{}", &name[1..])]);
                for at in 1..name.len() {
                    let (a, b) = (&name[at - 1..at], &name[at..=at]);
                    all.push(format!("{}{b}{a}{}", &name[..at - 1], &name[at + 1..]));
                }
            }
            all.retain(|other| other != name);
            all
        };
        for path in NEW_JOB.paths().into_iter().chain(CHAT_MESSAGE.paths()) {
            let (object, name) = path.split_once('.').map_or(("", path.as_str()), |pair| pair);
            for other in spellings(name) {
                let field = serde_json::json!({ other.as_str(): null });
                let (shape, body) = match object {
                    "" if name == "message" => (&*CHAT_MESSAGE, field),
                    "" => (&*NEW_JOB, field),
                    _ => (&*NEW_JOB, serde_json::json!({ object: field })),
                };
                let right = right_name(shape, &body.to_string());
                assert_eq!(right.as_deref(), Some(name), "{other}");
            }
        }
    }

    #[test]
    fn what_a_field_is_called_elsewhere_is_none_of_ours_and_leads_to_one() {
        for (shape, at) in [
            (&*NEW_JOB, other_names::OF_A_JOB),
            (&NEW_JOB.objects[0].1, other_names::OF_WEBHOOKS),
            (&NEW_JOB.objects[1].1, other_names::OF_AUTO_LEAVE),
            (&*CHAT_MESSAGE, other_names::OF_A_CHAT_MESSAGE),
        ] {
            for (right, others) in at {
                let known = shape.paths().iter().any(|name| name == right);
                assert!(known || right.starts_with("the header "), "{right}");
                for other in *others {
                    assert!(!shape.names.contains(other), "{other} is a name of ours");
                    let body = format!(r#"{{"{other}":1}}"#);
                    assert_eq!(right_name(shape, &body).as_deref(), Some(*right), "{other}");
                }
            }
        }
    }

    #[test]
    fn a_field_outside_of_its_object_leads_into_it() {
        for (name, right) in [
            ("onFinalize", "webhooks.onFinalize"),
            ("on_status_change", "webhooks.onStatusChange"),
            ("afterSoloSeconds", "autoLeave.afterSoloSeconds"),
        ] {
            assert_eq!(right_name(&NEW_JOB, &format!(r#"{{"{name}":1}}"#)).as_deref(), Some(right));
        }
    }

    #[test]
    fn other_names_are_passed_over_in_their_order_with_their_path_and_metadata_is_not_looked_into()
    {
        let body = r#"{"meetingUrl":"x","zebra":1,"autoLeave":{"afterLunch":1,"afterSoloSeconds":5},"apple":{"join_at":1},
            "metadata":{"join_at":1,"bot_name":2},"webhooks":{"a.b":1,"über, ":2},"joinedAt":1,"status":"queued","":0}"#;
        let (issues, ignored) = judged(&NEW_JOB, body);
        assert_eq!(issues, Vec::<String>::new());
        assert_eq!(
            ignored,
            "zebra,autoLeave.afterLunch,apple,webhooks.a%2Eb,webhooks.%C3%BCber%2C%20,joinedAt,status"
        );
    }

    #[test]
    fn a_known_field_stands_once_at_each_place() {
        let body = r#"{"displayName":"A","webhooks":{"onFinalize":null,"onFinalize":"x"},"displayName":"B","x":1,"x":2}"#;
        let (issues, ignored) = judged(&NEW_JOB, body);
        let paths: Vec<&str> = issues.iter().filter_map(|issue| issue.split(' ').next()).collect();
        assert_eq!(paths, ["webhooks.onFinalize", "displayName"]);
        assert!(issues.iter().all(|issue| issue.contains(" duplicate_field ")), "{issues:?}");
        assert_eq!(ignored, "x");
    }

    #[test]
    fn any_number_of_misspelt_fields_makes_few_issues() {
        let fields: Vec<String> =
            (0..5_000).map(|number| format!(r#""join{}at":1"#, "_".repeat(number))).collect();
        let (issues, _) = judged(&NEW_JOB, &format!("{{{}}}", fields.join(",")));
        assert_eq!(issues.len(), 21);
        assert!(issues[20].contains("there are more"), "{issues:?}");
    }
}
