//! Webhooks as Zoom sends them.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

use meetbot_types::signature::hmac_sha256;
use serde_json::{Value, json};

/// A webhook with its signature.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The body.
    pub body: String,
    /// `x-zm-request-timestamp`, in seconds.
    pub timestamp: i64,
    /// `x-zm-signature`.
    pub signature: String,
}

impl Webhook {
    /// An event, in the shape of Zoom's samples: its fields stand in the payload itself.
    pub fn flat(event: &str, payload: &Value, now_ms: i64, token: &str) -> Self {
        let body = json!({"event": event, "event_ts": now_ms, "payload": payload});
        Self::signed(body.to_string(), now_ms / 1_000, token)
    }

    /// The same in the shape of Zoom's reference: the fields stand in the payload's object.
    pub fn nested(event: &str, payload: &Value, now_ms: i64, token: &str) -> Self {
        let payload = json!({"account_id": "account", "object": payload});
        Self::flat(event, &payload, now_ms, token)
    }

    /// Any body, signed with this secret token at this time, in seconds.
    pub fn signed(body: String, timestamp: i64, token: &str) -> Self {
        let message = format!("v0:{timestamp}:{body}");
        let signature = format!("v0={}", hmac_sha256(token.as_bytes(), message.as_bytes()));
        Self { body, timestamp, signature }
    }

    /// Posts it to a server (`http://host:port`); answers the status and the body of its answer.
    ///
    /// # Errors
    /// Where the server cannot be reached, or does not speak HTTP.
    pub fn post(&self, server: &str) -> io::Result<(u16, String)> {
        let address = server.strip_prefix("http://").unwrap_or(server).trim_end_matches('/');
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "POST /api/v1/hooks/zoom HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nx-zm-request-timestamp: {}\r\nx-zm-signature: {}\r\n\r\n{}",
            self.body.len(),
            self.timestamp,
            self.signature,
            self.body
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no HTTP: {answer}")))?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status, body.to_owned()))
    }
}
