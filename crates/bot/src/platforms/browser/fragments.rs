//! Tests with Google Meet's page in each of its states: fragments of HTML that Chromium shows, `survey.js` reads and the session handles. We wrote them after published
//! descriptions, in both forms of its DOM: `labels` has names as labels and straight apostrophes, `text` has names in nested elements and curly ones.
//!
//! A change of the page's copy is one edit of `landmarks.toml`, one fragment, and one row here.

use std::{
    collections::BTreeSet, fs, io::Write as _, path::PathBuf, process::Command, time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use meetbot_types::bot::BrowserSettings;
use serde_json::json;

use super::{
    cdp::Cdp,
    judge::History,
    landmark_files::GOOGLE_MEET,
    landmarks::Sign,
    page::{Action, Page},
    process::Browser,
    session::{Output, Session},
    survey::{Survey, begins, holds},
};
use crate::{clock, meeting::MeetingEvent, platforms::joins::BrowserHistory};

const MEETING: &str = "https://meet.google.com/abc-mnop-xyz?hl=en";
/// The address of the fragment `login_host`.
const ACCOUNTS: &str = "https://accounts.google.com/v3/signin/identifier";

/// A fragment, its recognised state, and the first action of a joining bot.
const ROWS: [(&str, Option<&str>, &str); 39] = [
    ("wrong_code", Some("wrong_code"), "is refused: meeting_not_found"),
    ("wrong_code_2", Some("wrong_code"), "is refused: meeting_not_found"),
    ("login_asked", Some("login_asked"), "is refused: auth_failure"),
    // The lobby's text stays in the page behind it.
    ("denied", Some("denied"), "is refused: host_denied_admission"),
    ("denied_2", Some("denied"), "is refused: host_denied_admission"),
    ("unanswered", Some("unanswered"), "opens the page anew"),
    ("blocked", Some("blocked"), "tries again"),
    ("trouble", Some("trouble"), "tries again"),
    ("captcha", Some("captcha"), "tries again"),
    ("full", Some("full"), "is refused: meeting_full"),
    ("removed", Some("removed"), "is refused: host_denied_admission"),
    ("ended", Some("ended"), "sees the end"),
    ("ended_2", Some("ended"), "sees the end"),
    ("left", Some("left"), "is refused: host_denied_admission"),
    ("reconnecting", Some("reconnecting"), "waits"),
    ("reconnecting_2", Some("reconnecting"), "waits"),
    ("host_absent", Some("host_absent"), "is in the lobby: waiting_for_host"),
    ("waiting_room", Some("waiting_room"), "is in the lobby: waiting_room"),
    ("waiting_room_2", Some("waiting_room"), "is in the lobby: waiting_room"),
    ("prejoin", Some("prejoin"), "presses Turn off microphone"),
    ("prejoin_name", Some("prejoin"), "writes into Your name"),
    ("prejoin_account", Some("prejoin"), "presses the button to join"),
    ("prejoin_account_2", Some("prejoin"), "presses the button to join"),
    ("prejoin_account_3", Some("prejoin"), "presses the button to join"),
    ("prejoin_covered", Some("prejoin"), "presses Got it"),
    ("prejoin_devices", Some("prejoin"), "presses Continue without microphone and camera"),
    // Roster and media must confirm the admission too.
    ("inside", Some("inside"), "waits"),
    ("inside_hidden", Some("inside"), "waits"),
    ("dialog_recorded", Some("inside"), "presses Join now"),
    ("dialog_transcribed", Some("inside"), "presses Join now"),
    ("dialog_notes", Some("inside"), "presses Join now"),
    ("dialog_captured", Some("inside"), "presses Join now"),
    ("dialog_others_may_see", Some("inside"), "presses Got it"),
    ("dialog_consent", Some("inside"), "presses Allow"),
    ("dialog_muted", Some("inside"), "presses Close"),
    ("dialog_unheard", Some("inside"), "presses Close"),
    ("unknown", None, "waits"),
    ("dead", None, "waits"),
    ("login_host", Some("login_host"), "is refused: auth_failure"),
];

fn folder() -> PathBuf {
    let own = "src/platforms/browser/products/google_meet/fragments";
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(own)
}

/// The names of the fragments in a form of the DOM.
fn fragments(form: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder().join(form)).unwrap();
    let name = |file: fs::DirEntry| file.path().file_stem().unwrap().to_string_lossy().into_owned();
    files.map(|file| name(file.unwrap())).collect()
}

fn html(form: &str, name: &str) -> String {
    fs::read_to_string(folder().join(form).join(format!("{name}.html"))).unwrap()
}

#[test]
fn every_fragment_has_a_row_and_every_word_of_a_state_is_in_a_fragment() {
    let rows: BTreeSet<_> = ROWS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let (labels, text) = (fragments("labels"), fragments("text"));
    assert_eq!(labels.union(&text).cloned().collect::<BTreeSet<_>>(), rows);
    let all: Vec<_> = [("labels", labels), ("text", text)]
        .into_iter()
        .flat_map(|(form, names)| names.into_iter().map(move |name| (html(form, &name), name)))
        .map(|(html, name)| (without_tags(&html), name))
        .collect();
    for state in &GOOGLE_MEET.states {
        for sign in &state.any {
            let (Sign::Text { text: words }
            | Sign::Heading { heading: words }
            | Sign::Button { button: words }
            | Sign::Field { field: words }) = sign
            else {
                continue;
            };
            let shows = |name: &str| {
                ROWS.iter().any(|row| row.0 == name && row.1 == Some(state.name.as_str()))
            };
            let has = |(text, name): &(String, String)| shows(name) && holds(text, words);
            assert!(all.iter().any(has), "no fragment of state {} holds {words:?}", state.name);
        }
    }
}

/// The text of a page, the values of its labels included.
fn without_tags(html: &str) -> String {
    let labels = html.split("aria-label=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let text = html.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text);
    // Words of a line may be in several elements.
    let lines = text.collect::<Vec<_>>().concat();
    labels.fold(lines, |text, label| format!("{text}\n{label}")).replace("&#x27;", "'")
}

/// A browser without network: every request gets an empty page.
async fn browser() -> Option<(Browser, Cdp, Page)> {
    let settings = BrowserSettings { no_sandbox: true, ..BrowserSettings::default() };
    let nowhere = ["--host-resolver-rules=MAP * ~NOTFOUND".to_owned()];
    let started = Browser::start(&settings, &nowhere);
    if started.is_err() && std::env::var_os("MEETBOT_TEST_AS_ROOT").is_none() {
        return None;
    }
    let (browser, output, input) = started.unwrap();
    let (cdp, mut events) = Cdp::new(output, input);
    let words = &GOOGLE_MEET.words_of_people;
    let page = Page::of(cdp.clone(), "_fragments", "no call", None, false, words).await;
    let page = page.unwrap();
    page.call("Fetch.enable", json!({})).await.unwrap();
    let answers = cdp.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if event.method == "Fetch.requestPaused" {
                let headers = json!([{"name": "content-type", "value": "text/html"}]);
                let empty = json!({
                    "requestId": event.params["requestId"],
                    "responseCode": 200,
                    "responseHeaders": headers,
                    "body": STANDARD.encode("<!doctype html><title>Meet</title>"),
                });
                // The page may have navigated.
                let _ = answers.call(event.session.as_deref(), "Fetch.fulfillRequest", empty).await;
            }
        }
    });
    Some((browser, cdp, page))
}

async fn show(page: &Page, html: &str) {
    let tree = page.call("Page.getFrameTree", json!({})).await.unwrap();
    let frame = &tree["frameTree"]["frame"]["id"];
    page.call("Page.setDocumentContent", json!({"frameId": frame, "html": html})).await.unwrap();
}

/// The first action of a bot that sees this page for two seconds.
fn does(survey: &Survey) -> String {
    let start = clock::now();
    let (room, name) = ("abc-mnop-xyz".to_owned(), "meetbot".to_owned());
    let earlier = BrowserHistory::default();
    let mut session = Session::new(&GOOGLE_MEET, MEETING.to_owned(), room, name, earlier, start);
    for look in 0..8 {
        session.look(survey, start + Duration::from_millis(250 * look));
        let name = |key: &str| key.split('|').nth(1).unwrap().to_owned();
        return match session.output() {
            None => continue,
            Some(Output::Event(MeetingEvent::Refused(why))) => format!("is refused: {}", why.code),
            Some(Output::Event(MeetingEvent::Lobby(why))) => format!("is in the lobby: {why}"),
            Some(Output::Event(MeetingEvent::Lost(_))) => "tries again".to_owned(),
            Some(Output::Event(MeetingEvent::Ended)) => "sees the end".to_owned(),
            Some(Output::Event(event)) => format!("{event:?}"),
            Some(Output::Action(Action::Open(_))) => "opens the page anew".to_owned(),
            Some(Output::Action(Action::Fill { field, .. })) => {
                format!("writes into {}", name(&field))
            }
            Some(Output::Action(Action::Click(key))) => {
                let joins = GOOGLE_MEET.controls.join.iter().any(|it| begins(&name(&key), it));
                if joins && survey.dialogs.is_empty() {
                    "presses the button to join".to_owned()
                } else {
                    format!("presses {}", name(&key))
                }
            }
            Some(Output::Action(act)) => format!("{act:?}"),
        };
    }
    "waits".to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fragment_is_recognised_in_chromium_and_leads_to_the_action_of_its_row() {
    let Some((browser, cdp, page)) = browser().await else { return };
    page.open(MEETING).await.unwrap();
    for (name, state, act) in ROWS {
        if name == "login_host" {
            page.open(ACCOUNTS).await.unwrap();
        }
        for form in ["labels", "text"] {
            if !fragments(form).contains(name) {
                continue;
            }
            show(&page, &html(form, name)).await;
            let survey = page.survey().await.unwrap();
            let (mut history, now) = (History::default(), clock::now());
            let mut look = || history.look(&GOOGLE_MEET, &survey, false, now);
            look();
            let found = look().map(|state| state.name.as_str());
            assert_eq!((found, &*does(&survey)), (state, act), "{form}/{name}: {survey:#?}");
        }
    }
    page.open(MEETING).await.unwrap();
    a_screenshot_shows_only_words_of_landmarks(&page).await;
    drop(cdp);
    page.close_browser().await;
    browser.closes().await;
}

/// The darkest pixel of a page's screenshot, from 0 (black) to 255.
async fn darkest(page: &Page, body: &str) -> u8 {
    let html = "<!doctype html><style>* { border: 0; outline: 0; resize: none }</style><body style='background: #fff; font: 20px sans-serif'>";
    show(page, &format!("{html}{body}")).await;
    let shadow = "for (const host of document.querySelectorAll('.host')) host.attachShadow({ mode: 'open' }).innerHTML = '<b style=\"color: #000\">Hush</b>'; true";
    assert!(page.evaluate::<bool>(shadow).await.unwrap());
    let picture = page.picture(&["Ask to join", "You can't join this video call"]).await.unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&picture).unwrap();
    let mut decode = Command::new("ffmpeg");
    decode.args(["-v", "error", "-f", "png_pipe", "-i"]).arg(file.path());
    let pixels = decode.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).output().unwrap().stdout;
    assert!(pixels.len() > 1_000_000, "{} bytes", pixels.len());
    pixels.chunks_exact(3).map(|pixel| pixel.iter().copied().max().unwrap()).min().unwrap()
}

async fn a_screenshot_shows_only_words_of_landmarks(page: &Page) {
    // Bars have the grey #9aa0a6; readable text has darker pixels.
    let bar = 0xA0;
    for covered in [
        "<p>Hush Host is in this call</p>",
        "<h1 style='color: #000 !important; text-shadow: 0 0 2px #000'>Hush</h1>",
        "<input value='Hush'><textarea>Hush</textarea><input placeholder='Hush'>",
        "<style>p::before { content: 'Hush'; color: #000 }</style><p></p><style>i::first-letter { color: #000 }</style><i style='display: block'>Hush</i>",
        "<svg width='200' height='50'><text y='30'>Hush</text></svg><div class='host'></div>",
        "<div style='width: 90px; height: 90px; background-image: linear-gradient(#000, #000)'></div>",
        "<iframe srcdoc='Hush'></iframe><select><option>Hush</option></select>",
        "<div data-message-id='m1'>Ask to join</div><p>Ask to joinHush</p>",
        "<button style='background: #fff'>Hush</button><details open><summary>Hush</summary>Hush</details>",
    ] {
        let darkest = darkest(page, covered).await;
        assert!(darkest >= bar - 6, "{covered}: {darkest}");
    }
    for kept in
        ["<button>Ask to join</button>", "<p>You can\u{2019}t  JOIN this video call, Hush</p>"]
    {
        let darkest = darkest(page, kept).await;
        assert!(darkest < 0x60, "{kept}: {darkest}");
    }
}
