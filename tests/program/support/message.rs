//! HTTP/1 messages as a test reads them: simple, strict where the contract promises something, and keeping the raw bytes.
//! Reads both requests (in the backend) and answers (in the client).
use super::readable;
use super::stream::{End, Stream};
use std::io::{self, Write};

/// How the length of a body was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Empty,
    Length(usize),
    Chunked,
    UntilClose,
}

/// One message. `cut` says why it is not whole, if it is not.
#[derive(Clone, Debug)]
pub struct Message {
    pub start: String,
    pub fields: Vec<(String, String)>,
    pub framing: Framing,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    pub raw: Vec<u8>,
    pub cut: Option<String>,
}

impl Message {
    /// The values of all fields of that name.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The value of the only field of that name; fails the test if there are several.
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(
            values.len() <= 1,
            "several {name} fields in\n{}",
            readable(&self.raw)
        );
        values.first().copied()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// The status of an answer.
    pub fn status(&self) -> u16 {
        let status = self
            .start
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok());
        status.unwrap_or_else(|| panic!("not a status line: {:?}", self.start))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails the test if this is not the OCI error document for `code`.
    pub fn assert_oci(&self, code: &str) {
        let body: String = self.text().split_whitespace().collect();
        let wanted = format!("\"code\":\"{code}\"");
        let good = body.starts_with("{\"errors\":[{")
            && body.ends_with("}]}")
            && body.contains(&wanted)
            && body.contains("\"message\":\"");
        assert!(
            good,
            "not an OCI error with code {code}:\n{}",
            readable(&self.raw)
        );
        let kind = self.field("Content-Type").unwrap_or_default();
        assert!(
            kind.starts_with("application/json"),
            "content type {kind:?}"
        );
        assert_eq!(
            self.field("Docker-Distribution-Api-Version"),
            Some("registry/2.0")
        );
    }
}

/// What one side of a connection has received, and the connection.
pub struct Inbox {
    pub stream: Stream,
    /// Everything that came, in order.
    pub received: Vec<u8>,
    taken: usize,
    ended: Option<End>,
    /// A reset that a write was told of. It is told once: a read behind it sees what had come, and a plain end of file.
    reset: Option<String>,
}

impl Inbox {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            received: Vec::new(),
            taken: 0,
            ended: None,
            reset: None,
        }
    }

    /// What has come and was not read yet.
    pub fn waiting(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = self
            .stream
            .write_all(bytes)
            .and_then(|()| self.stream.flush());
        sent.inspect_err(|error| {
            if error.kind() == io::ErrorKind::ConnectionReset {
                self.reset = Some(error.to_string());
            }
        })
    }

    /// Receives more; `Err` of the inner result is the end.
    pub fn receive(&mut self) -> io::Result<Result<usize, End>> {
        if let Some(end) = &self.ended {
            return Ok(Err(end.clone()));
        }
        let mut buffer = [0; 65536];
        let mut outcome = self.stream.receive(&mut buffer)?;
        if let (Err(End::Clean), Some(reset)) = (&outcome, self.reset.clone()) {
            outcome = Err(End::Cut(reset));
        }
        match &outcome {
            Ok(count) => self.received.extend_from_slice(&buffer[..*count]),
            Err(end) => self.ended = Some(end.clone()),
        }
        Ok(outcome)
    }

    /// Reads a head: `None` if the other side ended before its first byte.
    pub fn head(&mut self) -> io::Result<Option<Message>> {
        let length = loop {
            if let Some(at) = self
                .waiting()
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break at + 4;
            }
            if let Err(end) = self.receive()? {
                if self.waiting().is_empty() {
                    return Ok(None);
                }
                return Err(io::Error::other(format!(
                    "{end:?} within a head:\n{}",
                    readable(self.waiting())
                )));
            }
        };
        let raw = self.take(length);
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = fields(lines);
        Ok(Some(Message {
            start,
            fields,
            framing: Framing::Empty,
            body: Vec::new(),
            trailers: Vec::new(),
            raw,
            cut: None,
        }))
    }

    /// Reads a request with its body.
    pub fn request(&mut self) -> io::Result<Option<Message>> {
        let Some(mut message) = self.head()? else {
            return Ok(None);
        };
        self.body_of_request(&mut message)?;
        Ok(Some(message))
    }

    /// Reads the body of a request whose head was read.
    pub fn body_of_request(&mut self, message: &mut Message) -> io::Result<()> {
        message.framing = announced(message).unwrap_or(Framing::Empty);
        self.body(message)
    }

    /// Reads an answer with its body; `None` if the other side ended without one.
    pub fn answer(&mut self, to_head: bool) -> io::Result<Option<Message>> {
        let Some(mut message) = self.answer_head(to_head)? else {
            return Ok(None);
        };
        self.body(&mut message)?;
        Ok(Some(message))
    }

    /// Reads the head of an answer alone.
    pub fn answer_head(&mut self, to_head: bool) -> io::Result<Option<Message>> {
        let Some(mut message) = self.head()? else {
            return Ok(None);
        };
        let bodiless = to_head || matches!(message.status(), 100..=199 | 204 | 304);
        message.framing = if bodiless {
            Framing::Empty
        } else {
            announced(&message).unwrap_or(Framing::UntilClose)
        };
        Ok(Some(message))
    }

    /// Reads the body that the framing of `message` announces, as much of it as comes.
    pub fn body(&mut self, message: &mut Message) -> io::Result<()> {
        match message.framing {
            Framing::Empty => {}
            Framing::Length(length) => {
                message.cut = self
                    .until(length)?
                    .map(|end| format!("{end:?} within a body of {length} bytes"));
                let data = self.take(length);
                message.raw.extend_from_slice(&data);
                message.body = data;
            }
            Framing::UntilClose => loop {
                if let Err(end) = self.receive()? {
                    message.body = self.take(usize::MAX);
                    message.raw.extend_from_slice(&message.body);
                    if let End::Cut(why) = end {
                        message.cut = Some(why);
                    }
                    break;
                }
            },
            Framing::Chunked => message.cut = self.chunks(message)?,
        }
        Ok(())
    }

    /// Everything from here to the end, and how it ended.
    pub fn rest(&mut self) -> io::Result<(Vec<u8>, End)> {
        loop {
            if let Err(end) = self.receive()? {
                return Ok((self.take(usize::MAX), end));
            }
        }
    }

    /// Exactly `count` bytes, or fewer if the other side ended.
    pub fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.until(count)?;
        Ok(self.take(count))
    }

    fn chunks(&mut self, message: &mut Message) -> io::Result<Option<String>> {
        loop {
            let Some(line) = self.line(message)? else {
                return Ok(Some("an end within a chunk line".to_owned()));
            };
            let size = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(size, 16) else {
                return Err(io::Error::other(format!("not a chunk size: {line:?}")));
            };
            if size == 0 {
                break;
            }
            let end = self.until(size + 2)?;
            let data = self.take(size + 2);
            message.raw.extend_from_slice(&data);
            message
                .body
                .extend_from_slice(&data[..data.len().min(size)]);
            if let Some(end) = end {
                return Ok(Some(format!("{end:?} within a chunk")));
            }
            if !data.ends_with(b"\r\n") {
                return Err(io::Error::other("a chunk without its line end"));
            }
        }
        let mut lines = Vec::new();
        loop {
            match self.line(message)? {
                None => return Ok(Some("an end within the trailers".to_owned())),
                Some(line) if line.is_empty() => break,
                Some(line) => lines.push(line),
            }
        }
        message.trailers = fields(lines.iter().map(String::as_str));
        Ok(None)
    }

    fn line(&mut self, message: &mut Message) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = self
                .waiting()
                .windows(2)
                .position(|window| window == b"\r\n")
            {
                let line = self.take(at + 2);
                message.raw.extend_from_slice(&line);
                return Ok(Some(String::from_utf8_lossy(&line[..at]).into_owned()));
            }
            if self.receive()?.is_err() {
                let left = self.take(usize::MAX);
                message.raw.extend_from_slice(&left);
                return Ok(None);
            }
        }
    }

    fn until(&mut self, count: usize) -> io::Result<Option<End>> {
        while self.waiting().len() < count {
            if let Err(end) = self.receive()? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let data = self.waiting();
        let data = data[..count.min(data.len())].to_vec();
        self.taken += data.len();
        data
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let split = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.to_owned(), value.trim().to_owned())
    };
    lines.map(split).collect()
}

/// The framing that the fields tell. Fails the test where they tell two.
fn announced(message: &Message) -> Option<Framing> {
    let codings = message.values("Transfer-Encoding");
    let lengths = message.values("Content-Length");
    assert!(
        codings.len() + lengths.len() <= 1,
        "framing told twice:\n{}",
        readable(&message.raw)
    );
    if let Some(coding) = codings.first() {
        assert!(
            coding.eq_ignore_ascii_case("chunked"),
            "transfer coding {coding:?}"
        );
        return Some(Framing::Chunked);
    }
    let length = lengths.first()?;
    Some(Framing::Length(
        length
            .parse()
            .unwrap_or_else(|_| panic!("content length {length:?}")),
    ))
}
