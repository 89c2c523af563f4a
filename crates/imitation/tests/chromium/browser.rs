//! Drives a Chromium over its `DevTools` pipe. It shares no code with the bot.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use meetbot_imitation::{Imitation, Observed};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The timeout of each step, for busy machines.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How often a second of waiting for a click's target is repeated.
const TRIES: usize = 30;

/// How many navigations are followed while waiting.
const PAGES: usize = 20;

/// The meeting's link.
pub(crate) const LINK: &str = "https://meet.google.com/abc-defg-hij?hl=en";

/// Moves the pipe to the descriptors that Chromium uses; a closed pipe ends it.
const WITH_PIPE: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >>"$HOME/log" 2>&1"#;

const FLAGS: [&str; 14] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--mute-audio",
    "--window-size=1280,900",
    "--autoplay-policy=no-user-gesture-required",
    "--lang=en-US",
    "--accept-lang=en-US,en",
];

/// Fake devices without a permission prompt.
pub(crate) const DEVICES: [&str; 2] =
    ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];

/// Flags that hide the automation and the headless mode.
pub(crate) const INCONSPICUOUS: [&str; 2] = [
    "--disable-blink-features=AutomationControlled",
    "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
];

/// A script that runs before the page: it records messages of `collections`, and the sources of encoded audio.
const HOOK: &str = include_str!("hook.js");

fn evaluation(expression: &str) -> Value {
    json!({ "expression": expression, "awaitPromise": true, "returnByValue": true })
}

/// A browser with one tab. Dropping it ends it.
pub(crate) struct Browser {
    process: Child,
    pipe: ChildStdin,
    heard: mpsc::Receiver<Value>,
    calls: u64,
    session: Option<String>,
    home: TempDir,
}

impl Browser {
    /// Starts one that reaches only the imitation. `None`, with a message, if Chromium is not installed.
    pub(crate) fn start(imitation: &Imitation, flags: &[&str], hooked: bool) -> Option<Self> {
        if Command::new("chromium").arg("--version").output().is_err() {
            xtask::not_tested(
                "the imitation of Google Meet",
                "needs Chromium (apt-get install chromium)",
            );
            return None;
        }
        let home = TempDir::new().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", WITH_PIPE, "chromium"])
            .args(FLAGS)
            .args(flags)
            .arg(format!("--host-resolver-rules={}", imitation.resolver_rules()))
            .arg(format!("--ignore-certificate-errors-spki-list={}", imitation.spki_sha256()))
            .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
            .arg("about:blank")
            .env("HOME", home.path())
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            // A process group, so that all of its children are killed with it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = process.stdin.take().unwrap();
        let words = BufReader::new(process.stdout.take().unwrap()).split(0);
        let (sender, heard) = mpsc::channel();
        thread::spawn(move || {
            for word in words.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_slice(&word).unwrap());
            }
        });
        let mut browser = Self { process, pipe, heard, calls: 0, session: None, home };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        browser.call("Page.enable", &json!({}));
        if hooked {
            browser.call("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": HOOK }));
        }
        Some(browser)
    }

    pub(crate) fn open(&mut self, link: &str) {
        let navigated = self.call("Page.navigate", &json!({ "url": link }));
        assert!(navigated["errorText"].is_null(), "{link}: {navigated}");
    }

    /// Clicks the middle of the element with this name, once it is not covered.
    #[track_caller]
    pub(crate) fn click(&mut self, name: &str) {
        let look = format!(
            "new Promise(done => {{
                const deadline = Date.now() + 1000;
                const look = () => {{
                    const place = window.placeOf?.({});
                    if (place || Date.now() > deadline) done(place); else setTimeout(look, 50);
                }};
                look();
            }})",
            json!(name)
        );
        // A hidden toolbar appears when the pointer moves.
        let mut places = (0..TRIES).map(|_| {
            self.point(300.0, 300.0);
            self.value(&look)
        });
        let place = places.find(|place| !place.is_null());
        let place = place.unwrap_or_else(|| panic!("no way to {name:?}"));
        let (x, y) = (place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
        for step in [3.0, 2.0, 1.0, 0.0] {
            self.mouse("mouseMoved", "none", x - step * 4.0, y - step * 2.0);
        }
        self.mouse("mousePressed", "left", x, y);
        self.mouse("mouseReleased", "left", x, y);
    }

    /// Moves the pointer.
    fn point(&mut self, x: f64, y: f64) {
        self.mouse("mouseMoved", "none", x, y);
    }

    fn mouse(&mut self, kind: &str, button: &str, x: f64, y: f64) {
        let mouse = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", &mouse);
    }

    /// Types into the focused element.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    pub(crate) fn press_key(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            let mut press =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && key == "Enter" {
                press["text"] = "\r".into();
            }
            self.call("Input.dispatchKeyEvent", &press);
        }
    }

    /// Waits until the expression is true in the page, or in one to which it navigates.
    #[track_caller]
    pub(crate) fn until(&mut self, holds: &str) {
        let look = format!(
            "new Promise(done => {{
                const deadline = Date.now() + {};
                // Elements of the expression may be missing yet.
                const holds = () => {{ try {{ return {holds}; }} catch {{ return false; }} }};
                const look = () => holds() ? done(true) : Date.now() > deadline ? done(document.body.innerText) : setTimeout(look, 50);
                look();
            }})",
            TIMEOUT.as_millis() / 2
        );
        let evaluate = evaluation(&look);
        for _ in 0..PAGES {
            // A navigation cancels the evaluation.
            let Ok(evaluated) = self.ask("Runtime.evaluate", &evaluate) else { continue };
            assert_eq!(evaluated["result"]["value"], true, "the wait timed out: {holds}");
            return;
        }
        panic!("{PAGES} pages were loaded: {holds}");
    }

    /// The value of the expression in the page.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let evaluated = self.call("Runtime.evaluate", &evaluation(expression));
        assert!(evaluated["exceptionDetails"].is_null(), "{expression}: {evaluated}");
        evaluated["result"]["value"].clone()
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.ask(method, parameters)
            .unwrap_or_else(|error| panic!("{method} {parameters}: {error}"))
    }

    /// Sends a request, and waits for the answer.
    #[track_caller]
    fn ask(&mut self, method: &str, parameters: &Value) -> Result<Value, Value> {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        let sent = self.pipe.write_all(format!("{call}\0").as_bytes());
        sent.unwrap_or_else(|error| panic!("{method}: {error}: {}", self.log()));
        loop {
            let heard = self.heard.recv_timeout(TIMEOUT);
            let mut heard =
                heard.unwrap_or_else(|error| panic!("{method}: {error}: {}", self.log()));
            if heard["id"] == self.calls {
                let error = heard["error"].take();
                return if error.is_null() { Ok(heard["result"].take()) } else { Err(error) };
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
    }
}

/// Waits until the observations match, at most [`TIMEOUT`].
pub(crate) async fn seen(imitation: &Imitation, holds: impl Fn(&Observed) -> bool) -> Observed {
    let waited = tokio::time::timeout(TIMEOUT, imitation.until(holds)).await;
    waited.unwrap_or_else(|_| panic!("the wait timed out: {:#?}", imitation.observed()))
}
