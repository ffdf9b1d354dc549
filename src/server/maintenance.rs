//! What has to be done now and then: memory that goes back to the system, idle backend connections, backends that nobody
//! asks, and the certificate that renews itself.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::acme::Keeper;
use crate::connection::{Service, Site};
use crate::relay::Relay;
use crate::tls::{Certificates, SelfSigned};

/// Soon enough for memory after a crowd has gone, and seldom enough for a processor that sleeps.
const ROUND: Duration = Duration::from_secs(3);

/// Rounds between two looks at idle backend connections, which are kept a minute: 15 seconds.
const ROUNDS_A_PRUNING: u32 = 5;

/// Rounds between two looks at the certificate: an hour.
const ROUNDS_A_LOOK: u32 = 1200;

/// Starts the rounds, and a watch for each backend, which end with the process.
pub fn start(service: Arc<Service>, mut self_signed: Option<SelfSigned>) -> io::Result<()> {
    service.sites.all().iter().for_each(watch);
    let rounds = move || {
        for round in 1_u32.. {
            thread::sleep(ROUND);
            give_memory_back();
            if round.is_multiple_of(ROUNDS_A_PRUNING) {
                let sites = service.sites.all();
                sites
                    .iter()
                    .filter_map(|site| site.relay())
                    .for_each(Relay::prune);
            }
            if round.is_multiple_of(ROUNDS_A_LOOK)
                && let Some(own) = &mut self_signed
            {
                renew(own, &service.certificates);
            }
        }
    };
    thread::Builder::new()
        .name("maintenance".into())
        .spawn(rounds)
        .map(drop)
}

/// Starts a watch for each backend of a site, which ends with the site.
pub fn watch(site: &Arc<Site>) {
    for place in 0..site.relay().map_or(0, Relay::places) {
        let site = Arc::downgrade(site);
        let look = move || {
            while let Some(pause) = site.upgrade().and_then(|site| site.relay()?.watch(place)) {
                thread::sleep(pause);
            }
        };
        if let Err(error) = thread::Builder::new().name("watch".into()).spawn(look) {
            ::log::error!("a backend is tried by requests alone: {error}");
        }
    }
}

/// Has certificates made and renewed by an authority, in a thread that ends with the process.
pub fn keep(mut keeper: Keeper, certificates: Arc<Certificates>) -> io::Result<()> {
    let rounds = move || {
        loop {
            let pause = keeper.round(&|shown| certificates.replace_issued(shown));
            thread::sleep(pause);
        }
    };
    thread::Builder::new()
        .name("acme".into())
        .spawn(rounds)
        .map(drop)
}

/// What is shipped has an allocator that gives memory back a second after it was freed, but looks for it only when more is
/// freed, which on a gate that has fallen idle does not happen, and when a thread ends. This thread is that one.
fn give_memory_back() {
    let thread = thread::Builder::new().spawn(|| drop(black_box(Box::new(0_u8))));
    // Where the system has no thread to give, the next round tries again.
    if let Ok(thread) = thread {
        let _ = thread.join();
    }
}

fn renew(own: &mut SelfSigned, certificates: &Certificates) {
    match own.renew_if_due(SystemTime::now()) {
        Ok(false) => {}
        Ok(true) => {
            certificates.replace(vec![own.pair().clone()]);
            ::log::info!("the self-signed certificate was renewed");
        }
        Err(error) => ::log::error!("the self-signed certificate was not renewed: {error}"),
    }
}
