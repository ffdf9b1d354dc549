//! What has to be done now and then: idle backend connections, backends that nobody asks, and the certificate that renews
//! itself.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::connection::Service;
use crate::tls::{Certificates, SelfSigned};

/// Rounds between two looks at the certificate: an hour.
const ROUNDS_A_LOOK: u32 = 240;

/// Fine enough for idle connections that are kept a minute.
const ROUND: Duration = Duration::from_secs(15);

/// Starts the rounds, and a watch for each backend, which end with the process.
pub fn start(
    service: Arc<Service>,
    mut self_signed: Option<SelfSigned>,
    certificates: Option<Arc<Certificates>>,
) -> io::Result<()> {
    for place in 0..service.duty.backends().len() {
        let service = Arc::clone(&service);
        thread::Builder::new()
            .name("watch".into())
            .spawn(move || service.duty.watch(place))?;
    }
    let rounds = move || {
        for round in 1_u32.. {
            thread::sleep(ROUND);
            service.duty.prune();
            if round.is_multiple_of(ROUNDS_A_LOOK)
                && let (Some(own), Some(certificates)) = (&mut self_signed, &certificates)
            {
                renew(own, certificates);
            }
        }
    };
    thread::Builder::new()
        .name("caretaker".into())
        .spawn(rounds)
        .map(drop)
}

fn renew(own: &mut SelfSigned, certificates: &Certificates) {
    match own.renew_if_due(SystemTime::now()) {
        Ok(false) => {}
        Ok(true) => {
            certificates.replace(own.pair().clone(), Vec::new());
            ::log::info!("the self-signed certificate was renewed");
        }
        Err(error) => ::log::error!("the self-signed certificate was not renewed: {error}"),
    }
}
