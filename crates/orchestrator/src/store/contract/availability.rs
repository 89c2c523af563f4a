//! A claim asks which ways into meetings its bots know.

use std::sync::Mutex;

use super::*;

#[tokio::test]
async fn a_claim_looks_up_availability_for_the_jobs_world_and_zoom_consumer() {
    let fixture = fixture().await;
    let (test, _) = fixture.store.create_key(key("acme", false), at(0)).await.unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    for (tenant, platform, expected) in [
        (fixture.tenant, Platform::Janus, (true, None)),
        (fixture.tenant, Platform::ZoomWeb, (true, Some("acme"))),
        (test.tenant, Platform::ZoomWeb, (false, None)),
    ] {
        for knows in [false, true] {
            let job = Job { platform: platform.clone(), ..new_job(at(1)) };
            let (id, start) = (job.id, start(&job));
            fixture.store.create_job(tenant, job, link(), start, None, at(1)).await.unwrap();
            let heard = Arc::clone(&asked);
            let lookup: Arc<AvailabilityLookup> = Arc::new(move |live, consumer| {
                heard.lock().unwrap().push((live, consumer.map(str::to_owned)));
                if knows { crate::jobs::all_available() } else { Vec::new() }
            });
            let claimed = fixture.store.claim([1; 32], lookup, at(2)).await.unwrap();
            let Claim::Bot(claimed) = claimed else { panic!("{claimed:?}") };
            assert_eq!((claimed.job.id, claimed.finalize.is_none()), (id, knows));
            assert_eq!((tenant.live, claimed.consumer.as_deref()), expected);
            let heard = std::mem::take(&mut *asked.lock().unwrap());
            let last = heard.last().unwrap();
            assert_eq!((last.0, last.1.as_deref()), expected, "{heard:?}");
        }
    }
}
