//! The target of an operator's commands: a server's data folder on this machine, or with `--server` its admin API.

use std::path::PathBuf;

use meetbot::{ErrorCode, ErrorKind, MeetBot, Request, api_path};
use meetbot_types::Page;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{connection::Connection, folder::FolderArgs, output::Usage};

/// The largest page that the API gives.
const PAGE: usize = 200;

/// Which server: its data folder, or its URL.
#[derive(Debug, clap::Args)]
pub(crate) struct TargetArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Ask the server at this URL in place of the data folder; the key in `MEETBOT_API_KEY` has the scope operator
    #[arg(long, value_name = "URL", conflicts_with_all = ["data_dir", "config"])]
    server: Option<String>,
    /// With --server: trust these certificates (PEM) beside the system's
    #[arg(id = "server_ca_bundle", long = "ca-bundle", value_name = "FILE", requires = "server")]
    ca_bundle: Option<PathBuf>,
}

/// The target of a command.
pub(crate) enum Target<'a> {
    /// A data folder.
    Folder(&'a FolderArgs),
    /// A running server.
    Server(Box<Admin>),
}

impl TargetArgs {
    /// The data folder, or a client of the server.
    pub(crate) fn target(&self) -> anyhow::Result<Target<'_>> {
        let Some(url) = &self.server else { return Ok(Target::Folder(&self.folder)) };
        let connection = Connection::to(url.clone(), self.ca_bundle.clone());
        Ok(Target::Server(Box::new(Admin(connection.client()?))))
    }

    /// The data folder, for a command that has no call of the admin API; `why` is the error with `--server`.
    pub(crate) fn folder_only(&self, why: &str) -> anyhow::Result<&FolderArgs> {
        match &self.server {
            None => Ok(&self.folder),
            Some(_) => Err(Usage(why.to_owned()).into()),
        }
    }
}

/// A client of a server's admin API.
pub(crate) struct Admin(MeetBot);

impl Admin {
    /// Makes a call; `None` where the server has nothing of that id.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &[&str],
        body: Option<&Value>,
    ) -> anyhow::Result<Option<T>> {
        self.call(method, path, &[], body).await
    }

    /// All entries of a list, or the first `most`.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        list: &str,
        filter: &[(&str, &str)],
        most: usize,
    ) -> anyhow::Result<Vec<T>> {
        let (mut found, mut cursor): (Vec<T>, Option<String>) = (Vec::new(), None);
        while found.len() < most {
            let limit = (most - found.len()).min(PAGE).to_string();
            let mut query = filter.to_vec();
            query.push(("limit", &limit));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = self.call::<Page<T>>("GET", &[list], &query, None).await?;
            let Some(Page { data, next_cursor }) = page else { break };
            found.extend(data);
            // A server that repeats a page would be asked without end.
            cursor = next_cursor.filter(|next| cursor.as_ref() != Some(next));
            if cursor.is_none() {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Option<T>> {
        let segments: Vec<&str> = ["admin"].iter().chain(path).copied().collect();
        let path = api_path(&segments, query)?;
        let mut request = Request::new(method, path.clone())?;
        if let Some(body) = body {
            request = request.json(body.to_string());
        }
        let answer = match self.0.request(request).await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some(&ErrorCode::NotFound) => return Ok(None),
            Err(error) => {
                return Err(match advice(&error) {
                    Some(advice) => anyhow::Error::new(error).context(advice),
                    None => error.into(),
                });
            }
        };
        let read = serde_json::from_slice(answer.body());
        let read = read.map_err(|error| self.0.unreadable(&path, &answer, error))?;
        Ok(Some(read))
    }
}

/// Advice for an error of the server.
fn advice(error: &meetbot::Error) -> Option<&'static str> {
    match (error.kind(), error.code()) {
        (ErrorKind::Forbidden, _) => Some(
            "the key in MEETBOT_API_KEY is not one of an operator: `meetbot keys create --live --scope operator --consumer operators` on the server's machine makes one",
        ),
        (_, Some(ErrorCode::NoSuchPath)) => Some(
            "the server has no admin API: it is older than this program, or --server is not its URL",
        ),
        _ => None,
    }
}
