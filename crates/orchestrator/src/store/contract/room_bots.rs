//! Bots in one room know each other, of all consumers; bots elsewhere do not learn of them.

use super::*;

const KEPT: u64 = 3_600;

fn joining_as(room: &str, id: &str) -> BotReport {
    BotReport::JoiningAs {
        platform: Platform::Janus,
        room: room.to_owned(),
        participant_id: id.to_owned(),
    }
}

impl Fixture {
    /// A job of the tenant's whose bot has joined a room.
    async fn in_room(
        &self,
        tenant: Tenant,
        room: &str,
        id: &str,
        gives_way: bool,
        now: u64,
    ) -> JobId {
        let mut job = new_job(at(now));
        job.auto_leave.on_bot_detected = gives_way;
        let created =
            self.store.create_job(tenant, job.clone(), link(), start(&job), None, at(now)).await;
        assert!(matches!(created.unwrap(), Creation::Created(_)));
        assert_eq!(self.claim(1, at(now)).await.unwrap().job.id, job.id);
        self.report(job.id, 1, 1, 1, &[joining_as(room, id)], at(now)).await;
        job.id
    }

    async fn own_bots(&self, job: JobId, epoch: u32) -> Vec<String> {
        self.store.own_bots(job, epoch).await.unwrap()
    }
}

#[tokio::test]
async fn a_bot_gets_the_ids_of_all_bots_in_its_room_and_of_no_others() {
    let fixture = fixture().await;
    let other = fixture.store.create_key(key("other", true), at(0)).await.unwrap().0.tenant;
    let first = fixture.in_room(fixture.tenant, "1234", "a", false, 1).await;
    assert_eq!(fixture.own_bots(first, 1).await, ["a"]);
    let second = fixture.in_room(other, "1234", "b", false, 2).await;
    let elsewhere = fixture.in_room(other, "4321", "c", false, 3).await;
    let third = fixture.in_room(fixture.tenant, "1234", "d", false, 4).await;
    for job in [first, second, third] {
        assert_eq!(fixture.own_bots(job, 1).await, ["a", "b", "d"]);
    }
    assert_eq!(fixture.own_bots(elsewhere, 1).await, ["c"]);
    assert_eq!(fixture.own_bots(first, 2).await, [""; 0], "no such attempt");
    let waiting = fixture.create(|_| {}, at(5)).await;
    fixture.claim(1, at(5)).await.unwrap();
    assert_eq!(fixture.own_bots(waiting.id, 1).await, [""; 0], "it has not said where it is");
    let sandbox = BotReport::JoiningAs {
        platform: Platform::Sandbox,
        room: "1234".to_owned(),
        participant_id: "e".to_owned(),
    };
    fixture.report(waiting.id, 1, 1, 1, &[sandbox], at(6)).await;
    assert_eq!(fixture.own_bots(waiting.id, 1).await, ["e"], "another product's room of that name");
}

#[tokio::test]
async fn a_bot_that_rejoins_is_listed_with_both_ids_in_its_place() {
    let fixture = fixture().await;
    let first = fixture.in_room(fixture.tenant, "1234", "a", true, 1).await;
    let second = fixture.in_room(fixture.tenant, "1234", "b", true, 2).await;
    fixture.report(first, 1, 1, 2, &[joining_as("1234", "a2")], at(3)).await;
    assert_eq!(fixture.own_bots(second, 1).await, ["a2", "b", "a"]);
    // Its bot is lost, and the next one comes.
    assert!(fixture.store.release(first, 1, at(4)).await.unwrap());
    assert_eq!(fixture.own_bots(second, 1).await, ["b", "a", "a2"]);
    fixture.claim(2, at(5)).await.unwrap();
    assert_eq!(fixture.own_bots(first, 1).await, [""; 0]);
    fixture.report(first, 2, 2, 1, &[joining_as("1234", "a3")], at(6)).await;
    assert_eq!(fixture.own_bots(first, 2).await, ["a3", "b", "a", "a2"]);
    // What is reported twice is applied once.
    fixture.report(first, 2, 2, 1, &[joining_as("1234", "a4")], at(7)).await;
    assert_eq!(fixture.own_bots(second, 1).await, ["a3", "b", "a", "a2"]);
}

#[tokio::test]
async fn bots_that_do_not_leave_for_other_bots_are_listed_first() {
    let fixture = fixture().await;
    fixture.in_room(fixture.tenant, "1234", "a", true, 1).await;
    fixture.in_room(fixture.tenant, "1234", "b", false, 2).await;
    let last = fixture.in_room(fixture.tenant, "1234", "c", true, 3).await;
    assert_eq!(fixture.own_bots(last, 1).await, ["b", "a", "c"]);
}

#[tokio::test]
async fn a_bots_id_is_listed_while_it_is_there_and_for_an_hour_after() {
    let fixture = fixture().await;
    let gone = fixture.in_room(fixture.tenant, "1234", "gone", false, 1).await;
    let there = fixture.in_room(fixture.tenant, "1234", "there", false, 2).await;
    let ends = [BotReport::Admitted, ended(Cause::Left(LeaveReason::Solo), false)];
    fixture.report(gone, 1, 1, 2, &ends, at(10)).await;
    fixture.store.sweep(at(9 + KEPT)).await.unwrap();
    assert_eq!(fixture.own_bots(there, 1).await, ["there", "gone"]);
    fixture.store.sweep(at(10 + KEPT)).await.unwrap();
    assert_eq!(fixture.own_bots(there, 1).await, ["there"]);
    fixture.store.sweep(at(100 * KEPT)).await.unwrap();
    assert_eq!(fixture.own_bots(there, 1).await, ["there"]);
}

#[tokio::test]
async fn room_ids_are_removed_with_their_job() {
    let fixture = fixture().await;
    let first = fixture.in_room(fixture.tenant, "1234", "a", false, 1).await;
    let second = fixture.in_room(fixture.tenant, "1234", "b", false, 2).await;
    let ends = [BotReport::Admitted, ended(Cause::Left(LeaveReason::Solo), false)];
    fixture.report(first, 1, 1, 2, &ends, at(3)).await;
    let erased =
        fixture.store.erase_jobs(fixture.tenant.consumer, vec![first, second], at(99)).await;
    assert_eq!(erased.unwrap(), 1);
    assert_eq!(fixture.own_bots(second, 1).await, ["b"]);
}
