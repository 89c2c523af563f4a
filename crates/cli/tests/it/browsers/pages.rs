//! Janus' own demo pages (of Debian's `janus-demos`), served in the network of a server, and how a person uses them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use xtask::janus::{DEMO_PAGES, Janus, ROOM};

use super::chromium::{Chromium, Tab};

/// To browsers, the machine itself is a secure place: they give pages of it a microphone.
const AT: &str = "http://127.0.0.1";

/// An operator's settings: the server's address, and no STUN servers.
const SETTINGS: &str = r#"
var server = "ws://" + window.location.hostname + ":8188";
var iceServers = [];
var token = undefined, apisecret = undefined;
"#;

/// The served pages. Dropping it ends the web server.
#[derive(Debug)]
pub(crate) struct Pages {
    server: Child,
    _folder: TempDir,
}

impl Pages {
    /// Serves them.
    ///
    /// # Panics
    /// When they are not on this machine.
    pub(crate) fn serve(janus: &Janus) -> Self {
        let folder = TempDir::new().unwrap();
        let demos = fs::read_dir(DEMO_PAGES).unwrap_or_else(|error| {
            panic!("this test needs Janus' demo pages: apt-get install janus-demos ({error})")
        });
        for demo in demos.map(|demo| demo.unwrap()).filter(|demo| demo.file_name() != "settings.js")
        {
            symlink(demo.path(), folder.path().join(demo.file_name())).unwrap();
        }
        fs::write(folder.path().join("settings.js"), SETTINGS).unwrap();
        let mut server = janus
            .inside("python3")
            .args(["-u", "-m", "http.server", "80", "--bind", "127.0.0.1", "--directory"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        // Its first line comes when it listens.
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("Serving HTTP"), "{line}: {}", log(folder.path()));
        Self { server, _folder: folder }
    }
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Opens the page of the video room and sits down in it, with microphone and camera; once this answers, the camera is on.
pub(crate) fn join_video(browser: &mut Chromium, name: &str, more: &str) -> Tab {
    let tab = join(browser, "videoroomtest.html", name, more);
    browser.until(&tab, "sfutest.webrtcStuff.pc?.connectionState === 'connected'");
    browser.until(&tab, "$('#videolocal video').get(0)?.currentTime > 0");
    tab
}

/// Opens the page of the text room and joins it; once this answers, one can write.
pub(crate) fn join_chat(browser: &mut Chromium, name: &str) -> Tab {
    let tab = join(browser, "textroomtest.html", name, "");
    browser.until(&tab, "$('#datasend:visible:not([disabled])').length");
    tab
}

/// Opens a page, starts it, and gives a name.
pub(crate) fn join(browser: &mut Chromium, page: &str, name: &str, more: &str) -> Tab {
    let url = format!("{AT}/{page}?room={ROOM}{more}");
    // The button is there before the page listens to it. On a busy machine a page now and then never does: a person opens it anew.
    let listens = "$._data($('#start').get(0), 'events')?.click";
    let mut tab = browser.open(&url);
    for _ in 0..2 {
        if browser.wait(&tab, listens, Duration::from_secs(10)) == true {
            break;
        }
        tab = browser.open(&url);
    }
    browser.until(&tab, listens);
    browser.click(&tab, "#start");
    browser.write(&tab, "#username", name);
    tab
}

/// Leaves the page's room, by its button.
pub(crate) fn stop(browser: &mut Chromium, tab: &Tab) {
    browser.click(tab, "#start");
}
