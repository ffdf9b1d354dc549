//! The numbers as Prometheus reads them.
//!
//! The only file that names `prometheus_client`, which owns the grammar and the escapes.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::count::{Counted, Counter};
use super::counted::{
    ACCESS_LINES_LOST, API_DURATION, API_FAILURES, BackendStanding, BackendState, CACHE_HITS,
    CACHE_MISSES, CONNECTIONS, DOWN, DURATION, HASHES, HASHES_REFUSED, LOGINS, Login,
    MESSAGES_LOST, Method, RELOADS, REQUESTS, Reload, Standing, Status, UP,
};
use super::process::{Process, started};

/// What the text is.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Microseconds in a second.
const MICROSECONDS: f64 = 1e6;

/// All numbers, those of `standing` among them.
pub fn text(standing: Standing) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(standing));
    let mut text = String::with_capacity(16 << 10);
    // Writing to a string cannot fail.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

impl Collector for Standing {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.requests()?;
        page.logins(self)?;
        page.house(self)?;
        page.sites(self)?;
        page.backends(self)?;
        page.certificates(self)?;
        page.own(&Process::now())
    }
}

/// What tells a backend from others; two sites may have the same.
fn at(backend: &BackendStanding) -> Vec<(&'static str, &str)> {
    let site = (!backend.site.is_empty()).then_some(("site", backend.site.as_str()));
    let url = ("backend", backend.url.as_str());
    site.into_iter().chain([url]).collect()
}

type Label = (&'static str, &'static str);

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn requests(&mut self) -> fmt::Result {
        let counts = Method::TEXTS.iter().zip(&REQUESTS);
        let counts = counts.flat_map(|(method, counts)| {
            let counts = Status::TEXTS.iter().zip(counts);
            counts.map(|(status, count)| ([("method", *method), ("status", *status)], count))
        });
        self.counters(
            "portreeve_requests",
            "Requests that are over, by method and by the class of their status; gone: the client went away before its answer",
            counts,
        )?;
        let durations = Method::TEXTS.iter().zip(&DURATION);
        self.histograms(
            "portreeve_request_duration_seconds",
            "From the whole head of a request to the last byte of its answer",
            durations.map(|(method, duration)| ([("method", *method)], duration.counted())),
            MICROSECONDS,
        )?;
        let none: [Label; 0] = [];
        self.histograms(
            "portreeve_request_body_bytes",
            "Bodies of requests, as far as they reached a backend",
            [(none, UP.counted())],
            1.0,
        )?;
        self.histograms(
            "portreeve_response_body_bytes",
            "Bodies of answers, as far as they reached the client",
            [(none, DOWN.counted())],
            1.0,
        )
    }

    fn logins(&mut self, standing: &Standing) -> fmt::Result {
        self.counters(
            "portreeve_auth",
            "Requests by what came of the question who is asking",
            labelled("outcome", Login::TEXTS, &LOGINS),
        )?;
        for (name, help, count) in [
            (
                "portreeve_auth_cache_hits",
                "Verdicts that were remembered",
                &CACHE_HITS,
            ),
            (
                "portreeve_auth_cache_misses",
                "Verdicts that had to be found out, or waited for",
                &CACHE_MISSES,
            ),
            (
                "portreeve_auth_hashes",
                "Passwords that were hashed",
                &HASHES,
            ),
            (
                "portreeve_auth_hashes_refused",
                "Passwords that were not hashed because too many waited",
                &HASHES_REFUSED,
            ),
            (
                "portreeve_auth_api_failures",
                "Calls of the auth API that brought no decision",
                &API_FAILURES,
            ),
        ] {
            self.counter(name, help, count.value())?;
        }
        self.gauge(
            "portreeve_throttled_networks",
            "Networks that are not listened to now, or not for some names, after too many wrong passwords",
            standing.throttled.len() as u64,
        )?;
        let none: [Label; 0] = [];
        self.histograms(
            "portreeve_auth_api_duration_seconds",
            "Calls of the auth API, good or bad",
            [(none, API_DURATION.counted())],
            MICROSECONDS,
        )
    }

    fn loops(&mut self, loops: &[usize]) -> fmt::Result {
        let mut family = self.0.encode_descriptor(
            "portreeve_loop_connections",
            "Open connections of clients on each loop",
            None,
            MetricType::Gauge,
        )?;
        for (number, count) in loops.iter().enumerate() {
            family
                .encode_family(&[("loop", number.to_string().as_str())])?
                .encode_gauge(&(*count as u64))?;
        }
        Ok(())
    }

    fn house(&mut self, standing: &Standing) -> fmt::Result {
        for (name, help, value) in [
            (
                "portreeve_workers",
                "Threads that may wait for a hash, an API or a name",
                standing.workers,
            ),
            (
                "portreeve_workers_busy",
                "Those that do",
                standing.workers_busy,
            ),
            (
                "portreeve_workers_wanted",
                "What waits for one of them",
                standing.workers_wanted,
            ),
            (
                "portreeve_max_requests",
                "Requests that can be in flight at once",
                standing.max_requests,
            ),
            (
                "portreeve_requests_in_flight",
                "Requests in flight",
                standing.in_flight,
            ),
            (
                "portreeve_requests_waiting",
                "Requests that may pass and wait for their turn",
                standing.waiting,
            ),
            (
                "portreeve_requests_detached",
                "Requests in flight whose clients are gone",
                standing.detached,
            ),
            (
                "portreeve_read_only",
                "1 while writes are held back",
                usize::from(standing.read_only.is_some()),
            ),
            (
                "portreeve_transfer_bytes",
                "Memory that transfers hold in large buffers and pipes",
                standing.buffered,
            ),
            (
                "portreeve_max_connections",
                "Connections of clients that can be open at once",
                standing.max_connections,
            ),
            (
                "portreeve_connections_open",
                "Open connections of clients",
                standing.open,
            ),
            (
                "portreeve_connections_parked",
                "Open connections of clients without a request in flight",
                standing.parked,
            ),
        ] {
            self.gauge(name, help, value as u64)?;
        }
        self.loops(&standing.loops)?;
        self.counter(
            "portreeve_connections_accepted",
            "Connections of clients that were taken",
            CONNECTIONS.value(),
        )?;
        self.counters(
            "portreeve_log_lines_lost",
            "Lines for which there was no room, because nobody read the others in time",
            [
                ([("stream", "stdout")], &ACCESS_LINES_LOST),
                ([("stream", "stderr")], &MESSAGES_LOST),
            ],
        )?;
        self.counters(
            "portreeve_reloads",
            "Files that were read anew: taken, or bad, so that the last good ones stay",
            labelled("result", Reload::TEXTS, &RELOADS),
        )
    }

    /// Of those with a name, where there are several.
    fn sites(&mut self, standing: &Standing) -> fmt::Result {
        if standing.sites.is_empty() {
            return Ok(());
        }
        let mut requests = self.0.encode_descriptor(
            "portreeve_site_requests",
            "Requests that are over, by site and by the class of their status",
            None,
            MetricType::Counter,
        )?;
        for site in &standing.sites {
            for (status, count) in Status::TEXTS.iter().zip(&site.requests) {
                requests
                    .encode_family(&[("site", site.name.as_str()), ("status", *status)])?
                    .encode_counter::<NoLabelSet, _, f64>(count, None)?;
            }
        }
        Ok(())
    }

    fn backends(&mut self, standing: &Standing) -> fmt::Result {
        let mut up = self.0.encode_descriptor(
            "portreeve_backend_up",
            "Whether the last connection to it succeeded; absent before the first",
            None,
            MetricType::Gauge,
        )?;
        for backend in &standing.backends {
            if backend.state != BackendState::Unknown {
                let is_up = u32::from(backend.state == BackendState::Up);
                up.encode_family(&at(backend))?.encode_gauge(&is_up)?;
            }
        }
        let mut state = self.0.encode_descriptor(
            "portreeve_backend_state",
            "1 for what is known of it: up, down, or unknown before the first connection",
            None,
            MetricType::Gauge,
        )?;
        for backend in &standing.backends {
            for (place, text) in BackendState::TEXTS.iter().enumerate() {
                let is_so = u32::from(backend.state as usize == place);
                state
                    .encode_family(&[&at(backend)[..], &[("state", *text)]].concat())?
                    .encode_gauge(&is_so)?;
            }
        }
        let mut connections = self.0.encode_descriptor(
            "portreeve_backend_connections",
            "Connections that were opened to it for requests",
            None,
            MetricType::Counter,
        )?;
        for backend in &standing.backends {
            connections
                .encode_family(&at(backend))?
                .encode_counter::<NoLabelSet, _, f64>(&backend.connections, None)?;
        }
        let mut failures = self.0.encode_descriptor(
            "portreeve_backend_failures",
            "Connections to it that failed, and requests that it did not answer",
            None,
            MetricType::Counter,
        )?;
        for backend in &standing.backends {
            failures
                .encode_family(&at(backend))?
                .encode_counter::<NoLabelSet, _, f64>(&backend.failures, None)?;
        }
        let waits = standing.backends.iter();
        self.histograms(
            "portreeve_backend_wait_seconds",
            "Until the head of its answer was there, from the whole request; connecting included, a body's way not",
            waits.map(|backend| (at(backend), backend.waits.clone())),
            MICROSECONDS,
        )
    }

    fn certificates(&mut self, standing: &Standing) -> fmt::Result {
        let mut ends = self.0.encode_descriptor(
            "portreeve_certificate_not_after_timestamp_seconds",
            "When a certificate that clients are shown ends",
            None,
            MetricType::Gauge,
        )?;
        for (place, certificate) in standing.certificates.iter().enumerate() {
            let Some(end) = certificate.not_after else {
                continue;
            };
            // With its place: two may have the same name, and no name at all.
            let place = place.to_string();
            let name = certificate.names.first().map_or("", String::as_str);
            ends.encode_family(&[("certificate", place.as_str()), ("name", name)])?
                .encode_gauge(&unix(end))?;
        }
        let awaited: Vec<_> = standing
            .certificates
            .iter()
            .filter_map(|certificate| Some((certificate, certificate.awaited.as_ref()?)))
            .collect();
        if awaited.is_empty() {
            return Ok(());
        }
        let mut tries = self.0.encode_descriptor(
            "portreeve_acme_next_try_timestamp_seconds",
            "When a certificate that is awaited from an authority is asked for again; 0 while it is",
            None,
            MetricType::Gauge,
        )?;
        for (certificate, awaited) in awaited {
            let name = certificate.names.first().map_or("", String::as_str);
            tries
                .encode_family(&[("name", name)])?
                .encode_gauge(&awaited.next_try.map_or(0.0, unix))?;
        }
        Ok(())
    }

    fn own(&mut self, process: &Process) -> fmt::Result {
        let mut build = self.0.encode_descriptor(
            "portreeve_build_info",
            "The version that runs",
            None,
            MetricType::Gauge,
        )?;
        build
            .encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?
            .encode_gauge(&1_u32)?;
        self.gauge(
            "process_start_time_seconds",
            "When the process began",
            unix(started()),
        )?;
        self.0
            .encode_descriptor(
                "process_cpu_seconds",
                "Time of processors that the process has used",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, f64>(&process.cpu.as_secs_f64(), None)?;
        self.gauge(
            "process_resident_memory_bytes",
            "Memory that is really there",
            process.resident,
        )?;
        self.gauge("process_threads", "Threads of the process", process.threads)?;
        self.gauge("process_open_fds", "Open descriptors", process.open_files)?;
        self.gauge(
            "process_max_fds",
            "How many descriptors can be open",
            process.most_files.map_or(f64::INFINITY, |most| most as f64),
        )
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    fn counters<'c, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl IntoIterator<Item = (L, &'c Counter)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&count.value(), None)?;
        }
        Ok(())
    }

    /// `unit` of what is counted make one of what is shown.
    fn histograms<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        histograms: impl IntoIterator<Item = (L, Counted)>,
        unit: f64,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, counted) in histograms {
            let counts = counted.counts.iter();
            let total = counts.clone().map(|(_, count)| count).sum::<u64>() + counted.beyond;
            let mut buckets: Vec<_> = counts
                .map(|(bound, count)| (*bound as f64 / unit, *count))
                .collect();
            buckets.push((f64::INFINITY, counted.beyond));
            let sum = counted.sum as f64 / unit;
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, total, &buckets, None)?;
        }
        Ok(())
    }
}

fn labelled<'c>(
    name: &'static str,
    texts: &'static [&'static str],
    counts: &'c [Counter],
) -> impl Iterator<Item = ([Label; 1], &'c Counter)> {
    let counts = texts.iter().zip(counts);
    counts.map(move |(text, count)| ([(name, *text)], count))
}

fn unix(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::{
        Awaited, BackendStanding, CertificateStanding, Request, ThrottledStanding, login, reload,
        request,
    };
    use super::*;
    use std::time::{Duration, Instant};

    /// The value of a line, 0 if there is none. Other tests of this process count too, so that only what more there is
    /// afterwards says something.
    fn value(text: &str, line: &str) -> f64 {
        let found = text.lines().find_map(|one| one.strip_prefix(line));
        found.map_or(0.0, |value| value.trim().parse().unwrap_or(f64::NAN))
    }

    fn backend(url: &str, state: BackendState) -> BackendStanding {
        BackendStanding {
            site: String::new(),
            url: url.to_owned(),
            state,
            connections: 4,
            failures: 1,
            waits: Counted {
                counts: vec![(1_000, 2), (5_000, 1)],
                beyond: 1,
                sum: 2_500_000,
            },
            latency: None,
            since: Instant::now(),
        }
    }

    fn page() -> String {
        text(Standing {
            workers: 34,
            workers_busy: 3,
            loops: vec![5, 6],
            backends: vec![
                backend("http://127.0.0.1:5000", BackendState::Down),
                backend("http://127.0.0.1:5001", BackendState::Unknown),
            ],
            certificates: vec![CertificateStanding {
                awaited: Some(Awaited {
                    trouble: None,
                    next_try: None,
                }),
                names: vec!["a\"b\\c\nd".to_owned()],
                not_after: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
            }],
            throttled: vec![ThrottledStanding {
                network: "2001:db8::/64".to_owned(),
                until: SystemTime::now(),
                in_part: false,
            }],
            ..Standing::default()
        })
    }

    #[test]
    fn what_was_counted_is_there() {
        let before = page();
        request(
            &Request {
                method: "PUT",
                status: 201,
                elapsed: Duration::from_millis(7),
                up: 2000,
                down: 0,
                user: Some(b"alice"),
                site: None,
            },
            Instant::now(),
        );
        login(Login::Wrong);
        reload(Reload::Bad);
        let after = page();
        for line in [
            "portreeve_requests_total{method=\"PUT\",status=\"2xx\"}",
            "portreeve_request_duration_seconds_bucket{method=\"PUT\",le=\"0.01\"}",
            "portreeve_request_duration_seconds_count{method=\"PUT\"}",
            "portreeve_request_body_bytes_bucket{le=\"16384\"}",
            "portreeve_auth_total{outcome=\"wrong\"}",
            "portreeve_reloads_total{result=\"bad\"}",
        ] {
            assert!(
                value(&after, line) > value(&before, line),
                "{line}\n{after}"
            );
        }
        assert!(value(&after, "portreeve_request_body_bytes_sum") >= 2000.0);
    }

    #[test]
    fn what_stands_is_there_and_escaped() {
        let page = page();
        for line in [
            "portreeve_workers 34",
            "portreeve_workers_busy 3",
            "portreeve_loop_connections{loop=\"1\"} 6",
            "portreeve_backend_up{backend=\"http://127.0.0.1:5000\"} 0",
            "portreeve_backend_state{backend=\"http://127.0.0.1:5000\",state=\"down\"} 1",
            "portreeve_backend_state{backend=\"http://127.0.0.1:5000\",state=\"up\"} 0",
            "portreeve_backend_state{backend=\"http://127.0.0.1:5001\",state=\"unknown\"} 1",
            "portreeve_throttled_networks 1",
            "portreeve_backend_failures_total{backend=\"http://127.0.0.1:5000\"} 1",
            "portreeve_backend_wait_seconds_bucket{backend=\"http://127.0.0.1:5000\",le=\"0.005\"} 3",
            "portreeve_backend_wait_seconds_count{backend=\"http://127.0.0.1:5000\"} 4",
            "portreeve_backend_wait_seconds_sum{backend=\"http://127.0.0.1:5000\"} 2.5",
            "portreeve_certificate_not_after_timestamp_seconds{certificate=\"0\",name=\"a\\\"b\\\\c\\nd\"}",
            concat!(
                "portreeve_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ] {
            assert!(page.contains(line), "no {line} in\n{page}");
        }
        assert!(!page.contains("portreeve_backend_up{backend=\"http://127.0.0.1:5001\"}"));
        assert!(value(&page, "process_start_time_seconds") > 1e9);
    }

    #[test]
    fn every_number_says_what_it_is_once() {
        let page = page();
        let named = |kind: &str| {
            let lines = page.lines().filter_map(|line| line.strip_prefix(kind));
            let mut names: Vec<_> = lines.filter_map(|line| line.split(' ').next()).collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all);
            names.join(" ")
        };
        assert_eq!(named("# HELP "), named("# TYPE "));
    }
}
