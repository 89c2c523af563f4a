//! A bucket of an S3 server, under one prefix. The only module that uses `object_store`.

mod check;
mod error;
mod read;
mod settings;

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, ObjectStore as _, ObjectStoreExt as _,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, RetryConfig, UpdateVersion,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut},
    client::{HttpClient, HttpConnector},
    path::Path as Key,
    signer::Signer as _,
};
use reqwest::Method;
use tokio::{fs::File, io::AsyncReadExt as _};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::settings::Credentials;
pub use self::{
    check::Checked,
    error::BucketError,
    settings::{Serve, StorageSettings},
};
pub(crate) use self::{
    read::{Part, Reading},
    settings::{parse_endpoint, parse_url},
};

type Result<T> = std::result::Result<T, BucketError>;

/// A file of up to so many bytes is put at once, a larger one in parts of so many. All parts but the last have the same size, as some servers want it, and there
/// may be 10,000 of them: 156 GiB.
const PART: usize = 16 << 20;
/// What has fewer bytes than this is not held up by its size.
const SMALL: usize = 1 << 20;
/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer may take to which nothing large belongs, with all tries of it.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The same for one part of a file, which may have a slow way.
const PART_LIMIT: Duration = Duration::from_mins(10);
/// How long a signed URL is valid.
const SIGNED_FOR: Duration = Duration::from_mins(5);
/// How many objects are removed at the same time.
const AT_ONCE: usize = 16;

/// A bucket, under its prefix.
#[derive(Clone)]
pub struct Bucket {
    s3: AmazonS3,
    /// The same by the address at which others reach it.
    public: AmazonS3,
    url: String,
    prefix: String,
    serve: Serve,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Bucket").field(&self.url).finish()
    }
}

/// The HTTP client of the workspace: with its TLS and its roots.
#[derive(Debug, Clone)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// An object: its name below what was listed, and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

impl Bucket {
    /// The bucket of the settings; nothing is asked of it yet. The error is the setting and what is wrong with it.
    pub fn open(settings: &StorageSettings) -> std::result::Result<Self, (String, String)> {
        let variable = |name: &str| std::env::var(name).ok();
        let credentials = Credentials::find(settings, variable)
            .map_err(|(setting, problem)| (setting.to_owned(), problem))?;
        let unusable = |problem: String| ("storage.url".to_owned(), problem);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(crate::tls::config())
            .user_agent(concat!("meetbot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| unusable(format!("there is no HTTP client for it: {error}")))?;
        let region = settings
            .region
            .clone()
            .or_else(|| ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(variable));
        let connect = |endpoint: Option<&Url>| {
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(&settings.bucket)
                .with_region(region.as_deref().unwrap_or("us-east-1"))
                .with_virtual_hosted_style_request(!settings.path_style)
                .with_conditional_put(S3ConditionalPut::ETagMatch)
                // Some servers do not support the call that deletes many objects at once.
                .with_disable_bulk_delete(true)
                .with_retry(RetryConfig {
                    backoff: BackoffConfig {
                        init_backoff: Duration::from_millis(100),
                        max_backoff: Duration::from_secs(2),
                        ..BackoffConfig::default()
                    },
                    max_retries: 3,
                    retry_timeout: ANSWER_LIMIT,
                })
                .with_http_connector(Connector(http.clone()));
            if let Some(endpoint) = endpoint {
                builder = builder
                    .with_allow_http(endpoint.scheme() == "http")
                    .with_endpoint(address(endpoint, settings));
            }
            match &credentials {
                Credentials::Key { id, secret, token } => {
                    builder =
                        builder.with_access_key_id(id).with_secret_access_key(secret.expose());
                    if let Some(token) = token {
                        builder = builder.with_token(token.expose());
                    }
                }
                Credentials::Role(variables) => {
                    for (name, value) in variables {
                        let key = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>();
                        if let Ok(key) = key {
                            builder = builder.with_config(key, value);
                        }
                    }
                }
            }
            builder.build().map_err(|error| unusable(error.to_string()))
        };
        let endpoint = settings.endpoint.as_ref();
        Ok(Self {
            s3: connect(endpoint)?,
            public: connect(settings.public_url.as_ref().or(endpoint))?,
            url: settings.url(),
            prefix: settings.prefix.clone(),
            serve: settings.serve,
        })
    }

    /// As in `s3://bucket/prefix`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How its files are given to those who ask for them.
    pub(crate) const fn serve(&self) -> Serve {
        self.serve
    }

    /// The URI of an object.
    pub(crate) fn uri(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    fn key(&self, name: &str) -> Result<Key> {
        let whole = if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.prefix)
        };
        Key::parse(whole).map_err(|error| BucketError::Wrong(error.to_string()))
    }

    /// Puts a file of this machine there; answers its size. What is there is overwritten. On `stop` a file of several parts is given up with the part that is on
    /// its way.
    pub(crate) async fn put_file(
        &self,
        name: &str,
        path: &std::path::Path,
        media_type: &str,
        stop: &CancellationToken,
    ) -> Result<u64> {
        self.put_file_as(name, path, media_type, PutMode::Overwrite, stop).await
    }

    /// The same where there is no object. [`BucketError::Exists`] is said of one that was there, and of one that is being written. Not every server takes a condition
    /// for a file of several parts: there it is looked before, and once more before the last request.
    pub(crate) async fn put_new_file(
        &self,
        name: &str,
        path: &std::path::Path,
        media_type: &str,
        stop: &CancellationToken,
    ) -> Result<u64> {
        self.put_file_as(name, path, media_type, PutMode::Create, stop).await
    }

    /// Fails where a file is to be put that must not replace another, and one is there.
    async fn expect_none(&self, key: &Key, mode: &PutMode) -> Result<()> {
        if *mode != PutMode::Create {
            return Ok(());
        }
        match within(ANSWER_LIMIT, self.s3.head(key)).await {
            Ok(_) => Err(BucketError::Exists),
            Err(BucketError::Missing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn put_file_as(
        &self,
        name: &str,
        path: &std::path::Path,
        media_type: &str,
        mode: PutMode,
        stop: &CancellationToken,
    ) -> Result<u64> {
        let key = self.key(name)?;
        let mut file = File::open(path).await?;
        let bytes = file.metadata().await?.len();
        if bytes <= PART as u64 {
            let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            file.read_to_end(&mut content).await?;
            let bytes = content.len() as u64;
            let options =
                PutOptions { attributes: typed(media_type), mode, ..PutOptions::default() };
            within(PART_LIMIT, self.s3.put_opts(&key, content.into(), options)).await?;
            return Ok(bytes);
        }
        self.expect_none(&key, &mode).await?;
        let options =
            PutMultipartOptions { attributes: typed(media_type), ..PutMultipartOptions::default() };
        let mut upload = within(ANSWER_LIMIT, self.s3.put_multipart_opts(&key, options)).await?;
        let put = async {
            let mut sent = 0;
            loop {
                let mut part = Vec::with_capacity(PART);
                (&mut file).take(PART as u64).read_to_end(&mut part).await?;
                if part.is_empty() {
                    break;
                }
                if stop.is_cancelled() {
                    return Err(BucketError::Stopped);
                }
                sent += part.len() as u64;
                within(PART_LIMIT, upload.put_part(PutPayload::from(part))).await?;
            }
            self.expect_none(&key, &mode).await?;
            within(ANSWER_LIMIT, upload.complete()).await?;
            Ok(sent)
        };
        let put = put.await;
        if put.is_err() {
            // Parts without an end cost money. A network that failed may fail this too: then the bucket's rule for incomplete uploads takes them.
            let _ = within(ANSWER_LIMIT, upload.abort()).await;
        }
        put
    }

    /// Puts an object where there is none. [`BucketError::Exists`] is said of one that was there, and of one that is being written.
    pub(crate) async fn put_new(
        &self,
        name: &str,
        content: impl Into<Bytes>,
        media_type: &str,
    ) -> Result<()> {
        self.put(name, content.into(), media_type, PutMode::Create).await
    }

    /// Puts an object, also in place of another.
    async fn put_over(
        &self,
        name: &str,
        content: impl Into<Bytes>,
        media_type: &str,
    ) -> Result<()> {
        self.put(name, content.into(), media_type, PutMode::Overwrite).await
    }

    /// Replaces an object, if it is still what it was.
    pub(crate) async fn replace(
        &self,
        name: &str,
        content: impl Into<Bytes>,
        media_type: &str,
        e_tag: Option<String>,
    ) -> Result<()> {
        let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
        self.put(name, content.into(), media_type, mode).await
    }

    async fn put(&self, name: &str, content: Bytes, media_type: &str, mode: PutMode) -> Result<()> {
        let options = PutOptions { attributes: typed(media_type), mode, ..PutOptions::default() };
        let key = self.key(name)?;
        let limit = if content.len() < SMALL { ANSWER_LIMIT } else { PART_LIMIT };
        within(limit, self.s3.put_opts(&key, content.into(), options)).await?;
        Ok(())
    }

    /// Reads a small object; answers also its `ETag`.
    pub(crate) async fn get(&self, name: &str) -> Result<(Bytes, Option<String>)> {
        let key = self.key(name)?;
        let read = async {
            let found = self.s3.get(&key).await?;
            let e_tag = found.meta.e_tag.clone();
            Ok((found.bytes().await?, e_tag))
        };
        within(ANSWER_LIMIT, read).await
    }

    /// What lies below a name, in the order of the keys.
    pub(crate) async fn list(&self, below: &str) -> Result<Vec<Listed>> {
        let key = self.key(below)?;
        let start = key.as_ref().len() + 1;
        let mut objects = self.s3.list(Some(&key));
        let mut listed = Vec::new();
        while let Some(object) = within(ANSWER_LIMIT, objects.try_next()).await? {
            let name = object.location.as_ref().get(start..).unwrap_or_default().to_owned();
            listed.push(Listed { name, bytes: object.size });
        }
        Ok(listed)
    }

    /// Removes objects. Those that are gone already are no error.
    pub(crate) async fn remove(&self, names: &[String]) -> Result<()> {
        let keys: Result<Vec<Key>> = names.iter().map(|name| self.key(name)).collect();
        let mut removed = futures_util::stream::iter(keys?)
            .map(|key| async move { within(ANSWER_LIMIT, self.s3.delete(&key)).await })
            .buffer_unordered(AT_ONCE);
        while let Some(removed) = removed.next().await {
            match removed {
                Ok(()) | Err(BucketError::Missing) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A URL by which an object may be read for five minutes, without a key.
    pub(crate) async fn sign(&self, method: Method, name: &str) -> Result<Url> {
        let key = self.key(name)?;
        within(ANSWER_LIMIT, self.public.signed_url(method, &key, SIGNED_FOR)).await
    }
}

/// The address of a server; with the bucket's name before the host's where requests are made so.
fn address(endpoint: &Url, settings: &StorageSettings) -> String {
    let mut endpoint = endpoint.clone();
    if let Some(host) = endpoint.host_str().filter(|_| !settings.path_style) {
        let host = format!("{}.{host}", settings.bucket);
        // The settings were checked: it has a name.
        let _ = endpoint.set_host(Some(&host));
    }
    endpoint.as_str().trim_end_matches('/').to_owned()
}

fn typed(media_type: &str) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, media_type.to_owned().into());
    attributes
}

async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = object_store::Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(BucketError::Away(format!("no answer within {} s", limit.as_secs()))),
    }
}
