//! What is kept of all this in a directory: the key of the account, and for each name its certificate, its key, and what its
//! challenge shows while one is open.
//!
//! Several gates may share it. Files appear whole, and whoever writes holds the lock.

use std::path::{Path, PathBuf};

use super::account::AccountKey;
use super::order::Challenge;
use crate::files;
use crate::text::hex;
use crate::tls::store::{self, CERTIFICATE_MODE, KEY_MODE, Lock};
use crate::tls::{self, Pair};

/// Of a challenge in hexadecimal, in bytes.
const DIGEST_TEXT: usize = 64;
/// A file of one is read up to this.
const LARGEST: u64 = 1024;
/// The longest name of a challenge, in bytes.
const LONGEST_TOKEN: usize = 128;
/// Of files that answer an authority: what is shown by TLS at a name...
const CHALLENGE: &str = "challenge";
/// ...and in the clear for a token.
const AUTHORIZATION: &str = "authorization";

/// A directory of certificates.
#[derive(Clone, Debug)]
pub(super) struct State(PathBuf);

impl State {
    /// The directory is made if it is not there.
    pub(super) fn open(directory: &Path) -> Result<State, String> {
        store::make_directory(directory)?;
        Ok(State(directory.to_owned()))
    }

    /// The right to write, if no other gate has it.
    pub(super) fn try_lock(&self) -> Result<Option<Lock>, String> {
        store::try_lock(&self.0)
    }

    /// The key of the account, made if there is none.
    pub(super) fn account(&self, lock: &Lock) -> Result<AccountKey, String> {
        // No name of a host ends so, with what belongs to it.
        let path = self.0.join("account_key.pem");
        if !store::is_there(&path)? {
            store::write(lock, &path, &tls::new_key()?, KEY_MODE)?;
        }
        store::guard_key(&path);
        let key = tls::read_key(&path).map_err(|why| format!("{path:?}: {why}"))?;
        AccountKey::of_pkcs8(key.secret_der()).map_err(|why| format!("{path:?}: {why}"))
    }

    /// The certificate of a name, if there is a good one.
    pub(super) fn pair(&self, name: &str) -> Option<Pair> {
        let pair = tls::load_pair(&self.at(name, "crt"), &self.at(name, "key")).ok()?;
        pair.names().iter().any(|own| own == name).then_some(pair)
    }

    /// Keeps a new certificate.
    pub(super) fn keep(
        &self,
        lock: &Lock,
        name: &str,
        chain: &str,
        key: &str,
    ) -> Result<Pair, String> {
        // After a crash between the two the key does not fit, and another is ordered. Before that both are looked at beside what
        // is there: what an authority gives by mistake takes the place of nothing.
        let (new, new_key) = (self.at(name, "new.crt"), self.at(name, "new.key"));
        store::write(lock, &new_key, key, KEY_MODE)?;
        store::write(lock, &new, chain, CERTIFICATE_MODE)?;
        let looked_at = tls::load_pair(&new, &new_key).map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            faults.join(", ")
        });
        let gone = [&new, &new_key].map(|path| store::remove_if_there(path));
        let pair = looked_at?;
        if !pair.names().iter().any(|own| own == name) {
            return Err("it is for other names".to_owned());
        }
        drop(gone);
        store::write(lock, &self.at(name, "key"), key, KEY_MODE)?;
        store::write(lock, &self.at(name, "crt"), chain, CERTIFICATE_MODE)?;
        Ok(pair)
    }

    /// Publishes what the challenge of a name shows, both ways, in place of what was shown of it before.
    pub(super) fn publish(
        &self,
        lock: &Lock,
        name: &str,
        challenge: &Challenge,
    ) -> Result<(), String> {
        let path = self.at(name, CHALLENGE);
        store::write(lock, &path, &hex(&challenge.digest), KEY_MODE)?;
        let path = self.at(&challenge.token, AUTHORIZATION);
        store::write(lock, &path, &challenge.authorization, KEY_MODE)
    }

    /// Takes all challenges of a name back.
    pub(super) fn unpublish(&self, name: &str, challenge: Option<&Challenge>) {
        let token = challenge.map(|challenge| self.at(&challenge.token, AUTHORIZATION));
        for path in token.into_iter().chain([self.at(name, CHALLENGE)]) {
            if let Err(error) = store::remove_if_there(&path) {
                log::warn!("{}", files::why(&path, &error));
            }
        }
    }

    /// What is shown in the clear to whoever asks for a token, if its challenge is open.
    pub(super) fn authorization(&self, token: &str) -> Option<String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(fits) {
            return None;
        }
        let text = files::read_at_most(&self.at(token, AUTHORIZATION), LARGEST);
        String::from_utf8(text.ok().flatten()?).ok()
    }

    /// What the challenge of a name shows, if one is open.
    pub(super) fn published(&self, name: &str) -> Option<Vec<u8>> {
        let text = files::read_at_most(&self.at(name, CHALLENGE), LARGEST);
        let text = text
            .ok()
            .flatten()
            .filter(|text| text.len() == DIGEST_TEXT)?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        text.chunks_exact(2)
            .map(|pair| {
                let [high, low] = pair else { return None };
                u8::try_from(digit(high)? * 16 + digit(low)?).ok()
            })
            .collect()
    }

    fn at(&self, name: &str, what: &str) -> PathBuf {
        self.0.join(format!("{name}.{what}"))
    }
}
