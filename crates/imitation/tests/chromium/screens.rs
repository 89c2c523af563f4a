//! Tests of the content of each screen and dialog, in both dialects.

use meetbot_imitation::{
    Action, Chat, Decoys, Dialect, Dialog, Imitation, Scenario, Screen, Signal, Step, serve,
};
use serde_json::json;

use crate::{
    browser::{Browser, DEVICES, INCONSPICUOUS, LINK, seen},
    joining::knock,
};

/// In the dialect's apostrophe.
fn worded(dialect: Dialect, text: &str) -> String {
    if dialect == Dialect::Text { text.replace('\'', "’") } else { text.to_owned() }
}

async fn every_screen_shows(dialect: Dialect) {
    let imitation = serve(Scenario { dialect, ..Scenario::default() }).await.unwrap();
    let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
    browser.open(LINK);
    for screen in Screen::ALL {
        for (wording, text) in screen.wordings().iter().enumerate() {
            imitation.act(Action::Show { screen, wording });
            let text = json!(worded(dialect, text));
            match screen {
                Screen::Meeting => browser.until("document.querySelector('[data-participant-id]')"),
                Screen::Dead => browser.until("document.body.innerText.trim() === ''"),
                Screen::SignInHost => {
                    browser.until("location.host === 'accounts.google.com' && document.querySelector('h1')?.innerText === 'Sign in'");
                    browser.open(LINK);
                    browser.until(
                        "location.host === 'meet.google.com' && document.querySelector('h1')",
                    );
                }
                _ => browser.until(&format!("document.body.innerText.includes({text})")),
            }
            if screen == Screen::Captcha {
                browser.until("(box => box.width >= 120 && box.height >= 40)(document.querySelector('iframe[title=reCAPTCHA]').getBoundingClientRect())");
            }
        }
    }
    let observed = imitation.observed();
    assert_eq!((observed.faults.as_slice(), observed.strays.as_slice()), (&[][..], &[][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_shows_its_texts_on_a_page_with_labels() {
    every_screen_shows(Dialect::Labels).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_shows_its_texts_on_a_page_with_nested_text() {
    every_screen_shows(Dialect::Text).await;
}

/// A meeting that admits the bot as soon as the page is open.
pub(crate) async fn meeting(scenario: Scenario) -> Imitation {
    let opens = Screen::Meeting;
    let steps = vec![Step { on: Signal::Opened, then: vec![Action::Admit] }];
    serve(Scenario { opens, steps, ..scenario }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dialog_is_accepted_or_closed_by_its_buttons() {
    let imitation =
        meeting(Scenario { dialect: Dialect::Text, banner: true, ..Scenario::default() }).await;
    let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
    browser.open(LINK);
    seen(&imitation, |observed| observed.joined).await;
    for dialog in Dialog::ALL {
        imitation.act(Action::Ask(dialog));
        let text = json!(worded(Dialect::Text, dialog.text()));
        browser
            .until(&format!("document.querySelector('[role=dialog]')?.innerText.includes({text})"));
        let done = move |list: &[Dialog]| list.contains(&dialog);
        if dialog.must_be_accepted() {
            browser.until("document.querySelector('[data-mdc-dialog-action=ok]')");
            browser.click(dialog.primary());
            seen(&imitation, |observed| done(&observed.accepted)).await;
        } else {
            browser.click("Close");
            seen(&imitation, |observed| done(&observed.closed)).await;
        }
        browser.until("!document.querySelector('[role=dialog]')");
    }
    let observed = imitation.observed();
    assert_eq!((observed.faults.as_slice(), observed.screen), (&[][..], Some(Screen::Meeting)));
}

/// A meeting with all decoys.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_joins_and_leaves_despite_all_decoys() {
    let scenario = Scenario {
        dialect: Dialect::Text,
        decoys: Decoys::all(),
        device_dialog: true,
        session_in_lobby: true,
        ..Scenario::default()
    };
    let imitation = serve(scenario).await.unwrap();
    let flags = [DEVICES, INCONSPICUOUS].concat();
    let Some(mut browser) = Browser::start(&imitation, &flags, true) else { return };
    browser.open(LINK);
    browser.click("Use microphone and camera");
    browser.click("Got it");
    knock(&mut browser);
    let knocked = seen(&imitation, |observed| observed.knocks == 1 && observed.connected).await;
    assert!(!knocked.joined, "a session in the lobby is no meeting");
    browser.until("test.collections.some(([, text]) => text.includes('Notes by Meetbot'))");
    browser.until("[...document.querySelectorAll('[data-participant-id]')].length === 1");
    browser.until("document.querySelector('iframe[title=reCAPTCHA]')");
    imitation.act(Action::Admit);
    let joined = seen(&imitation, |observed| {
        observed.joined && observed.devices.is_some_and(|devices| devices.microphone)
    });
    assert_eq!(joined.await.sessions, 1);
    browser.until("document.querySelector('.toolbar.hidden')");
    browser.click("Turn off microphone");
    browser.click("Turn off camera");
    let off = |observed: &meetbot_imitation::Observed| {
        observed.devices.is_some_and(|devices| !devices.microphone && !devices.camera)
    };
    seen(&imitation, off).await;
    // A person's message that looks like a text of the page.
    let text = "You've been removed from the meeting".to_owned();
    imitation.act(Action::Write { person: "Ann Host".to_owned(), text });
    browser.until("document.querySelector('h2').innerText.includes('been removed')");
    browser.click("Leave call");
    browser.click("Just leave the call");
    seen(&imitation, |observed| observed.left).await;
    imitation.act(Action::Show { screen: Screen::Denied, wording: 0 });
    browser.until("document.body.innerText.includes('denied your request to join')");
    browser.until("document.querySelector('.behind').textContent.includes('Asking to be let in')");
    assert_eq!(imitation.observed().faults, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_chat_is_not_writable_and_an_absent_one_has_no_button() {
    for (dialect, field) in [
        (Dialect::Labels, "document.querySelector('textarea').disabled"),
        (Dialect::Text, "document.querySelector('[role=textbox]').contentEditable === 'false'"),
    ] {
        let imitation =
            meeting(Scenario { dialect, chat: Chat::Disabled, ..Scenario::default() }).await;
        let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
        browser.open(LINK);
        browser.click("Chat with everyone");
        browser.until(field);
    }
    let imitation = meeting(Scenario { chat: Chat::Absent, ..Scenario::default() }).await;
    let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
    browser.open(LINK);
    browser.until("document.querySelector('.toolbar') && !document.querySelector('[aria-label=\"Chat with everyone\"]')");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_devices_a_notice_covers_the_button_to_join() {
    let imitation = serve(Scenario::default()).await.unwrap();
    let flags = ["--use-fake-ui-for-media-stream"].iter().chain(&INCONSPICUOUS);
    let flags: Vec<_> = flags.copied().collect();
    let Some(mut browser) = Browser::start(&imitation, &flags, true) else { return };
    browser.open(LINK);
    browser.until("document.body.innerText.includes('Microphone not found')");
    browser.click("Dismiss");
    browser.click("Dismiss");
    browser.click("Your name");
    browser.write("Notes by Meetbot");
    browser.click("Ask to join");
    let knocked = seen(&imitation, |observed| observed.knocks == 1).await;
    assert_eq!(knocked.faults, []);
}
