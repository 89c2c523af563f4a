//! Tests of a guest's join: the request, the admission, three lanes of audio, roster and chat.

use meetbot_imitation::{Action, Dialect, Scenario, Screen, serve};

use crate::browser::{Browser, DEVICES, INCONSPICUOUS, LINK, seen};

/// Fills in the pre-join screen and asks to join.
pub(crate) fn knock(browser: &mut Browser) {
    browser.click("Turn off microphone");
    browser.click("Turn off camera");
    browser.click("Your name");
    browser.write("Notes by Meetbot");
    browser.click("Ask to join");
}

async fn joins(dialect: Dialect) {
    let imitation = serve(Scenario { dialect, ..Scenario::default() }).await.unwrap();
    let flags = [DEVICES, INCONSPICUOUS].concat();
    let Some(mut browser) = Browser::start(&imitation, &flags, true) else { return };
    browser.open(LINK);
    knock(&mut browser);
    let knocked = seen(&imitation, |observed| observed.knocks == 1).await;
    assert_eq!(knocked.name.as_deref(), Some("Notes by Meetbot"));
    assert_eq!(knocked.faults, []);
    assert_eq!(knocked.screen, Some(Screen::WaitingRoom));
    assert_eq!(knocked.sessions, 0, "nothing of the meeting is sent in the lobby");
    browser.until("document.querySelector('h1')?.innerText === 'Asking to be let in...'");

    imitation.act(Action::Admit);
    seen(&imitation, |observed| observed.joined).await;
    browser.until("test.collections.some(([, text]) => text.includes('Cleo Jones') && text.includes('Notes by Meetbot'))");
    for person in ["Ann Host", "Ben Weber", "Cleo Jones"] {
        imitation.act(Action::Say { person: person.to_owned(), ms: 60_000 });
    }
    browser.until(
        "(lanes => lanes.length === 3 && [1001, 1002, 1003].every(csrc => lanes.some(lane => lane.includes(csrc))))(test.named())",
    );
    let heard = seen(&imitation, |observed| observed.heard > 0 && observed.syncs > 0).await;
    assert_eq!(heard.loudest_heard_dbov, Some(-127), "the bot's microphone is off");
    assert_eq!(heard.unsent.len(), 0);

    imitation.act(Action::Write { person: "Ben Weber".to_owned(), text: "Hello bot".to_owned() });
    browser.until("test.collections.some(([, text]) => text.includes('Hello bot'))");
    browser.click("Chat with everyone");
    browser.until("document.body.innerText.includes('Hello bot')");
    browser.click(if dialect == Dialect::Labels {
        "Send a message to everyone"
    } else {
        "Send a message"
    });
    browser.write("I record this meeting");
    browser.press_key("Enter", 13);
    let wrote = seen(&imitation, |observed| !observed.written.is_empty()).await;
    assert_eq!(wrote.written, ["I record this meeting"]);
    browser.until("test.collections.some(([, text]) => text.includes('I record this meeting'))");

    browser.click("Leave call");
    let left = seen(&imitation, |observed| observed.left).await;
    browser.until("document.querySelector('h1')?.innerText === 'You left the meeting'");
    assert_eq!((left.faults.as_slice(), left.strays.as_slice()), (&[][..], &[][..]));
    drop(browser);
    imitation.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_joins_a_page_with_labels_and_gets_three_lanes_and_the_chat() {
    joins(Dialect::Labels).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_joins_a_page_with_nested_text_and_gets_three_lanes_and_the_chat() {
    joins(Dialect::Text).await;
}
