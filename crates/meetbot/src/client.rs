//! [`MeetBot`]: the asynchronous client.

use std::{
    error::Error as StdError,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use meetbot_types::{NewJob, Page};

use crate::{
    Error, ErrorKind, Exchange, ListBots, ListDeliveries, Request, Response, Wait,
    builder::Builder,
    download, endpoint, events, lines,
    models::{
        Caption, ChatMessage, ControlResult, DeletionReceipt, Delivery, ErasureReceipt, Host, Job,
        Manifest, PlatformAvailability, RecordingEvent, TimelineEvent, Usage,
        manifest::{File, SpeakingSpan},
    },
    options::CallOptions,
    transport::Transport,
    wait,
};

/// A client of a meetbot server. Cheap to clone; clones share their connections.
///
/// Dropping a call's future gives the call up; the server may have done it all the same. Needs a tokio runtime.
#[derive(Debug, Clone)]
pub struct MeetBot {
    pub(crate) transport: Transport,
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

    pub(crate) const fn new(transport: Transport) -> Self {
        Self { transport }
    }

    /// The same client with other options, for one call or for many.
    ///
    /// ```no_run
    /// # async fn example(mb: meetbot::MeetBot, job: meetbot::NewJob) -> Result<(), meetbot::Error> {
    /// use meetbot::CallOptions;
    ///
    /// mb.with(CallOptions::new().idempotency_key("order-4711"))?.dispatch_bot(job).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with(&self, options: CallOptions) -> Result<Self, Error> {
        Ok(Self { transport: self.transport.with(options)? })
    }

    /// Each of the job's events as the JSON that it came as, for who keeps the fields that this version does not know, asked for with these
    /// headers beside the SDK's own; else like [`MeetBot::watch`].
    pub fn watch_json(
        &self,
        job_id: &str,
        headers: &[(&str, &str)],
    ) -> Result<impl Stream<Item = Result<String, Error>> + Send + Unpin + use<>, Error> {
        let mut request = Request::new("GET", endpoint::events_path(job_id)?)?;
        for (name, value) in headers {
            request = request.header(name, value)?;
        }
        Ok(events::watch(self.transport.clone(), request, |json, _| json))
    }

    /// Sends a bot to a meeting (`POST /api/v1/jobs`). With an `external_id` that was used before, the job of that time is the answer.
    pub async fn dispatch_bot(&self, new: NewJob) -> Result<Job, Error> {
        self.transport.call(endpoint::dispatch_bot(&new)?).await
    }

    /// The job, or `None` when there is none with this id (`GET /api/v1/jobs/{id}`).
    pub async fn get_bot(&self, job_id: &str) -> Result<Option<Job>, Error> {
        absent(self.transport.call(endpoint::get_bot(job_id)?).await)
    }

    /// One page of jobs, newest first (`GET /api/v1/jobs`); [`MeetBot::bots`] goes over all of them.
    pub async fn list_bots(&self, list: &ListBots) -> Result<Page<Job>, Error> {
        self.transport.call(endpoint::list_bots(list)).await
    }

    /// All jobs that `list` describes, newest first, page by page as they are asked for. It ends after the first error.
    pub fn bots(&self, list: ListBots) -> impl Stream<Item = Result<Job, Error>> + Send + use<> {
        let mb = self.clone();
        let pages = stream::try_unfold(Some(list), move |list| {
            let mb = mb.clone();
            async move {
                let Some(list) = list else { return Ok(None) };
                let page = mb.list_bots(&list).await?;
                let next = following(list, &page)?;
                Ok(Some((stream::iter(page.data.into_iter().map(Ok)), next)))
            }
        });
        pages.try_flatten().boxed()
    }

    /// Calls a job off (`DELETE /api/v1/jobs/{id}`). What was recorded is kept. No error when it had ended already.
    pub async fn cancel_bot(&self, job_id: &str) -> Result<(), Error> {
        self.transport.call(endpoint::cancel_bot(job_id)?).await
    }

    /// Asks the host for permission to record.
    pub async fn request_recording_permission(&self, job_id: &str) -> Result<ControlResult, Error> {
        self.control(job_id, "request-recording-permission").await
    }

    /// Records nothing until resumed.
    pub async fn pause_recording(&self, job_id: &str) -> Result<ControlResult, Error> {
        self.control(job_id, "pause-recording").await
    }

    /// Goes on recording.
    pub async fn resume_recording(&self, job_id: &str) -> Result<ControlResult, Error> {
        self.control(job_id, "resume-recording").await
    }

    /// Stops the recording for good; the bot stays.
    pub async fn stop_recording(&self, job_id: &str) -> Result<ControlResult, Error> {
        self.control(job_id, "stop-recording").await
    }

    /// Lets the bot leave the meeting and finish its recording.
    pub async fn leave_bot(&self, job_id: &str) -> Result<ControlResult, Error> {
        self.control(job_id, "leave-call").await
    }

    /// Writes into the meeting's chat (1 to 4,000 characters).
    pub async fn send_chat_message(
        &self,
        job_id: &str,
        message: &str,
    ) -> Result<ControlResult, Error> {
        self.transport.call(endpoint::send_chat_message(job_id, message)?).await
    }

    async fn control(&self, job_id: &str, verb: &str) -> Result<ControlResult, Error> {
        self.transport.call(endpoint::control(job_id, verb)?).await
    }

    /// Waits until the job has ended, by listening to its events and by asking for it every 2 to 5 s; where there is no stream of
    /// events to be had, by asking alone: often at first, every 5 s later.
    ///
    /// With a `timeout` it gives up with [`ErrorKind::Timeout`], also when a request hangs; the job goes on. A server that is away for less
    /// than five minutes does not end the wait.
    pub async fn wait_for_bot(
        &self,
        job_id: &str,
        timeout: Option<Duration>,
    ) -> Result<Job, Error> {
        self.wait_for_bot_with(job_id, timeout, |_| ()).await
    }

    /// [`MeetBot::wait_for_bot`] that shows each state of the job as it is seen.
    pub async fn wait_for_bot_with(
        &self,
        job_id: &str,
        timeout: Option<Duration>,
        mut on_update: impl FnMut(&Job),
    ) -> Result<Job, Error> {
        let mut updates = wait::updates(self.clone(), job_id.to_owned(), timeout);
        let mut last = Err(wait::job_never_seen(job_id));
        while let Some(job) = updates.try_next().await? {
            on_update(&job);
            last = Ok(job);
        }
        last
    }

    /// A wait for the job's end that listens to its events, and whose questions you ask by means of your own; see [`Wait`].
    pub fn wait(&self, job_id: &str, timeout: Option<Duration>) -> Wait {
        Wait::new(job_id, timeout).listening(self)
    }

    /// What was recorded (`GET …/manifest`); [`ErrorKind::NotFound`] until there is one.
    pub async fn manifest(&self, job_id: &str) -> Result<Manifest, Error> {
        self.transport.call(endpoint::manifest(job_id)?).await
    }

    /// All files of the job (`GET …/artifacts`): those of its manifest, and what was kept of joins that failed, which a job without a manifest may have too.
    ///
    /// ```no_run
    /// # async fn example(mb: meetbot::MeetBot, id: &str) -> Result<(), meetbot::Error> {
    /// for file in mb.artifacts(id).await? {
    ///     println!("{:?} {:?}", file.name, file.media_type);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn artifacts(&self, job_id: &str) -> Result<Vec<File>, Error> {
        self.transport.call(endpoint::artifacts(job_id)?).await
    }

    /// Who spoke when, by start: the manifest's `speaking`. [`ErrorKind::NotFound`] until there is a manifest.
    ///
    /// ```no_run
    /// # async fn example(mb: meetbot::MeetBot, id: &str) -> Result<(), meetbot::Error> {
    /// for span in mb.speaking(id).await? {
    ///     println!("{:?} {} to {} ms", span.participant_id, span.start_ms, span.end_ms);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn speaking(&self, job_id: &str) -> Result<Vec<SpeakingSpan>, Error> {
        Ok(self.manifest(job_id).await?.speaking)
    }

    /// The meeting's captions, `captions.jsonl`, in the order in which they came; empty where there were none, as on platforms that give none.
    ///
    /// The file is checked by its SHA-256, and read into memory: one of more than 64 MiB is [`ErrorKind::Decode`], and so is a line with a value of another type.
    /// A line that was cut off is left out. [`ErrorKind::NotFound`] until there is a manifest.
    pub async fn captions(&self, job_id: &str) -> Result<Vec<Caption>, Error> {
        lines::fetch(&self.transport, job_id, lines::CAPTIONS).await
    }

    /// The meeting's chat, `chat.jsonl`, in the order in which it was written; empty where nothing was. It is read as [`MeetBot::captions`] are.
    pub async fn chat(&self, job_id: &str) -> Result<Vec<ChatMessage>, Error> {
        lines::fetch(&self.transport, job_id, lines::CHAT).await
    }

    /// The lines of `events.jsonl`, what happened to the recording; empty where the manifest names no such file. It is read as [`MeetBot::captions`] are; a
    /// line of a type that this version does not know has its fields in `extra`.
    pub async fn events_file(&self, job_id: &str) -> Result<Vec<RecordingEvent>, Error> {
        lines::fetch(&self.transport, job_id, lines::EVENTS).await
    }

    /// Deletes everything that was recorded (`DELETE …/recording`); [`ErrorKind::Conflict`] until the job has ended.
    pub async fn delete_recording(&self, job_id: &str) -> Result<DeletionReceipt, Error> {
        self.transport.call(endpoint::delete_recording(job_id)?).await
    }

    /// Cancels all bots of the key's consumer and erases everything it has, this key included (`DELETE /api/v1/consumers/me`, scope
    /// `admin`). A live key erases both worlds, a test key the test world alone. `confirm` is the consumer's name. [`ErrorKind::Server`] with 503 while
    /// bots are still leaving: ask again.
    pub async fn erase_consumer(&self, confirm: &str) -> Result<ErasureReceipt, Error> {
        self.transport.call(endpoint::erase_consumer(confirm)).await
    }

    /// A recorded file, in memory; one of which the server does not say how large it is up to 64 MiB.
    pub async fn artifact(&self, job_id: &str, name: &str) -> Result<Bytes, Error> {
        download::to_memory(&self.transport, &endpoint::artifact_path(job_id, name)?).await
    }

    /// A recorded file, written to `target`; answers its size in bytes.
    ///
    /// A connection that breaks is taken up where it broke. `target` is written beside its place and moved there when it is whole, over a
    /// file that was there.
    pub async fn download_artifact(
        &self,
        job_id: &str,
        name: &str,
        target: impl AsRef<Path>,
    ) -> Result<u64, Error> {
        download::to_file(&self.transport, &endpoint::artifact_path(job_id, name)?, target.as_ref())
            .await
    }

    /// Everything that was recorded, written into the folder (made where it is missing): the files of the manifest, each checked by its SHA-256, then
    /// `manifest.json`. Answers where they are.
    ///
    /// A job ends before its mix is made. With `wait_for_mix`, and while the manifest says that the mix is pending, this waits for it, for ten minutes at most;
    /// without, and after that time, it takes the files that there are.
    ///
    /// [`ErrorKind::NotFound`] until there is a manifest, [`ErrorKind::File`] for a file that cannot be written, [`ErrorKind::Decode`] for one that is not what
    /// the manifest says.
    ///
    /// ```no_run
    /// # async fn example(mb: meetbot::MeetBot, id: &str) -> Result<(), meetbot::Error> {
    /// for path in mb.download_artifacts(id, "recording", true).await? {
    ///     println!("{}", path.display());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn download_artifacts(
        &self,
        job_id: &str,
        folder: impl AsRef<Path>,
        wait_for_mix: bool,
    ) -> Result<Vec<PathBuf>, Error> {
        download::all(&self.transport, job_id, folder.as_ref(), wait_for_mix).await
    }

    /// One page of the job's timeline, oldest first (`GET …/events`).
    pub async fn events(
        &self,
        job_id: &str,
        cursor: Option<&str>,
    ) -> Result<Page<TimelineEvent>, Error> {
        self.transport.call(endpoint::events(job_id, cursor)?).await
    }

    /// The job's events from its first, each as it happens; ends after the job's last event.
    ///
    /// A connection that breaks is taken up where it broke, so that no event is missed or comes twice. It ends after the first error.
    ///
    /// ```no_run
    /// # async fn example(mb: meetbot::MeetBot, id: &str) -> Result<(), meetbot::Error> {
    /// use futures_util::TryStreamExt as _;
    ///
    /// let mut events = mb.watch(id)?;
    /// while let Some(event) = events.try_next().await? {
    ///     println!("{} {:?}", event.event, event.data.status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(
        &self,
        job_id: &str,
    ) -> Result<impl Stream<Item = Result<TimelineEvent, Error>> + Send + Unpin + use<>, Error>
    {
        let request = Request::new("GET", endpoint::events_path(job_id)?)?;
        Ok(events::watch(self.transport.clone(), request, |_, event| event))
    }

    /// One page of webhook deliveries with every try, newest first (`GET /api/v1/webhooks/deliveries`).
    pub async fn deliveries(&self, list: &ListDeliveries) -> Result<Page<Delivery>, Error> {
        self.transport.call(endpoint::deliveries(list)).await
    }

    /// A call of your own, to any path of the API: with the key, the time limits, the retries and the errors of every other call.
    ///
    /// ```no_run
    /// # async fn example(mb: meetbot::MeetBot) -> Result<(), meetbot::Error> {
    /// use meetbot::Request;
    ///
    /// let answer = mb.request(Request::new("GET", "/api/v1/jobs?limit=1")?).await?;
    /// println!("{} {:?}", answer.status(), answer.header("x-request-id"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn request(&self, request: Request) -> Result<Response, Error> {
        self.transport.request(request).await
    }

    /// A call of your own that you send by means of your own; see [`Exchange`].
    pub fn exchange(&self, request: Request) -> Result<Exchange, Error> {
        Exchange::new(self.transport.settings.clone(), request)
    }

    /// The error for an answer of [`MeetBot::request`] that does not hold what its path promises, and why: [`ErrorKind::Decode`], with what
    /// came in its body.
    ///
    /// ```no_run
    /// # async fn example(mb: meetbot::MeetBot, request: meetbot::Request) -> Result<(), meetbot::Error> {
    /// let answer = mb.request(request).await?;
    /// let count: u64 = std::str::from_utf8(answer.body())
    ///     .map_err(|error| mb.unreadable("/api/v1/count", &answer, error))?
    ///     .parse()
    ///     .map_err(|error: std::num::ParseIntError| mb.unreadable("/api/v1/count", &answer, error))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn unreadable(
        &self,
        path: &str,
        answer: &Response,
        why: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        self.transport.settings.unreadable(path, answer, why)
    }

    /// Where calls go, without a slash at the end.
    pub fn base_url(&self) -> &str {
        self.transport.settings.base_url()
    }

    /// Whether the API key goes over plain `http://` to another machine, where everyone on the way can read it. A client of which that is true warns of it in
    /// the log when it is made.
    pub fn is_in_the_clear(&self) -> bool {
        self.transport.settings.is_in_the_clear()
    }

    /// How the server's machine is, and how much the server does (`GET /api/v1/admin/host`). It needs a key with the scope `admin`, and takes a fifth of a second,
    /// for which the processors are watched.
    pub async fn host(&self) -> Result<Host, Error> {
        self.transport.call(endpoint::host()).await
    }

    /// What the key's consumer has used this month in the key's world, and what it may use (`GET /api/v1/usage`).
    pub async fn usage(&self) -> Result<Usage, Error> {
        self.transport.call(endpoint::usage()).await
    }

    /// Every platform that the server recognises, with each way into its meetings: whether a job for it is taken with this key, and what the operator has to install or set where none is
    /// (`GET /api/v1/platforms`). All of it is on one page. With a test key the sandbox plays the meetings of every platform.
    ///
    /// ```no_run
    /// # async fn example(mb: meetbot::MeetBot) -> Result<(), meetbot::Error> {
    /// for way in mb.list_platforms().await?.data.iter().filter(|way| way.joinable) {
    ///     println!("{}", way.platform);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_platforms(&self) -> Result<Page<PlatformAvailability>, Error> {
        self.transport.call(endpoint::list_platforms()).await
    }

    /// A webhook delivery with every try, or `None` when there is none with this id (`GET /api/v1/webhooks/deliveries/{id}`).
    pub async fn get_delivery(&self, delivery_id: &str) -> Result<Option<Delivery>, Error> {
        absent(self.transport.call(endpoint::get_delivery(delivery_id)?).await)
    }

    /// Sends a webhook again at once, whatever became of it, under the same `deliveryId` (`POST …/redeliver`). Should it fail, the waits between
    /// tries begin anew.
    pub async fn redeliver(&self, delivery_id: &str) -> Result<Delivery, Error> {
        self.transport.call(endpoint::redeliver(delivery_id)?).await
    }
}

/// `None` for what is not there.
pub(crate) fn absent<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What to ask for after `page`; `None` after the last.
pub(crate) fn following(list: ListBots, page: &Page<Job>) -> Result<Option<ListBots>, Error> {
    let Some(next) = &page.next_cursor else { return Ok(None) };
    if list.cursor.as_ref() == Some(next) {
        return Err(Error::new(
            ErrorKind::Decode,
            "the list goes in circles: a page names itself as the next",
        )
        .with_call(1, None));
    }
    Ok(Some(ListBots { cursor: Some(next.clone()), ..list }))
}
