//! Whether there is a way to the gate: its name, and something that listens.

use std::io;
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use super::finding::{Found, Unwell};
use super::line::CONNECT_LIMIT;
use super::visit::{Visit, not_tried};
use crate::log::reason;
use crate::net::LookUp;

/// Resolvers wait for silent servers, and are waited for no longer than this.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
/// Of a name with more addresses, the others are not tried.
const MOST_ADDRESSES: usize = 8;

pub(super) fn resolve(visit: &mut Visit) -> Found {
    let host = visit.place.host_port.host.clone();
    let look_up = LookUp::begin(visit.place.host_port.clone());
    let said = match look_up.wait_until(Instant::now() + RESOLVE_LIMIT) {
        Ok(addresses) => {
            visit.addresses = addresses;
            visit.addresses.truncate(MOST_ADDRESSES);
            visit.addresses.dedup();
            let shown: Vec<_> = visit
                .addresses
                .iter()
                .map(|one| one.ip().to_string())
                .collect();
            return Ok(match host.to_string().parse::<IpAddr>() {
                Ok(address) => format!("{address} is an address already"),
                Err(_) => format!("{host} is {}", shown.join(", ")),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            format!("no answer within {} s", RESOLVE_LIMIT.as_secs())
        }
        Err(error) => reason(&error),
    };
    Err(Unwell::wrong(
        "no-such-name",
        format!("{host}: {said}"),
        "enter the name in DNS, or in /etc/hosts of every client",
    ))
}

pub(super) fn connect(visit: &mut Visit) -> Found {
    if visit.addresses.is_empty() {
        return Err(not_tried());
    }
    let mut deaf = Vec::new();
    for address in &visit.addresses {
        match TcpStream::connect_timeout(address, CONNECT_LIMIT) {
            Ok(_) => {
                visit.address.get_or_insert(*address);
            }
            Err(error) => deaf.push(format!("{address}: {}", reason(&error))),
        }
    }
    match visit.address {
        None => Err(Unwell::wrong(
            "no-connection",
            deaf.join(", "),
            "see that the gate runs, that it listens there and not on loopback only, and that no firewall is in between",
        )),
        Some(address) if deaf.is_empty() => Ok(format!("{address} takes connections")),
        Some(address) => Err(Unwell::Note {
            said: format!("{address} takes connections, but {}", deaf.join(", ")),
            remedy: "clients may wait at the wrong one first: take it out of DNS, or let the gate listen there too"
                .to_owned(),
        }),
    }
}
