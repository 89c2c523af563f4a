//! Tests: timelines of senders, networks and bots, and the final place of each packet.

use std::time::{Duration, SystemTime};

use super::*;
use crate::recording::untrusted::timeline;

/// The final places of packets, in ms, by their numbers.
type Places = Vec<(u64, i64)>;

/// Feeds a timeline to a clock; returns the places of the packets, and how many are lost.
fn observe_all(clock: &mut StreamClock, seen: impl IntoIterator<Item = Seen>) -> (Places, u64) {
    let (mut places, mut held, mut lost) = (Vec::new(), Vec::new(), 0);
    let per_ms = i64::from(clock.rate) / 1_000;
    for seen in seen {
        let Some(placement) = clock.observe_packet(&seen) else { continue };
        lost += placement.lost;
        held.push((*seen.sequence.start(), placement.place, seen.at_ms));
        let oldest = held.first().map_or(0, |(_, _, at_ms)| *at_ms);
        match placement.verdict {
            Verdict::Hold => assert!(seen.at_ms < oldest + 300, "held too long"),
            Verdict::Move(ticks) => {
                let moved = held.drain(..).map(|(number, place, _)| (number, place + ticks));
                places.extend(moved);
            }
        }
    }
    let ticks = clock.settle();
    places.extend(held.drain(..).map(|(number, place, _)| (number, place + ticks)));
    let base = clock.base();
    let in_ms = places.into_iter().map(|(number, place)| (number, (place + base) / per_ms));
    (in_ms.collect(), lost)
}

fn place_all(seen: impl IntoIterator<Item = Seen>) -> Places {
    observe_all(&mut StreamClock::new(48_000, true), seen).0
}

/// A packet of 20 ms of a stream without pauses.
fn packet(number: u64, at_ms: u64) -> Seen {
    let report = None;
    Seen { sequence: number..=number, rtp_time: 7 + number * 960, lasts: 960, at_ms, report }
}

/// The network delay of a packet, in ms: mostly small, sometimes 30.
fn jitter(number: u64) -> u64 {
    let dice = number.wrapping_mul(6_364_136_223_846_793_005).rotate_left(23) % 100;
    if dice < 60 { dice / 15 } else { (dice - 60) * 3 / 4 }
}

fn is_lost(number: u64) -> bool {
    number > 0 && number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 0xFF < 13
}

#[track_caller]
fn near(places: &Places, within: u64, truth: impl Fn(u64) -> u64) {
    for (number, place) in places {
        let truth = i64::try_from(truth(*number)).unwrap();
        assert!(place.abs_diff(truth) <= within, "packet {number} is at {place}, not at {truth}");
    }
}

/// The lengths of stalls, in ms.
const STALLS: [u64; 6] = [200, 500, 1_600, 2_600, 10_000, 40_000];

#[test]
fn delayed_packets_keep_the_place_of_their_rtp_time() {
    for stall in STALLS {
        // Packets of the time from 3 s on arrive when the stall is over.
        let at = |number: u64| {
            let made = number * 20;
            if (3_000..3_000 + stall).contains(&made) { 3_000 + stall } else { made }
        };
        let whole = (0..3_000).map(|number| packet(number, at(number)));
        near(&place_all(whole.clone()), 0, |number| number * 20);
        let rough = (0..3_000).filter(|number| !is_lost(*number));
        let rough = rough.map(|number| packet(number, at(number) + jitter(number)));
        // The network keeps the order.
        let mut latest = 0;
        let ordered = rough.map(|seen| {
            latest = latest.max(seen.at_ms);
            Seen { at_ms: latest, ..seen }
        });
        near(&place_all(ordered), 15, |number| number * 20);
    }
}

#[test]
fn a_stalled_clock_moves_later_packets_and_no_earlier_ones() {
    for stall in STALLS {
        let truth = |number: u64| number * 20 + if number >= 150 { stall } else { 0 };
        let whole = (0..3_000).map(|number| packet(number, truth(number)));
        near(&place_all(whole), 0, truth);
        let rough = (0..3_000).filter(|number| !is_lost(*number));
        let rough = rough.map(|number| packet(number, truth(number) + jitter(number)));
        near(&place_all(rough), 35, truth);
    }
}

#[test]
fn short_stalls_of_the_clock_add_up_to_no_lasting_offset() {
    // 60 ms after each 5 s: none of them is certain immediately.
    let truth = |number: u64| number * 20 + number / 250 * 60;
    near(&place_all((0..15_000).map(|number| packet(number, truth(number)))), 65, truth);
}

#[test]
fn a_network_queue_that_fills_and_empties_moves_nothing() {
    // A second of delay builds up within five seconds, and ends within five.
    let late = |made: u64| match made {
        10_000..15_000 => (made - 10_000) / 5,
        15_000..20_000 => (20_000 - made) / 5,
        _ => 0,
    };
    let seen = (0..2_000).map(|number| packet(number, number * 20 + late(number * 20)));
    near(&place_all(seen), 0, |number| number * 20);
}

#[test]
fn a_delay_that_looks_like_a_stalled_clock_is_corrected_when_it_ends() {
    // A busy machine delivers all packets 95 ms late for a quarter of a second.
    for begins in [100, 1_500, 4_000, 8_000] {
        let late = |made: u64| if (begins..begins + 260).contains(&made) { 95 + 10 } else { 0 };
        let mut latest = 0;
        let seen = (0..1_000).map(|number| {
            latest = latest.max(number * 20 + late(number * 20));
            packet(number, latest)
        });
        let outside = |number: u64| !(begins..begins + 400).contains(&(number * 20));
        let places: Places = place_all(seen).into_iter().filter(|(n, _)| outside(*n)).collect();
        near(&places, 5, |number| number * 20);
    }
}

#[test]
fn delayed_packets_that_arrive_faster_than_real_time_keep_their_places() {
    // In ms for each 20 ms of audio: the queue drains at 5, 2, 1.25 and 1.1 times real time.
    for pace in [4, 10, 16, 18] {
        let seen = (0..4_000).map(|number: u64| {
            let drained = 4_600 + number.saturating_sub(150) * pace;
            packet(number, if number < 150 { number * 20 } else { drained.max(number * 20) })
        });
        near(&place_all(seen), 0, |number| number * 20);
    }
}

#[test]
fn one_packet_that_arrives_during_a_stall_decides_nothing() {
    let at = |number| match number {
        150 => 4_000,
        151..=229 => 4_600,
        _ => number * 20,
    };
    near(&place_all((0..500).map(|number| packet(number, at(number)))), 0, |number| number * 20);
}

#[test]
fn if_the_clock_stalled_for_a_part_of_a_stall_packets_move_by_that_part() {
    // 3 s without a packet: packets are delayed by 1.4 s, and the clock stalled for 1.6 s.
    let truth = |number: u64| number * 20 + if number >= 150 { 1_600 } else { 0 };
    let at = |number| if number >= 150 { truth(number).max(6_000) } else { truth(number) };
    let places = place_all((0..800).map(|number| packet(number, at(number))));
    near(&places[..150].to_vec(), 0, truth);
    near(&places[230..].to_vec(), 10, truth);
}

#[test]
fn clocks_that_drift_are_followed_for_a_day_and_longer() {
    for ppm in [-100_i64, 100] {
        // The drift of the sender's clock; every tenth packet only, so that a day takes less than a minute.
        let at = |number: i64| number * 200 + number * 200 * ppm / 1_000_000;
        let seen = (0..450_000_i64).map(|number| {
            let unsigned = number.unsigned_abs();
            let at_ms = at(number).unsigned_abs() + jitter(unsigned) / 3;
            Seen {
                sequence: unsigned..=unsigned,
                rtp_time: unsigned * 9_600,
                lasts: 9_600,
                at_ms,
                report: None,
            }
        });
        near(&place_all(seen), 15, |number| at(i64::try_from(number).unwrap()).unsigned_abs());
    }
}

#[test]
fn the_drift_of_two_hours_of_silence_is_corrected() {
    for ppm in [-100_i64, 100] {
        let at = |number: u64| {
            let made = if number < 500 { number * 20 } else { number * 20 + 7_200_000 };
            made.checked_add_signed(i64::try_from(made).unwrap() * ppm / 1_000_000).unwrap()
        };
        let seen = (0..1_000).map(|number| {
            let quiet = if number < 500 { 0 } else { 7_200_000 * 48 };
            Seen { rtp_time: number * 960 + quiet, ..packet(number, at(number)) }
        });
        let mut clock = StreamClock::new(48_000, true);
        let (places, lost) = observe_all(&mut clock, seen);
        near(&places, 10, at);
        assert_eq!(lost, 0);
    }
}

#[test]
fn pauses_of_a_sender_without_packets_in_silence_keep_their_length() {
    // A second of speech, two of silence with a packet each 0.4 s; the second pause ends in a stall.
    let made = |number: u64| {
        number / 55 * 3_000 + (number % 55).min(50) * 20 + (number % 55).saturating_sub(50) * 400
    };
    let at = |number: u64| match made(number) {
        5_000..8_000 => 8_000,
        made => made,
    };
    let seen =
        (0..1_000).map(|number| Seen { rtp_time: made(number) * 48, ..packet(number, at(number)) });
    near(&place_all(seen), 0, made);
}

#[test]
fn packets_of_a_restarted_sender_are_placed_by_their_arrival() {
    // A new numbering from packet 200 on, after 3 s without packets; its first 25 packets were delayed.
    let truth = |number: u64| number * 20 + if number >= 200 { 3_000 } else { 0 };
    let at = |number: u64| truth(number).max(if (200..225).contains(&number) { 7_500 } else { 0 });
    for (sequence, rtp_time) in [(0, 0), (200, 0), (9_000, 1 << 31), (0, 123_456_789)] {
        let seen = (0..500).map(|number: u64| {
            let anew = number.checked_sub(200);
            Seen {
                sequence: anew.map_or(number..=number, |since| since + sequence..=since + sequence),
                rtp_time: anew.map_or(5_000_000 + number * 960, |since| rtp_time + since * 960),
                ..packet(number, at(number))
            }
        });
        let mut clock = StreamClock::new(48_000, true);
        let (places, lost) = observe_all(&mut clock, seen);
        assert_eq!((places.len(), lost), (500, 0), "{sequence} {rtp_time}");
        for (index, (_, place)) in (0..).zip(&places) {
            let truth = i64::try_from(truth(index)).unwrap();
            assert!(place.abs_diff(truth) <= 10, "{index} is at {place}, not at {truth}");
        }
    }
}

#[test]
fn rtp_times_that_jump_between_two_packets_move_nothing() {
    for leap in
        [48_000 * 5, 48_000 * 3_600, -48_000 * 5, -48_000 * 3_600, -960, i64::from(i32::MAX)]
    {
        let seen = (0..500).map(|number: u64| {
            let leapt = if number >= 200 { leap } else { 0 };
            let rtp_time = (1_u64 << 40) + number * 960;
            Seen { rtp_time: rtp_time.wrapping_add_signed(leapt), ..packet(number, number * 20) }
        });
        near(&place_all(seen), 0, |number| number * 20);
    }
}

#[test]
fn a_sender_that_joins_during_a_delay_is_placed_by_its_later_packets() {
    // The first 60 packets come at once.
    let seen = (0..500).map(|number| packet(number, 9_000 + (number * 20).max(1_180)));
    let mut clock = StreamClock::new(48_000, true);
    let (places, _) = observe_all(&mut clock, seen);
    near(&places, 0, |number| 9_000 + number * 20);
}

#[test]
fn packets_that_a_stopped_bots_socket_dropped_are_lost_and_keep_their_duration() {
    // Stopped from 3 s to 23 s: the socket held 8 s of packets, and dropped the later ones.
    let seen = (0..2_000).filter(|number| !(550..1_150).contains(number)).map(|number| {
        packet(number, if (150..550).contains(&number) { 23_000 } else { number * 20 })
    });
    let mut clock = StreamClock::new(48_000, true);
    let (places, lost) = observe_all(&mut clock, seen);
    near(&places, 0, |number| number * 20);
    assert_eq!(lost, 600);
}

#[test]
fn duplicate_and_reordered_packets_are_refused_and_lost_ones_are_counted() {
    let mut clock = StreamClock::new(48_000, true);
    let order = [0, 1, 1, 4, 3, 2, 5, 0, 9];
    let (places, lost) =
        observe_all(&mut clock, order.into_iter().map(|number| packet(number, number * 20)));
    assert_eq!(places, [(0, 0), (1, 20), (4, 80), (5, 100), (9, 180)]);
    assert_eq!(lost, 5);
}

#[test]
fn a_sender_report_without_a_pause_keeps_the_places_of_audio() {
    // From 5 s on everything arrives 1.6 s later: for 6 s because of a full network queue, or permanently because the clock stalled. A relay reports twice a second.
    for (late_until, stood) in [(11_000, false), (u64::MAX, true)] {
        let truth = |number: u64| number * 20 + if stood && number >= 250 { 1_600 } else { 0 };
        let seen = (0..1_000).map(|number| {
            let made = truth(number);
            let is_late = !stood && (5_000..late_until).contains(&made);
            let at_ms = if is_late {
                (made + 1_600).min(late_until + 1_600)
            } else {
                made.max(if stood { 0 } else { 12_600.min(made) })
            };
            // The relay has the sender's packets in time.
            let reported_ms = made / 500 * 500;
            let stood_ms = if stood && reported_ms > 6_600 { 1_600 } else { 0 };
            let ntp = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000 + reported_ms);
            let rtp_time = 7 + (reported_ms - stood_ms) * 48;
            Seen { report: Some(SenderReport { ntp, rtp_time }), ..packet(number, at_ms) }
        });
        let places = place_all(seen);
        // Held packets are placed before the first report after the stall; it then shows that no clock stalled.
        near(&places, if stood { 0 } else { 1_600 }, truth);
        near(&places[700..].to_vec(), 0, truth);
    }
}

#[test]
fn pictures_are_never_held_and_keep_the_place_of_their_clock() {
    let seen = (0..1_000).map(|number| {
        let at_ms = if (125..200).contains(&number) { 8_000 } else { number * 40 };
        Seen { rtp_time: number * 3_600, lasts: 0, ..packet(number, at_ms) }
    });
    let mut clock = StreamClock::new(90_000, false);
    for seen in seen.clone() {
        assert_eq!(clock.observe_packet(&seen).unwrap().verdict, Verdict::Move(0));
    }
    let (places, lost) = observe_all(&mut StreamClock::new(90_000, false), seen);
    near(&places, 0, |number| number * 40);
    assert_eq!(lost, 0);
}

#[test]
fn hostile_clocks_place_nothing_after_its_arrival() {
    for seed in 0..200_u64 {
        let mut dice = seed;
        let bytes: Vec<u8> = (0..10_000)
            .map(|_| {
                dice = dice
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                dice.to_le_bytes()[5]
            })
            .collect();
        timeline(&bytes);
    }
}
