//! Requests over plain sockets, for bytes that no HTTP library would send.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::server::{PATIENCE, Server};

/// A new connection, over which these bytes were sent.
pub(crate) async fn send(server: &Server, bytes: impl AsRef<[u8]>) -> TcpStream {
    let address = server.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    // Writing fails if the server has closed the connection already.
    let _ = stream.write_all(bytes.as_ref()).await;
    stream
}

/// Reads until the connection is closed.
pub(crate) async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = async {
        // A reset ends the connection, too.
        let _ = stream.read_to_end(&mut bytes).await;
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the connection is closed");
    String::from_utf8(bytes).unwrap()
}

/// Reads the head of the first response; empty if the connection is closed.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
            if !stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer, or an end");
    String::from_utf8(bytes).unwrap()
}
