//! Misbehaving webhook endpoints: each costs bounded memory and time, and the list of deliveries has the error.

use std::{sync::Arc, time::Duration};

use meetbot::{Delivery, DeliveryState, DeliveryTry, ListDeliveries, MeetBot, NewJob, Webhooks};
use meetbot_testkit::scripted::{self, Receiver, Reply};
use meetbot_types::bot::{BotReport, ChatMessage};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use crate::server::{PATIENCE, Server, new_job, now};

/// How an endpoint handles a connection once the request has begun to arrive.
type Manners =
    fn(TcpStream, mpsc::UnboundedSender<u64>) -> futures_util::future::BoxFuture<'static, ()>;

/// Listens, and handles each connection with `manners`, which may send values to the test.
async fn endpoint(manners: Manners) -> (String, mpsc::UnboundedReceiver<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 16_384]).await;
                manners(stream, sender).await;
            });
        }
    });
    (url, seen)
}

async fn send_to(client: &MeetBot, url: &str) -> String {
    let webhooks = Webhooks { on_status_change: Some(url.to_owned()), on_finalize: None };
    let job = client.dispatch_bot(NewJob { webhooks: Some(webhooks), ..new_job() }).await.unwrap();
    job.id
}

/// The job's first delivery once it has been tried.
async fn tried(client: &MeetBot, job: &str) -> Delivery {
    let list = ListDeliveries { job_id: Some(job.to_owned()), ..ListDeliveries::default() };
    let look = async {
        loop {
            let found = client.deliveries(&list).await.unwrap().data;
            if let Some(tried) = found.into_iter().find(|delivery| !delivery.tries.is_empty()) {
                return tried;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it is tried")
}

fn says(tried: &DeliveryTry) -> (Option<u16>, Option<&str>) {
    (tried.status, tried.error.as_deref())
}

#[tokio::test]
async fn only_four_kilobytes_of_a_gigabyte_response_are_read() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let (url, mut sent) = endpoint(|mut stream, sent| {
        Box::pin(async move {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";
            let _ = stream.write_all(head).await;
            let mut total = 0;
            let block = vec![b'x'; 65_536];
            while total < 1 << 30 && stream.write_all(&block).await.is_ok() {
                total += block.len() as u64;
            }
            let _ = sent.send(total);
        })
    })
    .await;
    let client = server.client();
    let job = send_to(&client, &url).await;
    let _bot = server.bot().await;
    let delivery = tried(&client, &job).await;
    assert_eq!(
        (delivery.state, says(&delivery.tries[0])),
        (DeliveryState::Delivered, (Some(200), None))
    );
    assert_eq!(delivery.tries[0].answer, None, "it came from an address that a setting allows");
    let sent = tokio::time::timeout(PATIENCE, sent.recv()).await.expect("it is cut off").unwrap();
    // The buffers of both sockets were filled too.
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    server.stop().await;
}

#[tokio::test]
async fn a_response_with_a_slow_body_counts_by_its_status() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let (url, _seen) = endpoint(|mut stream, _| {
        Box::pin(async move {
            let head = b"HTTP/1.1 500 Oh\r\nContent-Length: 1000\r\n\r\ndrip";
            let _ = stream.write_all(head).await;
            // The rest is never sent.
            let _ = stream.read(&mut [0; 1]).await;
        })
    })
    .await;
    let client = server.client();
    let job = send_to(&client, &url).await;
    let _bot = server.bot().await;
    let delivery = tried(&client, &job).await;
    let first = &delivery.tries[0];
    assert_eq!(says(first), (Some(500), Some("500 Internal Server Error")));
    assert!(first.duration_ms < 5_000, "the time is that of the status: {first:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_reset_and_an_invalid_response_have_different_errors() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let (resets, _seen) = endpoint(|stream, _| {
        Box::pin(async move {
            // A connection that is closed with unread bytes is reset.
            stream.set_zero_linger().unwrap();
        })
    })
    .await;
    let (babbles, _seen) = endpoint(|mut stream, _| {
        Box::pin(async move {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        })
    })
    .await;
    let client = server.client();
    for (url, expected) in [(resets, "reset"), (babbles, "invalid HTTP")] {
        let job = send_to(&client, &url).await;
        let _bot = server.bot().await;
        let delivery = tried(&client, &job).await;
        let (status, error) = says(&delivery.tries[0]);
        assert_eq!(status, None);
        assert!(error.unwrap().contains(expected), "{error:?}");
        assert_eq!(delivery.state, DeliveryState::Pending);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_hanging_endpoint_times_out_after_ten_seconds_and_retry_after_is_honoured() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let (hangs, _seen) = endpoint(|mut stream, _| {
        Box::pin(async move {
            let _ = stream.read(&mut [0; 1]).await;
        })
    })
    .await;
    let (waits, _seen) = endpoint(|mut stream, _| {
        Box::pin(async move {
            let head = b"HTTP/1.1 429 Slow\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(head).await;
        })
    })
    .await;
    let client = Arc::new(server.client());
    let (hanging, waiting) = (send_to(&client, &hangs).await, send_to(&client, &waits).await);
    let _bots = (server.bot().await, server.bot().await);
    let waiting = tried(&client, &waiting).await;
    let asked = waiting.next_try_at.unwrap().millis_since(waiting.tries[0].at.unwrap());
    assert!(asked >= 3_600_000, "{asked} ms");
    let delivery = tried(&client, &hanging).await;
    assert_eq!(says(&delivery.tries[0]), (None, Some("no answer within 10 s")));
    let took = Duration::from_millis(delivery.tries[0].duration_ms);
    assert!((Duration::from_secs(10)..Duration::from_secs(20)).contains(&took), "{took:?}");
    server.stop().await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let (elsewhere, mut visits) = endpoint(|_, visits| {
        Box::pin(async move {
            let _ = visits.send(1);
        })
    })
    .await;
    let away = |status| Reply::answer(status, &[("Location", &elsewhere)], "");
    let redirecting = scripted::Server::start([301, 302, 303, 307, 308].map(away)).unwrap();
    let url = format!("{}/hook", redirecting.url());
    let client = server.client();
    for status in [301, 302, 303, 307, 308] {
        // Another URL each time, so that none waits for the previous one.
        let job = send_to(&client, &format!("{url}/{status}")).await;
        let _bot = server.bot().await;
        let delivery = tried(&client, &job).await;
        assert_eq!(
            (delivery.tries[0].status, delivery.state),
            (Some(status), DeliveryState::Pending)
        );
    }
    assert!(visits.try_recv().is_err(), "the target of the redirect was requested");
    server.stop().await;
}

/// How many endpoints there are of each kind.
const OF_EACH: usize = 8;
/// How much happens in each meeting.
const MESSAGES: u64 = 12;

/// Receives all events of a job: in order, and none as late as if it had waited for the timeout of another endpoint.
async fn takes_all(mut receiver: Receiver) {
    // Joining, in the call, then the messages.
    for sequence in 1..=MESSAGES + 2 {
        let webhook = receiver.next().await;
        assert_eq!(webhook.event().data.sequence, sequence, "in order, each once");
        let late = now().millis_since(webhook.event().emitted_at);
        assert!(late < 10_000, "event {sequence} came {late} ms late");
    }
    assert!(receiver.so_far().is_empty());
}

#[tokio::test]
async fn healthy_endpoints_get_all_events_in_order_and_in_time_beside_misbehaving_ones() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let client = server.client();
    let hangs: Manners = |mut stream, _| {
        Box::pin(async move {
            let _ = stream.read(&mut [0; 1]).await;
        })
    };
    let resets: Manners = |stream, _| {
        Box::pin(async move {
            stream.set_zero_linger().unwrap();
        })
    };
    let drips: Manners = |mut stream, _| {
        Box::pin(async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ndrip").await;
            let _ = stream.read(&mut [0; 1]).await;
        })
    };
    let floods: Manners = |mut stream, _| {
        Box::pin(async move {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";
            let mut taken = stream.write_all(head).await;
            while taken.is_ok() {
                taken = stream.write_all(&[b'x'; 8_192]).await;
            }
        })
    };
    let mut hanging = String::new();
    for manners in [hangs, resets, drips, floods] {
        let (url, _seen) = endpoint(manners).await;
        for path in 0..OF_EACH {
            let job = send_to(&client, &format!("{url}/{path}")).await;
            if hanging.is_empty() {
                hanging = job;
            }
        }
    }
    let mut well = JoinSet::new();
    for _ in 0..OF_EACH {
        let receiver = Receiver::start([]).unwrap();
        send_to(&client, &receiver.url).await;
        well.spawn(takes_all(receiver));
    }
    let mut bots = Vec::new();
    for _ in 0..5 * OF_EACH {
        bots.push(server.bot().await);
    }
    for bot in &mut bots {
        bot.report(BotReport::Admitted).await;
    }
    for number in 0..MESSAGES {
        let message = ChatMessage {
            id: number.to_string(),
            sender_id: "alice".to_owned(),
            sender: "Alice".to_owned(),
            text: "hello".to_owned(),
            private: false,
            at_ms: number,
        };
        for bot in &mut bots {
            bot.report(BotReport::Chat { message: message.clone() }).await;
        }
    }
    while let Some(taken) = well.join_next().await {
        taken.unwrap();
    }
    // The misbehaving ones were tried meanwhile: the first has a try, or it is still running.
    let list = ListDeliveries { job_id: Some(hanging), ..ListDeliveries::default() };
    let page = client.deliveries(&list).await.unwrap().data;
    assert!(page.iter().all(|delivery| delivery.state == DeliveryState::Pending), "{page:#?}");
    server.stop().await;
}
