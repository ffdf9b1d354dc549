//! The addresses of a name, within a time.
//!
//! Owns the thread that asks the system's resolver, which cannot be told to stop and waits for servers that are silent as
//! long as it likes: five seconds for each, and more where there are search domains. Must not know who wants the
//! addresses. What a resolver says is believed; that it says anything is not.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

/// A name that is being looked up.
#[derive(Debug)]
pub struct LookUp {
    said: Receiver<io::Result<Vec<SocketAddr>>>,
}

impl LookUp {
    /// Begins to look `place` up. Its thread ends when the resolver does, whether its answer is still wanted or not.
    pub fn begin<P>(place: P) -> LookUp
    where
        P: ToSocketAddrs + Send + 'static,
    {
        let (say, said) = channel();
        let failed = say.clone();
        let look = move || {
            let found = place.to_socket_addrs().map(Iterator::collect);
            // Nobody waits for it any more.
            let _ = say.send(found);
        };
        if let Err(error) = thread::Builder::new().name("name".into()).spawn(look) {
            let _ = failed.send(Err(error));
        }
        LookUp { said }
    }

    /// What was found by `deadline`: one address at least. That there was no time is [`io::ErrorKind::TimedOut`].
    pub fn wait_until(&self, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
        let left = deadline.saturating_duration_since(Instant::now());
        // It says something before it ends, unless it panicked.
        let found = self.said.recv_timeout(left).unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no resolver answered for its name in time",
            ))
        })?;
        if found.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no address for its name",
            ));
        }
        Ok(found)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};
    use std::time::Duration;

    /// A resolver that answers when it is let.
    struct Slow(Arc<Barrier>);

    impl ToSocketAddrs for Slow {
        type Iter = std::vec::IntoIter<SocketAddr>;

        fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
            self.0.wait();
            Ok(vec![SocketAddr::from(([192, 0, 2, 1], 80))].into_iter())
        }
    }

    #[test]
    fn a_resolver_that_is_silent_is_waited_for_until_the_deadline_and_no_longer() {
        let barrier = Arc::new(Barrier::new(2));
        let look_up = LookUp::begin(Slow(Arc::clone(&barrier)));
        let limit = Duration::from_millis(50);
        let begun = Instant::now();
        let error = look_up.wait_until(begun + limit).unwrap_err();
        assert!(begun.elapsed() >= limit);
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        barrier.wait();
        // What it says later is there for whoever asks again.
        let found = look_up.wait_until(Instant::now() + Duration::from_secs(20));
        assert_eq!(found.unwrap(), [SocketAddr::from(([192, 0, 2, 1], 80))]);
    }

    #[test]
    fn an_address_is_found_and_a_name_without_one_is_an_error() {
        let soon = || Instant::now() + Duration::from_secs(20);
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(
            LookUp::begin(("127.0.0.1", 80)).wait_until(soon()).unwrap(),
            [address]
        );
        let none: &[SocketAddr] = &[];
        let error = LookUp::begin(none).wait_until(soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
