//! Resources that a response holds until its body is sent: the key's share of concurrent calls, and the connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use meetbot_types::KeyId;

use super::open_connections::Hold;
use crate::shares::Share;

/// Extension of a response that holds a share of the streams instead of one of the calls.
#[derive(Debug, Clone)]
pub(super) struct Streamed(pub(super) Arc<Share<KeyId>>);

/// A body with the resources that are released when it is sent or dropped.
struct Sending {
    body: Body,
    _share: Arc<Share<KeyId>>,
    _connection: Option<Hold>,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Attaches the share and the connection to the response until it is sent. A [streaming](Streamed) response releases the share of the calls at once.
pub(super) fn hold(
    mut response: Response,
    call: Share<KeyId>,
    connection: Option<Hold>,
) -> Response {
    let share = match response.extensions_mut().remove() {
        Some(Streamed(share)) => share,
        None => Arc::new(call),
    };
    response.map(|body| Body::new(Sending { body, _share: share, _connection: connection }))
}
