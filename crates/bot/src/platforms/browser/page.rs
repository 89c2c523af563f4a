//! The single page of a browser: opens, surveys, clicks and fills it with the input events of a person.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    cdp::{Cdp, DEADLINE, Error},
    survey::Survey,
};

const CAPTURE: &str = include_str!("capture.js");
const SURVEY: &str = include_str!("survey.js");
const COVER: &str = include_str!("cover.js");
/// The pointer moves to its target in this many steps, each after [`STEP`].
const STEPS: u32 = 6;
const STEP: Duration = Duration::from_millis(12);
/// How long a mouse button is held down.
const HELD: Duration = Duration::from_millis(40);
/// How often the pointer follows a target that moves.
const FOLLOWS: u32 = 4;

/// An action in the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Press a control, by its key.
    Click(String),
    /// Replace the text of a field.
    Fill { field: String, text: String },
    /// Replace the text of a field, and press Enter.
    Send { field: String, text: String },
    /// Press Escape.
    Escape,
    /// Move the pointer, which shows hidden toolbars.
    Nudge,
    /// Open the meeting's address again.
    Open(String),
}

/// A handle of the page; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    cdp: Cdp,
    session: Arc<str>,
    binding: Arc<str>,
    peoples_words: Arc<[String]>,
    pointer: Arc<Mutex<(f64, f64)>>,
}

/// The position of a control.
#[derive(Debug, Deserialize)]
struct Place {
    x: f64,
    y: f64,
    free: bool,
}

impl Page {
    /// The browser's first page, with the script that captures the media and messages of its connections. `binding` is the function that passes them out, `call` the RPC whose answers are
    /// captured; `pictures` is whether video is captured. `settings` is a script that runs before the page's scripts, and changes the page's stored settings.
    pub(crate) async fn of(
        cdp: Cdp,
        binding: &str,
        call: &str,
        settings: Option<&str>,
        pictures: bool,
        peoples_words: &[String],
    ) -> Result<Self, Error> {
        let targets = cdp.call(None, "Target.getTargets", json!({})).await?;
        let is_page = |target: &&Value| target["type"] == "page";
        let target = targets["targetInfos"].as_array().and_then(|all| all.iter().find(is_page));
        let target = target.ok_or(Error::Answer("Target.getTargets"))?["targetId"].clone();
        let attached = cdp
            .call(None, "Target.attachToTarget", json!({"targetId": target, "flatten": true}))
            .await?;
        let session =
            attached["sessionId"].as_str().ok_or(Error::Answer("Target.attachToTarget"))?;
        let page = Self {
            cdp,
            session: session.into(),
            binding: binding.into(),
            peoples_words: peoples_words.into(),
            pointer: Arc::new(Mutex::new((640.0, 700.0))),
        };
        page.call("Page.enable", json!({})).await?;
        page.call("Inspector.enable", json!({})).await?;
        let script =
            format!("{}({}, {}, {});", CAPTURE.trim_end(), json!(binding), json!(call), pictures);
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await?;
        if let Some(script) = settings {
            page.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await?;
        }
        Ok(page)
    }

    /// Whether an event belongs to this page.
    pub(crate) fn is_of(&self, session: Option<&str>) -> bool {
        session == Some(&*self.session)
    }

    /// The name of the script's binding.
    pub(crate) fn binding(&self) -> &str {
        &self.binding
    }

    /// Adds the script's binding, which a navigation removes.
    pub(crate) async fn bind(&self) -> Result<(), Error> {
        self.call("Runtime.addBinding", json!({"name": &*self.binding})).await?;
        Ok(())
    }

    /// Surveys the page.
    pub(crate) async fn survey(&self) -> Result<Survey, Error> {
        self.evaluate(&format!("{}({})", SURVEY.trim_end(), json!(&*self.peoples_words))).await
    }

    /// A screenshot of the page (PNG) in which only these words are readable. The page stays covered.
    pub(crate) async fn picture(&self, words: &[&str]) -> Result<Vec<u8>, Error> {
        let script =
            format!("{}({}, {})", COVER.trim_end(), json!(words), json!(&*self.peoples_words));
        if !self.evaluate::<bool>(&script).await? {
            return Err(Error::Answer("Runtime.evaluate"));
        }
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"})).await?;
        let picture = answer["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
        picture.ok_or(Error::Answer("Page.captureScreenshot"))
    }

    /// Performs an action.
    pub(crate) async fn act(&self, act: Action) -> Result<(), Error> {
        match act {
            Action::Click(key) => self.click(&key).await,
            Action::Fill { field, text } => self.fill(&field, &text).await,
            Action::Send { field, text } => {
                self.fill(&field, &text).await?;
                self.key("Enter", 13, "\r").await
            }
            Action::Escape => self.key("Escape", 27, "").await,
            Action::Nudge => {
                let (x, y) = *self.pointer.lock().unwrap_or_else(PoisonError::into_inner);
                let away = if x < 640.0 { 60.0 } else { -60.0 };
                self.move_to(x + away, (y - 20.0).max(200.0)).await
            }
            Action::Open(url) => self.open(&url).await,
        }
    }

    /// Opens an address.
    pub(crate) async fn open(&self, url: &str) -> Result<(), Error> {
        // The call returns after the page's first bytes. If the address does not answer, the survey shows it.
        match self.call("Page.navigate", json!({"url": url})).await {
            Err(Error::Late(_)) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn click(&self, key: &str) -> Result<(), Error> {
        let script =
            format!("{}({}, {})", SURVEY.trim_end(), json!(&*self.peoples_words), json!(key));
        let mut at = None;
        for _ in 0..FOLLOWS {
            // It may have disappeared: the next look shows the present page.
            let Some(place) = self.evaluate::<Option<Place>>(&script).await? else { return Ok(()) };
            let here = (place.x, place.y);
            if at == Some(here) {
                return if place.free { self.press(here).await } else { Ok(()) };
            }
            self.move_to(place.x, place.y).await?;
            at = Some(here);
        }
        Ok(())
    }

    async fn move_to(&self, x: f64, y: f64) -> Result<(), Error> {
        let from = *self.pointer.lock().unwrap_or_else(PoisonError::into_inner);
        for step in 1..=STEPS {
            let part = f64::from(step) / f64::from(STEPS);
            let (x, y) = (from.0 + (x - from.0) * part, from.1 + (y - from.1) * part);
            self.mouse("mouseMoved", (x, y), 0).await?;
            tokio::time::sleep(STEP).await;
        }
        *self.pointer.lock().unwrap_or_else(PoisonError::into_inner) = (x, y);
        Ok(())
    }

    async fn press(&self, at: (f64, f64)) -> Result<(), Error> {
        self.mouse("mousePressed", at, 1).await?;
        tokio::time::sleep(HELD).await;
        self.mouse("mouseReleased", at, 1).await
    }

    async fn mouse(&self, kind: &str, (x, y): (f64, f64), clicks: u32) -> Result<(), Error> {
        let button = if clicks > 0 { "left" } else { "none" };
        let event = json!({"type": kind, "x": x, "y": y, "button": button, "clickCount": clicks});
        self.call("Input.dispatchMouseEvent", event).await?;
        Ok(())
    }

    async fn fill(&self, field: &str, text: &str) -> Result<(), Error> {
        self.click(field).await?;
        let select_all = json!({"type": "rawKeyDown", "key": "a", "code": "KeyA", "windowsVirtualKeyCode": 65, "modifiers": 2, "commands": ["selectAll"]});
        self.call("Input.dispatchKeyEvent", select_all).await?;
        let released = json!({"type": "keyUp", "key": "a", "code": "KeyA", "windowsVirtualKeyCode": 65, "modifiers": 2});
        self.call("Input.dispatchKeyEvent", released).await?;
        self.call("Input.insertText", json!({"text": text})).await?;
        Ok(())
    }

    async fn key(&self, name: &str, code: u32, text: &str) -> Result<(), Error> {
        let down = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        let mut event =
            json!({"type": down, "key": name, "code": name, "windowsVirtualKeyCode": code});
        if !text.is_empty() {
            event["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", event.clone()).await?;
        event["type"] = "keyUp".into();
        self.call("Input.dispatchKeyEvent", event).await?;
        Ok(())
    }

    pub(super) async fn evaluate<T: DeserializeOwned>(&self, script: &str) -> Result<T, Error> {
        let milliseconds = u64::try_from(DEADLINE.as_millis()).unwrap_or(u64::MAX);
        let asked = json!({"expression": script, "returnByValue": true, "timeout": milliseconds});
        let answer = self.call("Runtime.evaluate", asked).await?;
        if let Some(exception) = answer.get("exceptionDetails") {
            let text =
                exception["exception"]["description"].as_str().or(exception["text"].as_str());
            let text: String = text.unwrap_or("?").chars().take(200).collect();
            return Err(Error::Script(text));
        }
        serde_json::from_value(answer["result"]["value"].clone())
            .map_err(|_| Error::Answer("Runtime.evaluate"))
    }

    pub(super) async fn call(&self, method: &'static str, params: Value) -> Result<Value, Error> {
        self.cdp.call(Some(&self.session), method, params).await
    }

    /// Asks the browser to close.
    pub(crate) async fn close_browser(&self) {
        // The browser may have ended already, and does not always answer.
        let _ =
            timeout(Duration::from_secs(1), self.cdp.call(None, "Browser.close", json!({}))).await;
    }
}
