//! A receiver of webhooks: verified before they are read.
//!
//! `MEETBOT_WEBHOOK_SECRET=whsec_… cargo run --package meetbot --example receive_webhooks [ADDRESS]`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{convert::Infallible, error::Error, sync::Arc};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use meetbot::webhook::{EventDetails, TOLERANCE, UnwrapError, unwrap};
use tokio::net::TcpListener;

/// A webhook is far smaller than this.
const MOST_BYTES: usize = 1 << 20;

/// What a request is answered with.
async fn take(request: Request<Incoming>, secret: &str) -> StatusCode {
    let (head, body) = request.into_parts();
    // The bytes: what is parsed and printed again has another signature.
    let Ok(body) = Limited::new(body, MOST_BYTES).collect().await else {
        return StatusCode::BAD_REQUEST;
    };
    match unwrap(&body.to_bytes(), &head.headers, &[secret], Some(TOLERANCE)) {
        Ok(event) => {
            if let EventDetails::Finalized { manifest_uri: Some(manifest), .. } = event.data.details
            {
                println!("recorded: {} {manifest}", event.data.job_id);
            }
            StatusCode::OK
        }
        // Of a newer server: it would come again and again.
        Err(UnwrapError::Body { .. }) => StatusCode::OK,
        Err(UnwrapError::Secret(error)) => {
            println!("{error}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Err(_) => StatusCode::UNAUTHORIZED,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret: Arc<str> = std::env::var("MEETBOT_WEBHOOK_SECRET")?.into(); // whsec_…
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}/webhook/meetbot", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let secret = Arc::clone(&secret);
        let answer = service_fn(move |request| {
            let secret = Arc::clone(&secret);
            async move {
                let mut answer = Response::new(Empty::<Bytes>::new());
                *answer.status_mut() = take(request, &secret).await;
                Ok::<_, Infallible>(answer)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}
