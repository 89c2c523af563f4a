//! The settings `[storage]`, and the credentials that go with them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use meetbot_types::bot::Secret;
use url::{Host, Url};

/// The bucket in which finished recordings are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSettings {
    /// Its name.
    pub bucket: String,
    /// What all keys begin with, without slashes at its ends; empty for none.
    pub prefix: String,
    /// The server that has it; `None`: AWS, in this region.
    pub endpoint: Option<Url>,
    /// The same server as those reach it who are sent to it; `None`: by the same address.
    pub public_url: Option<Url>,
    /// Its region; `None`: what `AWS_REGION` says, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket's name is a part of the path, and not of the host.
    pub path_style: bool,
    /// The access key's id; `None`: from the environment, or from the machine's role.
    pub access_key_id: Option<String>,
    /// The file with the access key's secret.
    pub secret_access_key_file: Option<PathBuf>,
    /// How files are given to those who ask for them.
    pub serve: Serve,
}

/// How files in a bucket are given to those who ask for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serve {
    /// By a redirect to the bucket, with a URL that is signed for five minutes.
    Redirect,
    /// By this server, which reads them from the bucket.
    Proxy,
}

impl StorageSettings {
    /// As in `s3://bucket/prefix`.
    pub fn url(&self) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("s3://{}{slash}{}", self.bucket, self.prefix)
    }
}

/// Reads `s3://bucket/prefix`: the bucket and the prefix.
pub(crate) fn parse_url(text: &str) -> Result<(String, String), String> {
    let wrong = |why: &str| format!("{text:?} {why}, as in s3://bucket/prefix");
    let rest = text.strip_prefix("s3://").ok_or_else(|| wrong("must begin with s3://"))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_plain = |text: &str, more: &[u8]| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    if !(3..=63).contains(&bucket.len()) || !is_plain(bucket, b".-_") {
        let why = "must name a bucket: 3 to 63 letters, digits, dots and hyphens";
        return Err(wrong(why));
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && is_plain(segment, b".-_=");
    if !prefix.is_empty() && (prefix.len() > 256 || !prefix.split('/').all(is_segment)) {
        let why = "may have a prefix of up to 256 letters, digits and the signs . - _ = between single slashes";
        return Err(wrong(why));
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

/// Reads the address of an S3 server. With the bucket's name in the host it must be a name.
pub(crate) fn parse_endpoint(text: &str, path_style: bool) -> Result<Url, String> {
    let wrong = |why: &str| format!("{text:?} {why}, as in https://s3.example.com");
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error})")))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("must begin with https:// or http://"));
    }
    let has_more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
    if has_more || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must be a scheme, a host and a port only"));
    }
    if !path_style && !matches!(url.host(), Some(Host::Domain(name)) if name != "localhost") {
        return Err(format!(
            "{text:?} has no name that a bucket's could be put before: set storage.path_style = true"
        ));
    }
    Ok(url)
}

/// What requests are signed with.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    /// A key.
    Key { id: String, secret: Secret, token: Option<Secret> },
    /// What the role of the machine, the container or the service account says, by these variables of AWS.
    Role(Vec<(&'static str, String)>),
}

/// The variables that lead to the credentials of a role.
const OF_ROLES: [&str; 8] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
];

const FILE: &str = "storage.secret_access_key_file";
const ID: &str = "storage.access_key_id";

impl Credentials {
    /// Those of the settings, else of the environment's `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, else of the machine's role. The error is the setting
    /// and what is wrong with it.
    pub(super) fn find(
        settings: &StorageSettings,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, (&'static str, String)> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        match (&settings.access_key_id, &settings.secret_access_key_file) {
            (Some(id), Some(file)) => {
                let secret = read_secret(file).map_err(|problem| (FILE, problem))?;
                return Ok(Self::Key { id: id.clone(), secret, token: None });
            }
            (Some(_), None) => {
                let problem = "must name the file with the secret of storage.access_key_id";
                return Err((FILE, problem.to_owned()));
            }
            (None, Some(_)) => {
                let problem =
                    "must be the id that the secret in storage.secret_access_key_file belongs to";
                return Err((ID, problem.to_owned()));
            }
            (None, None) => {}
        }
        match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => {
                let token = variable("AWS_SESSION_TOKEN").map(Secret::new);
                Ok(Self::Key { id, secret: Secret::new(secret), token })
            }
            (None, None) => {
                let of_role = |name: &'static str| Some((name, variable(name)?));
                Ok(Self::Role(OF_ROLES.into_iter().filter_map(of_role).collect()))
            }
            (id, _) => {
                let (there, missing) = if id.is_some() {
                    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
                } else {
                    ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
                };
                Err((ID, format!("is not set, and the environment has {there} without {missing}")))
            }
        }
    }
}

/// Reads a secret of one line. White space at its ends is no part of it.
fn read_secret(file: &Path) -> Result<Secret, String> {
    let shown = file.display();
    let text =
        fs::read_to_string(file).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(format!("{shown} is empty: write the secret access key into it"));
    }
    if !secret.bytes().all(|letter| letter.is_ascii_graphic()) {
        return Err(format!("{shown} must hold the secret access key alone, on one line"));
    }
    Ok(Secret::new(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_bucket_url_is_refused_with_its_problem() {
        let parsed = |text| parse_url(text).unwrap();
        let pair = |bucket: &str, prefix: &str| (bucket.to_owned(), prefix.to_owned());
        assert_eq!(parsed("s3://acme"), pair("acme", ""));
        assert_eq!(parsed("s3://acme.meetings/"), pair("acme.meetings", ""));
        assert_eq!(parsed("s3://acme/a/b_1/"), pair("acme", "a/b_1"));
        for (text, reported) in [
            ("acme", "must begin with s3://"),
            ("https://acme", "must begin with s3://"),
            ("s3://", "must name a bucket"),
            ("s3://a", "must name a bucket"),
            ("s3://key:secret@acme", "must name a bucket"),
            ("s3://acme//x", "single slashes"),
            ("s3://acme/../x", "single slashes"),
            ("s3://acme/a b", "single slashes"),
            ("s3://acme/x?y=1", "single slashes"),
        ] {
            let problem = parse_url(text).unwrap_err();
            assert!(
                problem.contains(reported) && problem.contains("s3://bucket/prefix"),
                "{problem}"
            );
        }
    }

    #[test]
    fn an_endpoint_of_storage_is_a_scheme_a_host_and_a_port() {
        assert!(parse_endpoint("https://s3.example.com", false).is_ok());
        assert!(parse_endpoint("http://127.0.0.1:9000/", true).is_ok());
        for (text, path_style, reported) in [
            ("s3.example.com", true, "is no URL"),
            ("ftp://s3.example.com", true, "must begin with"),
            ("https://s3.example.com/bucket", true, "a scheme, a host and a port only"),
            ("https://key:secret@s3.example.com", true, "a scheme, a host and a port only"),
            ("http://127.0.0.1:9000", false, "storage.path_style = true"),
            ("http://localhost:9000", false, "storage.path_style = true"),
        ] {
            let problem = parse_endpoint(text, path_style).unwrap_err();
            assert!(problem.contains(reported), "{problem}");
        }
    }

    #[test]
    fn credentials_come_from_settings_environment_or_role_and_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let with = |id: Option<&str>, file: Option<&Path>| StorageSettings {
            bucket: "acme".to_owned(),
            prefix: String::new(),
            endpoint: None,
            public_url: None,
            region: None,
            path_style: false,
            access_key_id: id.map(str::to_owned),
            secret_access_key_file: file.map(Path::to_owned),
            serve: Serve::Redirect,
        };
        let nothing = |_: &str| None;
        let both = with(Some("id"), Some(&file));
        let problem = |settings: &StorageSettings| {
            let (setting, problem) = Credentials::find(settings, nothing).unwrap_err();
            format!("{setting}: {problem}")
        };
        assert!(problem(&both).contains("cannot be read"), "{}", problem(&both));
        fs::write(&file, " \n").unwrap();
        assert!(problem(&both).contains("is empty"));
        fs::write(&file, "s3cret\nmore").unwrap();
        assert!(problem(&both).contains("on one line") && !problem(&both).contains("s3cret"));
        fs::write(&file, "s3cret\n").unwrap();
        let found = Credentials::find(&both, nothing).unwrap();
        assert!(!format!("{found:?}").contains("s3cret"), "{found:?}");
        assert!(matches!(found, Credentials::Key { secret, .. } if secret.expose() == "s3cret"));
        assert!(problem(&with(Some("id"), None)).starts_with("storage.secret_access_key_file"));
        assert!(problem(&with(None, Some(&file))).starts_with("storage.access_key_id"));

        let environment = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("other".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("0ther".to_owned()),
            "AWS_SESSION_TOKEN" => Some("t0ken".to_owned()),
            _ => None,
        };
        let found = Credentials::find(&with(None, None), environment).unwrap();
        assert!(!format!("{found:?}").contains("0ther") && !format!("{found:?}").contains("t0ken"));
        assert!(matches!(found, Credentials::Key { id, token: Some(_), .. } if id == "other"));
        let half = |name: &str| environment(name).filter(|_| name != "AWS_SECRET_ACCESS_KEY");
        let (_, problem) = Credentials::find(&with(None, None), half).unwrap_err();
        assert!(problem.contains("without AWS_SECRET_ACCESS_KEY"), "{problem}");
        let role = |name: &str| (name == "AWS_ROLE_ARN").then(|| "arn".to_owned());
        let found = Credentials::find(&with(None, None), role).unwrap();
        assert!(
            matches!(found, Credentials::Role(by) if by == [("AWS_ROLE_ARN", "arn".to_owned())])
        );
    }
}
