//! An S3 server in this process, with faults in front of it.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

use crate::program::PATIENCE;

pub(crate) const BUCKET: &str = "acme";
const KEY: &str = "mb-test-key";
const SECRET: &str = "mb-test-secret";

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It is done.
    None,
    /// The connection is closed without an answer, and nothing is done.
    Away,
    /// The connection is closed after some of the body was read, and nothing is done.
    Cut,
    /// It is refused with this status and code.
    Refused(u16, &'static str),
    /// It waits, and is done only when the fault is lifted.
    HeldBefore,
    /// It is done, and its answer waits until the fault is lifted.
    HeldAfter,
}

/// Which requests meet a fault.
#[derive(Debug, Clone)]
struct Rule {
    method: &'static str,
    contains: String,
    /// For how many more requests; `None`: until it is lifted.
    times: Option<u32>,
    fault: Fault,
}

#[derive(Debug, Default)]
struct Rules {
    rules: Vec<Rule>,
    /// Each request that came: its method and its path with the query.
    seen: Vec<String>,
}

/// An S3 server with one bucket.
pub(crate) struct BucketServer {
    root: TempDir,
    address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    /// Changes when a fault is lifted.
    lifted: watch::Sender<()>,
    /// Changes when a request has come.
    came: watch::Receiver<()>,
    runtime: Option<Runtime>,
}

impl BucketServer {
    pub(crate) fn start() -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let rules = Arc::new(Mutex::new(Rules::default()));
        let (lifted, _) = watch::channel(());
        let (comes, came) = watch::channel(());
        let (in_front, lifts) = (Arc::clone(&rules), lifted.clone());
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, rules) = (service.clone(), Arc::clone(&in_front));
                let (lifts, comes) = (lifts.clone(), comes.clone());
                let handle = service_fn(move |request| {
                    answer(
                        service.clone(),
                        Arc::clone(&rules),
                        lifts.subscribe(),
                        comes.clone(),
                        request,
                    )
                });
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    // An error is a fault that was asked for, or a client that has gone.
                    let _ = connection.serve_connection(TokioIo::new(socket), handle).await;
                });
            }
        });
        Self { root, address, rules, lifted, came, runtime: Some(runtime) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The environment of a server that keeps its recordings here, under this prefix.
    pub(crate) fn settings(&self, prefix: &str) -> Vec<(&'static str, String)> {
        let url = if prefix.is_empty() {
            format!("s3://{BUCKET}")
        } else {
            format!("s3://{BUCKET}/{prefix}")
        };
        vec![
            ("MEETBOT_STORAGE_URL", url),
            ("MEETBOT_STORAGE_ENDPOINT", format!("http://{}", self.address)),
            ("MEETBOT_STORAGE_PATH_STYLE", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
        ]
    }

    /// Requests of this method whose path or query has this text meet a fault: so many of them, or all until [`BucketServer::lift`].
    pub(crate) fn fault(
        &self,
        method: &'static str,
        contains: &str,
        times: Option<u32>,
        fault: Fault,
    ) {
        let rule = Rule { method, contains: contains.to_owned(), times, fault };
        self.rules.lock().unwrap().rules.push(rule);
    }

    /// No more faults.
    pub(crate) fn lift(&self) {
        self.rules.lock().unwrap().rules.clear();
        self.lifted.send_replace(());
    }

    /// No more requests are held; the other faults stay.
    pub(crate) fn lift_holds(&self) {
        let held = |rule: &Rule| matches!(rule.fault, Fault::HeldBefore | Fault::HeldAfter);
        self.rules.lock().unwrap().rules.retain(|rule| !held(rule));
        self.lifted.send_replace(());
    }

    /// How many parts of uploads lie there that have no end.
    pub(crate) fn parts(&self) -> usize {
        let entries = fs::read_dir(self.root.path()).unwrap();
        let is_part = |name: &str| name.starts_with(".upload_id-");
        entries
            .filter(|entry| is_part(&entry.as_ref().unwrap().file_name().to_string_lossy()))
            .count()
    }

    /// All requests so far: the method, and the path with the query.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.rules.lock().unwrap().seen.clone()
    }

    /// The next requests of this method and text meet no fault, so many of them.
    pub(crate) fn let_pass(&self, method: &'static str, contains: &str, times: u32) {
        self.fault(method, contains, Some(times), Fault::None);
    }

    /// Waits until a request has come after the first `after`, of this method and with this text in its path.
    pub(crate) fn await_request(&self, after: usize, method: &str, contains: &str) {
        self.await_requests(after, method, contains, 1);
    }

    /// The same of several.
    pub(crate) fn await_requests(&self, after: usize, method: &str, contains: &str, number: u32) {
        let mut came = self.came.clone();
        let runtime = self.runtime.as_ref().unwrap();
        let matching = |request: &&String| {
            request.starts_with(&format!("{method} ")) && request.contains(contains)
        };
        runtime.block_on(async {
            let comes = came.wait_for(|()| {
                let seen = self.seen();
                seen.iter().skip(after).filter(matching).count() >= number as usize
            });
            let waited = tokio::time::timeout(PATIENCE * 2, comes).await;
            assert!(waited.is_ok(), "no {method} of {contains}: {:#?}", self.seen());
        });
    }

    /// The objects of the bucket by key, without the server's own metadata files.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let bucket = self.root.path().join(BUCKET);
        let mut objects = BTreeMap::new();
        collect(&bucket, &bucket, &mut objects);
        objects
    }

    /// The objects of a job, by their names in its folder: as in `1.k3v9/manifest.json`.
    pub(crate) fn of_job(&self, job: &str) -> BTreeMap<String, Vec<u8>> {
        let of_job = |(key, content): (String, Vec<u8>)| {
            let (_, name) = key.split_once(&format!("jobs/{job}/"))?;
            Some((name.to_owned(), content))
        };
        self.objects().into_iter().filter_map(of_job).collect()
    }

    /// The folder of the bucket itself.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join(BUCKET)
    }
}

impl Drop for BucketServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn collect(bucket: &Path, folder: &Path, objects: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(bucket, &path, objects);
        } else if let Ok(content) = fs::read(&path) {
            let key = path.strip_prefix(bucket).unwrap().to_str().unwrap();
            objects.insert(key.to_owned(), content);
        }
    }
}

/// The fault that a request meets, if any.
fn meets(rules: &Mutex<Rules>, method: &str, target: &str) -> Option<Fault> {
    let mut rules = rules.lock().unwrap();
    rules.seen.push(format!("{method} {target}"));
    let rule = rules.rules.iter_mut().find(|rule| {
        (rule.method == method || rule.method == "*")
            && target.contains(&rule.contains)
            && rule.times != Some(0)
    })?;
    rule.times = rule.times.map(|times| times - 1);
    Some(rule.fault.clone())
}

async fn answer(
    service: S3Service,
    rules: Arc<Mutex<Rules>>,
    mut lifted: watch::Receiver<()>,
    comes: watch::Sender<()>,
    mut request: Request<Incoming>,
) -> io::Result<Response<s3s::Body>> {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let fault = meets(&rules, request.method().as_str(), &target);
    comes.send_replace(());
    match &fault {
        Some(Fault::Away) => return Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Fault::Cut) => {
            let _ = request.body_mut().frame().await;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Some(Fault::Refused(status, code)) => {
            let body =
                format!("<Error><Code>{code}</Code><Message>it is scripted</Message></Error>");
            let mut response = Response::new(s3s::Body::from(body));
            *response.status_mut() = StatusCode::from_u16(*status).unwrap();
            return Ok(response);
        }
        Some(Fault::HeldBefore) => {
            let _ = lifted.changed().await;
        }
        Some(Fault::HeldAfter | Fault::None) | None => {}
    }
    let served = hyper::service::Service::call(&service, request).await;
    if matches!(fault, Some(Fault::HeldAfter)) {
        // The request is done: wakes the tests that wait for it.
        rules.lock().unwrap().seen.push(format!("done {target}"));
        comes.send_replace(());
        let _ = lifted.changed().await;
    }
    served.map_err(io::Error::other)
}
