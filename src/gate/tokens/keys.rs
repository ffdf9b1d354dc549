//! The keys that tokens are sealed by, and the sealing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::files;

/// Of a key, in bytes.
const KEY: usize = 32;
/// A file of one, with whatever stands around it.
const LARGEST: u64 = 1024;
/// Before the sealed text, in bytes.
const NONCE: usize = 12;
/// What is sealed, so that nothing else that was sealed by the same key can be taken for it, and the version of its form.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Who somebody is.
    Token,
    /// Behind which name a catalogue goes on.
    Cursor,
}

impl Kind {
    fn name(self) -> &'static [u8] {
        match self {
            Kind::Token => b"portreeve token 1",
            Kind::Cursor => b"portreeve cursor 1",
        }
    }

    /// What it begins with: what does not is told apart without being opened. No name of a repository begins with a `~`.
    pub fn prefix(self) -> &'static str {
        match self {
            // "pr1" in base64.
            Kind::Token => "cHIx",
            Kind::Cursor => "~",
        }
    }
}

/// Nothing that was sealed is longer: what is, is not looked at.
const LONGEST: usize = 16 * 1024;

/// The keys. The first seals, all open.
pub struct TokenKeys {
    keys: Vec<RandomizedNonceKey>,
    /// Goes into all that is sealed, so that what is good at one site is nothing at another.
    site: Box<str>,
}

/// A file of a key that cannot be had, by its place among those that were named.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyFault {
    /// From 0.
    pub place: usize,
    /// What is wrong, without a word of what is in it.
    pub message: String,
}

impl TokenKeys {
    /// A key that ends with the process.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn random() -> Result<TokenKeys, String> {
        let key = made().and_then(|key| sealing(&key));
        key.map(|key| TokenKeys::of(vec![key]))
    }

    /// Reads the keys, and makes those files that are not there, if `may_make` says so.
    ///
    /// # Errors
    /// All files that are not good.
    pub fn load(files: &[&Path], may_make: bool) -> Result<TokenKeys, Vec<KeyFault>> {
        let (mut keys, mut faults) = (Vec::new(), Vec::new());
        for (place, file) in files.iter().enumerate() {
            match load(file, may_make).and_then(|key| sealing(&key)) {
                Ok(key) => keys.push(key),
                Err(message) => faults.push(KeyFault { place, message }),
            }
        }
        match faults.is_empty() {
            true => Ok(TokenKeys::of(keys)),
            false => Err(faults),
        }
    }

    fn of(keys: Vec<RandomizedNonceKey>) -> TokenKeys {
        TokenKeys {
            keys,
            site: Box::default(),
        }
    }

    /// The same keys for a site, by its name. The main one has none.
    pub fn at(self, site: &str) -> TokenKeys {
        TokenKeys {
            site: site.into(),
            ..self
        }
    }

    fn label(&self, kind: Kind) -> Aad<Vec<u8>> {
        let between: &[u8] = match self.site.is_empty() {
            true => b"",
            false => b" of ",
        };
        Aad::from([kind.name(), between, self.site.as_bytes()].concat())
    }

    /// Something sealed, as it stands in a field: without dots, which some clients take for another kind of token.
    pub fn seal(&self, kind: Kind, claims: &[u8]) -> Option<String> {
        let key = self.keys.first()?;
        let mut sealed = claims.to_vec();
        let nonce = key
            .seal_in_place_append_tag(self.label(kind), &mut sealed)
            .ok()?;
        let token = [&nonce.as_ref()[..], &sealed].concat();
        let mut text = kind.prefix().to_owned();
        URL_SAFE_NO_PAD.encode_string(token, &mut text);
        Some(text)
    }

    /// What is in something that one of the keys has sealed.
    pub fn open(&self, kind: Kind, token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let token = token.strip_prefix(kind.prefix().as_bytes())?;
        if token.len() > LONGEST {
            return None;
        }
        let mut bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(token).ok()?);
        let (last, others) = self.keys.split_last()?;
        others
            .iter()
            .find_map(|key| opened(key, self.label(kind), bytes.clone()))
            // Most have one key, and need no copy.
            .or_else(|| opened(last, self.label(kind), std::mem::take(&mut bytes)))
    }
}

fn opened(
    key: &RandomizedNonceKey,
    label: Aad<Vec<u8>>,
    mut bytes: Zeroizing<Vec<u8>>,
) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = bytes.split_at_mut_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let length = key.open_in_place(nonce, label, sealed).ok()?.len();
    bytes.truncate(NONCE + length);
    bytes.drain(..NONCE);
    Some(bytes)
}

fn sealing(key: &[u8]) -> Result<RandomizedNonceKey, String> {
    RandomizedNonceKey::new(&AES_256_GCM_SIV, key).map_err(|_| "no key".to_owned())
}

fn made() -> Result<Zeroizing<Vec<u8>>, String> {
    let mut key = Zeroizing::new(vec![0; KEY]);
    rand::fill(&mut key).map_err(|_| "the system has no random numbers".to_owned())?;
    Ok(key)
}

fn load(file: &Path, may_make: bool) -> Result<Zeroizing<Vec<u8>>, String> {
    let text = match files::read_at_most(file, LARGEST) {
        Ok(Some(text)) => Zeroizing::new(text),
        Ok(None) => return Err(NO_KEY.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !file.is_symlink() => {
            let key = made()?;
            if !may_make {
                return Ok(key);
            }
            return match make(file, &key) {
                Ok(()) => Ok(key),
                // Another gate has made it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load(file, false),
                Err(error) => Err(format!("could not be made: {}", files::why(file, &error))),
            };
        }
        Err(error) => return Err(files::why(file, &error)),
    };
    let key = Zeroizing::new(STANDARD.decode(text.trim_ascii()).unwrap_or_default());
    match key.len() {
        KEY => Ok(key),
        _ => Err(NO_KEY.to_owned()),
    }
}

const NO_KEY: &str = "not a key of tokens: 32 random bytes in base64, as \"head -c 32 /dev/urandom | base64\" makes them; \
                      or remove the file, and it is made";

/// Whole or not at all, for its owner alone.
fn make(file: &Path, key: &[u8]) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = Path::new(&beside);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options.open(beside).and_then(|mut new| {
        let text = Zeroizing::new(STANDARD.encode(key) + "\n");
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        // A link fails where the name is taken, which a rename does not.
        fs::hard_link(beside, file)
    });
    let _ = fs::remove_file(beside);
    written
}
