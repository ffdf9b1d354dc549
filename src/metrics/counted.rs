//! What is counted, and the values of its labels.

use super::busiest::{Busiest, Busy};
use super::count::{Counted, Counter, Histogram};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A hundred layers are pulled in less; a push of a huge one may take longer than the last of these. In microseconds.
const DURATIONS: [u64; 12] = [
    1_000,
    5_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
];
/// No body, manifests, small and large layers. In bytes.
const SIZES: [u64; 9] = [
    0,
    1 << 10,
    16 << 10,
    256 << 10,
    1 << 20,
    16 << 20,
    128 << 20,
    1 << 30,
    8 << 30,
];

/// The values of a label, all of them.
macro_rules! label {
    ($(#[$about:meta])* $name:ident { $($(#[$variant_about:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_about])* $variant,)+ }

        impl $name {
            /// As Prometheus is told, in the order of their discriminants.
            pub const TEXTS: &'static [&'static str] = &[$($text),+];

            /// The same of this one.
            pub fn text(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }
    };
}

label! {
    /// What a client wanted to do.
    Method {
        /// Read.
        Get = "GET",
        /// Ask about.
        Head = "HEAD",
        /// Begin.
        Post = "POST",
        /// Write.
        Put = "PUT",
        /// Go on writing.
        Patch = "PATCH",
        /// Remove.
        Delete = "DELETE",
        /// Anything else that a client may write there.
        Other = "other",
    }
}

label! {
    /// How a request ended.
    Status {
        /// 200 to 299, and what came before it.
        Good = "2xx",
        /// 300 to 399.
        Elsewhere = "3xx",
        /// 400 to 499.
        Refused = "4xx",
        /// 500 and above.
        Failed = "5xx",
        /// The client went away before its answer.
        Gone = "gone",
    }
}

label! {
    /// How it went when somebody was to be let in.
    Login {
        /// Checked now, and right.
        Ok = "ok",
        /// Right, as was known already.
        Remembered = "remembered",
        /// Not right.
        Wrong = "wrong",
        /// Nothing was shown that could be right.
        Absent = "absent",
        /// Not looked at, after too many wrong ones.
        Throttled = "throttled",
        /// Not looked at, because too many wait already.
        Busy = "busy",
        /// Nobody could tell.
        Unsure = "unsure",
        /// Right perhaps, and not allowed to.
        Denied = "denied",
        /// A token of the gate's own that counts.
        Token = "token",
        /// One that does not.
        BadToken = "bad-token",
        /// A certificate that was believed.
        Certificate = "certificate",
    }
}

label! {
    /// What came of files that were read anew.
    Reload {
        /// They were taken.
        Good = "good",
        /// The last good ones stay.
        Bad = "bad",
    }
}

label! {
    /// What is known of a backend, the best first.
    #[derive(PartialOrd, Ord)]
    BackendState {
        /// It took the last connection.
        Up = "up",
        /// Nobody has connected to it yet.
        Unknown = "unknown",
        /// It did not take the last connection.
        Down = "down",
    }
}

/// The status that stands for a client that went away, as nginx has it.
pub(crate) const CLIENT_GONE: u16 = 499;

pub(super) static REQUESTS: [[Counter; Status::TEXTS.len()]; Method::TEXTS.len()] =
    [const { [const { Counter::new() }; Status::TEXTS.len()] }; Method::TEXTS.len()];
pub(super) static DURATION: [Histogram<{ DURATIONS.len() }>; Method::TEXTS.len()] =
    [const { Histogram::new(&DURATIONS) }; Method::TEXTS.len()];
pub(super) static UP: Histogram<{ SIZES.len() }> = Histogram::new(&SIZES);
pub(super) static DOWN: Histogram<{ SIZES.len() }> = Histogram::new(&SIZES);
pub(super) static LOGINS: [Counter; Login::TEXTS.len()] =
    [const { Counter::new() }; Login::TEXTS.len()];
pub(super) static RELOADS: [Counter; Reload::TEXTS.len()] =
    [const { Counter::new() }; Reload::TEXTS.len()];
pub(super) static API_DURATION: Histogram<{ DURATIONS.len() }> = Histogram::new(&DURATIONS);
static BUSIEST: Busiest = Busiest::new();

/// Verdicts that were remembered, right or wrong.
pub static CACHE_HITS: Counter = Counter::new();
/// Verdicts that had to be found out.
pub static CACHE_MISSES: Counter = Counter::new();
/// Passwords that were hashed.
pub static HASHES: Counter = Counter::new();
/// Passwords that were not, because too many waited.
pub static HASHES_REFUSED: Counter = Counter::new();
/// Calls of the auth API that brought no decision.
pub static API_FAILURES: Counter = Counter::new();
/// Clients that were let in by the kernel and by us.
pub static CONNECTIONS: Counter = Counter::new();
/// Lines of the access log that found no room.
pub static ACCESS_LINES_LOST: Counter = Counter::new();
/// Messages that found no room.
pub static MESSAGES_LOST: Counter = Counter::new();

/// A request that is over.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// As it came.
    pub method: &'a str,
    /// As in the log.
    pub status: u16,
    /// From its head to the last byte of its answer.
    pub elapsed: Duration,
    /// Bytes of its body.
    pub up: u64,
    /// Bytes of its answer's body.
    pub down: u64,
    /// Who was let in.
    pub user: Option<&'a [u8]>,
    /// Whom it was for, if that has a name.
    pub site: Option<&'a SiteCounts>,
}

/// How long one backend was waited for, answer by answer.
#[derive(Debug)]
pub struct Waits {
    all: Histogram<{ DURATIONS.len() }>,
    /// A mean in which each answer counts less than those after it, in microseconds; all ones before the first.
    latest: AtomicU64,
}

impl Waits {
    /// Nothing was asked of it yet.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Waits {
        Waits {
            all: Histogram::new(&DURATIONS),
            latest: AtomicU64::new(u64::MAX),
        }
    }

    /// Counts one answer.
    pub fn count(&self, wait: Duration) {
        let wait = micros(wait);
        self.all.count(wait);
        // Where two are counted at once one of them may be lost here, which nobody will see.
        let mean = match self.latest.load(Ordering::Relaxed) {
            u64::MAX => wait,
            mean => mean - mean / 8 + wait / 8,
        };
        self.latest.store(mean, Ordering::Relaxed);
    }

    /// All that was counted, in microseconds.
    pub fn counted(&self) -> Counted {
        self.all.counted()
    }

    /// How long its last answers took, if there were any.
    pub fn latest(&self) -> Option<Duration> {
        let latest = self.latest.load(Ordering::Relaxed);
        (latest != u64::MAX).then(|| Duration::from_micros(latest))
    }
}

/// Requests that are over of one site, by the class of their status.
#[derive(Debug, Default)]
pub struct SiteCounts([Counter; Status::TEXTS.len()]);

impl SiteCounts {
    /// How they are, by the name of the site.
    pub fn standing(&self, name: &str) -> SiteStanding {
        SiteStanding {
            name: name.to_owned(),
            requests: self.0.iter().map(Counter::value).collect(),
        }
    }
}

/// How one site is.
#[derive(Clone, Debug)]
pub struct SiteStanding {
    /// Its first name.
    pub name: String,
    /// Requests by the class of their status.
    pub requests: Vec<u64>,
}

/// Counts a request that is over.
pub fn request(request: &Request<'_>, now: Instant) {
    let (method, status) = (Method::of(request.method), Status::of(request.status));
    if let Some(count) = REQUESTS
        .get(method as usize)
        .and_then(|counts| counts.get(status as usize))
    {
        count.one();
    }
    if let Some(count) = request
        .site
        .and_then(|SiteCounts(counts)| counts.get(status as usize))
    {
        count.one();
    }
    if let Some(duration) = DURATION.get(method as usize) {
        duration.count(micros(request.elapsed));
    }
    UP.count(request.up);
    DOWN.count(request.down);
    if let Some(user) = request.user {
        BUSIEST.note(user, request.up.saturating_add(request.down), now);
    }
}

/// Counts how it went when somebody was to be let in.
pub fn login(login: Login) {
    if let Some(count) = LOGINS.get(login as usize) {
        count.one();
    }
}

/// Counts a call of the auth API, which took this long.
pub fn api_call(elapsed: Duration) {
    API_DURATION.count(micros(elapsed));
}

/// Counts files that were read anew.
pub fn reload(reload: Reload) {
    if let Some(count) = RELOADS.get(reload as usize) {
        count.one();
    }
}

/// The busiest users, `most` of them at most, and since when they were watched.
pub fn busiest(most: usize) -> (Vec<Busy>, SystemTime) {
    BUSIEST.list(most, Instant::now())
}

/// The same sums that Prometheus is told, for a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Requests by status, in the order of [`Status`].
    pub requests: [u64; Status::TEXTS.len()],
    /// Logins, in the order of [`Login`].
    pub logins: [u64; Login::TEXTS.len()],
    /// Bytes of bodies from clients.
    pub up: u64,
    /// Bytes of bodies to clients.
    pub down: u64,
    /// Lines that were lost, on both streams.
    pub lines_lost: u64,
}

/// What was counted so far.
pub fn sums() -> Sums {
    let mut sums = Sums {
        up: UP.sum(),
        down: DOWN.sum(),
        lines_lost: ACCESS_LINES_LOST.value() + MESSAGES_LOST.value(),
        ..Sums::default()
    };
    for by_status in &REQUESTS {
        for (sum, count) in sums.requests.iter_mut().zip(by_status) {
            *sum += count.value();
        }
    }
    for (sum, count) in sums.logins.iter_mut().zip(&LOGINS) {
        *sum = count.value();
    }
    sums
}

/// How things stand when somebody looks.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Threads that may wait for a hash, an API or a name.
    pub workers: usize,
    /// Those of them that do.
    pub workers_busy: usize,
    /// What waits for one of them.
    pub workers_wanted: usize,
    /// Requests that can be in flight at once.
    pub max_requests: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// Requests that may pass and wait for their turn.
    pub waiting: usize,
    /// Requests in flight whose clients are gone.
    pub detached: usize,
    /// Whether writes are held back; until when, for people.
    pub read_only: Option<SystemTime>,
    /// What transfers hold in large buffers and pipes, in bytes.
    pub buffered: usize,
    /// Connections of clients that can be open at once.
    pub max_connections: usize,
    /// Open connections of clients.
    pub open: usize,
    /// Those without a request in flight.
    pub parked: usize,
    /// Open connections of clients on each loop.
    pub loops: Vec<usize>,
    /// The backends, in order.
    pub backends: Vec<BackendStanding>,
    /// The sites that have names.
    pub sites: Vec<SiteStanding>,
    /// The certificates that clients are shown.
    pub certificates: Vec<CertificateStanding>,
    /// The networks from which too many wrong passwords came, whoever is held back longest first.
    pub throttled: Vec<ThrottledStanding>,
}

/// How one backend is.
#[derive(Clone, Debug)]
pub struct BackendStanding {
    /// The name of the site that it is behind; empty for the main one.
    pub site: String,
    /// Its URL, as configured.
    pub url: String,
    /// What came of the last attempt to connect to it.
    pub state: BackendState,
    /// Connections that were opened to it for requests.
    pub connections: u64,
    /// Connections that failed, and requests that it did not answer.
    pub failures: u64,
    /// How long its answers took, in microseconds.
    pub waits: Counted,
    /// The same of the last ones alone, if there were any.
    pub latency: Option<Duration>,
    /// Since when its state is what it is.
    pub since: Instant,
}

/// How one certificate is.
#[derive(Clone, Debug)]
pub struct CertificateStanding {
    /// What it is for.
    pub names: Vec<String>,
    /// When it ends, if that can be read.
    pub not_after: Option<SystemTime>,
    /// What is being waited for, where another is to come from an authority.
    pub awaited: Option<Awaited>,
}

/// A certificate that an authority has not given yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// What went wrong the last time, if something did.
    pub trouble: Option<String>,
    /// When it is tried again.
    pub next_try: Option<SystemTime>,
}

impl Awaited {
    /// For a person, of this name.
    pub fn words(&self, name: &str) -> String {
        match &self.trouble {
            Some(trouble) => format!("a certificate for {name} is awaited: {trouble}"),
            None => format!("a certificate for {name} is awaited from the authority"),
        }
    }
}

/// How one network is held back.
#[derive(Clone, Debug)]
pub struct ThrottledStanding {
    /// Its address, or the prefix of its addresses.
    pub network: String,
    /// Until then.
    pub until: SystemTime,
    /// Whether it is for some names alone.
    pub in_part: bool,
}

impl Method {
    fn of(text: &str) -> Method {
        match text {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            _ => Method::Other,
        }
    }
}

impl Status {
    fn of(status: u16) -> Status {
        match status {
            CLIENT_GONE => Status::Gone,
            ..300 => Status::Good,
            300..400 => Status::Elsewhere,
            400..500 => Status::Refused,
            500.. => Status::Failed,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_sends_as_a_method_has_one_of_few_labels() {
        for (text, label) in [
            ("GET", "GET"),
            ("DELETE", "DELETE"),
            ("get", "other"),
            ("", "other"),
            ("X\"}\n", "other"),
        ] {
            assert_eq!(Method::TEXTS[Method::of(text) as usize], label);
        }
    }

    #[test]
    fn a_status_counts_with_its_class() {
        for (status, label) in [
            (0, "2xx"),
            (200, "2xx"),
            (307, "3xx"),
            (401, "4xx"),
            (499, "gone"),
            (502, "5xx"),
            (999, "5xx"),
        ] {
            assert_eq!(Status::TEXTS[Status::of(status) as usize], label);
        }
    }
}
