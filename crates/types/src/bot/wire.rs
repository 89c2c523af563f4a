//! Compatibility of bots and servers of different versions: messages of the first version are read, and an unknown part does not spoil the rest.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::*;

const FIRST: &str = include_str!("wire.json");

/// Reads `frozen` and writes it again; the result differs only by fields that were added since.
fn reads<T: DeserializeOwned + Serialize>(frozen: &Value) -> T {
    let read: T = serde_json::from_value(frozen.clone())
        .unwrap_or_else(|error| panic!("{error}: {frozen:#}"));
    let written = serde_json::to_value(&read).unwrap_or_else(|error| panic!("{error}: {frozen:#}"));
    assert!(holds(&written, frozen), "{frozen:#} became {written:#}");
    read
}

fn holds(written: &Value, frozen: &Value) -> bool {
    match (written, frozen) {
        (Value::Object(written), Value::Object(frozen)) => frozen
            .iter()
            .all(|(name, value)| written.get(name).is_some_and(|written| holds(written, value))),
        (Value::Array(written), Value::Array(frozen)) => {
            written.len() == frozen.len()
                && written.iter().zip(frozen).all(|(written, frozen)| holds(written, frozen))
        }
        _ => written == frozen,
    }
}

#[test]
fn reports_of_the_first_version_are_read() {
    let first: Value = serde_json::from_str(FIRST).unwrap();
    for report in first["reports"].as_array().unwrap() {
        reads::<NumberedReport>(report);
    }
    let job_id = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ";
    let request = json!({"jobId": job_id, "epoch": 2, "reports": first["reports"]});
    let request: IngestRequest = reads(&request);
    assert!((1..).zip(&request.reports).all(|(seq, report)| report.seq == seq));
    reads::<IngestAnswer>(&first["answer"]);
    let Commands { commands, own_bots, zoom_stream } = reads(&first["commands"]);
    assert_eq!((own_bots, zoom_stream), (None, None), "the first version knew none");
    for command in commands {
        assert!(!matches!(command.action, ControlAction::Other(_)), "{command:?}");
    }
    for order in first["orders"].as_array().unwrap() {
        reads::<BotOrder>(order);
    }
}

#[test]
fn only_an_unreadable_report_is_dropped() {
    let long = "x".repeat(1_000);
    let strange = [
        (json!({"type": "moved_to_breakout_room", "room": {"id": 4}}), "moved_to_breakout_room"),
        (json!({"type": "chat", "message": "not as this version has it"}), "chat"),
        (json!({"type": "recording_resumed"}), "recording_resumed"),
        (json!({"type": "unreadable", "kind": "x"}), "unreadable"),
        (json!({"type": 5}), "?"),
        (json!({"type": long}), &long[..64]),
        (json!("admitted"), "?"),
        (Value::Null, "?"),
    ];
    for (report, expected) in strange {
        let at = "2026-11-23T10:00:00.000Z";
        let reports = json!([
            {"seq": 1, "at": at, "report": {"type": "admitted", "since": "a field of a later version"}},
            {"seq": 2, "at": at, "report": report},
            {"seq": 3, "at": at, "report": {"type": "recording_started"}},
        ]);
        let read: Vec<NumberedReport> = serde_json::from_value(reports).unwrap();
        let unreadable = BotReport::Unreadable { kind: expected.to_owned() };
        let read: Vec<_> = read.into_iter().map(|one| (one.seq, one.report)).collect();
        let expected =
            [(1, BotReport::Admitted), (2, unreadable), (3, BotReport::RecordingStarted)];
        assert_eq!(read, expected);
    }
    let no_time = json!({"seq": 9, "at": "soon", "report": {"type": "admitted"}});
    let read: NumberedReport = serde_json::from_value(no_time).unwrap();
    assert_eq!((read.seq, read.report.kind()), (9, "admitted".to_owned()));
    assert!(matches!(read.report, BotReport::Unreadable { .. }));
}

#[test]
fn an_unreadable_end_of_a_job_is_refused_and_not_skipped() {
    let ended = |ending: Value| {
        let report = json!({"type": "ended", "ending": ending});
        json!({"seq": 1, "at": "2026-11-23T10:00:00.000Z", "report": report})
    };
    let known = ended(json!({"status": "completed", "leaveReason": "bored", "failure": null}));
    let read: NumberedReport = serde_json::from_value(known).unwrap();
    assert!(matches!(read.report, BotReport::Ended { manifest_uri: None, duration_ms: 0, .. }));
    assert!(serde_json::from_value::<NumberedReport>(ended(json!("well"))).is_err());
}

#[test]
fn an_unreadable_command_is_an_unknown_command() {
    let id = "cmd_01KAB1CDEFGHJKMNPQRSTVWXYZ";
    let commands = json!({"commands": [
        {"id": id, "seq": 1, "action": "raise_hand", "message": null},
        {"id": id, "seq": 2, "action": {"name": "raise_hand"}},
        {"id": id, "seq": 3, "action": "send_chat_message", "message": {"html": "hello"}},
        {"seq": 4, "action": "leave_call"},
        "leave_call",
        {"id": id, "seq": 5, "action": "pause_recording", "since": "a field of a later version"},
    ]});
    let Commands { commands, .. } = serde_json::from_value(commands).unwrap();
    let read: Vec<_> = commands.iter().map(|one| (one.seq, one.action.as_str())).collect();
    let expected =
        [(1, "raise_hand"), (2, "unreadable"), (3, "unreadable"), (5, "pause_recording")];
    assert_eq!(read, expected);
}

#[test]
fn an_answer_of_a_later_version_is_read() {
    let answer = json!({"status": "on_hold", "acknowledged": 7, "bots": ["p-9"]});
    let answer: IngestAnswer = serde_json::from_value(answer).unwrap();
    assert_eq!((answer.status.as_str(), answer.acknowledged), ("on_hold", 7));
}

#[test]
fn every_report_has_its_kind() {
    assert_eq!(BotReport::Admitted.kind(), "admitted");
    assert_eq!(BotReport::Withheld { messages: 1, captions: 0 }.kind(), "withheld");
}
