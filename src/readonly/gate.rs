//! One gate that is to hold writes back.
//!
//! Owns the connection that is the hold, and comes back when a gate is restarted. What the gate answers is shown to a terminal, and
//! may be another program's.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::FdFlags;

use super::Event;
use crate::http::ResponseHead;
use crate::lock::EvenIfPoisoned;
use crate::log::harmless;

/// Between two attempts to reach a gate that is restarted.
const PAUSE: Duration = Duration::from_millis(100);
/// An answer has so much at most.
const LONGEST_ANSWER: u64 = 16 * 1024;

#[derive(Clone)]
pub(super) struct Gate {
    path: PathBuf,
    id: String,
    until: Instant,
    wait: Duration,
    link: Arc<Mutex<Link>>,
}

/// The connection that is the hold.
enum Link {
    None,
    Open(UnixStream),
    /// It is over.
    Released,
}

impl Gate {
    pub(super) fn new(path: &Path, id: &str, until: Instant, wait: Duration) -> Gate {
        Gate {
            path: path.to_owned(),
            id: id.to_owned(),
            until,
            wait,
            link: Arc::new(Mutex::new(Link::None)),
        }
    }

    /// Has the gate hold writes back until it is released; says what happens.
    pub(super) fn keep(&self, number: usize, tell: &Sender<Event>) {
        let mut has_held = false;
        loop {
            let mut stream = match self.connect() {
                Ok(Some(stream)) => stream,
                Ok(None) => return,
                Err(_) if has_held => {
                    thread::sleep(PAUSE);
                    continue;
                }
                Err(error) => {
                    let _ = tell.send(Event::Refused(self.says(&format!("no gate: {error}"))));
                    return;
                }
            };
            let event = match self.ask(&mut stream, has_held) {
                Ok((status @ (200 | 201), _)) => Event::Held {
                    gate: number,
                    is_new: status == 201,
                },
                // It has not seen yet that the connection before this one is closed.
                Ok((409, _)) if has_held => {
                    thread::sleep(PAUSE);
                    continue;
                }
                Ok((_, text)) => Event::Refused(self.says(&text)),
                // It was stopped in between.
                Err(_) if has_held => {
                    thread::sleep(PAUSE);
                    continue;
                }
                Err(error) => Event::Refused(self.says(&error.to_string())),
            };
            let is_refused = matches!(event, Event::Refused(_));
            if tell.send(event).is_err() || is_refused {
                return;
            }
            has_held = true;
            // Until it is closed, by this side or the other.
            let _ = io::copy(&mut stream, &mut io::sink());
            if matches!(*self.link.lock().even_if_poisoned(), Link::Released) {
                return;
            }
            let _ = tell.send(Event::Lost(self.says("the gate is gone")));
        }
    }

    /// Gives the hold up.
    pub(super) fn release(&self) {
        let link = std::mem::replace(&mut *self.link.lock().even_if_poisoned(), Link::Released);
        if let Link::Open(stream) = link {
            // Closing is not enough: what the command has left behind may have it too.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// `None` once it was released.
    fn connect(&self) -> io::Result<Option<UnixStream>> {
        let stream = UnixStream::connect(&self.path)?;
        // The command has it too.
        rustix::io::fcntl_setfd(&stream, FdFlags::empty())?;
        let mut link = self.link.lock().even_if_poisoned();
        if matches!(*link, Link::Released) {
            return Ok(None);
        }
        *link = Link::Open(stream.try_clone()?);
        Ok(Some(stream))
    }

    fn ask(&self, stream: &mut UnixStream, is_again: bool) -> io::Result<(u16, String)> {
        let left = self.until.saturating_duration_since(Instant::now());
        let wait = match is_again {
            true => Duration::ZERO,
            false => self.wait,
        };
        // Rounded up: the command ends first.
        let left = left.as_millis().div_ceil(1000).max(1);
        let (wait, id) = (wait.as_secs(), &self.id);
        let target = format!("/readonly?for={left}&wait={wait}&id={id}");
        let request = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP");
        while (answer.len() as u64) < LONGEST_ANSWER {
            let whole = ResponseHead::parse(&answer, "POST").map_err(|_| invalid())?;
            if let Some((head, length)) = whole {
                let body = answer.get(length..).unwrap_or_default();
                let text = String::from_utf8_lossy(body);
                return Ok((head.status(), harmless(text.trim_end())));
            }
            match stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                taken => answer.extend_from_slice(piece.get(..taken).unwrap_or_default()),
            }
        }
        Err(invalid())
    }

    fn says(&self, what: &str) -> String {
        format!("unix:{}: {what}", self.path.display())
    }
}
