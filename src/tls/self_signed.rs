//! `--tls-self-signed DIR`: a private CA and a server certificate that look after themselves.
//!
//! DIR holds `ca.crt` (what clients are given), `ca.key`, `server.crt`, `server.key` and a lock. The server certificate
//! is replaced whenever it no longer serves; the CA never is, because clients trust it: what is wrong with it is said,
//! with what to delete. Nothing is written as long as all is well, so that DIR may be read-only until a renewal.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::facts::{Facts, date};
use super::host::{Name, host_name, own_names};
use super::issue::{Authority, CA_NAME, Issued};
use super::pair::{Pair, load_pair};
use super::pem;
use super::store::{self, CERTIFICATE_MODE, KEY_MODE, Lock};

/// The server certificate in use, with what it takes to renew it.
pub struct SelfSigned {
    files: Files,
    given: Vec<Name>,
    pair: Pair,
    ca_not_after: SystemTime,
    made_new_ca: bool,
}

impl SelfSigned {
    /// Loads what is in `directory`, and makes what is missing or no longer serves. The certificate is for localhost,
    /// for this host's name and addresses, and for `names` (DNS names or addresses).
    pub fn open(directory: &Path, names: &[String]) -> Result<SelfSigned, String> {
        SelfSigned::open_at(directory, names, SystemTime::now())
    }

    /// Says what `open` would object to, and writes nothing.
    pub fn check(directory: &Path, names: &[String]) -> Result<(), String> {
        let given = parse(names)?;
        let files = Files::of(directory);
        let now = SystemTime::now();
        let authority = files.authority(now)?;
        let Some(authority) = authority else {
            files.refuse_foreign(None)?;
            return store::could_write(directory);
        };
        if files.pair(&authority, &wanted(&given), now).is_ok()
            || files.kept(&authority, &given, now).is_some()
        {
            return Ok(());
        }
        files.refuse_foreign(Some(&authority))?;
        store::could_write(directory)
    }

    fn open_at(directory: &Path, names: &[String], now: SystemTime) -> Result<SelfSigned, String> {
        let given = parse(names)?;
        let files = Files::of(directory);
        let wanted = wanted(&given);
        let found = files.authority(now);
        // Most starts end here, without a lock: files appear by rename, so what fits together is whole.
        let (authority, pair, made_new_ca) = if let Ok(Some(authority)) = found
            && let Ok(pair) = files.pair(&authority, &wanted, now)
        {
            (authority, pair, false)
        } else {
            files.renew_or_keep(&given, &wanted, now)?
        };
        store::guard_key(&files.ca_key);
        store::guard_key(&files.server_key);
        Ok(SelfSigned {
            files,
            given,
            pair,
            ca_not_after: authority.not_after(),
            made_new_ca,
        })
    }

    /// Makes a new server certificate whether one is due or not, and the CA only if there is none. Without `names` the
    /// new certificate is for those that the present one is for.
    pub fn renew(directory: &Path, names: &[String]) -> Result<SelfSigned, String> {
        let mut given = parse(names)?;
        let now = SystemTime::now();
        let files = Files::of(directory);
        store::make_directory(directory)?;
        let lock = store::lock(directory)?;
        let (authority, made_new_ca) = match files.authority(now)? {
            Some(authority) => (authority, false),
            None => (files.make_authority(&lock, now)?, true),
        };
        if given.is_empty() {
            given = files.present_names();
        }
        let own = own_names();
        given.retain(|name| !own.contains(name));
        let pair = files.issue(&lock, &authority, &wanted(&given), now)?;
        store::guard_key(&files.ca_key);
        Ok(SelfSigned {
            files,
            given,
            pair,
            ca_not_after: authority.not_after(),
            made_new_ca,
        })
    }

    /// The certificate to show.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// When two thirds of its life will be over, or when the CA ends if a renewal would gain nothing before.
    pub fn renew_at(&self) -> SystemTime {
        renew_at(&self.pair, self.ca_not_after).unwrap_or(self.ca_not_after)
    }

    /// To be called now and then, an hour apart: renews if it is time, or if this host has got a name or an address
    /// that the certificate lacks. `true`: there is another [`pair`](Self::pair), to be shown from now on. After an
    /// error the present one stays.
    pub fn renew_if_due(&mut self, now: SystemTime) -> Result<bool, String> {
        let wanted = wanted(&self.given);
        if now < self.renew_at() && missing(&self.pair, &wanted).is_none() {
            return Ok(false);
        }
        let lock = store::lock(&self.files.directory)?;
        let Some(authority) = self.files.authority(now)? else {
            return Err(format!(
                "{:?} and {:?} are gone: bring them back",
                self.files.ca, self.files.ca_key
            ));
        };
        self.pair = self.files.pair_or_new(&lock, &authority, &wanted, now)?;
        self.ca_not_after = authority.not_after();
        Ok(true)
    }

    /// What the certificate is for beside this machine's own names.
    pub fn further_names(&self) -> &[Name] {
        &self.given
    }

    /// The file that clients are to trust.
    pub fn ca_path(&self) -> PathBuf {
        self.files.ca.clone()
    }

    /// When clients will refuse everything until they are given a new CA.
    pub fn ca_not_after(&self) -> SystemTime {
        self.ca_not_after
    }

    /// Whether no client can know the CA yet.
    pub fn made_new_ca(&self) -> bool {
        self.made_new_ca
    }
}

struct Files {
    directory: PathBuf,
    ca: PathBuf,
    ca_key: PathBuf,
    server: PathBuf,
    server_key: PathBuf,
}

impl Files {
    fn of(directory: &Path) -> Files {
        Files {
            directory: directory.to_owned(),
            ca: directory.join("ca.crt"),
            ca_key: directory.join("ca.key"),
            server: directory.join("server.crt"),
            server_key: directory.join("server.key"),
        }
    }

    /// `None` if there is nothing of a CA yet.
    fn authority(&self, now: SystemTime) -> Result<Option<Authority>, String> {
        match (store::is_there(&self.ca)?, store::is_there(&self.ca_key)?) {
            (false, false) => return Ok(None),
            (true, true) => {}
            (true, false) => {
                return Err(self.lost(&format!("{:?} is there, but not its key", self.ca)));
            }
            (false, true) => {
                return Err(self.lost(&format!(
                    "{:?} is there, but not its certificate",
                    self.ca_key
                )));
            }
        }
        let authority =
            Authority::load(&self.ca, &self.ca_key).map_err(|fault| self.lost(&fault))?;
        if now >= authority.not_after() {
            return Err(self.lost(&format!(
                "{:?} expired on {}",
                self.ca,
                date(authority.not_after())
            )));
        }
        Ok(Some(authority))
    }

    /// A CA is never made anew by itself: the old one may be on any number of clients.
    fn lost(&self, fault: &str) -> String {
        format!(
            "{fault}: bring the right files back, or delete ca.crt, ca.key, server.crt and server.key in {:?} \
             to have a new CA made, and give its ca.crt to all clients",
            self.directory
        )
    }

    fn make_authority(&self, lock: &Lock, now: SystemTime) -> Result<Authority, String> {
        self.refuse_foreign(None)?;
        let host = host_name().unwrap_or_else(|| "this host".to_owned());
        let Issued { certificate, key } = Authority::make(&host, now)?;
        // The key first: whoever sees the certificate may give it to clients.
        store::write(lock, &self.ca_key, &key, KEY_MODE)?;
        store::write(lock, &self.ca, &certificate, CERTIFICATE_MODE)?;
        Authority::load(&self.ca, &self.ca_key)
    }

    /// Under the lock: takes what another process made meanwhile, or makes it. Where nothing can be written (DIR is
    /// read-only, the disk full) a certificate that clients would still accept is better than none.
    fn renew_or_keep(
        &self,
        given: &[Name],
        wanted: &[Name],
        now: SystemTime,
    ) -> Result<(Authority, Pair, bool), String> {
        let renewed = store::make_directory(&self.directory).and_then(|()| {
            let lock = store::lock(&self.directory)?;
            let (authority, made_new_ca) = match self.authority(now)? {
                Some(authority) => (authority, false),
                None => (self.make_authority(&lock, now)?, true),
            };
            let pair = self.pair_or_new(&lock, &authority, wanted, now)?;
            Ok((authority, pair, made_new_ca))
        });
        renewed.or_else(|fault| {
            // What is wrong with the CA says more than that nothing can be written.
            let authority = self.authority(now)?.ok_or_else(|| fault.clone())?;
            let pair = self
                .kept(&authority, given, now)
                .ok_or_else(|| fault.clone())?;
            log::warn!("{fault}: the present certificate stays until that is mended");
            Ok((authority, pair, false))
        })
    }

    /// The server certificate on disk if clients would accept it for the names that were given, though it lacks one of
    /// this host's own or is due.
    fn kept(&self, authority: &Authority, given: &[Name], now: SystemTime) -> Option<Pair> {
        let pair = load_pair(&self.server, &self.server_key).ok()?;
        let serves = authority.vouches_for(&pair.certified_key().cert)
            && missing(&pair, given).is_none()
            && pair.not_after().is_some_and(|end| now < end);
        serves.then_some(pair)
    }

    /// The server certificate on disk if it still serves, else why not.
    fn pair(
        &self,
        authority: &Authority,
        wanted: &[Name],
        now: SystemTime,
    ) -> Result<Pair, String> {
        let pair = load_pair(&self.server, &self.server_key).map_err(|faults| {
            faults
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        })?;
        if !authority.vouches_for(&pair.certified_key().cert) {
            return Err("not signed by this CA".to_owned());
        }
        if let Some(name) = missing(&pair, wanted) {
            return Err(format!("not for {name}"));
        }
        match renew_at(&pair, authority.not_after()) {
            Some(due) if now < due => Ok(pair),
            _ => Err("two thirds of its life are over".to_owned()),
        }
    }

    fn pair_or_new(
        &self,
        lock: &Lock,
        authority: &Authority,
        wanted: &[Name],
        now: SystemTime,
    ) -> Result<Pair, String> {
        let misfit = match self.pair(authority, wanted, now) {
            Ok(pair) => return Ok(pair),
            Err(misfit) => misfit,
        };
        if self.server.exists() {
            log::info!("{:?}: {misfit}: making a new one", self.server);
        }
        self.issue(lock, authority, wanted, now)
    }

    /// Puts a new server certificate in place of what is there, if that was made here.
    fn issue(
        &self,
        lock: &Lock,
        authority: &Authority,
        wanted: &[Name],
        now: SystemTime,
    ) -> Result<Pair, String> {
        self.refuse_foreign(Some(authority))?;
        let Issued { certificate, key } = authority.issue(wanted, now)?;
        // After a crash between the two the key does not fit, and the next start makes both anew.
        store::write(lock, &self.server_key, &key, KEY_MODE)?;
        store::write(lock, &self.server, &certificate, CERTIFICATE_MODE)?;
        self.pair(authority, wanted, now)
            .map_err(|misfit| format!("{:?}: written just now, yet {misfit}", self.server))
    }

    /// What the certificate on disk is for, if it can be read.
    fn present_names(&self) -> Vec<Name> {
        let pair = load_pair(&self.server, &self.server_key);
        let names = pair.map(|pair| pair.names().to_vec()).unwrap_or_default();
        names
            .iter()
            .filter_map(|name| Name::parse(name).ok())
            .collect()
    }

    /// Somebody may have named a directory with certificates of another origin: those are never overwritten.
    fn refuse_foreign(&self, authority: Option<&Authority>) -> Result<(), String> {
        let chain = pem::read_certificates(&self.server).ok();
        let issuer = chain.map(|chain| {
            let facts = chain.first().and_then(Facts::read);
            facts.and_then(|facts| facts.issuer).unwrap_or_default()
        });
        let is_ours = match (issuer, authority) {
            (Some(issuer), authority) => {
                issuer.starts_with(CA_NAME)
                    || authority.is_some_and(|authority| authority.name() == issuer)
            }
            // Cut short, or not there: a crash of ours, once there is a CA.
            (None, Some(_)) => true,
            (None, None) => !self.server.exists() && !self.server_key.exists(),
        };
        if is_ours {
            return Ok(());
        }
        Err(format!(
            "{:?} has a server.crt or server.key that were not made here: give them by --tls-cert and --tls-key, \
             or name another directory",
            self.directory
        ))
    }
}

fn parse(names: &[String]) -> Result<Vec<Name>, String> {
    let parse = |name: &String| Name::parse(name).map_err(|why| format!("{name:?}: {why}"));
    names.iter().map(parse).collect()
}

fn wanted(given: &[Name]) -> Vec<Name> {
    let mut names = own_names();
    for name in given {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn missing<'a>(pair: &Pair, wanted: &'a [Name]) -> Option<&'a Name> {
    wanted
        .iter()
        .find(|name| !pair.names().contains(&name.to_string()))
}

fn renew_at(pair: &Pair, ca_not_after: SystemTime) -> Option<SystemTime> {
    let (start, end) = (pair.not_before()?, pair.not_after()?);
    if end >= ca_not_after {
        return Some(ca_not_after);
    }
    let life = end.duration_since(start).ok()?;
    Some(start + life * 2 / 3)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
