//! The connections of the admin endpoint: a few at once, each with little to say and little time.
//!
//! Owns their sockets, bounds and deadlines, and never waits for one of them: whoever sends half a request or does not
//! read keeps nobody else from an answer. It must not know what is asked. All input is hostile: any user of this machine
//! can connect, and a page in a browser too.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags};

use crate::http::{Refusal, RequestHead};

/// Connections at once: a probe, a scraper or two, and a person's browser, which opens six.
const MOST: usize = 16;
/// What a head may have. Browsers send two KiB.
pub(super) const LONGEST_HEAD: usize = 16 * 1024;
/// For the whole head, from the moment of accepting.
const TIME_TO_ASK: Duration = Duration::from_secs(5);
/// For the whole answer, from the moment it is there.
const TIME_TO_READ: Duration = Duration::from_secs(10);
/// For closing after the answer. Closed with something unread, the connection would be reset, and the answer lost.
const TIME_TO_CLOSE: Duration = Duration::from_secs(1);
/// Connections that are accepted between two looks at the others.
const ACCEPTED_AT_ONCE: usize = 4;
/// After an accept that failed for want of descriptors or memory: until then some may be free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why what was sent is no request to answer.
pub(super) enum Unfit {
    /// A head over [`LONGEST_HEAD`].
    TooLong,
    /// Not grammatical.
    Refused(Refusal),
}

/// What to do with a request.
pub(super) enum Reply {
    /// Send this, whole as it stands.
    Now(Vec<u8>),
    /// The answer is found out elsewhere and handed over by [`Clients::hand_out`].
    Later,
    /// The connection stays open for as long as its client likes: it holds something. It is told so by [`Clients::tell_holder`].
    Hold,
}

/// All that are connected, oldest first.
pub(super) struct Clients {
    listener: OwnedFd,
    open: VecDeque<Client>,
    /// Nobody is accepted before this.
    accept_from: Instant,
}

struct Client {
    socket: OwnedFd,
    state: State,
    /// None while the gate itself is what it waits for.
    deadline: Option<Instant>,
}

enum State {
    /// Has sent this much of a head.
    Asking(Vec<u8>),
    /// Waits for an answer that is found out elsewhere.
    Waiting {
        head: Box<RequestHead>,
        /// Whether it was there when that began, so that the answer holds for it.
        is_included: bool,
    },
    /// Is sent this answer, of which so much has gone.
    Reading(Vec<u8>, usize),
    /// Stays, and has nothing to say.
    Holding,
    /// Was answered. What it still sends is thrown away.
    Closing,
}

/// Whether a connection goes on.
enum Next {
    Stay,
    Close,
}

impl Clients {
    /// Takes over a socket that listens.
    pub(super) fn new(listener: OwnedFd) -> io::Result<Clients> {
        rustix::io::ioctl_fionbio(&listener, true)?;
        Ok(Clients {
            listener,
            open: VecDeque::with_capacity(MOST),
            accept_from: Instant::now(),
        })
    }

    /// Waits until there is something to do, for a connection, because `wake` was written to or because it is `until`, and does it.
    pub(super) fn turn(
        &mut self,
        wake: &OwnedFd,
        until: Option<Instant>,
        mut answer: impl FnMut(Result<&RequestHead, Unfit>, &OwnedFd) -> Reply,
    ) {
        let (is_called, ready) = self.wait(wake, until);
        let now = Instant::now();
        let mut ready = ready.into_iter();
        self.open.retain_mut(|client| {
            let events = ready.next().unwrap_or(PollFlags::empty());
            let is_late = client.deadline.is_some_and(|deadline| now >= deadline);
            !is_late && matches!(client.go_on(events, &mut answer), Next::Stay)
        });
        if is_called {
            for _ in 0..ACCEPTED_AT_ONCE {
                match self.accept() {
                    Some(mut client) => {
                        // Who has said all already is answered before others can take the place.
                        if matches!(client.go_on(PollFlags::IN, &mut answer), Next::Stay) {
                            self.make_room();
                            self.open.push_back(client);
                        }
                    }
                    None => break,
                }
            }
        }
    }

    /// Includes all that wait in the search that begins now; whether there are any.
    pub(super) fn include_waiting(&mut self) -> bool {
        let mut any = false;
        for client in &mut self.open {
            if let State::Waiting { is_included, .. } = &mut client.state {
                *is_included = true;
                any = true;
            }
        }
        any
    }

    /// Gives those who were included what was found.
    pub(super) fn hand_out(&mut self, answer: impl Fn(&RequestHead) -> Vec<u8>) {
        for client in &mut self.open {
            if let State::Waiting {
                head,
                is_included: true,
            } = &client.state
            {
                client.begin_to_send(answer(head));
            }
        }
    }

    /// Whether somebody holds.
    pub(super) fn have_holder(&self) -> bool {
        self.open.iter().any(Client::is_holding)
    }

    /// Sends a short answer to whoever holds.
    pub(super) fn tell_holder(&mut self, answer: &[u8]) {
        // It has room: nothing was sent to them before.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        self.open.retain(|client| {
            !client.is_holding()
                || rustix::net::send(&client.socket, answer, flags) == Ok(answer.len())
        });
    }

    /// Closes the connection of whoever holds.
    pub(super) fn dismiss_holder(&mut self) {
        self.open.retain(|client| !client.is_holding());
    }

    /// Whether the listener has somebody, and what each connection is ready for, in their order.
    fn wait(&self, wake: &OwnedFd, until: Option<Instant>) -> (bool, Vec<PollFlags>) {
        let now = Instant::now();
        let pause = self.accept_from.saturating_duration_since(now);
        let listens = match pause.is_zero() {
            true => PollFlags::IN,
            false => PollFlags::empty(),
        };
        let mut fds = vec![
            PollFd::new(wake, PollFlags::IN),
            PollFd::new(&self.listener, listens),
        ];
        fds.extend(
            self.open
                .iter()
                .map(|client| PollFd::new(&client.socket, client.waits_for())),
        );
        let deadlines = self.open.iter().filter_map(|client| client.deadline);
        let deadlines = deadlines.chain(until);
        let deadlines = deadlines.map(|deadline| deadline.saturating_duration_since(now));
        let limit = deadlines.chain((!pause.is_zero()).then_some(pause)).min();
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        // An interrupted wait, or one that the kernel has no memory for, leaves nothing ready: the next turn looks again.
        let _ = poll(&mut fds, limit.as_ref());
        let mut events = fds.iter().map(PollFd::revents);
        if events.next().is_some_and(|woken| !woken.is_empty()) {
            let _ = rustix::io::read(wake, &mut [0; 8]);
        }
        let is_called = events.next().is_some_and(|called| !called.is_empty());
        (is_called, events.collect())
    }

    fn accept(&mut self) -> Option<Client> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match rustix::net::accept_with(&self.listener, flags) {
            Ok(socket) => Some(Client {
                socket,
                state: State::Asking(Vec::new()),
                deadline: Some(Instant::now() + TIME_TO_ASK),
            }),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => None,
            Err(_) => {
                self.accept_from = Instant::now() + ACCEPT_PAUSE;
                None
            }
        }
    }

    /// The oldest goes, but first those that have their answer, and last those that wait for the gate itself.
    fn make_room(&mut self) {
        if self.open.len() < MOST {
            return;
        }
        let rank = |client: &Client| match client.state {
            State::Closing => 0,
            State::Asking(_) | State::Reading(..) => 1,
            State::Waiting { .. } | State::Holding => 2,
        };
        let goes = self
            .open
            .iter()
            .enumerate()
            .filter(|(_, client)| !client.is_holding())
            .min_by_key(|(at, client)| (rank(client), *at));
        if let Some((at, _)) = goes {
            self.open.remove(at);
        }
    }
}

impl Client {
    fn is_holding(&self) -> bool {
        matches!(self.state, State::Holding)
    }

    fn waits_for(&self) -> PollFlags {
        match self.state {
            State::Asking(_) | State::Closing | State::Holding => PollFlags::IN,
            State::Reading(..) => PollFlags::OUT,
            // A hang-up is told all the same.
            State::Waiting { .. } => PollFlags::empty(),
        }
    }

    /// Does what can be done without waiting, and at most one read.
    fn go_on(
        &mut self,
        events: PollFlags,
        answer: &mut impl FnMut(Result<&RequestHead, Unfit>, &OwnedFd) -> Reply,
    ) -> Next {
        if events.is_empty() {
            return Next::Stay;
        }
        match &mut self.state {
            State::Waiting { .. } => Next::Close,
            State::Closing | State::Holding => match read(&self.socket, &mut Vec::new()) {
                Ok(0) => Next::Close,
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Next::Stay,
                Err(_) => Next::Close,
            },
            State::Reading(..) => self.send(),
            State::Asking(head) => {
                match read(&self.socket, head) {
                    Ok(0) => return Next::Close,
                    Ok(_) => {}
                    Err(Errno::AGAIN | Errno::INTR) => return Next::Stay,
                    Err(_) => return Next::Close,
                }
                let (reply, head) = match RequestHead::parse(head) {
                    Ok(None) if head.len() < LONGEST_HEAD => return Next::Stay,
                    Ok(Some((head, length))) if length <= LONGEST_HEAD => {
                        (answer(Ok(&head), &self.socket), Some(head))
                    }
                    Ok(_) => (answer(Err(Unfit::TooLong), &self.socket), None),
                    Err(refusal) => (answer(Err(Unfit::Refused(refusal)), &self.socket), None),
                };
                match (reply, head) {
                    (Reply::Now(bytes), _) => self.begin_to_send(bytes),
                    (Reply::Later, Some(head)) => {
                        self.state = State::Waiting {
                            head: Box::new(head),
                            is_included: false,
                        };
                        self.deadline = None;
                        return Next::Stay;
                    }
                    (Reply::Later, None) => return Next::Close,
                    (Reply::Hold, _) => {
                        self.state = State::Holding;
                        self.deadline = None;
                        return Next::Stay;
                    }
                }
                self.send()
            }
        }
    }

    fn begin_to_send(&mut self, answer: Vec<u8>) {
        self.state = State::Reading(answer, 0);
        self.deadline = Some(Instant::now() + TIME_TO_READ);
    }

    /// Sends what there is room for.
    fn send(&mut self) -> Next {
        let State::Reading(answer, gone) = &mut self.state else {
            return Next::Stay;
        };
        let rest = answer.get(*gone..).unwrap_or_default();
        match rustix::net::send(
            &self.socket,
            rest,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        ) {
            Ok(sent) => *gone += sent,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return Next::Close,
        }
        if *gone >= answer.len() {
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
            self.state = State::Closing;
            self.deadline = Some(Instant::now() + TIME_TO_CLOSE);
        }
        Next::Stay
    }
}

/// Reads once, into what is there already.
fn read(socket: &OwnedFd, into: &mut Vec<u8>) -> rustix::io::Result<usize> {
    let mut piece = [0; LONGEST_HEAD];
    let (taken, _) = rustix::net::recv(socket, &mut piece, RecvFlags::DONTWAIT)?;
    into.extend_from_slice(piece.get(..taken).unwrap_or_default());
    Ok(taken)
}
