//! Reads a client's request from its connection.

use std::io::{self, BufRead, ErrorKind};

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET /path HTTP/1.1`
    pub line: String,
    /// In the order in which they came; names are in lower case.
    pub headers: Vec<(String, String)>,
    /// As `Content-Length` delimits it.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of this header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// Where it is not UTF-8.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is not UTF-8")
    }

    /// The bytes that the request asks for of a file: from the first to the last, or to the end of the file.
    pub(super) fn range(&self) -> Option<(usize, Option<usize>)> {
        let (from, to) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((from.parse().ok()?, to.parse().ok()))
    }

    /// The next request, or `None` where something comes that is no HTTP, such as a TLS handshake.
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let line = read_line(reader)?;
        if !line.ends_with(" HTTP/1.1") {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let header = read_line(reader)?;
            if header.is_empty() {
                break;
            }
            let Some((name, value)) = header.split_once(':') else { return Ok(None) };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { line, headers, body: Vec::new() };
        let Ok(length) = request.header("content-length").unwrap_or("0").parse() else {
            return Ok(None);
        };
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
