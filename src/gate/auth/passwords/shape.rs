//! Whether a text can be a password hash at all, of which kind and cost, and what is wrong with it if not.
//!
//! Owns the kinds, their shapes and their bounds. Must not hash. Its input is a file that people edit by hand and that
//! shells and compose files mangle, so that shape, length, alphabet and cost are all checked before anything is computed:
//! `pwhash` takes a malformed hash for a wrong password and bounds no cost.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// The bounds of a bcrypt cost. 4 is the format's own; at 16 one check takes some three seconds.
pub(crate) const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=16;
/// The bounds of `rounds=`. 1,000 is the format's own; a million takes about half a second, more with a long password.
const SHA_ROUNDS: std::ops::RangeInclusive<u32> = 1_000..=1_000_000;
/// What `$5$` and `$6$` do when they do not say `rounds=`.
const SHA_DEFAULT_ROUNDS: u32 = 5_000;
pub(in crate::gate::auth) const SHA1_LENGTH: usize = 20;
/// What the salt of `{SSHA}` is at most. Directories use 4 to 16.
const SSHA_LONGEST_SALT: usize = 64;

/// A kind of hash together with what its cost depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `$2a$ $2b$ $2y$`, which differ in name only.
    Bcrypt { cost: u32 },
    /// `$apr1$`
    Apr1,
    /// `$1$`
    Md5,
    /// `$5$`
    Sha256 { rounds: u32 },
    /// `$6$`
    Sha512 { rounds: u32 },
    /// `{SHA}`
    Sha1,
    /// `{SSHA}`
    SaltedSha1,
}

impl Scheme {
    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Scheme::Bcrypt { .. } => Kind::Bcrypt,
            Scheme::Apr1 => Kind::Apr1,
            Scheme::Md5 => Kind::Md5,
            Scheme::Sha256 { .. } => Kind::Sha256,
            Scheme::Sha512 { .. } => Kind::Sha512,
            Scheme::Sha1 => Kind::Sha1,
            Scheme::SaltedSha1 => Kind::SaltedSha1,
        }
        .name()
    }

    /// The cost as its own format counts it: bcrypt's power of two, or rounds. `None` where there is nothing to choose.
    pub(crate) fn cost(self) -> Option<u32> {
        match self {
            Scheme::Bcrypt { cost } => Some(cost),
            Scheme::Sha256 { rounds } | Scheme::Sha512 { rounds } => Some(rounds),
            Scheme::Apr1 | Scheme::Md5 | Scheme::Sha1 | Scheme::SaltedSha1 => None,
        }
    }

    /// Whether somebody who gets hold of the file finds ordinary passwords in hours.
    pub(crate) fn is_weak(self) -> bool {
        matches!(
            self,
            Scheme::Apr1 | Scheme::Md5 | Scheme::Sha1 | Scheme::SaltedSha1
        )
    }
}

/// What is wrong with the part of a line behind the colon. The words never repeat it: it may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashFault {
    /// Nothing there.
    Missing,
    /// `$$2y$$10$$…`, as it is written in a compose file.
    DoubledDollar,
    /// `y$10$…`, `2y$10$…`
    EatenDollar,
    /// The traditional crypt.
    DesCrypt,
    /// Not a hash at all.
    PlainText,
    /// A line of htdigest: user, realm and MD5.
    Digest,
    /// A good hash behind a name that others have before it: which.
    Prefixed(&'static str),
    /// A kind of hash that is not accepted, with its name where that is sure not to be part of a password.
    Unknown(&'static str),
    /// Too short for its kind.
    Truncated(Kind),
    /// Too long for its kind.
    TooLong(Kind),
    /// Characters that its kind has not.
    Alphabet(Kind),
    /// A bcrypt cost or a `rounds=` that is no number, or outside what the format has.
    BadCost(Kind),
    /// A cost that would take seconds.
    TooCostly(Kind),
}

/// The prefixes, for messages and for parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bcrypt,
    Apr1,
    Md5,
    Sha256,
    Sha512,
    Sha1,
    SaltedSha1,
}

impl Kind {
    const PREFIXES: [(&'static str, Kind); 9] = [
        ("$2a$", Kind::Bcrypt),
        ("$2b$", Kind::Bcrypt),
        ("$2y$", Kind::Bcrypt),
        ("$apr1$", Kind::Apr1),
        ("$1$", Kind::Md5),
        ("$5$", Kind::Sha256),
        ("$6$", Kind::Sha512),
        ("{SHA}", Kind::Sha1),
        ("{SSHA}", Kind::SaltedSha1),
    ];

    pub(in crate::gate::auth) fn name(self) -> &'static str {
        match self {
            Kind::Bcrypt => "bcrypt",
            Kind::Apr1 => "$apr1$",
            Kind::Md5 => "$1$",
            Kind::Sha256 => "$5$",
            Kind::Sha512 => "$6$",
            Kind::Sha1 => "{SHA}",
            Kind::SaltedSha1 => "{SSHA}",
        }
    }

    /// Kinds that are met in the wild and not accepted here.
    const STRANGERS: [&'static str; 19] = [
        "$2$",
        "$2x$",
        "$3$",
        "$7$",
        "$y$",
        "$gy$",
        "$md5",
        "$sha1$",
        "$argon2",
        "$scrypt$",
        "$pbkdf2",
        "{MD5}",
        "{SMD5}",
        "{PLAIN}",
        "{SHA256}",
        "{SSHA256}",
        "{SHA512}",
        "{SSHA512}",
        "{sha}",
    ];

    /// What directories and mail servers write before a hash that is accepted without it, in any case.
    const FOREIGN_PREFIXES: [&'static str; 6] = [
        "{CRYPT}",
        "{BCRYPT}",
        "{BLF-CRYPT}",
        "{MD5-CRYPT}",
        "{SHA256-CRYPT}",
        "{SHA512-CRYPT}",
    ];
}

impl fmt::Display for HashFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// What a shell does to an unquoted hash, and compose to one that is not doubled.
        const EATEN: &str = "was a \"$\" eaten by a shell or compose? quote it in '…'";
        match *self {
            HashFault::Missing => write!(f, "no hash after the colon; {EATEN}"),
            HashFault::DoubledDollar => f.write_str(
                "the \"$\" of the hash are doubled, as a compose file wants them but a password file does not: write each one once",
            ),
            HashFault::EatenDollar => write!(f, "a hash that lost a \"$\"; {EATEN}"),
            HashFault::DesCrypt => f.write_str(
                "a DES crypt hash (htpasswd -d), of which only eight characters of the password count",
            ),
            HashFault::PlainText => f.write_str("plain text, or a hash that lost its \"$\""),
            HashFault::Digest => f.write_str(
                "an htdigest line (user:realm:MD5), which is for Digest and not for Basic authentication",
            ),
            HashFault::Prefixed(prefix) => write!(
                f,
                "a good hash behind a word of other programs: remove the \"{prefix}\" before it"
            ),
            HashFault::Unknown("") => f.write_str("an unknown kind of hash"),
            HashFault::Unknown(kind) => write!(f, "an unknown kind of hash \"{kind}\""),
            HashFault::Truncated(kind @ (Kind::Sha1 | Kind::SaltedSha1)) => {
                write!(f, "a truncated {} hash", kind.name())
            }
            HashFault::Truncated(kind) => write!(f, "a truncated {} hash; {EATEN}", kind.name()),
            HashFault::TooLong(kind) => write!(f, "a {} hash that is too long", kind.name()),
            HashFault::Alphabet(kind) => {
                write!(f, "a damaged {} hash: characters that it cannot have", kind.name())
            }
            HashFault::BadCost(Kind::Bcrypt) => f.write_str("a bcrypt hash without a cost of 04 to 16"),
            HashFault::BadCost(kind) => write!(
                f,
                "a {} hash with a bad \"rounds=\": a number from {} to {} is wanted",
                kind.name(),
                SHA_ROUNDS.start(),
                SHA_ROUNDS.end()
            ),
            HashFault::TooCostly(Kind::Bcrypt) => write!(
                f,
                "a bcrypt cost over {}, with which a check takes seconds",
                BCRYPT_COSTS.end()
            ),
            HashFault::TooCostly(kind) => write!(
                f,
                "a {} hash with \"rounds=\" over {}, with which a check takes seconds",
                kind.name(),
                SHA_ROUNDS.end()
            ),
        }
    }
}

/// Reads what stands behind the colon of a line.
pub(in crate::gate::auth) fn scheme_of(text: &str) -> Result<Scheme, HashFault> {
    let (prefix, kind) = Kind::PREFIXES
        .into_iter()
        .find(|(prefix, _)| text.starts_with(prefix))
        .ok_or_else(|| guess(text))?;
    let rest = text.strip_prefix(prefix).unwrap_or_default();
    Ok(match kind {
        Kind::Bcrypt => bcrypt_scheme(rest)?,
        Kind::Apr1 => {
            salt_and_sum(kind, rest, 8, 22)?;
            Scheme::Apr1
        }
        Kind::Md5 => {
            salt_and_sum(kind, rest, 8, 22)?;
            Scheme::Md5
        }
        Kind::Sha256 => Scheme::Sha256 {
            rounds: sha_crypt_rounds(kind, rest, 43)?,
        },
        Kind::Sha512 => Scheme::Sha512 {
            rounds: sha_crypt_rounds(kind, rest, 86)?,
        },
        Kind::Sha1 | Kind::SaltedSha1 => sha1_scheme(kind, rest)?,
    })
}

/// What a text without an accepted prefix probably is.
/// Whether a shell has read it.
fn has_lost_a_dollar(text: &str) -> bool {
    // Of "$2y$", "$apr1$", "$6$", … the first "$" and perhaps what follows it is gone.
    const TAILS: [&str; 10] = [
        "a$", "b$", "y$", "2a$", "2b$", "2y$", "apr1$", "1$", "5$", "6$",
    ];
    // In double quotes "$2y$10$…" becomes "y", then the shell's own name for "$1" or "$0", and so on.
    const SHELLS: [&str; 11] = [
        "bash",
        "-bash",
        "sh",
        "-sh",
        "/bin/",
        "/usr/bin/",
        "dash",
        "zsh",
        "-zsh",
        "0$",
        "1$",
    ];
    let begins = |text: &str, words: &[&str]| words.iter().any(|word| text.starts_with(word));
    let rest = text.strip_prefix(['a', 'b', 'y']);
    begins(text, &TAILS) || rest.is_some_and(|rest| begins(rest, &SHELLS))
}

fn guess(text: &str) -> HashFault {
    if text.is_empty() {
        return HashFault::Missing;
    }
    if text.starts_with("$$") {
        return HashFault::DoubledDollar;
    }
    let starts_with = |prefix: &&str| {
        let start = text.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if let Some(prefix) = Kind::FOREIGN_PREFIXES.into_iter().find(starts_with) {
        let rest = text.get(prefix.len()..).unwrap_or_default();
        let is_accepted = |known: (&str, Kind)| rest.starts_with(known.0);
        return if Kind::PREFIXES.into_iter().any(is_accepted) && scheme_of(rest).is_ok() {
            HashFault::Prefixed(prefix)
        } else {
            HashFault::Unknown(prefix)
        };
    }
    if let Some(stranger) = Kind::STRANGERS
        .into_iter()
        .find(|stranger| text.starts_with(stranger))
    {
        return HashFault::Unknown(stranger);
    }
    if has_lost_a_dollar(text) {
        return HashFault::EatenDollar;
    }
    if text.len() == 13 && in_alphabet(text) {
        return HashFault::DesCrypt;
    }
    let is_named = |open: char, close: char| {
        text.strip_prefix(open)
            .and_then(|rest| rest.split_once(close))
            .is_some_and(|(_, rest)| !rest.is_empty())
    };
    if is_named('$', '$') || is_named('{', '}') {
        return HashFault::Unknown("");
    }
    HashFault::PlainText
}

/// The alphabet of bcrypt, which has the characters of the others in another order.
fn bcrypt_value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'.' => 0,
        b'/' => 1,
        b'A'..=b'Z' => byte - b'A' + 2,
        b'a'..=b'z' => byte - b'a' + 28,
        b'0'..=b'9' => byte - b'0' + 54,
        _ => return None,
    };
    Some(value.into())
}

fn in_alphabet(text: &str) -> bool {
    text.bytes().all(|byte| bcrypt_value(byte).is_some())
}

fn expect_length(kind: Kind, text: &str, length: usize) -> Result<(), HashFault> {
    match text.len() {
        found if found < length => Err(HashFault::Truncated(kind)),
        found if found > length => Err(HashFault::TooLong(kind)),
        _ => Ok(()),
    }
}

/// `10$` and 22 characters of salt, 31 of the sum.
fn bcrypt_scheme(rest: &str) -> Result<Scheme, HashFault> {
    let kind = Kind::Bcrypt;
    let (cost, body) = rest.split_once('$').ok_or(HashFault::Truncated(kind))?;
    if cost.len() != 2 || !cost.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HashFault::BadCost(kind));
    }
    let cost = cost.parse().map_err(|_| HashFault::BadCost(kind))?;
    if cost > *BCRYPT_COSTS.end() {
        return Err(HashFault::TooCostly(kind));
    }
    if cost < *BCRYPT_COSTS.start() {
        return Err(HashFault::BadCost(kind));
    }
    if !in_alphabet(body) {
        return Err(HashFault::Alphabet(kind));
    }
    expect_length(kind, body, 53)?;
    // 23 bytes leave two bits of the last character unused: where they are set, something was cut out or put in.
    let unused = body.bytes().last().and_then(bcrypt_value).unwrap_or(1) & 0b11;
    if unused != 0 {
        return Err(HashFault::Alphabet(kind));
    }
    Ok(Scheme::Bcrypt { cost })
}

/// `SALT$SUM`, as all crypt formats but bcrypt have it.
fn salt_and_sum(kind: Kind, rest: &str, longest_salt: usize, sum: usize) -> Result<(), HashFault> {
    let (salt, found) = rest.split_once('$').ok_or(HashFault::Truncated(kind))?;
    if salt.is_empty() || found.is_empty() {
        return Err(HashFault::Truncated(kind));
    }
    if !in_alphabet(salt) || !in_alphabet(found) {
        return Err(HashFault::Alphabet(kind));
    }
    if salt.len() > longest_salt {
        return Err(HashFault::TooLong(kind));
    }
    expect_length(kind, found, sum)
}

/// `SALT$SUM` or `rounds=N$SALT$SUM`.
fn sha_crypt_rounds(kind: Kind, rest: &str, sum: usize) -> Result<u32, HashFault> {
    const LONGEST_SALT: usize = 16;
    let Some(rest) = rest.strip_prefix("rounds=") else {
        salt_and_sum(kind, rest, LONGEST_SALT, sum)?;
        return Ok(SHA_DEFAULT_ROUNDS);
    };
    let (rounds, rest) = rest.split_once('$').ok_or(HashFault::Truncated(kind))?;
    // A number that a crypt would write otherwise (a leading zero) never compares equal.
    if rounds.starts_with('0') || !rounds.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HashFault::BadCost(kind));
    }
    if rounds.len() > 9 {
        return Err(HashFault::TooCostly(kind));
    }
    let rounds = rounds.parse().map_err(|_| HashFault::BadCost(kind))?;
    if rounds < *SHA_ROUNDS.start() {
        return Err(HashFault::BadCost(kind));
    }
    if rounds > *SHA_ROUNDS.end() {
        return Err(HashFault::TooCostly(kind));
    }
    salt_and_sum(kind, rest, LONGEST_SALT, sum)?;
    Ok(rounds)
}

fn sha1_scheme(kind: Kind, encoded: &str) -> Result<Scheme, HashFault> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if !encoded.bytes().all(is_base64) {
        return Err(HashFault::Alphabet(kind));
    }
    if !encoded.len().is_multiple_of(4) {
        return Err(HashFault::Truncated(kind));
    }
    let decoded = STANDARD
        .decode(encoded)
        .map_err(|_| HashFault::Alphabet(kind))?;
    let (lengths, scheme) = if kind == Kind::Sha1 {
        (SHA1_LENGTH..=SHA1_LENGTH, Scheme::Sha1)
    } else {
        let longest = SHA1_LENGTH + SSHA_LONGEST_SALT;
        (SHA1_LENGTH + 1..=longest, Scheme::SaltedSha1)
    };
    if decoded.len() < *lengths.start() {
        return Err(HashFault::Truncated(kind));
    }
    if decoded.len() > *lengths.end() {
        return Err(HashFault::TooLong(kind));
    }
    Ok(scheme)
}
