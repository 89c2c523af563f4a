//! The sandbox's WebSocket server: each connection is one bot, which passes the lobby and gets the scenario.

mod call;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use meetbot_types::{
    FailureCode, JobId,
    bot::{Lobby, Participant, Secret},
    sandbox::{FromBot, FromMeeting, Inspection},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderMap, StatusCode, header},
        protocol::WebSocketConfig,
    },
};
use tokio_util::sync::CancellationToken;

use self::call::Call;
use crate::{
    meeting::{Meeting, Meetings},
    script::JoinResponse,
};

/// The largest message of a bot: a session description is a tenth of it.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// How long a bot may take to connect and to send its first message.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The bot's own id in the roster.
const SELF_ID: &str = "p-meetbot";

/// A running sandbox. If it is dropped, it runs until the runtime ends; [`Sandbox::stop`] ends it.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    meetings: Arc<Meetings>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Sandbox {
    /// Listens for bots that send this token, as `Authorization: Bearer TOKEN`. Connections from web pages are refused.
    pub async fn start(listen: SocketAddr, token: Secret) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let meetings = Arc::new(Meetings::default());
        let serving = tokio::spawn(serve(listener, token, Arc::clone(&meetings), stop.clone()));
        Ok(Self { address, meetings, stop, serving })
    }

    /// Its WebSocket, as in `ws://127.0.0.1:40001`.
    pub fn address(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The observations of a job's meeting; empty if it never began.
    pub fn inspect(&self, job: JobId) -> Inspection {
        self.meetings.inspect(job)
    }

    /// Ends all meetings and stops listening.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.serving.await;
    }
}

async fn serve(
    listener: TcpListener,
    token: Secret,
    meetings: Arc<Meetings>,
    stop: CancellationToken,
) {
    let token = Arc::new(token);
    let mut bots = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = bots.join_next(), if !bots.is_empty() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a bot was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (meetings, token, local) =
            (Arc::clone(&meetings), Arc::clone(&token), stream.local_addr());
        bots.spawn(async move {
            let met =
                async { Guest::accept(stream, &token).await?.serve_bot(&meetings, local?).await };
            if let Err(error) = met.await {
                tracing::debug!(%error, %from, "a bot's connection ended with an error");
            }
        });
    }
    // Dropping the set ends every meeting.
}

/// Why a connection is refused, if it is. Browsers send an `Origin`, and bots do not: so a web page that is opened on this machine is refused, even with
/// the token.
fn refused(headers: &HeaderMap, token: &Secret) -> Option<StatusCode> {
    if headers.contains_key(header::ORIGIN) {
        return Some(StatusCode::FORBIDDEN);
    }
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    (!shown.is_some_and(|shown| token.is(shown))).then_some(StatusCode::UNAUTHORIZED)
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A bot on its WebSocket.
struct Guest {
    socket: WebSocketStream<TcpStream>,
}

impl Guest {
    async fn accept(stream: TcpStream, token: &Secret) -> Outcome<Self> {
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        #[expect(clippy::result_large_err, reason = "the type is the library's")]
        let admit = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            refused(request.headers(), token).map_or(Ok(response), |status| {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = status;
                Err(refusal)
            })
        };
        let accepting = accept_hdr_async_with_config(stream, admit, Some(config));
        Ok(Self { socket: tokio::time::timeout(FIRST_MESSAGE_TIMEOUT, accepting).await?? })
    }

    async fn send(&mut self, message: &FromMeeting) -> Outcome<()> {
        let text = serde_json::to_string(message)?;
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// The bot's next message; `None` when the connection is closed. An invalid message is an error, which ends the connection.
    async fn receive(&mut self) -> Outcome<Option<FromBot>> {
        while let Some(message) = self.socket.next().await {
            match message? {
                Message::Text(text) => return Ok(Some(serde_json::from_str(&text)?)),
                Message::Close(_) => return Ok(None),
                Message::Binary(_) => return Err("a binary message".into()),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok(None)
    }

    async fn serve_bot(mut self, meetings: &Meetings, local: SocketAddr) -> Outcome<()> {
        loop {
            match tokio::time::timeout(FIRST_MESSAGE_TIMEOUT, self.receive()).await?? {
                Some(FromBot::Inspect { job_id }) => {
                    self.send(&FromMeeting::Inspection(meetings.inspect(job_id))).await?;
                }
                Some(FromBot::Join { job_id, scenario, name }) => {
                    let joined = meetings.join(job_id, &scenario);
                    let ended = match joined {
                        Ok(meeting) => self.play(&meeting, job_id, name, local).await,
                        Err(detail) => {
                            let code = FailureCode::MeetingNotFound;
                            self.send(&FromMeeting::Refused { code, detail }).await
                        }
                    };
                    let _ = self.socket.close(None).await;
                    return ended;
                }
                Some(_) => return Err("a bot has to join first".into()),
                None => return Ok(()),
            }
        }
    }

    async fn play(
        &mut self,
        meeting: &Arc<Meeting>,
        job: JobId,
        name: String,
        local: SocketAddr,
    ) -> Outcome<()> {
        let elapsed = meeting.elapsed();
        if meeting.script.outage.is_some_and(|outage| outage.contains(elapsed)) {
            return Err("the scenario's outage".into());
        }
        if elapsed >= meeting.script.length {
            return self.send(&FromMeeting::Ended).await;
        }
        if !self.pass_lobby(meeting).await? {
            return Ok(());
        }
        let _presence = meeting.enter();
        tracing::debug!(%job, "a bot is in");
        let bot = Participant { id: SELF_ID.into(), name, is_host: false, is_bot: true };
        let mut call = Call::begin(self, meeting, bot, local).await?;
        call.run().await
    }

    /// Returns whether the bot is admitted. A job's later bots are admitted at once.
    async fn pass_lobby(&mut self, meeting: &Meeting) -> Outcome<bool> {
        let (wait, lobby) = match &meeting.script.join_response {
            JoinResponse::Admits { after } | JoinResponse::Denies { after } => {
                (Some(*after), Lobby::WaitingRoom)
            }
            JoinResponse::Waits(lobby) => (None, lobby.clone()),
            JoinResponse::Refuses(code, detail) => {
                let detail = (*detail).to_owned();
                self.send(&FromMeeting::Refused { code: code.clone(), detail }).await?;
                return Ok(false);
            }
        };
        let left = wait.map(|wait| wait.saturating_sub(meeting.elapsed()));
        if left != Some(Duration::ZERO) {
            self.send(&FromMeeting::Lobby { lobby }).await?;
            let patience = left.unwrap_or(meeting.script.length);
            let answered = tokio::time::timeout(patience, async {
                loop {
                    match self.receive().await? {
                        None | Some(FromBot::Leave) => return Outcome::Ok(()),
                        Some(_) => {}
                    }
                }
            });
            if let Ok(left_the_lobby) = answered.await {
                left_the_lobby?;
                return Ok(false);
            }
        }
        match meeting.script.join_response {
            JoinResponse::Admits { .. } => Ok(true),
            JoinResponse::Denies { .. } => {
                let code = FailureCode::HostDeniedAdmission;
                let detail = "the host denied the bot's request to join".to_owned();
                self.send(&FromMeeting::Refused { code, detail }).await?;
                Ok(false)
            }
            _ => {
                self.send(&FromMeeting::Ended).await?;
                Ok(false)
            }
        }
    }
}
