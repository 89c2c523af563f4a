//! The queue of reports, without a server.

use meetbot_types::{
    Cause, LeaveReason,
    bot::{ChatMessage, Lobby, Participant},
};

use super::*;
use crate::clock;

fn chat(text: &str) -> BotReport {
    BotReport::Chat {
        message: ChatMessage {
            id: "1".to_owned(),
            sender_id: "p1".to_owned(),
            sender: text.to_owned(),
            text: text.to_owned(),
            private: false,
            at_ms: 0,
        },
    }
}

fn queued(reports: impl IntoIterator<Item = BotReport>) -> Queue {
    let now = clock::now();
    let mut queue = Queue::new(now);
    reports.into_iter().for_each(|report| queue.push(report, Timestamp::UNIX_EPOCH, now));
    queue
}

fn ended() -> BotReport {
    let ending = Cause::Left(LeaveReason::MeetingEnded).ending(true, false);
    BotReport::Ended {
        ending,
        manifest_uri: None,
        duration_ms: 0,
        paused_ms: 0,
        consent_revoked: false,
    }
}

/// Sends all to an orchestrator that cannot read reports for which `unreadable` is true. Returns the applied reports and the number of requests.
fn play(queue: &mut Queue, unreadable: fn(&BotReport) -> bool) -> (Vec<BotReport>, usize) {
    let (mut applied, mut requests) = (Vec::new(), 0);
    let mut last = queue.batch()[0].seq - 1;
    while !queue.reports.is_empty() {
        requests += 1;
        let sent = queue.batch();
        assert_eq!(sent[0].seq, last + 1, "without holes");
        if sent.iter().any(|one| unreadable(&one.report)) {
            if queue.unreadable(&sent, MediaCounters::default()) == Next::Wait {
                break;
            }
            continue;
        }
        last = sent.last().unwrap().seq;
        applied.extend(sent.iter().map(|one| one.report.clone()));
        assert_eq!(queue.acknowledged(last, &sent, clock::now()), Progress::Made);
    }
    (applied, requests)
}

#[test]
fn only_the_unreadable_report_is_dropped() {
    for bad in [0, 1, 17, 49, 50, 99] {
        let reports =
            (0..100).map(|number| if number == bad { chat("new") } else { BotReport::Admitted });
        let mut queue = queued(reports.chain([ended()]));
        let (applied, requests) =
            play(&mut queue, |report| matches!(report, BotReport::Chat { .. }));
        assert_eq!(applied.len(), 101);
        let left_out: Vec<_> = (0..)
            .zip(&applied)
            .filter(|(_, report)| matches!(report, BotReport::Heartbeat { .. }))
            .map(|(number, _)| number)
            .collect();
        assert_eq!(left_out, [bad]);
        assert_eq!(applied.last(), Some(&ended()));
        assert!(requests <= 30, "{requests} requests");
    }
}

#[test]
fn each_of_many_unreadable_reports_costs_three_requests() {
    let mut queue = queued((0..200).map(|_| chat("new")).chain([ended()]));
    let (applied, requests) = play(&mut queue, |report| matches!(report, BotReport::Chat { .. }));
    assert_eq!((applied.len(), applied.last()), (201, Some(&ended())));
    assert!(requests <= 610, "{requests} requests");
}

#[test]
fn the_end_and_heartbeats_are_kept_until_they_are_acknowledged() {
    let mut queue = queued([chat("a"), BotReport::Admitted, ended()]);
    let (applied, _) = play(&mut queue, |report| matches!(report, BotReport::Ended { .. }));
    assert_eq!(applied, [chat("a"), BotReport::Admitted], "the reports before it are applied");
    assert_eq!(queue.batch()[0].report, ended());
    // An orchestrator that can read it again.
    let (applied, _) = play(&mut queue, |_| false);
    assert_eq!(applied, [ended()]);

    let mut queue = queued([chat("a"), ended()]);
    let (applied, _) = play(&mut queue, |_| true);
    assert_eq!(applied, []);
    let (applied, _) = play(&mut queue, |_| false);
    assert_eq!((applied.len(), applied.last()), (2, Some(&ended())));
}

#[test]
fn an_acknowledgement_counts_only_for_sent_reports() {
    let mut queue = queued((0..60).map(|_| BotReport::Admitted));
    let sent = queue.batch();
    assert_eq!(queue.acknowledged(0, &sent, clock::now()), Progress::Nothing);
    assert_eq!(queue.acknowledged(u64::MAX, &sent, clock::now()), Progress::Made);
    assert_eq!(queue.batch()[0].seq, sent.len() as u64 + 1);
}

#[test]
fn no_text_of_a_meeting_makes_a_request_too_large() {
    // Texts of the maximum size whose characters are longest in JSON, texts longer than any request, and short ones.
    let texts = ["\u{1}".repeat(5_000), "\u{1}".repeat(2_000_000), "hello".to_owned()];
    let mut reports = queued([]);
    let mut sent = Vec::new();
    for number in 0..300 {
        let report = chat(&texts[number % texts.len()]);
        reports.push(report, Timestamp::UNIX_EPOCH, clock::now());
        if number % 10 < 9 {
            continue;
        }
        while !reports.reports.is_empty() {
            let batch = reports.batch();
            assert!(!batch.is_empty() && batch.len() <= BATCH);
            assert!(
                serde_json::to_vec(&batch).unwrap().len() < 1 << 20,
                "what the orchestrator reads at once"
            );
            sent.extend(batch.iter().map(|report| report.seq));
            reports.acknowledged(batch.last().unwrap().seq, &batch, clock::now());
        }
    }
    assert_eq!(sent, (1..=300).collect::<Vec<_>>());
}

#[test]
fn a_text_of_usual_length_is_reported_in_full() {
    let long = "ä".repeat(4_000);
    assert_eq!(cut(chat(&long)).0, chat(&long));
    let BotReport::Chat { message } = cut(chat(&"ä".repeat(40_000))).0 else { panic!() };
    assert_eq!(message.text, "ä".repeat(CUT_CHARACTERS));
}

fn joined(name: &str) -> BotReport {
    let (id, name) = ("p1".to_owned(), name.to_owned());
    let participant = Participant { id, name, is_host: false, is_bot: false };
    BotReport::ParticipantJoined { participant }
}

/// Everything in the queue, in order.
fn drain(queue: &mut Queue) -> Vec<BotReport> {
    let mut all = Vec::new();
    while !queue.reports.is_empty() {
        let batch = queue.batch();
        all.extend(batch.iter().map(|one| one.report.clone()));
        queue.acknowledged(u64::MAX, &batch, clock::now());
    }
    all
}

#[test]
fn a_flood_is_reported_in_part_and_the_dropped_reports_are_counted() {
    let start = clock::now();
    let mut queue = Queue::new(start);
    let mut push = |report, seconds| {
        let now = start + Duration::from_secs(seconds);
        queue.push(report, Timestamp::UNIX_EPOCH, now);
        drain(&mut queue)
    };
    let mut reported = 0;
    for number in 0..3_000 {
        let report = if number % 2 == 0 { chat("hello") } else { joined("Ann") };
        reported += push(report, 0).len();
    }
    assert_eq!(reported, 1_000);
    let left_out = BotReport::LeftOut { messages: 1_000, participant_events: 1_000 };
    assert_eq!(push(BotReport::Admitted, 59), [BotReport::Admitted], "a minute is not over");
    assert_eq!(push(BotReport::Admitted, 60), [left_out, BotReport::Admitted]);
    assert_eq!(push(chat("again"), 61), [chat("again")], "and they are reported again");
    for _ in 0..1_000 {
        push(chat("hello"), 61);
    }
    let leaving = BotReport::Leaving { reason: None, failure: None };
    let before_the_end = push(leaving.clone(), 62);
    assert_eq!(before_the_end.len(), 2, "{before_the_end:?}");
    assert!(matches!(before_the_end[0], BotReport::LeftOut { participant_events: 0, .. }));
    assert_eq!(before_the_end[1], leaving);
}

#[test]
fn the_queue_is_bounded_while_the_orchestrator_is_unavailable_and_keeps_the_course_of_the_job() {
    let start = clock::now();
    let mut queue = Queue::new(start);
    let text = "a".repeat(10_000);
    for second in 0..20_000 {
        let now = start + Duration::from_millis(second * 100);
        let mut push = |report| queue.push(report, Timestamp::UNIX_EPOCH, now);
        push(chat(&text));
        push(joined(&text[..200]));
        if second % 100 == 0 {
            push(BotReport::Reconnecting);
        }
    }
    queue.push(ended(), Timestamp::UNIX_EPOCH, start);
    assert!(queue.bytes < 1 << 20, "{} bytes", queue.bytes);
    let all = drain(&mut queue);
    assert_eq!(queue.bytes, 0);
    let count = |is: fn(&BotReport) -> bool| all.iter().filter(|one| is(one)).count() as u64;
    assert_eq!(count(|one| matches!(one, BotReport::Reconnecting)), 200);
    assert_eq!(all.last(), Some(&ended()));
    let messages = count(|one| matches!(one, BotReport::Chat { .. }));
    let events = count(|one| matches!(one, BotReport::ParticipantJoined { .. }));
    assert!(messages < events, "chat is left out first: {messages} {events}");
    let left_out = all.iter().fold((0, 0), |(all_messages, all_events), one| match one {
        BotReport::LeftOut { messages, participant_events } => {
            (all_messages + messages, all_events + participant_events)
        }
        _ => (all_messages, all_events),
    });
    assert_eq!(left_out, (20_000 - messages, 20_000 - events));
}

#[test]
fn repeated_reports_of_a_kind_are_merged_until_they_are_sent() {
    let withheld = |messages| BotReport::Withheld { messages, captions: 1 };
    let waiting = |lobby| BotReport::Waiting { lobby };
    let mut queue = queued([
        waiting(Lobby::WaitingRoom),
        waiting(Lobby::WaitingForHost),
        withheld(1),
        withheld(2),
    ]);
    let sent = queue.batch();
    queue.push(withheld(4), Timestamp::UNIX_EPOCH, clock::now());
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(queue.batch()[..2], sent, "reports that may have been applied do not change");
    let expected = [
        waiting(Lobby::WaitingForHost),
        BotReport::Withheld { messages: 3, captions: 2 },
        withheld(4),
    ];
    assert_eq!(drain(&mut queue), expected);
}

/// A queue after `seconds` of a report each second, of which each was acknowledged at once.
fn acknowledged_each_second(start: Instant, seconds: u64) -> Queue {
    let mut queue = Queue::new(start);
    for second in 1..=seconds {
        let now = start + Duration::from_secs(second);
        queue.push(BotReport::Reconnecting, Timestamp::from_millis(second.cast_signed()), now);
        let sent = queue.batch();
        assert_eq!(queue.acknowledged(second, &sent, now), Progress::Made);
    }
    queue
}

#[test]
fn reports_that_were_acknowledged_and_are_forgotten_are_sent_again_each_once() {
    let start = clock::now();
    for (seconds, forgotten_after) in [(3, 0), (3, 1), (3, 2), (200, 81), (200, 199)] {
        let mut queue = acknowledged_each_second(start, seconds);
        let now = start + Duration::from_hours(1);
        queue.push(ended(), Timestamp::UNIX_EPOCH, now);
        let sent = queue.batch();
        assert_eq!(sent.len(), 1);
        assert_eq!(queue.acknowledged(forgotten_after, &sent, now), Progress::Back);
        let mut applied = forgotten_after;
        while applied <= seconds {
            let sent = queue.batch();
            assert_eq!(sent[0].seq, applied + 1, "without gaps");
            for report in &sent {
                applied += 1;
                let at = if applied > seconds { 0 } else { applied.cast_signed() };
                assert_eq!((report.seq, report.at), (applied, Timestamp::from_millis(at)));
            }
            assert_eq!(queue.acknowledged(applied, &sent, now), Progress::Made);
        }
        assert!(queue.batch().is_empty());
    }
}

#[test]
fn what_was_forgotten_twice_is_sent_twice() {
    let start = clock::now();
    let mut queue = acknowledged_each_second(start, 5);
    for _ in 0..2 {
        queue.push(BotReport::Reconnecting, Timestamp::UNIX_EPOCH, start);
        let sent = queue.batch();
        assert_eq!(queue.acknowledged(2, &sent, start), Progress::Back);
        let sent = queue.batch();
        assert_eq!(sent[0].seq, 3);
        assert_eq!(queue.acknowledged(u64::MAX, &sent, start), Progress::Made);
        assert!(queue.batch().is_empty());
    }
}

#[test]
fn reports_that_are_no_longer_kept_cannot_be_sent_again() {
    let start = clock::now();
    let mut queue = acknowledged_each_second(start, 200);
    queue.push(BotReport::Reconnecting, Timestamp::UNIX_EPOCH, start);
    let sent = queue.batch();
    // The last 121 are kept.
    assert_eq!(queue.acknowledged(78, &sent, start), Progress::Lost);
}

#[test]
fn an_answer_that_acknowledges_nothing_more_is_no_loss() {
    let start = clock::now();
    let mut queue = acknowledged_each_second(start, 3);
    queue.push(BotReport::Reconnecting, Timestamp::UNIX_EPOCH, start);
    let sent = queue.batch();
    // As after a request whose answer came too late, and that is repeated.
    assert_eq!(queue.acknowledged(3, &sent, start), Progress::Nothing);
    assert_eq!(queue.batch(), sent);
    queue.push(BotReport::Admitted, Timestamp::UNIX_EPOCH, start);
    assert_eq!(queue.acknowledged(5, &sent, start), Progress::Made, "more than was sent");
    assert_eq!(queue.batch()[0].seq, 5);
}
