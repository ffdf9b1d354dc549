//! The status page.
//!
//! One document without scripts that asks for nothing from anywhere. User names, messages and names in certificates are
//! hostile: everything goes through [`Html::text`], which leaves nothing that HTML could take for its own.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::watched::Watched;
use crate::log;
use crate::metrics::{self, BackendStanding, BackendState, Login, Process, Status};
use crate::text::escape;
use crate::tls;

/// Users that are shown.
const USERS: usize = 8;
/// Networks that are shown.
const NETWORKS: usize = 20;
/// From so long before its end a certificate needs somebody.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const DAY: u64 = 24 * 60 * 60;

const STYLE: &str = include_str!("page.css");

/// What a browser may do with what comes from here: show it in this style, and nothing more.
pub(super) fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        format!(
            "default-src 'none'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            STANDARD.encode(digest)
        )
    });
    &POLICY
}

pub(super) fn render(watched: &Watched) -> String {
    let mut html = Html(String::with_capacity(16 << 10));
    html.raw("<!doctype html><html lang=en><meta charset=utf-8>");
    html.raw("<meta name=viewport content=\"width=device-width, initial-scale=1\">");
    html.raw("<meta http-equiv=refresh content=60><link rel=icon href=\"data:,\">");
    html.raw("<title>Portreeve</title><style>");
    html.raw(STYLE);
    html.raw("</style>");
    let standing = (watched.standing)();
    let sums = metrics::sums();
    header(&mut html, watched, &standing);
    html.raw("<main>");
    numbers(&mut html, &standing, &sums);
    guarded(&mut html, watched, &standing);
    users(&mut html);
    logins(&mut html, &sums);
    throttled(&mut html, &standing);
    messages(&mut html, &sums);
    html.raw("</main><footer>");
    html.raw(
        "<a href=/metrics>/metrics</a> <a href=/readyz>/readyz</a> <a href=/healthz>/healthz</a>",
    );
    html.raw("</footer></html>\n");
    html.0
}

fn header(html: &mut Html, watched: &Watched, standing: &metrics::Standing) {
    let is_down = |one: &&BackendStanding| one.state == BackendState::Down;
    let down = standing.backends.iter().filter(is_down).count();
    let read_only = standing.read_only.map(clock);
    let read_only = read_only.map(|until| format!("read-only until {until} at the latest"));
    let (class, state) = match down {
        _ if watched.service.draining.load(Ordering::Acquire) => ("bad", "stopping"),
        0 => match &read_only {
            Some(read_only) => ("fair", read_only.as_str()),
            None => ("good", "serving"),
        },
        all if all == standing.backends.len() => ("bad", "no backend"),
        _ => ("fair", "a backend is down"),
    };
    html.raw("<header><h1>Portreeve</h1>");
    let _ = write!(
        html.0,
        "<p class=\"state {class}\">{state}</p><p class=about>"
    );
    html.text(concat!("version ", env!("CARGO_PKG_VERSION"), ", up for "));
    let up = SystemTime::now().duration_since(metrics::started());
    html.text(&span(up.unwrap_or_default()));
    html.text(", as of ");
    html.text(&clock(SystemTime::now()));
    html.raw("</p></header>");
}

fn numbers(html: &mut Html, standing: &metrics::Standing, sums: &metrics::Sums) {
    let process = Process::now();
    let requests: u64 = sums.requests.iter().sum();
    let failed = sums.requests[Status::Failed as usize];
    html.raw("<section class=wide><h2>Now</h2><dl class=tiles>");
    html.tile(
        "requests in flight",
        &format!("{}", standing.in_flight),
        &format!("of {}", standing.max_requests),
        standing.in_flight >= standing.max_requests,
    );
    html.tile(
        "waiting",
        &grouped(standing.waiting as u64),
        "for their turn",
        standing.waiting > 0,
    );
    html.tile(
        "connections",
        &grouped(standing.open as u64),
        &format!("{} parked", grouped(standing.parked as u64)),
        false,
    );
    html.tile(
        "memory",
        &bytes(process.resident),
        &format!("{} threads", process.threads),
        false,
    );
    html.raw("</dl><h2>Since the start</h2><dl class=tiles>");
    html.tile(
        "requests",
        &grouped(requests),
        &format!("{} with 2xx", grouped(sums.requests[Status::Good as usize])),
        false,
    );
    html.tile("failed", &grouped(failed), "with 5xx", failed > 0);
    html.tile("up", &bytes(sums.up), "from clients", false);
    html.tile("down", &bytes(sums.down), "to clients", false);
    html.raw("</dl></section>");
}

fn guarded(html: &mut Html, watched: &Watched, standing: &metrics::Standing) {
    html.raw("<section><h2>What it guards</h2><ul class=list>");
    for backend in &standing.backends {
        html.raw("<li>");
        html.dot(match backend.state {
            BackendState::Up => "good",
            BackendState::Unknown => "none",
            BackendState::Down => "bad",
        });
        html.raw("<span class=grow><code>");
        html.text(&backend.url);
        html.raw("</code> <small>");
        if !backend.site.is_empty() {
            html.text(&format!("{}; ", backend.site));
        }
        html.text(backend.state.text());
        html.text(&format!(
            "; connections: {}, failures: {}",
            grouped(backend.connections),
            grouped(backend.failures)
        ));
        html.raw("</small></span></li>");
    }
    if standing.backends.is_empty() {
        html.raw("<li>nothing by itself: it answers proxies that ask</li>");
    }
    html.raw("</ul><h3>Where</h3><ul class=list>");
    for url in &watched.listening {
        html.raw("<li><code>");
        html.text(url);
        html.raw("</code></li>");
    }
    html.raw("</ul><h3>With what</h3>");
    for site in watched.service.sites.all() {
        html.raw("<p>");
        if !site.name.is_empty() {
            html.text(&format!("{}: ", site.name));
        }
        html.text(&site.gatekeeper.about());
        if let Some(file) = watched
            .password_file
            .as_ref()
            .filter(|_| site.name.is_empty())
        {
            html.raw(" <code>");
            html.text(&escape::shown(file.to_string_lossy().as_bytes()));
            html.raw("</code>");
        }
        html.raw("</p>");
    }
    certificates(html, standing);
    html.raw("</section>");
}

fn certificates(html: &mut Html, standing: &metrics::Standing) {
    if standing.certificates.is_empty() {
        return;
    }
    html.raw("<h3>Certificates</h3><ul class=list>");
    for certificate in &standing.certificates {
        let left = certificate
            .not_after
            .map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        let class = match left {
            _ if certificate.awaited.is_some() => "bad",
            Some(Duration::ZERO) => "bad",
            Some(left) if left < SOON => "fair",
            Some(_) => "good",
            None => "fair",
        };
        html.raw("<li>");
        html.dot(class);
        html.raw("<span class=grow><code>");
        match certificate.names.is_empty() {
            true => html.text("no name"),
            false => html.text(&escape::shown(certificate.names.join(", ").as_bytes())),
        }
        html.raw("</code> <small>");
        match (certificate.not_after, left) {
            (Some(end), Some(Duration::ZERO)) => {
                html.text(&format!("expired on {}", tls::date(end)))
            }
            (Some(end), Some(left)) => html.text(&format!(
                "until {}, {} days left",
                tls::date(end),
                left.as_secs() / DAY
            )),
            _ => html.text("until an unknown date"),
        }
        if let Some(awaited) = &certificate.awaited {
            let name = certificate.names.first().map_or("", String::as_str);
            html.text(&format!("; {}", awaited.words(name)));
            if let Some(then) = awaited.next_try {
                let left = then.duration_since(SystemTime::now()).unwrap_or_default();
                html.text(&format!(", tried again in {} s", left.as_secs()));
            }
        }
        html.raw("</small></span></li>");
    }
    html.raw("</ul>");
}

fn logins(html: &mut Html, sums: &metrics::Sums) {
    let of = |login: Login| sums.logins[login as usize];
    html.raw("<section><h2>Logins</h2><table>");
    for (name, count, is_odd) in [
        ("right", of(Login::Ok), false),
        ("right, remembered", of(Login::Remembered), false),
        ("without a password", of(Login::Absent), false),
        ("wrong", of(Login::Wrong), false),
        ("not allowed", of(Login::Denied), false),
        ("throttled", of(Login::Throttled), true),
        ("too many waiting", of(Login::Busy), true),
        ("could not tell", of(Login::Unsure), true),
    ] {
        html.row(name, &[&grouped(count)], is_odd && count > 0);
    }
    html.raw("</table></section>");
}

/// Who is kept out for guessing, so that a person who is asked "why can nobody here log in" sees it.
fn throttled(html: &mut Html, standing: &metrics::Standing) {
    if standing.throttled.is_empty() {
        return;
    }
    html.raw("<section><h2>Held back for wrong passwords</h2><table><tr><th>network<th>until</tr>");
    for one in standing.throttled.iter().take(NETWORKS) {
        let until = match one.in_part {
            true => format!("{}, some names", clock(one.until)),
            false => clock(one.until),
        };
        html.row(&one.network, &[&until], true);
    }
    let more = standing.throttled.len().saturating_sub(NETWORKS);
    if more > 0 {
        html.row(&format!("and {} more", grouped(more as u64)), &[""], true);
    }
    html.raw("</table></section>");
}

fn users(html: &mut Html) {
    let (users, since) = metrics::busiest(USERS);
    html.raw("<section><h2>Busiest users</h2>");
    if users.is_empty() {
        html.raw("<p class=none>nobody so far</p></section>");
        return;
    }
    html.raw("<table><tr><th>since ");
    html.text(&clock(since));
    html.raw("<th>requests<th>bytes</tr>");
    for user in &users {
        html.row(
            &escape::shown(&user.name),
            &[&grouped(user.requests), &bytes(user.bytes)],
            false,
        );
    }
    html.raw("</table></section>");
}

fn messages(html: &mut Html, sums: &metrics::Sums) {
    html.raw("<section class=wide><h2>Last warnings and errors</h2>");
    if sums.lines_lost > 0 {
        html.raw("<p class=odd>");
        html.text(&format!(
            "{} lines of the log were lost, because nobody read the others in time",
            grouped(sums.lines_lost)
        ));
        html.raw("</p>");
    }
    let recent = log::recent();
    if recent.is_empty() {
        html.raw("<p class=none>none so far</p></section>");
        return;
    }
    html.raw("<ol class=list>");
    for message in &recent {
        html.raw("<li>");
        html.dot(if message.level == ::log::Level::Error {
            "bad"
        } else {
            "fair"
        });
        html.raw("<span class=grow>");
        html.text(&message.text);
        html.raw(" <small>");
        html.text(if message.level == ::log::Level::Error {
            "error, "
        } else {
            "warning, "
        });
        html.text(&clock(message.time));
        if message.times > 1 {
            html.text(&format!(", {} times", grouped(message.times)));
        }
        html.raw("</small></span></li>");
    }
    html.raw("</ol></section>");
}

/// A document that grows.
struct Html(String);

impl Html {
    /// Our own words in HTML.
    fn raw(&mut self, html: &'static str) {
        self.0.push_str(html);
    }

    /// Anybody's words.
    fn text(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.raw("&amp;"),
                '<' => self.raw("&lt;"),
                '>' => self.raw("&gt;"),
                '"' => self.raw("&quot;"),
                '\'' => self.raw("&#39;"),
                letter => self.0.push(letter),
            }
        }
    }

    fn dot(&mut self, class: &'static str) {
        self.raw("<i class=\"dot ");
        self.raw(class);
        self.raw("\"></i>");
    }

    fn tile(&mut self, name: &'static str, value: &str, more: &str, is_odd: bool) {
        self.raw(if is_odd {
            "<div class=odd><dt>"
        } else {
            "<div><dt>"
        });
        self.raw(name);
        self.raw("</dt><dd>");
        self.text(value);
        self.raw(" <small>");
        self.text(more);
        self.raw("</small></dd></div>");
    }

    fn row(&mut self, name: &str, values: &[&str], is_odd: bool) {
        self.raw(if is_odd {
            "<tr class=odd><td>"
        } else {
            "<tr><td>"
        });
        self.text(name);
        for value in values {
            self.raw("<td class=number>");
            self.text(value);
        }
        self.raw("</tr>");
    }
}

/// As `12:34:56 UTC`, with the date before it if it is another day's.
fn clock(time: SystemTime) -> String {
    let (text, today) = (log::time(time), log::time(SystemTime::now()));
    let split = |text: &str| {
        let (date, time) = text.split_once('T').unwrap_or_default();
        (date.to_owned(), time.trim_end_matches('Z').to_owned())
    };
    let ((date, time), (today, _)) = (split(&text), split(&today));
    match date == today {
        true => format!("{time} UTC"),
        false => format!("{date} {time} UTC"),
    }
}

/// As `3 days 4 hours`: the two units that matter.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [
        (seconds / DAY, "day"),
        (seconds / 3600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = units
        .iter()
        .skip(first)
        .take(2)
        .filter(|(count, _)| *count > 0);
    let words: Vec<_> = shown
        .map(|(count, unit)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    match words.is_empty() {
        true => "no time".to_owned(),
        false => words.join(" "),
    }
}

/// As `1.5 GiB`.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    match value < 10.0 {
        true => format!("{value:.1} {unit}"),
        false => format!("{value:.0} {unit}"),
    }
}

/// As `1 234 567`, with spaces that do not break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_others_have_written_is_html() {
        let mut html = Html(String::new());
        html.text("<script>alert('x')</script> & \"q\"");
        assert_eq!(
            html.0,
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;q&quot;"
        );
    }

    #[test]
    fn numbers_are_as_people_read_them() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10 << 20, "10 MiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [
            (0, "no time"),
            (61, "1 minute 1 second"),
            (3600, "1 hour"),
            (2 * DAY + 3 * 3600 + 59, "2 days 3 hours"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn the_style_and_nothing_else_is_allowed() {
        assert!(policy().starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
