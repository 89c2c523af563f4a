//! Tests of `capture.js` in Chromium.

use std::time::Duration;

use meetbot_types::bot::BrowserSettings;
use serde_json::Value;

use super::{
    capture::{self, PageEvent, Record},
    cdp::Cdp,
    page::Page,
    process::Browser,
};

const BINDING: &str = "_in_page";

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_reported_once_and_before_its_first_message() {
    let settings = BrowserSettings { no_sandbox: true, ..BrowserSettings::default() };
    let nowhere = ["--host-resolver-rules=MAP * ~NOTFOUND".to_owned()];
    let started = Browser::start(&settings, &nowhere);
    if started.is_err() && std::env::var_os("MEETBOT_TEST_AS_ROOT").is_none() {
        return;
    }
    let (browser, output, input) = started.unwrap();
    let (cdp, mut events) = Cdp::new(output, input);
    let page = Page::of(cdp, BINDING, "no call", None, false, &[]).await.unwrap();
    page.open("data:text/html,<title>Meet</title>").await.unwrap();
    page.bind().await.unwrap();
    let script = "(() => {
        const channel = new RTCPeerConnection().createDataChannel('captions');
        channel.dispatchEvent(new MessageEvent('message', { data: 'early' }));
        channel.dispatchEvent(new Event('open'));
        channel.dispatchEvent(new MessageEvent('message', { data: 'late' }));
        return true;
    })()";
    assert!(page.evaluate::<bool>(script).await.unwrap());
    let mut found = Vec::new();
    while found.len() < 3 {
        let event = tokio::time::timeout(Duration::from_mins(1), events.recv()).await;
        let event = event.expect("three records").unwrap();
        let payload = event.params.get("payload").and_then(Value::as_str).unwrap_or_default();
        found.extend(capture::records(payload).into_iter().filter(|record| {
            matches!(record, Record::Message { .. } | Record::PageEvent(PageEvent::Channel { .. }))
        }));
    }
    let message = |text: &str| Record::Message { channel: 1, bytes: text.into() };
    let opened = PageEvent::Channel { id: 1, label: "captions".to_owned(), open: true };
    assert_eq!(found, [Record::PageEvent(opened), message("early"), message("late")]);
    page.close_browser().await;
    browser.closes().await;
}
