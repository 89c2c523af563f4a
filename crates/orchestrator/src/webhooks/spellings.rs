//! Spellings of private addresses in webhook URLs, and tests that none of them is accepted or connected to.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use meetbot_types::{
    AddressPolicy, DeliveryId, EventName, JobId, JobStatus, Metadata, Timestamp, WebhookEvent,
    bot::Secret,
    event::{ENVELOPE_VERSION, EventData, EventDetails},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::post::Post;
use crate::{
    clock::Clock,
    deliveries::Lane,
    egress::{Guard, Lookup, UrlProblem},
    store::{DueDelivery, WebhookSecrets},
};

/// Hosts that are an address, in every spelling: refused when a job is created.
pub(crate) const LITERALS: &[&str] = &[
    // Loopback: plain, decimal, octal, hexadecimal, short and mixed.
    "127.0.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0X7F000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "00000177.0.0.1",
    "0x7f.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0x7f.1",
    "127.1",
    "127.0.1",
    "127.0x0.1",
    "127.0.0.1.",
    // The same with letters that become digits and dots.
    "127%2e0%2e0%2e1",
    "%31%32%37.0.0.1",
    "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    "127\u{3002}0\u{3002}0\u{3002}1",
    "127\u{ff0e}0\u{ff0e}0\u{ff0e}1",
    "\u{2460}\u{2461}\u{2466}.0.0.1",
    "\u{1d7cf}\u{1d7d0}\u{1d7d5}.0.0.1",
    "127.0.\t0.1",
    "127.0.0\n.1",
    // This host.
    "0.0.0.0",
    "0",
    "0x0",
    "0.1.2.3",
    // Private, shared, link-local with the clouds' metadata, benchmarks, documentation, multicast, reserved, broadcast.
    "10.0.0.1",
    "012.0.0.1",
    "167772161",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "0xc0a80101",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    // IPv6: loopback, none, mapped, compatible, translated, NAT64, 6to4, Teredo.
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:A9FE:A9FE]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001::7f00:1]",
    // Link-local, site-local, unique local with a cloud's metadata, multicast, documentation, discard, segment routing, hash identifiers.
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[ff05::1:3]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[100::1]",
    "[5f00::1]",
    "[2001:10::1]",
    "[2001:20::1]",
];

/// URLs that lead to this machine by their form; and those that are none.
const FORMS: &[&str] = &[
    "http:127.0.0.1:PORT/",
    "http:/127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "http:\\\\127.0.0.1:PORT\\",
    "HTTP://127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\\@example.com/",
    "http://127.0.0.1:PORT#@example.com/",
    "http://127.0.0.1:PORT?@example.com/",
    " http://127.0.0.1:PORT/ ",
    "http://example.com@127.0.0.1:PORT/",
    "http://example.com%40@127.0.0.1:PORT/",
    "http://example.com:80@127.0.0.1:PORT/",
    "http://@127.0.0.1:PORT/",
    "http://:@127.0.0.1:PORT/",
    "http://[fe80::1%25eth0]:PORT/",
    "http://[::1%25lo]:PORT/",
    "http://[127.0.0.1]:PORT/",
    "http://127.0.0.256:PORT/",
    "http://127.0.0.0x:PORT/x",
    "ftp://127.0.0.1:PORT/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/",
    "unix:/run/docker.sock",
    "//127.0.0.1:PORT/",
];

/// Names that mean this machine without asking anybody.
const HOME_NAMES: &[&str] =
    &["localhost", "LOCALHOST", "l%6fcalhost", "\u{ff4c}ocalhost", "localhost.", "hooks.localhost"];

fn due(url: String) -> DueDelivery {
    let now = Timestamp::UNIX_EPOCH;
    let event = EventName::StatusChanged;
    DueDelivery {
        event: WebhookEvent {
            delivery_id: DeliveryId::generate(now),
            event: event.clone(),
            emitted_at: now,
            attempt: 1,
            version: ENVELOPE_VERSION,
            data: EventData {
                event,
                sequence: 1,
                job_id: JobId::generate(now),
                external_id: None,
                status: JobStatus::Joining,
                metadata: Metadata::default(),
                details: EventDetails::StatusChanged {
                    via: None,
                    previous_status: None,
                    status_detail: None,
                    leave_reason: None,
                },
            },
        },
        tries: 0,
        since: now,
        url,
        secrets: WebhookSecrets { current: Secret::new("whsec_AAAA"), previous: None },
        lane: Lane::New,
    }
}

/// Counts who connects, and thanks them.
async fn listener(address: IpAddr, port: u16) -> (u16, Arc<AtomicUsize>) {
    listener_that_says(address, port, "").await
}

async fn listener_that_says(
    address: IpAddr,
    port: u16,
    body: &'static str,
) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((address, port)).await.unwrap();
    let (port, visits) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&visits);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4_096]).await;
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, visits)
}

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Stands for the public internet, which no test reaches.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn guard(allowed: &[&str]) -> Arc<Guard> {
    let networks = allowed.iter().map(|network| network.parse().unwrap()).collect();
    Arc::new(Guard::new(AddressPolicy { loopback: false, networks }))
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_accepted_or_connected_to() {
    let (port, visits) = listener(HOME, 0).await;
    let guard = guard(&[]);
    let sender = Post::new(Arc::clone(&guard), Clock::start()).unwrap();
    for host in LITERALS {
        let url = format!("http://{host}:{port}/hook");
        assert!(matches!(guard.check(&url), Err(UrlProblem::Address(_))), "{url:?}");
    }
    let urls = LITERALS.iter().map(|host| format!("http://{host}:PORT/hook"));
    for url in urls.chain(FORMS.iter().map(ToString::to_string)) {
        let url = url.replace("PORT", &port.to_string());
        assert!(guard.check(&url).is_err(), "{url:?}");
        // As if it had come into the store in another way.
        let (tried, _) = sender.make(&due(url.clone())).await;
        assert!(tried.status.is_none(), "{url:?}: {tried:?}");
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_of_this_machine_is_neither_accepted_nor_connected_to() {
    let (port, visits) = listener(HOME, 0).await;
    let guard = guard(&[]);
    let sender = Post::new(Arc::clone(&guard), Clock::start()).unwrap();
    for name in HOME_NAMES {
        let url = format!("http://{name}:{port}/hook");
        assert!(matches!(guard.check(&url), Err(UrlProblem::Address(_))), "{url}");
        let (tried, _) = sender.make(&due(url.clone())).await;
        assert!(tried.status.is_none() && tried.error.is_some(), "{url}: {tried:?}");
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_unknown_name_and_a_name_of_a_private_address_have_the_same_error() {
    let (port, visits) = listener(HOME, 0).await;
    let not_found: Lookup =
        Arc::new(|_| Box::pin(async { Err(std::io::Error::other("Name or service not known")) }));
    let error = async |lookup: &Lookup| {
        let sender = Post::with_lookup(guard(&[]), Clock::start(), lookup).unwrap();
        let (tried, _) = sender.make(&due(format!("http://billing.corp:{port}/hook"))).await;
        assert_eq!((tried.status, tried.answer), (None, None));
        tried.error.unwrap()
    };
    let unknown = error(&not_found).await;
    let private = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));
    for answers in [&[&[HOME][..]][..], &[&[private, HOME]], &[&[]]] {
        let answers: Vec<Vec<IpAddr>> = answers.iter().map(|answer| answer.to_vec()).collect();
        let lookup: Lookup = Arc::new(move |_| {
            let found = answers[0].iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Box::pin(async move { Ok(found) })
        });
        assert_eq!(error(&lookup).await, unknown);
    }
    assert!(unknown.contains("webhooks.allow_networks") && unknown.contains("--dev"), "{unknown}");
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn responses_of_addresses_that_only_a_setting_allows_are_not_shown() {
    let (port, visits) = listener_that_says(HOME, 0, "the operator's own page").await;
    for address_policy in [
        AddressPolicy { loopback: true, networks: Vec::new() },
        AddressPolicy { loopback: false, networks: vec!["127.0.0.0/8".parse().unwrap()] },
    ] {
        let sender = Post::new(Arc::new(Guard::new(address_policy)), Clock::start()).unwrap();
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let (tried, _) = sender.make(&due(format!("http://{host}:{port}/hook"))).await;
            assert_eq!(
                (tried.status, tried.answer),
                (Some(200), None),
                "{host}: {:?}",
                tried.error
            );
        }
    }
    assert_eq!(visits.load(Ordering::SeqCst), 6);
    for (address, shown) in [
        ("93.184.216.34:80", true),
        ("[2606:4700::1111]:443", true),
        ("127.0.0.1:80", false),
        ("[::ffff:10.1.2.3]:80", false),
        ("169.254.169.254:80", false),
        ("168.63.129.16:80", false),
    ] {
        assert_eq!(Guard::shows_answers_of(address.parse().unwrap()), shown, "{address}");
    }
}

/// A name server whose answer changes with each request, and the count of requests.
fn flipping(answers: &'static [&'static [IpAddr]]) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let answer = answers[number.min(answers.len() - 1)];
        Box::pin(
            async move { Ok(answer.iter().map(|address| SocketAddr::new(*address, 0)).collect()) },
        )
    });
    (lookup, asked)
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_the_check_is_not_connected_to() {
    let (port, home) = listener(HOME, 0).await;
    let (_, outside) = listener(OUTSIDE, port).await;
    let (lookup, asked) = flipping(&[&[OUTSIDE], &[HOME]]);
    let sender = Post::with_lookup(guard(&["127.0.0.2"]), Clock::start(), &lookup).unwrap();
    let url = format!("http://rebinds.example:{port}/hook");
    let (tried, _) = sender.make(&due(url.clone())).await;
    assert_eq!(
        (tried.status, asked.load(Ordering::SeqCst)),
        (Some(200), 1),
        "one answer is checked and used"
    );
    let (tried, _) = sender.make(&due(url)).await;
    assert!(tried.error.unwrap().contains("no address that may be reached"));
    assert_eq!((home.load(Ordering::SeqCst), outside.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test]
async fn only_the_allowed_addresses_of_a_name_are_tried() {
    let (port, home) = listener(HOME, 0).await;
    let (_, outside) = listener(OUTSIDE, port).await;
    let (lookup, _) = flipping(&[&[HOME, OUTSIDE]]);
    let sender = Post::with_lookup(guard(&["127.0.0.2"]), Clock::start(), &lookup).unwrap();
    let (tried, _) = sender.make(&due(format!("http://mixed.example:{port}/hook"))).await;
    assert_eq!(tried.status, Some(200));
    assert_eq!((home.load(Ordering::SeqCst), outside.load(Ordering::SeqCst)), (0, 1));
}
