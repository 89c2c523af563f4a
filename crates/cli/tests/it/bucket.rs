//! Recordings in a bucket: uploaded, read and deleted there, without loss.

use std::{collections::BTreeMap, path::Path};

use meetbot::{ErrorKind, Job, JobStatus, Request, blocking::MeetBot};
use meetbot_testkit::polling::poll_until;
use meetbot_types::signature::sha256;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    backup_rounds::dispatch,
    bucket_server::{BucketServer, Fault},
    doctor::check,
    program::{
        CommandOutput, PATIENCE, Running, await_job, client, create_key, manifest_of, meetbot,
        mix_reported, run, serve_with,
    },
};

/// A meeting of a second.
pub(crate) const SHORT: &str = "two-speakers?seconds=1";

/// A server that keeps its recordings in a bucket.
pub(crate) fn serve_bucket(data: &Path, bucket: &BucketServer, prefix: &str) -> (Running, String) {
    serve_settings(data, &bucket.settings(prefix))
}

fn serve_settings(data: &Path, settings: &[(&str, String)]) -> (Running, String) {
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    serve_with(data, None, &settings)
}

/// Every file below a folder, by its path in it; files may go meanwhile.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in std::fs::read_dir(next).into_iter().flatten().flatten().map(|one| one.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(content) = std::fs::read(&path) {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), content);
            }
        }
    }
    found
}

/// What lies on the disk of a job.
fn on_disk(data: &Path, job: &str) -> BTreeMap<String, Vec<u8>> {
    files(&data.join("recordings").join(job))
}

pub(crate) fn nothing_is_on_disk(data: &Path) -> bool {
    files(&data.join("recordings")).is_empty()
}

/// `meetbot doctor` with these settings.
pub(crate) fn doctor(settings: &[(&str, String)], data: &Path, more: &[&str]) -> CommandOutput {
    let mut command = meetbot();
    command.args(["doctor", "--json", "--data-dir"]).arg(data).args(more);
    run(command.envs(settings.iter().map(|(name, value)| (*name, value))))
}

fn uploading(client: &MeetBot, id: &str) -> Job {
    await_job(client, id, |job| job.status_detail.as_deref() == Some("uploading"))
}

pub(crate) fn completed(client: &MeetBot, id: &str) -> Job {
    await_job(client, id, |job| job.status == JobStatus::Completed)
}

/// The recording is whole: the bucket has what the manifest lists and nothing else, each file as its checksum says, and the disk has nothing.
#[track_caller]
pub(crate) fn is_whole(bucket: &BucketServer, data: &Path, client: &MeetBot, id: &str) {
    mix_reported(client, id);
    let manifest = manifest_of(client, id);
    let objects = bucket.of_job(id);
    let attempt = objects.keys().next().unwrap().split('/').next().unwrap().to_owned();
    assert!(objects.keys().all(|key| key.starts_with(&attempt)), "{:?}", objects.keys());
    assert_eq!(objects.len(), manifest.files.len() + 1, "{:?}", objects.keys());
    let mut bytes = objects[&format!("{attempt}/manifest.json")].len() as u64;
    for file in &manifest.files {
        let content = &objects[&format!("{attempt}/{}", file.name)];
        let sha256 = sha256(content);
        assert_eq!((content.len() as u64, &sha256), (file.bytes, &file.sha256), "{}", file.name);
        let read = client.artifact(id, &file.name).unwrap();
        assert!(read == *content, "{} is read as it is", file.name);
        bytes += file.bytes;
    }
    assert!(manifest.files.iter().any(|file| file.name == "audio.mixed.webm"), "{manifest:#?}");
    let job = client.get_bot(id).unwrap().unwrap();
    let end = format!("/jobs/{id}/{attempt}/manifest.json");
    let uri = job.manifest_uri.unwrap();
    assert!(uri.starts_with("s3://acme") && uri.ends_with(&end), "{uri}");
    assert_eq!(job.recording.bytes, Some(bytes));
    poll_until(PATIENCE, || match on_disk(data, id) {
        files if files.is_empty() => Ok(()),
        files => Err(format!("still on disk: {:?}", files.keys())),
    });
}

#[test]
fn a_recording_is_uploaded_unchanged_before_its_job_ends() {
    let (data, bucket) = (TempDir::new().unwrap(), BucketServer::start());
    bucket.fault("PUT", "manifest.json", Some(1), Fault::HeldBefore);
    // The first manifest that is put is held; the marker of the prefix has another name.
    let (server, url) = serve_bucket(data.path(), &bucket, "meetings/eu");
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let id = dispatch(&client, SHORT, None);
    bucket.await_request(0, "PUT", "manifest.json");
    let job = uploading(&client, &id);
    assert_eq!(
        (&job.status, &job.manifest_uri, job.ended_at),
        (&JobStatus::Finalizing, &None, None)
    );
    let events = client.events(&id, None).unwrap().data;
    assert!(events.iter().all(|event| event.event != "job.finalized"), "{events:#?}");
    assert_eq!(client.manifest(&id).unwrap_err().kind(), ErrorKind::NotFound);
    let local = on_disk(data.path(), &id);
    let objects = bucket.of_job(&id);
    assert_eq!(
        objects.len(),
        local.len() - 1,
        "all but the manifest is there: {:?}",
        objects.keys()
    );
    for (name, content) in &objects {
        let (_, file) = name.split_once('/').unwrap();
        assert!(local[&format!("e1/{file}")] == *content, "{file}");
    }

    bucket.lift();
    completed(&client, &id);
    is_whole(&bucket, data.path(), &client, &id);
    let keys = bucket.objects();
    assert!(keys.keys().all(|key| key.starts_with("meetings/eu/")), "{:?}", keys.keys());
    // An answer without the key leads to the bucket, for a while; parts of files are read there, too.
    let path = format!("/api/v1/jobs/{id}/artifacts/audio.Alice.webm");
    let answer = raw(&url, &key, &path, None);
    assert_eq!(answer.status, 302);
    let location = answer.header("location");
    assert!(
        location.contains("X-Amz-Expires=300") && !location.contains("mb-test-secret"),
        "{location}"
    );
    let part = raw("", "", &location, Some("bytes=0-3"));
    assert_eq!((part.status, part.body.as_slice()), (206, &local["e1/audio.Alice.webm"][..4]));
    let (start, signature) = location.split_once("X-Amz-Signature=").unwrap();
    let other = if signature.starts_with('0') { "1" } else { "0" };
    let forged = format!("{start}X-Amz-Signature={other}{}", &signature[1..]);
    assert_eq!(raw("", "", &forged, None).status, 403);
    // A page may read from its own server only.
    let headers = [
        ("cookie", session(&url, &key)),
        ("sec-fetch-site", "same-origin".to_owned()),
        ("range", "bytes=0-3".to_owned()),
    ];
    let passed = send("GET", &format!("{url}{path}"), &headers, String::new());
    assert_eq!((passed.status, passed.body.as_slice()), (206, &local["e1/audio.Alice.webm"][..4]));
    let (code, log) = server.terminate_with_log();
    assert_eq!(code, Some(0));
    assert!(!log.contains("mb-test-secret") && !log.contains("X-Amz-Signature"), "{log}");
}

/// An answer that no SDK has read.
struct Raw {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Raw {
    #[track_caller]
    fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).1.clone()
    }
}

fn raw(url: &str, key: &str, path: &str, range: Option<&str>) -> Raw {
    let mut headers = Vec::new();
    if !key.is_empty() {
        headers.push(("authorization", format!("Bearer {key}")));
    }
    headers.extend(range.map(|range| ("range", range.to_owned())));
    send("GET", &format!("{url}{path}"), &headers, String::new())
}

fn send(method: &str, url: &str, headers: &[(&'static str, String)], body: String) -> Raw {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(meetbot_orchestrator::tls::config())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let mut request = http.request(method.parse().unwrap(), url).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.unwrap();
        let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
        let headers =
            answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let status = answer.status().as_u16();
        Raw { status, headers, body: answer.bytes().await.unwrap().to_vec() }
    })
}

/// The cookie of a browser that signs in with a key.
fn session(url: &str, key: &str) -> String {
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    let body = format!("{{\"key\":\"{key}\"}}");
    let answer = send("POST", &format!("{url}/api/v1/sessions"), &headers, body);
    assert_eq!(answer.status, 201);
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[test]
fn an_upload_continues_after_its_server_was_killed() {
    let (data, bucket) = (TempDir::new().unwrap(), BucketServer::start());
    let (server, url) = serve_bucket(data.path(), &bucket, "");
    let (key, _) = create_key(data.path(), &[]);
    let mut running = (server, url);
    // Each moment of an upload: before anything of it and between two files, when all but the manifest is there, when it was put and nobody has heard of it; and the
    // same of the mix.
    for (method, contains, skip, fault) in [
        ("GET", "prefix=jobs%2Fjob_", 0, Fault::HeldBefore),
        ("PUT", "audio.Alice.webm", 0, Fault::HeldBefore),
        ("PUT", "audio.Bob.webm", 0, Fault::HeldAfter),
        ("PUT", "manifest.json", 0, Fault::HeldBefore),
        ("PUT", "manifest.json", 0, Fault::HeldAfter),
        ("PUT", "audio.mixed.webm", 0, Fault::HeldBefore),
        ("PUT", "audio.mixed.webm", 0, Fault::HeldAfter),
        ("PUT", "manifest.json", 1, Fault::HeldBefore),
        ("PUT", "manifest.json", 1, Fault::HeldAfter),
    ] {
        let (server, url) = running;
        if skip > 0 {
            bucket.let_pass(method, contains, skip);
        }
        let waits_for = if matches!(fault, Fault::HeldAfter) { "done" } else { method };
        let before = bucket.seen().len();
        bucket.fault(method, contains, None, fault.clone());
        let id = dispatch(&client(&url, &key), SHORT, None);
        bucket.await_requests(
            before,
            waits_for,
            contains,
            1 + if waits_for == "done" { 0 } else { skip },
        );
        server.kill();
        bucket.lift();
        running = serve_bucket(data.path(), &bucket, "");
        let client = client(&running.1, &key);
        let job = completed(&client, &id);
        assert_eq!(job.attempt, 1, "no other bot was needed: {method} {contains} {fault:?}");
        is_whole(&bucket, data.path(), &client, &id);
    }
}

#[test]
fn recordings_wait_on_disk_during_an_outage_of_the_bucket() {
    let (data, bucket) = (TempDir::new().unwrap(), BucketServer::start());
    let (server, url) = serve_bucket(data.path(), &bucket, "");
    let (key, _) = create_key(data.path(), &[]);
    let (admin_key, _) = create_key(data.path(), &["--scope", "admin"]);
    let before = client(&url, &key);
    bucket.fault("*", "", None, Fault::Away);
    let first = dispatch(&before, SHORT, None);
    uploading(&before, &first);
    let ready = |client: &MeetBot| -> Value {
        let answer = client.request(Request::new("GET", "/readyz").unwrap()).unwrap();
        serde_json::from_slice(answer.body()).unwrap()
    };
    let waits = |client: &MeetBot| {
        poll_until(PATIENCE * 2, || match ready(client) {
            output if output["storage"]["waiting"] == 1 => Ok(()),
            output => Err(output.to_string()),
        });
    };
    waits(&before);
    let metrics =
        client(&url, &admin_key).request(Request::new("GET", "/metrics").unwrap()).unwrap();
    let metrics = String::from_utf8(metrics.body().to_vec()).unwrap();
    for line in ["meetbot_uploads_waiting 1\n", "meetbot_uploads_failing 1\n"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let listen = url.strip_prefix("http://").unwrap();
    let output = doctor(&bucket.settings(""), data.path(), &["--listen", listen]);
    let (state, found, _) = check(&output, "ready");
    assert!(state == "warn" && found.contains("1 wait on its disk"), "{found}");
    let (state, found, _) = check(&output, "storage");
    assert!(state == "fail" && found.contains("cannot be reached"), "{found}");

    // A server starts without it, and records what comes.
    server.kill();
    let (_server, url) = serve_bucket(data.path(), &bucket, "");
    let after = client(&url, &key);
    let second = dispatch(&after, SHORT, None);
    uploading(&after, &second);
    assert_eq!(after.get_bot(&first).unwrap().unwrap().status, JobStatus::Finalizing);
    bucket.lift();
    for id in [&first, &second] {
        completed(&after, id);
        is_whole(&bucket, data.path(), &after, id);
    }
    poll_until(PATIENCE, || match ready(&after) {
        output if output["storage"].is_null() => Ok(()),
        output => Err(output.to_string()),
    });
}

#[test]
fn temporarily_refused_uploads_are_retried_without_loss_or_duplicates() {
    let (data, bucket) = (TempDir::new().unwrap(), BucketServer::start());
    let (_server, url) = serve_bucket(data.path(), &bucket, "");
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    bucket.fault("PUT", "audio.Alice.webm", Some(1), Fault::Cut);
    bucket.fault("PUT", "audio.Alice.webm", Some(5), Fault::Refused(503, "SlowDown"));
    bucket.fault("PUT", "audio.Bob.webm", Some(1), Fault::Refused(403, "AccessDenied"));
    bucket.fault("PUT", "events.jsonl", Some(1), Fault::Refused(500, "InternalError"));
    bucket.fault(
        "PUT",
        "manifest.json",
        Some(1),
        Fault::Refused(409, "ConditionalRequestConflict"),
    );
    bucket.fault("PUT", "audio.mixed.webm", Some(1), Fault::Away);
    let id = dispatch(&client, SHORT, None);
    completed(&client, &id);
    is_whole(&bucket, data.path(), &client, &id);
}

#[test]
fn a_deleted_recording_is_removed_from_the_bucket_after_a_failed_first_try() {
    let (data, bucket) = (TempDir::new().unwrap(), BucketServer::start());
    let (_server, url) = serve_bucket(data.path(), &bucket, "eu");
    let (key, _) = create_key(data.path(), &["--consumer", "acme"]);
    let (admin, _) = create_key(data.path(), &["--consumer", "acme", "--scope", "admin"]);
    let [writer, admin] = [&key, &admin].map(|key| client(&url, key));
    let [first, second] = [(); 2].map(|()| dispatch(&writer, SHORT, None));
    for id in [&first, &second] {
        completed(&writer, id);
        is_whole(&bucket, data.path(), &writer, id);
    }
    let objects = bucket.of_job(&first);
    bucket.fault("DELETE", "audio.Bob.webm", None, Fault::Refused(500, "InternalError"));
    let broken = MeetBot::builder().api_key(&key).base_url(&url).max_retries(0).build().unwrap();
    let error = broken.delete_recording(&first).unwrap_err();
    assert_eq!(error.status(), Some(503), "{error}");
    let left = bucket.of_job(&first);
    assert!(
        left.keys().any(|name| name.ends_with("/manifest.json")),
        "it goes last: {:?}",
        left.keys()
    );
    assert_eq!(writer.manifest(&first).unwrap_err().kind(), ErrorKind::NotFound);
    bucket.lift();
    let receipt = writer.delete_recording(&first).unwrap();
    let removed: Vec<_> =
        receipt.removed.iter().map(|object| object.name.clone().unwrap()).collect();
    assert!(removed.last().unwrap().ends_with("/manifest.json"), "{removed:?}");
    let mut all: Vec<String> = removed.into_iter().chain(receipt.already_gone).collect();
    all.sort();
    assert_eq!(all, objects.into_keys().collect::<Vec<_>>(), "removed now, or gone already");
    assert!(bucket.of_job(&first).is_empty());
    assert_eq!(writer.get_bot(&first).unwrap().unwrap().recording.bytes, Some(0));

    // One is erased whose recording is still on its way.
    bucket.fault("PUT", "manifest.json", None, Fault::Refused(503, "SlowDown"));
    let third = dispatch(&writer, SHORT, None);
    uploading(&writer, &third);
    bucket.await_request(0, "PUT", &format!("{third}/"));
    let receipt = admin.erase_consumer("acme").unwrap();
    assert_eq!(receipt.jobs, 3);
    let named =
        |id: &str| receipt.removed.iter().any(|one| one.name.as_ref().unwrap().starts_with(id));
    assert!(named(&second) && named(&third), "{receipt:#?}");
    assert!(bucket.of_job(&second).is_empty() && bucket.of_job(&third).is_empty());
    assert!(nothing_is_on_disk(data.path()));
    assert_eq!(bucket.objects().into_keys().collect::<Vec<_>>(), ["eu/meetbot.json"]);
}

#[test]
fn files_are_proxied_if_callers_cannot_reach_the_bucket() {
    let (data, bucket) = (TempDir::new().unwrap(), BucketServer::start());
    let mut settings = bucket.settings("");
    settings.push(("MEETBOT_RECORDINGS_SERVE", "proxy".to_owned()));
    let (server, url) = serve_settings(data.path(), &settings);
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let id = dispatch(&client, SHORT, None);
    completed(&client, &id);
    is_whole(&bucket, data.path(), &client, &id);
    let objects = bucket.of_job(&id);
    let (_, content) = objects.iter().find(|(name, _)| name.ends_with("audio.Alice.webm")).unwrap();
    let (path, all) = (format!("/api/v1/jobs/{id}/artifacts/audio.Alice.webm"), content.len());
    let asked = |range: Option<&str>| raw(&url, &key, &path, range);
    let whole = asked(None);
    assert_eq!((whole.status, whole.header("content-type").as_str()), (200, "audio/webm"));
    assert!(whole.body == *content && whole.header("accept-ranges") == "bytes");
    for (range, first, last) in [
        ("bytes=0-9", 0, 9),
        ("bytes=-5", all - 5, all - 1),
        ("bytes=100-", 100, all - 1),
        ("bytes=5-99999999999", 5, all - 1),
    ] {
        let part = asked(Some(range));
        assert_eq!(
            (part.status, part.header("content-range")),
            (206, format!("bytes {first}-{last}/{all}")),
            "{range}"
        );
        assert!(part.body == content[first..=last], "{range}");
    }
    let behind = asked(Some("bytes=99999999999-"));
    assert_eq!((behind.status, behind.header("content-range")), (416, format!("bytes */{all}")));
    assert_eq!(asked(Some("pages=1-2")).body.len(), all, "what is no range is passed over");
    let none = raw(&url, &key, &format!("/api/v1/jobs/{id}/artifacts/nothing"), None);
    assert_eq!(none.status, 404);

    // A missing object, and a bucket that does not answer.
    let taken = bucket.folder().join(format!("jobs/{id}"));
    let attempt = std::fs::read_dir(&taken).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(attempt.join("audio.Alice.webm")).unwrap();
    assert_eq!(asked(None).status, 404);
    bucket.fault("*", "", None, Fault::Away);
    assert_eq!(asked(None).status, 503);
    drop(server);
}

#[test]
fn a_large_file_is_uploaded_in_parts_and_an_aborted_upload_leaves_none() {
    let (data, bucket) = (TempDir::new().unwrap(), BucketServer::start());
    let (_server, url) = serve_bucket(data.path(), &bucket, "");
    let (key, _) = create_key(data.path(), &[]);
    let client = client(&url, &key);
    let before = bucket.seen().len();
    bucket.fault("GET", "prefix=jobs%2Fjob_", None, Fault::HeldBefore);
    let id = dispatch(&client, SHORT, None);
    bucket.await_request(before, "GET", "prefix=jobs%2Fjob_");
    // No meeting of a test is long enough for such a file.
    let file = data.path().join(format!("recordings/{id}/e1/audio.Alice.webm"));
    let content: Vec<u8> = (0..33_u32 << 18).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&file, &content).unwrap();
    bucket.fault("PUT", "partNumber=2", Some(5), Fault::Cut);
    bucket.lift_holds();
    completed(&client, &id);
    let objects = bucket.of_job(&id);
    let (_, stored) = objects.iter().find(|(name, _)| name.ends_with("audio.Alice.webm")).unwrap();
    assert!(*stored == content, "{} bytes, not {}", stored.len(), content.len());
    let seen = bucket.seen();
    let asked = |method: &str, text: &str| {
        seen.iter().any(|request| request.starts_with(method) && request.contains(text))
    };
    assert!(asked("DELETE", "uploadId="), "what was cut off is aborted: {seen:#?}");
    assert_eq!(bucket.parts(), 0);
}
