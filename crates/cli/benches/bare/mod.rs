//! The least that a recorder can do: it receives the datagrams of its meetings in batches, authenticates and decrypts them, and appends their payloads to
//! files. And the sender for it, which has encrypted everything before.

use std::{
    collections::HashMap,
    env,
    fs::File,
    io::{self, BufRead as _, BufReader, IoSliceMut, Write as _},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};

/// How often sockets are read, and how often packets are sent.
const TICK: Duration = Duration::from_millis(20);
/// Datagrams of a meeting that are received at once.
const BATCH: usize = 32;
const DATAGRAM_BYTES: usize = 1_600;
/// Payloads are written twice a second, as those of bots: at every 25th tick.
const FLUSH: usize = 25;
/// One key for all: the loop's work is the same.
const KEY: [u8; 16] = [7; 16];
const SALT: [u8; 12] = [3; 12];
/// Before the SSRC, the sequence number and the time.
const VERSION_AND_EXTENSION: u8 = 0x90;
/// A fixed header of 12 bytes, the header of the extensions, and one extension in a word: the voice's level.
const HEADER_BYTES: usize = 20;
/// Of a video packet, as libwebrtc cuts them.
pub(crate) const PAYLOAD_BYTES: usize = 1_150;

fn key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &KEY).unwrap())
}

/// RFC 7714, section 8.1: the SSRC, the rollover counter (0 here) and the sequence number, mixed with the salt.
fn nonce(header: &[u8]) -> Nonce {
    let mut nonce = SALT;
    nonce[2..6].iter_mut().zip(&header[8..12]).for_each(|(byte, ssrc)| *byte ^= ssrc);
    nonce[10..].iter_mut().zip(&header[2..4]).for_each(|(byte, number)| *byte ^= number);
    Nonce::assume_unique_for_key(nonce)
}

/// The datagrams of a meeting in each tick; they are sent in a loop.
pub(crate) type Datagrams = Arc<Vec<Vec<Vec<u8>>>>;

/// Encrypts the payloads of each tick, each with the number of its stream.
pub(crate) fn encrypted(ticks: impl Iterator<Item = Vec<(u8, Vec<u8>)>>) -> Datagrams {
    let (key, mut numbers) = (key(), HashMap::<u8, u16>::new());
    let mut datagram = |(stream, payload): (u8, Vec<u8>)| {
        let number = numbers.entry(stream).or_default();
        *number = number.wrapping_add(1);
        let mut datagram = vec![VERSION_AND_EXTENSION, 111];
        datagram.extend(number.to_be_bytes());
        datagram.extend([0; 4]);
        datagram.extend([1, 2, 3, stream]);
        datagram.extend([0xBE, 0xDE, 0, 1, 0x10, 20, 0, 0]);
        let (mut sealed, aad) = (payload, Aad::from(datagram.clone()));
        key.seal_in_place_append_tag(nonce(&datagram), aad, &mut sealed).unwrap();
        datagram.append(&mut sealed);
        datagram
    };
    Arc::new(ticks.map(|tick| tick.into_iter().map(&mut datagram).collect()).collect())
}

/// The bare loop in a process of its own, and its sender in a thread of this one.
pub(crate) struct Bare {
    pub(crate) process: Child,
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
}

impl Bare {
    /// Starts it with so many meetings, and files in this folder.
    pub(crate) fn start(meetings: usize, folder: &Path, datagrams: Datagrams) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--bare", &meetings.to_string()])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let to: Vec<_> = line.split_whitespace().map(|address| address.parse().unwrap()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sender = Some(thread::spawn(move || send(&datagrams, &to, &stopped)));
        Self { process, stop, sender }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.sender.take().map(JoinHandle::join);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends every meeting its datagrams; each begins elsewhere in the loop.
fn send(datagrams: &Datagrams, to: &[SocketAddr], stop: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    for tick in 0.. {
        thread::sleep((start + TICK * tick).saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            return;
        }
        for (place, to) in to.iter().enumerate() {
            let tick = (tick as usize + place * 7) % datagrams.len();
            for datagram in &datagrams[tick] {
                // A full socket loses it.
                let _ = socket.send_to(datagram, to);
            }
        }
    }
}

/// The bare loop: prints the addresses of its sockets, and never returns.
pub(crate) fn run(meetings: usize, folder: &Path) -> ! {
    let sockets: Vec<UdpSocket> =
        (0..meetings).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let addresses = sockets.iter().map(|socket| socket.local_addr().unwrap().to_string());
    let line = addresses.collect::<Vec<_>>().join(" ");
    println!("{line}");
    io::stdout().flush().unwrap();
    let key = key();
    let mut files: Vec<HashMap<u8, (File, Vec<u8>)>> =
        (0..meetings).map(|_| HashMap::new()).collect();
    let mut buffers = vec![[0; DATAGRAM_BYTES]; BATCH];
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    let mut lengths = Vec::with_capacity(BATCH);
    let start = Instant::now();
    for tick in 1.. {
        thread::sleep((start + TICK * tick).saturating_duration_since(Instant::now()));
        for (place, socket) in sockets.iter().enumerate() {
            loop {
                receive(socket, &mut headers, &mut buffers, &mut lengths);
                for (buffer, length) in buffers.iter_mut().zip(&lengths) {
                    let (header, payload) = buffer[..*length].split_at_mut(HEADER_BYTES);
                    let opened = key.open_in_place(nonce(header), Aad::from(&*header), payload);
                    let stream = header[11];
                    let file = files[place].entry(stream).or_insert_with(|| {
                        (File::create(folder.join(format!("{place}-{stream}"))).unwrap(), vec![])
                    });
                    file.1.extend_from_slice(opened.unwrap());
                }
                if lengths.len() < BATCH {
                    break;
                }
            }
            if (tick as usize + place).is_multiple_of(FLUSH) {
                for (file, payloads) in files[place].values_mut() {
                    file.write_all(payloads).unwrap();
                    payloads.clear();
                }
            }
        }
    }
    unreachable!("it is killed")
}

/// Receives what there is, at most a batch: the lengths of the datagrams.
fn receive(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<SockaddrStorage>,
    buffers: &mut [[u8; DATAGRAM_BYTES]],
    lengths: &mut Vec<usize>,
) {
    lengths.clear();
    let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
    let flags = MsgFlags::MSG_DONTWAIT;
    match recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None) {
        Ok(messages) => lengths.extend(messages.map(|message| message.bytes)),
        Err(nix::Error::EAGAIN) => {}
        Err(error) => panic!("{error}"),
    }
}
