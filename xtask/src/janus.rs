//! A Janus server for tests, in a separate network namespace, connected by a virtual cable.
//!
//! A namespace, because Janus never offers loopback as a way to it. It needs root, and Debian's packages (`apt-get install janus`).

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Reached only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);
const PORT: u16 = 8188;
const TLS_PORT: u16 = 8989;

/// Where Debian's `janus-demos` puts Janus' own web pages.
pub const DEMO_PAGES: &str = "/usr/share/janus/demos";
/// An open room with a roster and chat, and the text room of the same number.
pub const ROOM: u64 = 1234;
/// A room with the pin [`PIN`].
pub const PIN_ROOM: u64 = 4321;
/// A room in which only one may send.
pub const SMALL_ROOM: u64 = 1111;
/// A room for H.264, as [`ROOM`] otherwise.
pub const H264_ROOM: u64 = 2640;
/// What [`PIN_ROOM`] asks for.
pub const PIN: &str = "0815-geheim";
/// What a room's owner shows to kick someone or to close it.
pub const SECRET: &str = "adminpwd";

/// A running server. Dropping it ends the server and takes the namespace away.
#[derive(Debug)]
pub struct Janus {
    server: Child,
    namespace: String,
    folder: PathBuf,
    ip: String,
    near: String,
}

impl Janus {
    /// Starts a server that offers one address; `None`, with a loud word, where that takes rights that this user has not.
    ///
    /// # Panics
    /// When root cannot start one.
    pub fn start() -> Option<Self> {
        Self::start_with("ice_enforce_list = \"{ip}\"")
    }

    /// The same, with these settings in the section `nat`, which is empty by default; `{ip}` is the server's end of the cable.
    ///
    /// # Panics
    /// When root cannot start one.
    pub fn start_with(nat: &str) -> Option<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        if !crate::is_root() {
            // The harness names a test's thread after it.
            let thread = thread::current();
            let test = thread.name().unwrap_or("a test");
            crate::not_tested(test, "joins a real Janus in a network namespace and needs root");
            return None;
        }
        sweep();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let namespace = format!("mb{process}-{number}");
        let (near_end, far_end) =
            (format!("mb{process}n{number}"), format!("mb{process}f{number}"));
        // A network of four addresses for each server of each process: a slow test keeps its own while many others begin.
        let network = (process % 512 * 32 + number % 32) * 4;
        let address = |host: u32| {
            let [_, _, c, d] = (network + host).to_be_bytes();
            format!("10.213.{c}.{d}")
        };
        let (near, ip) = (address(1), address(2));
        ip_command(&["netns", "add", &namespace]);
        ip_command(&["link", "add", &near_end, "type", "veth", "peer", "name", &far_end]);
        ip_command(&["link", "set", &far_end, "netns", &namespace]);
        ip_command(&["addr", "add", &format!("{near}/30"), "dev", &near_end]);
        ip_command(&["link", "set", &near_end, "up"]);
        ip_command(&["-n", &namespace, "addr", "add", &format!("{ip}/30"), "dev", &far_end]);
        ip_command(&["-n", &namespace, "link", "set", &far_end, "up"]);
        ip_command(&["-n", &namespace, "link", "set", "lo", "up"]);
        let folder = std::env::temp_dir().join(format!("meetbot-{namespace}"));
        fs::create_dir_all(&folder).expect("a folder can be made");
        configure(&folder, &ip, &nat.replace("{ip}", &ip));
        let log = fs::File::create(folder.join("log")).expect("a file can be made");
        let server = Command::new("setpriv")
            // A test that is killed takes its server with it.
            .args(["--pdeathsig", "KILL", "ip", "netns", "exec", &namespace, "janus", "-F"])
            .arg(&folder)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file can be opened twice"))
            .stdout(log)
            .spawn()
            .expect("this test needs util-linux and iproute2: apt-get install util-linux iproute2");
        let mut janus = Self { server, namespace, folder, ip, near };
        janus.await_start();
        Some(janus)
    }

    fn await_start(&mut self) {
        let address: SocketAddr = self.address().parse().expect("it is an address");
        let mut waited = Duration::ZERO;
        let step = Duration::from_millis(20);
        while TcpStream::connect_timeout(&address, step).is_err() {
            let ended = self.server.try_wait().ok().flatten();
            assert!(
                ended.is_none() && waited < PATIENCE,
                "Janus does not start (apt-get install janus): {ended:?}\n{}",
                self.log()
            );
            thread::sleep(step);
            waited += step;
        }
    }

    /// Where its WebSocket is, as in `10.213.0.2:8188`.
    pub fn address(&self) -> String {
        format!("{}:{PORT}", self.ip)
    }

    /// The link of a meeting.
    pub fn link(&self, room: u64, more: &str) -> String {
        format!("janus+ws://{}/?room={room}{more}", self.address())
    }

    /// The same, over TLS.
    pub fn tls_link(&self, room: u64) -> String {
        format!("janus+wss://{}:{TLS_PORT}/?room={room}", self.ip)
    }

    /// The certificate that it shows, in PEM.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    /// Its address.
    pub fn ip(&self) -> &str {
        &self.ip
    }

    /// The address of this end of the cable.
    pub fn near(&self) -> &str {
        &self.near
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// A command in the server's namespace.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "ip", "netns", "exec", &self.namespace, program]);
        command
    }

    /// Does some work on a thread in the server's namespace, as a program on the same machine would. Sockets that are opened there, and threads that
    /// are begun there, stay there.
    ///
    /// # Panics
    /// When the work does.
    pub fn beside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = fs::File::open(Path::new("/run/netns").join(&self.namespace));
        let namespace = namespace.expect("the namespace is there");
        let kind = Some(LinkNameSpaceType::Network);
        let done = thread::scope(|scope| {
            let work = || {
                move_into_link_name_space(namespace.as_fd(), kind).expect("root may enter it");
                work()
            };
            scope.spawn(work).join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Janus {
    #[expect(clippy::print_stderr, reason = "a test that failed says what the server saw")]
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(40).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            eprintln!("Janus ({:?}) wrote:\n{}", self.server.try_wait(), last.join("\n"));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
        // The cable goes with the namespace.
        ip_command(&["netns", "delete", &self.namespace]);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes what killed tests left.
fn sweep() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let process = name.strip_prefix("mb").and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| {
            process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists()
        }) {
            // Another test may be faster.
            let _ =
                Command::new("ip").args(["netns", "delete", &name]).stderr(Stdio::null()).status();
        }
    }
}

#[track_caller]
fn ip_command(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output();
    let done = done.expect("this test needs iproute2: apt-get install iproute2");
    let said = String::from_utf8_lossy(&done.stderr);
    // In a panic a second one would hide the first.
    assert!(done.status.success() || thread::panicking(), "ip {}: {said}", arguments.join(" "));
}

fn configure(folder: &Path, ip: &str, nat: &str) {
    let write = |name: &str, text: &str| {
        let mut file = fs::File::create(folder.join(name)).expect("a file can be made");
        file.write_all(text.as_bytes()).expect("a file can be written");
    };
    let certified = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=janus"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext"])
        .args([&format!("subjectAltName=IP:{ip}"), "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .stderr(Stdio::null())
        .status();
    let certified = certified.expect("this test needs openssl: apt-get install openssl");
    assert!(certified.success(), "openssl makes no certificate");
    let (folder, loaded) = (folder.display(), "/usr/lib/x86_64-linux-gnu/janus");
    let loaded = if Path::new(loaded).exists() {
        loaded.to_owned()
    } else {
        format!("/usr/lib/{}-linux-gnu/janus", std::env::consts::ARCH)
    };
    write(
        "janus.jcfg",
        &format!(
            "general: {{ configs_folder = \"{folder}\"
             plugins_folder = \"{loaded}/plugins\"
             transports_folder = \"{loaded}/transports\"
             events_folder = \"{loaded}/events\"
             loggers_folder = \"{loaded}/loggers\"
             debug_level = 4 }}
             media: {{ rtp_port_range = \"20000-40000\" }}
             nat: {{ {nat} }}
             plugins: {{ disable = \"libjanus_audiobridge.so,libjanus_echotest.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_nosip.so,libjanus_streaming.so,libjanus_voicemail.so,libjanus_videocall.so,libjanus_duktape.so,libjanus_lua.so\" }}
             transports: {{ disable = \"libjanus_mqtt.so,libjanus_rabbitmq.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_http.so\" }}
             events: {{ broadcast = false }}\n"
        ),
    );
    write(
        "janus.transport.websockets.jcfg",
        &format!(
            "general: {{ json = \"plain\" ws = true ws_port = {PORT} ws_ip = \"0.0.0.0\"
             wss = true wss_port = {TLS_PORT} wss_ip = \"{ip}\" ws_logging = \"err,warn\" }}
             certificates: {{ cert_pem = \"{folder}/cert.pem\" cert_key = \"{folder}/key.pem\" }}\n"
        ),
    );
    let room = |number: u64, more: &str| {
        format!(
            "room-{number}: {{ description = \"room {number}\" secret = \"{SECRET}\" publishers = 60
             bitrate = 2000000 audiocodec = \"opus\" videocodec = \"vp8\" record = false
             notify_joining = true audiolevel_ext = true audiolevel_event = true
             audio_active_packets = 25 audio_level_average = 40 {more} }}\n"
        )
    };
    let small = room(SMALL_ROOM, "").replace("publishers = 60", "publishers = 1");
    let h264 = room(H264_ROOM, "").replace("\"vp8\"", "\"h264\"");
    let pin = room(PIN_ROOM, &format!("pin = \"{PIN}\""));
    let rooms = ["general: { }\n".to_owned(), room(ROOM, ""), pin, small, h264].concat();
    write("janus.plugin.videoroom.jcfg", &rooms);
    write(
        "janus.plugin.textroom.jcfg",
        &format!(
            "general: {{ json = \"plain\" }}
             room-{ROOM}: {{ description = \"chat\" secret = \"{SECRET}\" }}\n"
        ),
    );
}
