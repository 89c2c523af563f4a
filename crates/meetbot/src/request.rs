//! [`Request`] and [`Response`]: a call of the caller's own, and its answer as it came.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use url::form_urlencoded;

use crate::{
    Error,
    endpoint::{segment, with_query},
};

/// A call to any path of the API; see [`MeetBot::request`](crate::MeetBot::request).
#[derive(Debug, Clone)]
#[must_use]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl Request {
    /// A request without a body. `path` goes from `/` on, with its query, and is percent-encoded: [`api_path`] makes one.
    pub fn new(method: &str, path: impl Into<String>) -> Result<Self, Error> {
        let path = path.into();
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| Error::configuration(format!("{method:?} is not a method of HTTP")))?;
        if !path.starts_with('/') {
            return Err(Error::configuration(format!(
                "the path {path:?} does not begin with a slash"
            )));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Ok(Self { method, path, headers, body: None })
    }

    /// Sends this header too, in place of one of the same name; `Authorization` is the client's own.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let wrong = || Error::configuration(format!("{name:?} with this value cannot be sent"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        if header == AUTHORIZATION {
            return Err(wrong());
        }
        self.headers.insert(header, HeaderValue::from_str(value).map_err(|_| wrong())?);
        Ok(self)
    }

    /// Sends these bytes of JSON.
    pub fn json(mut self, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = Some(body.into());
        self
    }
}

/// A successful answer as it came.
#[derive(Debug, Clone)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) attempts: u32,
}

impl Response {
    /// The HTTP status: 200 to 299.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The value of this header; `None` where it is missing or not a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers that are texts, their names in small letters.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// The body.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// How many tries it took, this one included.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }
}

/// The path of a call, `/api/v1/` and these segments, each escaped; with a query where there is one.
///
/// ```
/// let path = meetbot::api_path(&["jobs", "a/b"], &[("limit", "1")]).unwrap();
/// assert_eq!(path, "/api/v1/jobs/a%2Fb?limit=1");
/// assert!(meetbot::api_path(&["jobs", ".."], &[]).is_err(), "no segment leaves its place");
/// ```
pub fn api_path(segments: &[&str], query: &[(&str, &str)]) -> Result<String, Error> {
    let mut path = "/api/v1".to_owned();
    for text in segments {
        path.push('/');
        path.push_str(&segment(text, "a segment of the path")?);
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    Ok(with_query(&path, &query))
}
