//! Pages of lists. A page is read from the store in portions while it is sent, so that a slow caller occupies little memory.

use std::{convert::Infallible, fmt::Write as _, str::FromStr};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures_util::{StreamExt as _, stream};
use meetbot_types::Page;
use serde::Serialize;

use super::{error::ApiError, request::json};
use crate::store::Window;

/// The size in bytes at which a page ends early, with a `nextCursor`; the entry that reaches it is still included.
const PAGE_BYTES: usize = 1024 * 1024;
/// In how many portions a page is read at most. A search that matches few of many millions of rows would take long; it ends early with a
/// `nextCursor` instead.
const PORTIONS: u32 = 100;

/// Responds with the page of this window; `read` returns the next portion of it.
pub(super) async fn page<T, C, R, F>(window: Window<C>, read: R) -> Result<Response, ApiError>
where
    T: Serialize,
    C: FromStr + Copy + Send + 'static,
    R: Fn(Window<C>) -> F + Send + 'static,
    F: Future<Output = Result<Page<T>, ApiError>> + Send,
{
    let mut writer = Writer { window, bytes: 0, portions: 0, next: None };
    let mut first = String::from("{\"data\":[");
    if writer.write(read(window).await?, &mut first)? {
        return Ok(json(200, first));
    }
    let rest = stream::unfold((writer, read, false), async |(mut writer, read, ended)| {
        if ended {
            return None;
        }
        let mut text = String::new();
        // The response has begun: if the store fails now, the page ends early.
        let written = match read(writer.window).await {
            Ok(portion) => writer.write(portion, &mut text),
            Err(error) => Err(error),
        };
        let ended = written.unwrap_or_else(|_| {
            writer.end(&mut text);
            true
        });
        Some((Ok::<_, Infallible>(text), (writer, read, ended)))
    });
    let rest = stream::once(async { Ok(first) }).chain(rest);
    let media_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((media_type, Body::from_stream(rest)).into_response())
}

/// Writes a page, portion by portion.
struct Writer<C> {
    /// The rest of the window.
    window: Window<C>,
    /// How many bytes of entries were written.
    bytes: usize,
    /// How many portions were written.
    portions: u32,
    /// The `nextCursor`, if the page ends here.
    next: Option<String>,
}

impl<C: FromStr> Writer<C> {
    /// Writes a portion. If the page ends with it, writes the end too and returns `true`.
    fn write<T: Serialize>(
        &mut self,
        portion: Page<T>,
        text: &mut String,
    ) -> Result<bool, ApiError> {
        let Page { data, next_cursor } = portion;
        let read = u32::try_from(data.len()).unwrap_or(u32::MAX);
        for entry in data {
            let entry = serde_json::to_string(&entry).map_err(|error| {
                tracing::error!(%error, "an entry of a page cannot be written");
                ApiError::internal()
            })?;
            if self.bytes > 0 {
                text.push(',');
            }
            self.bytes += entry.len();
            text.push_str(&entry);
        }
        self.window.limit = self.window.limit.saturating_sub(read);
        self.window.after = next_cursor.as_ref().and_then(|next| next.parse().ok());
        self.next = next_cursor;
        let has_more = self.window.after.is_some() && self.window.limit > 0;
        self.portions += 1;
        let ends = !has_more || self.bytes >= PAGE_BYTES || self.portions >= PORTIONS;
        if ends {
            self.end(text);
        }
        Ok(ends)
    }

    fn end(&self, text: &mut String) {
        let next = serde_json::to_string(&self.next).unwrap_or_else(|_| "null".to_owned());
        let _ = write!(text, "],\"nextCursor\":{next}}}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use http_body_util::BodyExt as _;

    use super::*;

    /// Reads a page of a list with this many entries of this many letters, in portions of three; the read with the number `fails_at` fails.
    async fn listed(
        entries: u64,
        letters: usize,
        limit: u32,
        fails_at: usize,
    ) -> (Result<Page<String>, ApiError>, usize) {
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        let read = move |window: Window<u64>| {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                if number == fails_at {
                    return Err(ApiError::unavailable("the store is not available"));
                }
                let from = window.after.unwrap_or(0);
                let to = entries.min(from + u64::from(window.limit.min(3)));
                let data = (from..to).map(|number| format!("{number:0letters$}")).collect();
                let next_cursor = (to < entries).then(|| to.to_string());
                Ok(Page { data, next_cursor })
            }
        };
        let page = match page(Window { limit, after: None }, read).await {
            Ok(response) => {
                let body = response.into_body().collect().await.unwrap().to_bytes();
                Ok(serde_json::from_slice(&body).unwrap())
            }
            Err(error) => Err(error),
        };
        (page, reads.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_page_is_read_in_portions_and_has_the_cursor_of_the_next() {
        for (entries, limit, on_it, next) in [
            (0, 50, 0_usize, None),
            (2, 50, 2, None),
            (3, 3, 3, None),
            (4, 3, 3, Some("3")),
            (10, 7, 7, Some("7")),
            (10, 10, 10, None),
            (10, 1, 1, Some("1")),
        ] {
            let (page, reads) = listed(entries, 4, limit, usize::MAX).await;
            let page = page.unwrap();
            let expected: Vec<_> = (0..on_it).map(|number| format!("{number:04}")).collect();
            assert_eq!(page.data, expected, "{entries} {limit}");
            assert_eq!(page.next_cursor.as_deref(), next, "{entries} {limit}");
            assert_eq!(reads, on_it.div_ceil(3).max(1), "{entries} {limit}");
        }
    }

    #[tokio::test]
    async fn a_page_of_large_entries_ends_early() {
        let (page, reads) = listed(200, 50_000, 200, usize::MAX).await;
        let page = page.unwrap();
        assert_eq!((page.data.len(), page.next_cursor.as_deref(), reads), (21, Some("21"), 7));
    }

    #[tokio::test]
    async fn a_page_ends_early_when_the_store_fails_in_the_middle() {
        assert!(listed(10, 4, 10, 0).await.0.is_err());
        let page = listed(10, 4, 10, 2).await.0.unwrap();
        assert_eq!((page.data.len(), page.next_cursor.as_deref()), (6, Some("6")));
    }
}
