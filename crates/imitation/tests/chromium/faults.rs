//! Tests that actions which a person's browser would not do are detected.

use meetbot_imitation::{Action, Devices, Dialog, Fault, Scenario, Screen, serve};

use crate::{
    browser::{Browser, DEVICES, INCONSPICUOUS, LINK, seen},
    screens::meeting,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_obviously_automated_browser_has_faults() {
    let imitation = serve(Scenario::default()).await.unwrap();
    let Some(mut browser) = Browser::start(&imitation, &DEVICES, true) else { return };
    browser.open("https://meet.google.com/abc-defg-hij");
    // Another language: no text is English.
    browser.until("document.documentElement.lang === 'en-XA' && document.body.innerText.includes('Réády tö jöín?')");
    let reported = |observed: &meetbot_imitation::Observed| observed.faults.len() >= 3;
    let faults = seen(&imitation, reported).await.faults;
    assert!(faults.contains(&Fault::Webdriver), "{faults:?}");
    assert!(faults.contains(&Fault::Language(String::new())), "{faults:?}");
    assert!(faults.iter().any(|fault| matches!(fault, Fault::HeadlessUserAgent(_))), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_of_a_script_are_ignored() {
    let imitation = serve(Scenario::default()).await.unwrap();
    let flags = [DEVICES, INCONSPICUOUS].concat();
    let Some(mut browser) = Browser::start(&imitation, &flags, true) else { return };
    browser.open(LINK);
    browser.until("document.querySelector('[aria-label=\"Turn off camera\"]')");
    browser.value(
        "(field => { field.value = 'Bot'; field.dispatchEvent(new InputEvent('input', { bubbles: true })); })(document.querySelector('input'))",
    );
    let button = "document.querySelector('[aria-label=\"Ask to join\"]')";
    browser.until(button);
    assert_eq!(browser.value(&format!("{button}.disabled")), true);
    // A typed name, and a click of a script.
    browser.click("Your name");
    browser.write("Bot");
    browser.until(&format!("!{button}.disabled"));
    browser.value(&format!("{button}.click()"));
    let untrusted = Fault::Untrusted("Ask to join".to_owned());
    let faults = seen(&imitation, |observed| observed.faults.contains(&untrusted)).await;
    assert_eq!((faults.knocks, faults.faults), (0, vec![Fault::UntrustedName, untrusted]));
    // A real click with the devices on, and a page that is reloaded meanwhile.
    browser.click("Ask to join");
    seen(&imitation, |observed| observed.knocks == 1).await;
    browser.open(LINK);
    let observed = seen(&imitation, |observed| observed.visits == 2).await;
    let on = Devices { microphone: true, camera: true };
    assert_eq!(observed.faults[2..], [Fault::DevicesOn(on), Fault::ReloadedInLobby]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hiding_the_banner_or_dismissing_a_dialog_removes_the_bot() {
    let imitation = meeting(Scenario { banner: true, ..Scenario::default() }).await;
    let Some(mut browser) = Browser::start(&imitation, &INCONSPICUOUS, true) else { return };
    browser.open(LINK);
    seen(&imitation, |observed| observed.joined).await;
    browser.value("document.querySelector('.banner').style.opacity = 0");
    let thrown = seen(&imitation, |observed| observed.screen == Some(Screen::Removed)).await;
    assert_eq!(thrown.faults, [Fault::BannerHidden("it is hidden".to_owned())]);
    browser.until("document.body.innerText.includes('been removed from the meeting')");

    browser.open(LINK);
    seen(&imitation, |observed| observed.visits == 2).await;
    imitation.act(Action::Admit);
    seen(&imitation, |observed| observed.joined).await;
    imitation.act(Action::Ask(Dialog::Notes));
    browser.until("document.querySelector('[role=dialog]')");
    browser.press_key("Escape", 27);
    let thrown = seen(&imitation, |observed| observed.screen == Some(Screen::Left)).await;
    assert_eq!(thrown.faults[1..], [Fault::Dismissed(Dialog::Notes)]);
}
