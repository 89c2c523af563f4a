//! A Chromium that is used as a person uses it, with clicks and keys, over the pipe of its `DevTools`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::janus::Janus;

use crate::program::PATIENCE;

/// Moves the pipe to where Chromium looks for it; a closed pipe ends it. What it writes besides is a log.
const WITH_PIPE: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >>"$HOME/log" 2>&1"#;

/// Headless, without background network requests, with fake devices and without permission prompts.
const FLAGS: [&str; 16] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
];

/// Turns noise suppression off, which would remove a steady tone.
const NATURAL_VOICES: &str = "
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const natural = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    navigator.mediaDevices.getUserMedia = wanted =>
        ask({ ...wanted, audio: wanted.audio && Object.assign(wanted.audio === true ? {} : wanted.audio, natural) });
";

/// A running browser. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Chromium {
    /// The first of its processes, which leads the group of all.
    pub(crate) process: Child,
    pipe: ChildStdin,
    heard: mpsc::Receiver<Value>,
    /// Heard while something else was waited for.
    events: Vec<Value>,
    calls: u64,
    /// Its profile, its log, its home.
    home: TempDir,
}

/// A tab.
#[derive(Debug)]
pub(crate) struct Tab {
    session: String,
}

impl Chromium {
    /// Starts one in the network of the server.
    ///
    /// # Panics
    /// When there is no Chromium on this machine, or it does not start.
    pub(crate) fn start(janus: &Janus, flags: &[String]) -> Self {
        let home = TempDir::new().unwrap();
        let mut process = janus
            .inside("sh")
            .args(["-c", WITH_PIPE, "chromium"])
            .args(FLAGS)
            .args(flags)
            .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
            .arg("about:blank")
            .env("HOME", home.path())
            // No prompts: no session bus, no keyring.
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            // It and all its children are ended as one.
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
        let mut chromium = Self { process, pipe, heard, events: Vec::new(), calls: 0, home };
        chromium.call(None, "Browser.getVersion", &json!({}));
        chromium
    }

    /// Opens a page in a new tab, and waits until it is loaded.
    pub(crate) fn open(&mut self, url: &str) -> Tab {
        let target = self.call(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call(None, "Target.attachToTarget", &attach);
        let tab = Tab { session: attached["sessionId"].as_str().unwrap().to_owned() };
        self.on(&tab, "Page.enable", &json!({}));
        let script = json!({ "source": NATURAL_VOICES });
        self.on(&tab, "Page.addScriptToEvaluateOnNewDocument", &script);
        self.events.clear();
        let navigated = self.on(&tab, "Page.navigate", &json!({ "url": url }));
        assert!(navigated["errorText"].is_null(), "{url}: {navigated}");
        let loaded = |event: &Value| {
            event["method"] == "Page.loadEventFired" && event["sessionId"] == tab.session.as_str()
        };
        while !self.events.iter().any(loaded) {
            let event = self.hear("the page");
            self.events.push(event);
        }
        tab
    }

    /// Clicks in the middle of what the selector finds, once it is there.
    pub(crate) fn click(&mut self, tab: &Tab, selector: &str) {
        self.until(
            tab,
            &format!(
                "$('{selector}').filter(':visible:not([disabled])').length && $('.blockOverlay').length === 0"
            ),
        );
        self.on(tab, "Page.bringToFront", &json!({}));
        // A page that is still being laid out moves what it shows: a click has to hit.
        let middle = format!(
            "(() => {{ const found = document.querySelector('{selector}');
                found.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const box = found.getBoundingClientRect();
                const place = [box.x + box.width / 2, box.y + box.height / 2];
                return found.contains(document.elementFromPoint(...place)) ? place : null; }})()"
        );
        self.until(tab, &middle);
        let place = self.value(tab, &middle);
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let mouse = json!({ "type": kind, "x": place[0], "y": place[1], "button": button, "clickCount": 1 });
            self.on(tab, "Input.dispatchMouseEvent", &mouse);
        }
    }

    /// Clicks into a field, writes, and presses Enter.
    pub(crate) fn write(&mut self, tab: &Tab, field: &str, text: &str) {
        self.click(tab, field);
        self.on(tab, "Input.insertText", &json!({ "text": text }));
        for kind in ["keyDown", "keyUp"] {
            let mut key = json!({ "type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13 });
            if kind == "keyDown" {
                key["text"] = "\r".into();
            }
            self.on(tab, "Input.dispatchKeyEvent", &key);
        }
    }

    /// Waits until the expression holds in the page.
    #[track_caller]
    pub(crate) fn until(&mut self, tab: &Tab, holds: &str) {
        let waited = self.wait(tab, holds, PATIENCE / 2);
        assert_eq!(waited, true, "it never came: {holds}");
    }

    /// Waits until the expression holds in the page, but not longer than this; answers what the page shows then.
    #[track_caller]
    pub(crate) fn wait(&mut self, tab: &Tab, holds: &str, patience: Duration) -> Value {
        // Looked at ten times a second: not everything that a page shows tells when it changes.
        self.value(
            tab,
            &format!(
                "new Promise(done => {{
                    const deadline = Date.now() + {};
                    const look = () => ({holds}) ? done(true) : Date.now() > deadline ? done(document.body.innerText) : setTimeout(look, 100);
                    look();
                }})",
                patience.as_millis()
            ),
        )
    }

    /// What the expression is in the page.
    #[track_caller]
    pub(crate) fn value(&mut self, tab: &Tab, expression: &str) -> Value {
        let evaluate =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let evaluated = self.on(tab, "Runtime.evaluate", &evaluate);
        assert!(evaluated["exceptionDetails"].is_null(), "{expression}: {evaluated}");
        evaluated["result"]["value"].clone()
    }

    fn on(&mut self, tab: &Tab, method: &str, parameters: &Value) -> Value {
        self.call(Some(tab), method, parameters)
    }

    /// Asks, and waits for the answer.
    #[track_caller]
    fn call(&mut self, tab: Option<&Tab>, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(tab) = tab {
            call["sessionId"] = tab.session.as_str().into();
        }
        let sent = self.pipe.write_all(format!("{call}\0").as_bytes());
        sent.unwrap_or_else(|error| panic!("{method}: {error}: {}", self.log()));
        loop {
            let mut heard = self.hear(method);
            if heard["id"] == self.calls {
                assert!(heard["error"].is_null(), "{method} {parameters}: {heard}");
                return heard["result"].take();
            }
            if heard["method"].is_string() {
                self.events.push(heard);
            }
        }
    }

    #[track_caller]
    fn hear(&self, waiting_for: &str) -> Value {
        let heard = self.heard.recv_timeout(PATIENCE);
        heard.unwrap_or_else(|error| panic!("{waiting_for}: {error}: {}", self.log()))
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        format!("Chromium (apt-get install chromium) wrote:\n{log}")
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
    }
}

/// The flag by which a microphone hears a WAV file, again and again.
pub(crate) fn hears(wav: &Path) -> String {
    format!("--use-file-for-fake-audio-capture={}", wav.display())
}

/// The flag by which a camera sees a Y4M file, again and again.
pub(crate) fn sees(y4m: &Path) -> String {
    format!("--use-file-for-fake-video-capture={}", y4m.display())
}
