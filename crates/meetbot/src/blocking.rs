//! [`MeetBot`]: the blocking client, the same calls without `await`.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use meetbot_types::{NewJob, Page};
use tokio::{
    runtime::{self, Runtime},
    sync::oneshot,
};

use crate::{
    Error, ListBots, ListDeliveries, Request, Response,
    builder::Builder as AsyncBuilder,
    client::{self, absent, following},
    download,
    endpoint::{self, Endpoint},
    lines::{self, LineFile},
    models::{
        Caption, ChatMessage, ControlResult, DeletionReceipt, Delivery, ErasureReceipt, Host, Job,
        Manifest, PlatformAvailability, RecordingEvent, TimelineEvent, Usage,
        manifest::{File, SpeakingSpan},
    },
    options::CallOptions,
    wait,
};

/// A client whose calls block. Cheap to clone, and free to use from many threads at once.
///
/// It has one thread of its own for all its clones. Inside an async runtime use [`crate::MeetBot`]: a call here would hold up the runtime's thread.
#[derive(Debug, Clone)]
pub struct MeetBot {
    client: client::MeetBot,
    thread: Arc<Thread>,
}

/// The thread that sends and receives; it ends with the last clone of the client.
#[derive(Debug)]
struct Thread(Option<Runtime>);

impl Drop for Thread {
    fn drop(&mut self) {
        // Not waited for: dropping a client inside an async runtime must not panic.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Builds a blocking client, with the settings of [`crate::Builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder(AsyncBuilder);

impl Builder {
    /// The API key; by default `MEETBOT_API_KEY`.
    pub fn api_key(self, key: impl Into<String>) -> Self {
        Self(self.0.api_key(key))
    }

    /// Where the server is; by default `MEETBOT_API_BASE_URL`.
    pub fn base_url(self, url: impl Into<String>) -> Self {
        Self(self.0.base_url(url))
    }

    /// How long one try of a call may take; 30 s by default.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }

    /// How long a whole call may take; see [`CallOptions::deadline`].
    pub fn deadline(self, deadline: Duration) -> Self {
        Self(self.0.deadline(deadline))
    }

    /// Sends every request through this proxy; see [`crate::Builder::proxy`].
    pub fn proxy(self, url: impl Into<String>) -> Self {
        Self(self.0.proxy(url))
    }

    /// Trusts these certificates beside the platform's; see [`crate::Builder::ca_bundle`].
    pub fn ca_bundle(self, pem: impl Into<Vec<u8>>) -> Self {
        Self(self.0.ca_bundle(pem))
    }

    /// Shows this certificate to a server that demands one; see [`crate::Builder::client_cert`].
    pub fn client_cert(self, pem: impl Into<Vec<u8>>) -> Self {
        Self(self.0.client_cert(pem))
    }

    /// What the client calls itself; see [`crate::Builder::user_agent`].
    pub fn user_agent(self, name: impl Into<String>) -> Self {
        Self(self.0.user_agent(name))
    }

    /// How long connecting may take; 10 s by default.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self(self.0.connect_timeout(timeout))
    }

    /// How often a call is tried again after its first try; 3 by default.
    pub fn max_retries(self, retries: u32) -> Self {
        Self(self.0.max_retries(retries))
    }

    /// The client; see [`crate::Builder::build`].
    pub fn build(self) -> Result<MeetBot, Error> {
        MeetBot::new(self.0.build()?)
    }
}

impl MeetBot {
    /// The client that `MEETBOT_API_KEY` and `MEETBOT_API_BASE_URL` describe.
    pub fn from_env() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// A client with settings of its own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(client: client::MeetBot) -> Result<Self, Error> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("meetbot")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::configuration("the client's thread cannot be started").with_source(error)
            })?;
        Ok(Self { client, thread: Arc::new(Thread(Some(runtime))) })
    }

    /// See [`crate::MeetBot::with`].
    pub fn with(&self, options: CallOptions) -> Result<Self, Error> {
        Ok(Self { client: self.client.with(options)?, thread: Arc::clone(&self.thread) })
    }

    /// See [`crate::MeetBot::dispatch_bot`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the same signature as the asynchronous client's"
    )]
    pub fn dispatch_bot(&self, new: NewJob) -> Result<Job, Error> {
        self.call(endpoint::dispatch_bot(&new)?)
    }

    /// See [`crate::MeetBot::get_bot`].
    pub fn get_bot(&self, job_id: &str) -> Result<Option<Job>, Error> {
        absent(self.call(endpoint::get_bot(job_id)?))
    }

    /// See [`crate::MeetBot::list_bots`].
    pub fn list_bots(&self, list: &ListBots) -> Result<Page<Job>, Error> {
        self.call(endpoint::list_bots(list))
    }

    /// All jobs that `list` describes, newest first, page by page as they are asked for. It ends after the first error.
    pub fn bots(&self, list: &ListBots) -> impl Iterator<Item = Result<Job, Error>> + use<> {
        let (mb, mut next) = (self.clone(), Some(list.clone()));
        let pages = std::iter::from_fn(move || {
            let list = next.take()?;
            let page = mb.list_bots(&list).and_then(|page| {
                next = following(list, &page)?;
                Ok(page.data)
            });
            Some(match page {
                Ok(jobs) => jobs.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        pages.flatten()
    }

    /// See [`crate::MeetBot::cancel_bot`].
    pub fn cancel_bot(&self, job_id: &str) -> Result<(), Error> {
        self.call(endpoint::cancel_bot(job_id)?)
    }

    /// See [`crate::MeetBot::request_recording_permission`].
    pub fn request_recording_permission(&self, job_id: &str) -> Result<ControlResult, Error> {
        self.call(endpoint::control(job_id, "request-recording-permission")?)
    }

    /// See [`crate::MeetBot::pause_recording`].
    pub fn pause_recording(&self, job_id: &str) -> Result<ControlResult, Error> {
        self.call(endpoint::control(job_id, "pause-recording")?)
    }

    /// See [`crate::MeetBot::resume_recording`].
    pub fn resume_recording(&self, job_id: &str) -> Result<ControlResult, Error> {
        self.call(endpoint::control(job_id, "resume-recording")?)
    }

    /// See [`crate::MeetBot::stop_recording`].
    pub fn stop_recording(&self, job_id: &str) -> Result<ControlResult, Error> {
        self.call(endpoint::control(job_id, "stop-recording")?)
    }

    /// See [`crate::MeetBot::leave_bot`].
    pub fn leave_bot(&self, job_id: &str) -> Result<ControlResult, Error> {
        self.call(endpoint::control(job_id, "leave-call")?)
    }

    /// See [`crate::MeetBot::send_chat_message`].
    pub fn send_chat_message(&self, job_id: &str, message: &str) -> Result<ControlResult, Error> {
        self.call(endpoint::send_chat_message(job_id, message)?)
    }

    /// See [`crate::MeetBot::wait_for_bot`].
    pub fn wait_for_bot(&self, job_id: &str, timeout: Option<Duration>) -> Result<Job, Error> {
        self.wait_for_bot_with(job_id, timeout, |_| ())
    }

    /// See [`crate::MeetBot::wait_for_bot_with`].
    pub fn wait_for_bot_with(
        &self,
        job_id: &str,
        timeout: Option<Duration>,
        mut on_update: impl FnMut(&Job),
    ) -> Result<Job, Error> {
        let updates = wait::updates(self.client.clone(), job_id.to_owned(), timeout);
        let mut last = Err(wait::job_never_seen(job_id));
        for job in self.iterate(updates) {
            let job = job?;
            on_update(&job);
            last = Ok(job);
        }
        last
    }

    /// See [`crate::MeetBot::manifest`].
    pub fn manifest(&self, job_id: &str) -> Result<Manifest, Error> {
        self.call(endpoint::manifest(job_id)?)
    }

    /// See [`crate::MeetBot::speaking`].
    pub fn speaking(&self, job_id: &str) -> Result<Vec<SpeakingSpan>, Error> {
        Ok(self.manifest(job_id)?.speaking)
    }

    /// See [`crate::MeetBot::captions`].
    pub fn captions(&self, job_id: &str) -> Result<Vec<Caption>, Error> {
        self.lines(job_id, lines::CAPTIONS)
    }

    /// See [`crate::MeetBot::chat`].
    pub fn chat(&self, job_id: &str) -> Result<Vec<ChatMessage>, Error> {
        self.lines(job_id, lines::CHAT)
    }

    /// See [`crate::MeetBot::events_file`].
    pub fn events_file(&self, job_id: &str) -> Result<Vec<RecordingEvent>, Error> {
        self.lines(job_id, lines::EVENTS)
    }

    fn lines<T: Send + 'static>(&self, job_id: &str, of: LineFile<T>) -> Result<Vec<T>, Error> {
        let (transport, job_id) = (self.client.transport.clone(), job_id.to_owned());
        self.run(async move { lines::fetch(&transport, &job_id, of).await })
    }

    /// See [`crate::MeetBot::delete_recording`].
    pub fn delete_recording(&self, job_id: &str) -> Result<DeletionReceipt, Error> {
        self.call(endpoint::delete_recording(job_id)?)
    }

    /// See [`crate::MeetBot::erase_consumer`].
    pub fn erase_consumer(&self, confirm: &str) -> Result<ErasureReceipt, Error> {
        self.call(endpoint::erase_consumer(confirm))
    }

    /// See [`crate::MeetBot::artifacts`].
    pub fn artifacts(&self, job_id: &str) -> Result<Vec<File>, Error> {
        self.call(endpoint::artifacts(job_id)?)
    }

    /// See [`crate::MeetBot::artifact`].
    pub fn artifact(&self, job_id: &str, name: &str) -> Result<Bytes, Error> {
        let (transport, path) =
            (self.client.transport.clone(), endpoint::artifact_path(job_id, name)?);
        self.run(async move { download::to_memory(&transport, &path).await })
    }

    /// See [`crate::MeetBot::download_artifact`].
    pub fn download_artifact(
        &self,
        job_id: &str,
        name: &str,
        target: impl AsRef<Path>,
    ) -> Result<u64, Error> {
        let (transport, path) =
            (self.client.transport.clone(), endpoint::artifact_path(job_id, name)?);
        let target = target.as_ref().to_owned();
        self.run(async move { download::to_file(&transport, &path, &target).await })
    }

    /// See [`crate::MeetBot::download_artifacts`].
    pub fn download_artifacts(
        &self,
        job_id: &str,
        folder: impl AsRef<Path>,
        wait_for_mix: bool,
    ) -> Result<Vec<PathBuf>, Error> {
        let transport = self.client.transport.clone();
        let (job_id, folder) = (job_id.to_owned(), folder.as_ref().to_owned());
        self.run(async move { download::all(&transport, &job_id, &folder, wait_for_mix).await })
    }

    /// See [`crate::MeetBot::events`].
    pub fn events(&self, job_id: &str, cursor: Option<&str>) -> Result<Page<TimelineEvent>, Error> {
        self.call(endpoint::events(job_id, cursor)?)
    }

    /// The job's events from its first, each as it happens; see [`crate::MeetBot::watch`]. Dropping it ends the connection.
    pub fn watch(
        &self,
        job_id: &str,
    ) -> Result<impl Iterator<Item = Result<TimelineEvent, Error>> + use<>, Error> {
        Ok(self.iterate(self.client.watch(job_id)?))
    }

    /// See [`crate::MeetBot::deliveries`].
    pub fn deliveries(&self, list: &ListDeliveries) -> Result<Page<Delivery>, Error> {
        self.call(endpoint::deliveries(list))
    }

    /// See [`crate::MeetBot::host`].
    pub fn host(&self) -> Result<Host, Error> {
        self.call(endpoint::host())
    }

    /// See [`crate::MeetBot::usage`].
    pub fn usage(&self) -> Result<Usage, Error> {
        self.call(endpoint::usage())
    }

    /// See [`crate::MeetBot::list_platforms`].
    pub fn list_platforms(&self) -> Result<Page<PlatformAvailability>, Error> {
        self.call(endpoint::list_platforms())
    }

    /// See [`crate::MeetBot::get_delivery`].
    pub fn get_delivery(&self, delivery_id: &str) -> Result<Option<Delivery>, Error> {
        absent(self.call(endpoint::get_delivery(delivery_id)?))
    }

    /// See [`crate::MeetBot::redeliver`].
    pub fn redeliver(&self, delivery_id: &str) -> Result<Delivery, Error> {
        self.call(endpoint::redeliver(delivery_id)?)
    }

    /// The stream as an iterator; dropping it ends the stream.
    fn iterate<S>(&self, mut stream: S) -> impl Iterator<Item = S::Item> + use<S>
    where
        S: Stream<Item: Send> + Send + Unpin + 'static,
    {
        let (sender, receiver) = mpsc::channel();
        let (wanted, mut dropped) = oneshot::channel::<()>();
        self.runtime().spawn(async move {
            loop {
                let item = tokio::select! {
                    _ = &mut dropped => return,
                    item = stream.next() => item,
                };
                if item.is_none_or(|item| sender.send(item).is_err()) {
                    return;
                }
            }
        });
        let client = self.clone();
        std::iter::from_fn(move || {
            // The client's thread lives as long as someone listens.
            let _alive = (&client, &wanted);
            receiver.recv().ok()
        })
    }

    /// See [`crate::MeetBot::request`].
    pub fn request(&self, request: Request) -> Result<Response, Error> {
        let transport = self.client.transport.clone();
        self.run(async move { transport.request(request).await })
    }

    fn runtime(&self) -> &Runtime {
        self.thread.0.as_ref().expect("the thread lives as long as its clients")
    }

    fn call<T: Send + 'static>(&self, endpoint: Endpoint<T>) -> Result<T, Error> {
        let transport = self.client.transport.clone();
        self.run(async move { transport.call(endpoint).await })
    }

    /// Runs it on the client's thread, and waits here: so a call works on any thread, one of a runtime's included.
    fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let runtime = self.runtime();
        let (sender, answer) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // Nobody waits any more only when the waiting thread is gone.
            let _ = sender.send(call.await);
        });
        answer.recv().map_err(|_| {
            Error::configuration("the client's thread has ended: was this process forked?")
        })?
    }
}
