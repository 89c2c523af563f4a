//! Merges settings: a file overrides the defaults, an environment variable overrides both.

use toml::{Table, Value};

use super::{ConfigError, DEFAULT};
use crate::setting_names;

/// A file with settings.
#[derive(Debug, Clone, Copy)]
pub struct SettingsFile<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// TOML.
    pub text: &'a str,
}

impl SettingsFile<'_> {
    /// The file and line of a setting, as the prefix of a message; empty if the file does not have it.
    pub(super) fn place(self, name: &str) -> String {
        let line = setting_names::line(self.text, name);
        line.map(|line| format!("{}:{line}: ", self.name)).unwrap_or_default()
    }
}

fn table(file: SettingsFile<'_>) -> Result<Table, ConfigError> {
    let SettingsFile { name, text } = file;
    text.parse().map_err(|error: toml::de::Error| ConfigError::NotToml {
        file: name.to_owned(),
        problem: error.to_string(),
    })
}

pub(super) fn defaults() -> Result<Table, ConfigError> {
    table(SettingsFile { name: "default.toml", text: DEFAULT })
}

/// Every setting, as in `bots.max` or `bots.browser.max`.
pub(super) fn names(settings: &Table) -> Vec<String> {
    let names = settings.iter().flat_map(|(key, value)| match value {
        Value::Table(keys) => names(keys).into_iter().map(|name| format!("{key}.{name}")).collect(),
        _ => vec![key.clone()],
    });
    names.collect()
}

/// The value of a setting.
pub(super) fn find<'a>(settings: &'a mut Table, name: &str) -> Option<&'a mut Value> {
    match name.split_once('.') {
        None => settings.get_mut(name),
        Some((section, name)) => find(settings.get_mut(section)?.as_table_mut()?, name),
    }
}

pub(super) fn merge(settings: &mut Table, file: SettingsFile<'_>) -> Result<(), ConfigError> {
    let names = names(settings);
    merge_section(settings, table(file)?, "", file, &names)
}

/// Overrides a section's defaults with the values of a file. `prefix` is the section's name and a dot.
fn merge_section(
    known: &mut Table,
    given: Table,
    prefix: &str,
    file: SettingsFile<'_>,
    names: &[String],
) -> Result<(), ConfigError> {
    for (key, value) in given {
        let name = format!("{prefix}{key}");
        // Sections that the operator names have no default.
        if ["zoom.apps", "bots.browser.accounts"].contains(&name.as_str()) && value.is_table() {
            known.insert(key, value);
            continue;
        }
        let unknown = |shown: String| ConfigError::Unknown {
            place: file.place(&name),
            name: shown,
            meant: setting_names::meant(&name, names).map(ToOwned::to_owned),
        };
        let Some(setting) = known.get_mut(&key) else {
            return Err(unknown(match (prefix, &value) {
                ("", Value::Table(_)) => format!("section [{name}]"),
                ("", _) => format!("{name} outside of a section"),
                _ => name.clone(),
            }));
        };
        match (setting, value) {
            (Value::Table(known), Value::Table(given)) => {
                merge_section(known, given, &format!("{name}."), file, names)?;
            }
            // A table is a section, not a value.
            (Value::Table(_), _) if prefix.is_empty() => {
                return Err(unknown(format!("{name} outside of a section")));
            }
            (setting, value) if setting.same_type(&value) => *setting = value,
            (setting, value) => {
                let problem = format!("must be {}, not {}", type_name(setting), type_name(&value));
                return Err(ConfigError::Invalid {
                    place: file.place(&name),
                    setting: name,
                    problem,
                });
            }
        }
    }
    Ok(())
}

/// The type of a value, with its article.
pub(super) fn type_name(value: &Value) -> String {
    let name = value.type_str();
    let article = if name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// Parses `text` as a value of the same type as `example`.
pub(super) fn like(example: &Value, text: &str) -> Option<Value> {
    match example {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            Some(Value::Array(text.split(',').map(|part| part.trim().into()).collect()))
        }
        _ => None,
    }
}
