//! A server that gives one scripted answer to each request and remembers what it was asked.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use meetbot::{MeetBot, blocking};

pub(crate) const KEY: &str = "mb_test_0123456789abcdef";

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers with these bytes, then closes the connection.
    Raw(Vec<u8>),
    /// Answers with these bytes and keeps the connection open.
    Stay(Vec<u8>),
    /// Never answers.
    Hang,
    /// Answers with these bytes, and then with those again and again, until the client hangs up.
    Flood(Vec<u8>, Vec<u8>),
    /// Resets the connection.
    Reset,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `GET /path HTTP/1.1`
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub(crate) struct FakeServer {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// An answer with a body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut text = format!(
        "HTTP/1.1 {status} As Scripted\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    Reply::Raw(format!("{text}\r\n{body}").into_bytes())
}

impl FakeServer {
    /// Gives these answers in turn, and 599 after the last.
    pub(crate) fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::with_events(replies, [])
    }

    /// The same, with answers of their own for those who ask for a stream of events, if there are any.
    pub(crate) fn with_events(
        replies: impl IntoIterator<Item = Reply>,
        events: impl IntoIterator<Item = Reply>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let replies = Arc::new(Mutex::new(replies.into_iter().collect::<VecDeque<_>>()));
        let events: VecDeque<_> = events.into_iter().collect();
        let events =
            if events.is_empty() { Arc::clone(&replies) } else { Arc::new(Mutex::new(events)) };
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, replies, events) =
                    (Arc::clone(&seen), Arc::clone(&replies), Arc::clone(&events));
                thread::spawn(move || serve(stream, &seen, &replies, &events));
            }
        });
        Self { port, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn client(&self) -> MeetBot {
        MeetBot::builder().api_key(KEY).base_url(self.url()).build().unwrap()
    }

    pub(crate) fn blocking(&self) -> blocking::MeetBot {
        blocking::MeetBot::builder().api_key(KEY).base_url(self.url()).build().unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    replies: &Mutex<VecDeque<Reply>>,
    events: &Mutex<VecDeque<Reply>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let request = Request { line: line.trim_end().to_owned(), headers, body };
    let replies =
        if request.header("accept") == Some("text/event-stream") { events } else { replies };
    seen.lock().unwrap().push(request);
    let reply = replies
        .lock()
        .unwrap()
        .pop_front()
        .unwrap_or_else(|| answer(599, &[], "no answer is left"));
    match reply {
        // The client may hang up before it has read everything.
        Reply::Raw(bytes) => drop(stream.write_all(&bytes)),
        Reply::Stay(bytes) => {
            drop(stream.write_all(&bytes));
            drop(reader.read_to_end(&mut Vec::new()));
        }
        Reply::Flood(bytes, more) => {
            let mut sent = stream.write_all(&bytes);
            let more = more.repeat(1 + (64 << 10) / more.len());
            while sent.is_ok() {
                sent = stream.write_all(&more);
            }
        }
        Reply::Reset => {
            let socket = socket2::SockRef::from(&stream);
            socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
        // Until the client hangs up.
        Reply::Hang => drop(reader.read_to_end(&mut Vec::new())),
    }
}

/// A job as the server shows it.
pub(crate) fn job(id: u32, status: &str) -> String {
    let vectors = xtask::spec_file::read_json("spec/vectors/models.json");
    let mut job = vectors["cases"][0]["json"].clone();
    job["id"] = format!("job_01KAB1CDEFGHJKMNPQRS{id:06}").into();
    job["status"] = status.into();
    job.to_string()
}
