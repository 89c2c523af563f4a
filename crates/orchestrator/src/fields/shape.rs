//! The known fields of the API's request bodies.

use std::sync::LazyLock;

use meetbot_types::{
    AutoLeaveConfig, NewJob, Redeliver, SecretRotation, TestWebhook, Webhooks,
    admin::{NewKey, QuotaChange},
    control::ChatRequest,
    login::{LoginCode, LoginDecision, NewLogin},
};
use serde::de::DeserializeOwned;

use super::{
    Fields, Ignored, Issues,
    known::names,
    other_names::{self, OtherNames},
    spelling::Spelling,
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

/// The body of `POST …/deliveries/redeliver`.
pub(crate) static REDELIVER: LazyLock<Shape> =
    LazyLock::new(|| Shape::of::<Redeliver>(other_names::OF_AN_ENDPOINT));

/// The body of `POST /api/v1/webhooks/test`.
pub(crate) static TEST_WEBHOOK: LazyLock<Shape> =
    LazyLock::new(|| Shape::of::<TestWebhook>(other_names::OF_AN_ENDPOINT));

/// The body of `POST /api/v1/admin/keys`.
pub(crate) static NEW_KEY: LazyLock<Shape> =
    LazyLock::new(|| Shape::of::<NewKey>(other_names::OF_A_KEY));

/// The body of `PATCH …/quota`.
pub(crate) static QUOTA_CHANGE: LazyLock<Shape> =
    LazyLock::new(|| Shape::of::<QuotaChange>(other_names::OF_A_QUOTA));

/// The body of `…/rotate`.
pub(crate) static SECRET_ROTATION: LazyLock<Shape> =
    LazyLock::new(|| Shape::of::<SecretRotation>(&[]));

/// The body of `POST /api/v1/cli-auth/init`.
pub(crate) static NEW_LOGIN: LazyLock<Shape> = LazyLock::new(|| Shape::of::<NewLogin>(&[]));

/// The body of `POST /api/v1/cli-auth/find`.
pub(crate) static LOGIN_CODE: LazyLock<Shape> = LazyLock::new(|| Shape::of::<LoginCode>(&[]));

/// The body of `POST /api/v1/cli-auth/complete`.
pub(crate) static LOGIN_DECISION: LazyLock<Shape> =
    LazyLock::new(|| Shape::of::<LoginDecision>(&[]));

/// The body of a call without fields.
pub(super) static NO_FIELDS: Shape = Shape { names: &[], objects: Vec::new(), other_names: &[] };

/// A header of each POST. SDKs and other APIs pass it beside the fields.
pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The known fields of an object, including nested objects. Objects that are not listed in `objects` are not checked.
#[derive(Debug)]
pub(crate) struct Shape {
    names: &'static [&'static str],
    objects: Vec<(&'static str, Shape)>,
    other_names: OtherNames,
}

/// The place of a known field: its name, and the nested object that contains it (`None`: the body itself).
pub(super) struct FieldPath {
    pub(super) name: &'static str,
    pub(super) object: Option<&'static str>,
}

impl Shape {
    /// The names of the fields, without those of nested objects.
    pub(crate) const fn names(&self) -> &'static [&'static str] {
        self.names
    }

    fn of<T: DeserializeOwned>(other_names: OtherNames) -> Self {
        Self { names: names::<T>(), objects: Vec::new(), other_names }
    }

    fn with(mut self, name: &'static str, shape: Self) -> Self {
        self.objects.push((name, shape));
        self
    }

    /// Checks the names of a body's fields, not their values.
    pub(crate) fn check_names(
        &self,
        fields: &Fields<'_>,
        issues: &mut Issues,
        ignored: &mut Ignored,
    ) {
        self.judge_object(None, self, fields, issues, ignored);
    }

    /// Checks the names in the body itself or in a nested object of this shape.
    fn judge_object(
        &self,
        object: Option<&'static str>,
        shape: &Self,
        fields: &Fields<'_>,
        issues: &mut Issues,
        ignored: &mut Ignored,
    ) {
        let mut seen = Vec::new();
        for (name, raw) in &fields.0 {
            let at: Vec<&str> = object.into_iter().chain([name.as_str()]).collect();
            if !shape.names.contains(&name.as_str()) {
                match self.meant(object, shape, name) {
                    Some(hint) => issues.unknown(&at, &hint),
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
            let within = shape.objects.iter().find(|(object, _)| object == name);
            // A value that is not an object is reported when the value is read.
            if let Some((object, shape)) = within
                && let Ok(fields) = Fields::read(raw.get())
            {
                self.judge_object(Some(object), shape, &fields, issues, ignored);
            }
        }
    }

    /// A hint for an unknown name in `object`: a known name, or the right place. If a name matches in its own object, others
    /// are not searched.
    fn meant(&self, object: Option<&str>, shape: &Self, name: &str) -> Option<String> {
        let spelling = Spelling::of(name);
        if let Some(name) = shape.fitting(&spelling, true) {
            return Some(format!("did you mean {name}?"));
        }
        if spelling.is(IDEMPOTENCY_KEY) {
            return Some(format!("did you mean the header {IDEMPOTENCY_KEY}?"));
        }
        if let Some(FieldPath { name, object }) = self.place(object, name, &spelling) {
            return Some(match object {
                Some(object) => format!("{name} belongs in {object}"),
                None => format!("{name} belongs at the top level"),
            });
        }
        let (first, _) = ends_of_path(name)?;
        Some(format!("did you mean {}?", shape.known(&Spelling::of(first))?))
    }

    /// The field of this body that a name in `object` probably means. The name may be a path such as `webhooks.onFinalize` or `webhooks[onFinalize]`.
    fn place(&self, object: Option<&str>, name: &str, spelling: &Spelling) -> Option<FieldPath> {
        // In a nested object, single words of other APIs (`name`, `url`) have another meaning than at the top level.
        let words = object.is_none();
        let body = || Some(FieldPath { name: self.fitting(spelling, words)?, object: None });
        let in_an_object = || {
            self.objects.iter().find_map(|(object, shape)| {
                Some(FieldPath { name: shape.fitting(spelling, words)?, object: Some(object) })
            })
        };
        let by_path = || {
            let (first, last) = ends_of_path(name)?;
            let first = self.known(&Spelling::of(first))?;
            let (object, shape) = self.objects.iter().find(|(object, _)| *object == first)?;
            Some(FieldPath {
                name: shape.fitting(&Spelling::of(last), true)?,
                object: Some(object),
            })
        };
        body().or_else(in_an_object).or_else(by_path)
    }

    /// The field of this body that a query parameter probably means.
    pub(super) fn of_parameter(&self, name: &str) -> Option<FieldPath> {
        let place = self.place(None, name, &Spelling::of(name));
        place.or_else(|| {
            let (first, _) = ends_of_path(name)?;
            Some(FieldPath { name: self.known(&Spelling::of(first))?, object: None })
        })
    }

    /// The known name of this object that `spelling` equals but for case, underscores and hyphens.
    fn known(&self, name: &Spelling) -> Option<&'static str> {
        let same = self.names.iter().find(|known| name.is(known));
        same.or_else(|| self.names.iter().find(|known| name.is_near(known))).copied()
    }

    /// The known name of this object that `spelling` probably means: equal, in another unit, a name of another API (single words only if `words`),
    /// or with an edit distance of one.
    fn fitting(&self, name: &Spelling, words: bool) -> Option<&'static str> {
        let is_same = |known: &str| {
            name.is(known) || seconds(known).is_some_and(|base| name.is_in_some_unit(base))
        };
        let is_called = |known: &str, other: &str| match seconds(known) {
            Some(_) => name.is_in_some_unit(other),
            None => (words || other.contains('_')) && name.is(other),
        };
        let mut others = self.other_names.iter();
        let same = self.names.iter().find(|known| is_same(known)).copied();
        same.or_else(|| {
            let found = others.find(|(known, all)| all.iter().any(|one| is_called(known, one)));
            found.map(|(known, _)| *known)
        })
        .or_else(|| self.known(name))
    }
}

/// The name of a duration without its unit.
fn seconds(name: &str) -> Option<&str> {
    name.strip_suffix("Seconds")
}

/// The first and the last part of a name that is a path: `a.b`, `a[b]`, `a[b][c]`, `a[]`.
pub(super) fn ends_of_path(name: &str) -> Option<(&str, &str)> {
    let (first, rest) = name.split_at(name.find(['.', '['])?);
    let mut names = rest.rsplit(['.', '[', ']']).filter(|name| !name.is_empty());
    Some((first, names.next().unwrap_or_default()))
}

#[cfg(test)]
impl Shape {
    /// All names as paths, as in `autoLeave.onBotDetected`.
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

    fn checked(shape: &Shape, body: &str) -> (Vec<String>, String) {
        let (mut issues, mut ignored) = (Issues::default(), Ignored::default());
        shape.check_names(
            &Fields::read(body).unwrap_or_else(|_| panic!("{body}")),
            &mut issues,
            &mut ignored,
        );
        let issue_codes = issues
            .into_vec()
            .into_iter()
            .map(|issue| format!("{} {} {}", issue.path.join("."), issue.code, issue.message));
        (issue_codes.collect(), ignored.header().unwrap_or_default().to_owned())
    }

    /// The message for a field, if it is misspelt.
    fn right_name(shape: &Shape, body: &str) -> Option<String> {
        let (issues, _) = checked(shape, body);
        let [issue] = issues.as_slice() else { return None };
        assert!(issue.contains(" unknown_field "), "{issue}");
        Some(issue.split("did you mean ").nth(1)?.trim_end_matches('?').to_owned())
    }

    /// The message for the one unknown field of a body; `None` if it is ignored.
    fn hint(shape: &Shape, body: &str) -> Option<String> {
        let (issues, ignored) = checked(shape, body);
        let Some(issue) = issues.first() else {
            assert!(!ignored.is_empty(), "{body}");
            return None;
        };
        let hint = issue.split(" is not known here; ").nth(1);
        Some(hint.unwrap_or_else(|| panic!("{issue}")).to_owned())
    }

    /// The objects of a body, each with its shape.
    fn places(shape: &Shape) -> Vec<(Option<&'static str>, &Shape)> {
        let objects = shape.objects.iter().map(|(object, shape)| (Some(*object), shape));
        [(None, shape)].into_iter().chain(objects).collect()
    }

    fn body(object: Option<&str>, name: &str) -> String {
        let field = serde_json::json!({ name: null });
        object
            .map_or_else(|| field.clone(), |object| serde_json::json!({ object: field }))
            .to_string()
    }

    #[test]
    fn every_known_name_is_recognised_in_other_spellings() {
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
    fn names_of_other_apis_are_not_known_fields_and_get_a_hint() {
        let chat = [(None, &*CHAT_MESSAGE)];
        for (root, (object, shape)) in places(&NEW_JOB)
            .into_iter()
            .map(|place| (&*NEW_JOB, place))
            .chain(chat.map(|place| (&*CHAT_MESSAGE, place)))
        {
            assert!(!shape.other_names.is_empty());
            for (right, others) in shape.other_names {
                assert!(shape.names.contains(right), "{right}");
                for other in *others {
                    assert!(!shape.names.contains(other), "{other} is a name of ours");
                    let found = right_name(root, &body(object, other));
                    assert_eq!(found.as_deref(), Some(*right), "{object:?} {other}");
                    if right.ends_with("Seconds") {
                        let other = format!("{other}_minutes");
                        let found = right_name(root, &body(object, &other));
                        assert_eq!(found.as_deref(), Some(*right), "{object:?} {other}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_field_in_the_wrong_object_is_refused_under_each_of_its_names() {
        let places = places(&NEW_JOB);
        let pairs = places.iter().flat_map(|from| places.iter().map(move |to| (*from, *to)));
        for ((from, there), (to, shape)) in pairs.filter(|((from, _), (to, _))| from != to) {
            let place = to.map_or("at the top level".to_owned(), |to| format!("in {to}"));
            for right in shape.names {
                let wanted = Some(format!("{right} belongs {place}"));
                for name in [right, &right[1..]].into_iter().filter(|name| name.len() >= 5) {
                    assert_eq!(hint(&NEW_JOB, &body(from, name)), wanted, "{from:?} {name}");
                }
            }
            for other in shape.other_names.iter().flat_map(|(_, others)| *others) {
                let found = hint(&NEW_JOB, &body(from, other));
                let is_its_own = there.fitting(&Spelling::of(other), true).is_some();
                let is_a_word = from.is_some() && !other.contains('_');
                assert_eq!(
                    found.is_some(),
                    is_its_own || !is_a_word,
                    "{from:?} {other}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn a_field_in_the_wrong_place_gets_a_hint_with_the_right_place() {
        for (object, name, wanted) in [
            (Some("autoLeave"), "joinAt", "joinAt belongs at the top level"),
            (Some("webhooks"), "join_at", "joinAt belongs at the top level"),
            (Some("autoLeave"), "joinTa", "joinAt belongs at the top level"),
            (Some("autoLeave"), "bot_name", "displayName belongs at the top level"),
            (Some("autoLeave"), "metadata", "metadata belongs at the top level"),
            (Some("autoLeave"), "webhooks", "webhooks belongs at the top level"),
            (Some("autoLeave"), "onFinalize", "onFinalize belongs in webhooks"),
            (Some("autoLeave"), "on_finalise", "onFinalize belongs in webhooks"),
            (Some("webhooks"), "afterSoloSeconds", "afterSoloSeconds belongs in autoLeave"),
            (Some("webhooks"), "max_duration", "afterMaxSeconds belongs in autoLeave"),
            (Some("webhooks"), "idempotency_key", "did you mean the header Idempotency-Key?"),
            (None, "onFinalize", "onFinalize belongs in webhooks"),
            (None, "onFinalise", "onFinalize belongs in webhooks"),
            (None, "on_status_change_url", "onStatusChange belongs in webhooks"),
            (None, "after_solo_secs", "afterSoloSeconds belongs in autoLeave"),
            (None, "silence_timeout_ms", "afterSilenceSeconds belongs in autoLeave"),
            (None, "bot_detection", "onBotDetected belongs in autoLeave"),
            (None, "autoLeave.afterSoloSeconds", "afterSoloSeconds belongs in autoLeave"),
            (None, "webhooks[on_finalize]", "onFinalize belongs in webhooks"),
            (None, "auto_leave.afterLunch", "did you mean autoLeave?"),
            (None, "metadata.join_at", "did you mean metadata?"),
            (None, "idempotency_key", "did you mean the header Idempotency-Key?"),
        ] {
            assert_eq!(
                hint(&NEW_JOB, &body(object, name)).as_deref(),
                Some(wanted),
                "{object:?} {name}"
            );
        }
        let idle = |body: &str| hint(&NO_FIELDS, body);
        assert_eq!(
            idle(r#"{"Idempotency-Key":1}"#).as_deref(),
            Some("did you mean the header Idempotency-Key?")
        );
        assert_eq!(idle(r#"{"message":"bye"}"#), None);
        // An ambiguous word, and an unknown path.
        for (object, name) in [
            (Some("webhooks"), "name"),
            (Some("autoLeave"), "url"),
            (Some("webhooks"), "secret"),
            (Some("autoLeave"), "afterLunch"),
            (None, "service.name"),
            (None, "x.joinAt"),
            (None, "joinedAt"),
            (None, "after"),
        ] {
            assert_eq!(hint(&NEW_JOB, &body(object, name)), None, "{object:?} {name}");
        }
    }

    #[test]
    fn ignored_names_are_listed_in_order_with_paths_and_metadata_is_not_checked() {
        let body = r#"{"meetingUrl":"x","zebra":1,"autoLeave":{"afterLunch":1,"afterSoloSeconds":5},"apple":{"join_at":1},
            "metadata":{"join_at":1,"bot_name":2},"webhooks":{"a.b":1,"über, ":2},"joinedAt":1,"status":"queued","":0}"#;
        let (issues, ignored) = checked(&NEW_JOB, body);
        assert_eq!(issues, Vec::<String>::new());
        assert_eq!(
            ignored,
            r#"zebra,autoLeave.afterLunch,apple,webhooks.a%2Eb,webhooks.%C3%BCber%2C%20,joinedAt,status,"""#
        );
    }

    #[test]
    fn a_duplicate_known_field_is_refused_in_each_object() {
        let body = r#"{"displayName":"A","webhooks":{"onFinalize":null,"onFinalize":"x"},"displayName":"B","x":1,"x":2}"#;
        let (issues, ignored) = checked(&NEW_JOB, body);
        let paths: Vec<&str> = issues.iter().filter_map(|issue| issue.split(' ').next()).collect();
        assert_eq!(paths, ["webhooks.onFinalize", "displayName"]);
        assert!(issues.iter().all(|issue| issue.contains(" duplicate_field ")), "{issues:?}");
        assert_eq!(ignored, "x");
    }

    #[test]
    fn the_number_of_issues_of_misspelt_fields_is_bounded() {
        let fields: Vec<String> =
            (0..5_000).map(|number| format!(r#""join{}at":1"#, "_".repeat(number))).collect();
        let (issues, _) = checked(&NEW_JOB, &format!("{{{}}}", fields.join(",")));
        assert_eq!(issues.len(), 21);
        assert!(issues[20].contains("there are more"), "{issues:?}");
    }
}
