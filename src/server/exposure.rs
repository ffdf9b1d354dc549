//! Whether a backend or an API stands where everybody reaches it: a warning, and no more.
//!
//! Owns how long the start waits for the names in it: resolvers that are silent must not hold a gate back that could say
//! meanwhile what it is about.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::{self, Placed, Settings};
use crate::net::{HostPort, LookUp, is_private};

/// From the beginning, for all names together. One that is not known by then is looked up at each connection; nothing is
/// known of it.
const LIMIT: Duration = Duration::from_secs(2);

/// Places that should be out of reach.
#[derive(Default)]
pub struct Exposure {
    places: Vec<(HostPort, Warning)>,
}

/// The same, that are being looked up.
pub struct LookUps {
    deadline: Instant,
    places: Vec<(LookUp, Warning)>,
}

/// From an address that everybody reaches to what is said of it.
type Warning = Box<dyn Fn(IpAddr) -> String>;

impl Exposure {
    /// All such places of these settings.
    pub fn of<'a>(all: impl Iterator<Item = &'a Settings>) -> Exposure {
        // Several sites may stand before one.
        let mut seen = HashSet::new();
        Exposure {
            places: all
                .flat_map(places)
                .filter(|(place, _)| seen.insert(place.to_string()))
                .collect(),
        }
    }

    /// Begins to look them up, each in a thread.
    pub fn look_up(self) -> LookUps {
        let places = self.places.into_iter();
        LookUps {
            deadline: Instant::now() + LIMIT,
            places: places
                .map(|(place, warning)| (LookUp::begin(place), warning))
                .collect(),
        }
    }
}

impl LookUps {
    /// What is to be said of those that are found to be open, in time.
    pub fn warnings(&self) -> Vec<String> {
        let open = self.places.iter().filter_map(|(look_up, warning)| {
            let found = look_up.wait_until(self.deadline).ok()?;
            let mut addresses = found.into_iter().map(|address| address.ip());
            addresses.find(|address| !is_private(*address)).map(warning)
        });
        open.collect()
    }
}

fn places(settings: &Settings) -> Vec<(HostPort, Warning)> {
    let api = settings.auth_backend.as_ref();
    let api = api.filter(|place| !place.value.tls).map(|place| {
            let origin = place.origin.clone();
            let warning = move |address: IpAddr| {
                format!(
                    "{origin}: {address} is neither loopback nor private: the passwords go there in the clear; \
                     ask it by https://"
                )
            };
            (place.value.host_port.clone(), Box::new(warning) as Warning)
        });
    let backends = settings.backend.iter().filter_map(backend);
    api.into_iter().chain(backends).collect()
}

fn backend(backend: &Placed<config::Backend>) -> Option<(HostPort, Warning)> {
    let (config::Backend::Http(place) | config::Backend::Https(place)) = &backend.value else {
        return None;
    };
    let origin = backend.origin.clone();
    let warning = move |address: IpAddr| {
        format!(
            "{origin}: {address} is neither loopback nor private: whoever reaches it walks around the gate; \
             bind the registry to 127.0.0.1 or a private network"
        )
    };
    Some((place.clone(), Box::new(warning)))
}
