//! `$apr1$`, Apache's variant of the MD5 crypt, which `htpasswd` writes when no flag is given.
//!
//! Owns the algorithm alone: it differs from `$1$` in the magic word only, but no maintained crate has it.

use md5::{Digest, Md5};

/// How often the digest goes round. Fixed by the format.
const ROUNDS: u32 = 1000;
const MAGIC: &[u8] = b"$apr1$";
/// The alphabet of all crypt formats but bcrypt's.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The 22 characters that follow `$apr1$SALT$`.
pub(in crate::gate::auth) fn apr1(password: &[u8], salt: &[u8]) -> String {
    let alternate = Md5::new()
        .chain(password)
        .chain(salt)
        .chain(password)
        .finalize();
    let mut digest = Md5::new().chain(password).chain(MAGIC).chain(salt);
    for chunk in password.chunks(alternate.len()) {
        digest.update(alternate.get(..chunk.len()).unwrap_or_default());
    }
    // One byte for each bit of the length: a NUL for a one, the password's first byte for a zero.
    let mut bits = password.len();
    while bits > 0 {
        digest.update(if bits & 1 == 1 {
            &[0]
        } else {
            password.get(..1).unwrap_or_default()
        });
        bits >>= 1;
    }
    let mut sum = digest.finalize();
    for round in 0..ROUNDS {
        let mut digest = Md5::new();
        if round % 2 == 1 {
            digest.update(password);
        } else {
            digest.update(sum);
        }
        if round % 3 != 0 {
            digest.update(salt);
        }
        if round % 7 != 0 {
            digest.update(password);
        }
        if round % 2 == 1 {
            digest.update(sum);
        } else {
            digest.update(password);
        }
        sum = digest.finalize();
    }
    encode(sum.into())
}

/// The crypt's own order of bytes, six bits a character, the lowest first.
fn encode(sum: [u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = sum.map(u32::from);
    let groups = [
        (a, g, m, 4),
        (b, h, n, 4),
        (c, i, o, 4),
        (d, j, p, 4),
        (e, k, f, 4),
        (0, 0, l, 2),
    ];
    let mut text = String::with_capacity(22);
    for (high, middle, low, characters) in groups {
        let bits = high << 16 | middle << 8 | low;
        for at in 0..characters {
            let index = (bits >> (6 * at) & 63) as usize;
            text.extend(ALPHABET.get(index).map(|byte| char::from(*byte)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_what_openssl_gives_for_every_length_of_password() {
        // openssl passwd -apr1 -salt SALT PASSWORD
        for (password, salt, sum) in [
            ("", "7gpisXip", "9SEqqNXMul1svzqlrQQCy1"),
            ("correct horse", "Qv0NkDaA", "JsvDDMueOpbEjIEdxZMOT0"),
            (&"x".repeat(200), "Nm3MexQh", "LjgmBuelvzUxFjhyzopkL0"),
        ] {
            assert_eq!(apr1(password.as_bytes(), salt.as_bytes()), sum);
        }
    }

    #[test]
    fn a_password_need_not_be_text() {
        let sum = apr1(b"p\xe4ss\xff\x80", b"hPyfFIER");
        assert_eq!(sum, "fVC/f1Ad6mgvlPUT3UPZ20");
    }
}
