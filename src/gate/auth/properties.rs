//! What must hold of an `Authorization` field and of a password file whatever the bytes are. The fuzz targets of `tests/fuzz`
//! call it, and a test with what they once found. Whatever does not hold panics.

use std::collections::HashMap;

use super::passwords::{Content, Users, lines};
use super::passwords::{Hash, Scheme};
use super::{AuthorizationFault, Presented, basic_of, read_authorization};
use crate::files::{BOM, LineFault};
use crate::http::RequestHead;

const BOB: &[u8] = b"bob:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=";
const PASSWORD: &[u8] = b"correct horse";

/// User and password, or that there are none, or that they cannot be read.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Unusable,
    Basic(Vec<u8>, Vec<u8>),
}

fn read<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    limit: usize,
) -> Result<Shown, AuthorizationFault> {
    Ok(match read_authorization(values.into_iter(), limit)? {
        Presented::Absent => Shown::Nothing,
        Presented::Unusable => Shown::Unusable,
        Presented::Basic(claim) => {
            let users = Users::parse(BOB).ok();
            let (user, password) = (claim.user(), claim.password());
            let is_bob = user == b"bob" && password == PASSWORD;
            let is_let_in = users.map(|users| users.check(user, password));
            assert_eq!(is_let_in, Some(is_bob), "{}", user.escape_ascii());
            Shown::Basic(user.to_vec(), password.to_vec())
        }
    })
}

/// All that must hold of the values of a request's `Authorization` fields, one a line.
pub(crate) fn authorization(input: &[u8]) {
    const NO_LIMIT: usize = usize::MAX;
    let values: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let [value] = *values else {
        let twice = Err(AuthorizationFault::Twice);
        assert!(read(values.iter().copied(), 0) == twice);
        assert!(read(values, NO_LIMIT) == twice);
        return;
    };
    let shown = || value.escape_ascii();

    let found = read([value], value.len());
    assert_eq!(found, Ok(plainly(value)), "{}", shown());
    assert_eq!(found, read([value], NO_LIMIT), "{}", shown());
    if let Some(less) = value.len().checked_sub(1) {
        assert_eq!(read([value], less), Err(AuthorizationFault::TooLong));
    }

    // On its way through a head it stays what it is, and stays one field.
    let head = [
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: ",
        value,
        b"\r\n\r\n",
    ]
    .concat();
    if let Ok(Some((head, _))) = RequestHead::parse(&head) {
        assert_eq!(head.fields().count(), 2, "{}", shown());
        assert_eq!(
            found,
            read(head.values("authorization"), NO_LIMIT),
            "{}",
            shown()
        );
    }

    // Whatever user and password are: what is written for them is read as them.
    let mut parts = value.splitn(2, |byte| *byte == b':');
    let (user, password) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let expected = if user.is_empty() && password.is_empty() {
        Shown::Nothing
    } else {
        Shown::Basic(user.to_vec(), password.to_vec())
    };
    assert_eq!(
        read([&*basic_of(user, password)], NO_LIMIT),
        Ok(expected),
        "{}",
        shown()
    );
}

/// A reader of RFC 7617 and RFC 4648, 4, written for clarity alone.
fn plainly(value: &[u8]) -> Shown {
    let value = value.trim_ascii();
    let Some(blank) = value.iter().position(|byte| *byte == b' ') else {
        return Shown::Unusable;
    };
    let (scheme, rest) = value.split_at(blank);
    let decoded = decoded(rest.trim_ascii_start());
    let Some(text) = decoded.filter(|_| scheme.eq_ignore_ascii_case(b"basic")) else {
        return Shown::Unusable;
    };
    match text.iter().position(|byte| *byte == b':') {
        None => Shown::Unusable,
        Some(0) if text.len() == 1 => Shown::Nothing,
        Some(colon) => Shown::Basic(text[..colon].to_vec(), text[colon + 1..].to_vec()),
    }
}

/// Strict base64: padded, and nothing in the bits that carry nothing.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for letter in &text[..text.len() - padding] {
        let value = ALPHABET.iter().position(|byte| byte == letter)?;
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

/// Who is in a file, with their hashes, or what is wrong with it.
type Sense = Result<Vec<(Vec<u8>, String)>, Vec<LineFault>>;

fn sense(file: &[u8]) -> Sense {
    let users = Users::parse(file)?;
    let mut found = Vec::new();
    for line in lines(file) {
        if let Content::User { user, .. } = line.content {
            let hash = users.find(user).map(|(_, hash)| hash.text().to_owned());
            found.push((user.to_vec(), hash.unwrap_or_default()));
        }
    }
    assert_eq!(users.len(), found.len());
    Ok(found)
}

/// All that must hold of a password file.
pub(crate) fn password_file(input: &[u8]) {
    let shown = || input.escape_ascii();
    if crate::files::is_utf16(input) {
        let faults = Users::parse(input).err().unwrap_or_default();
        assert!(
            matches!(&faults[..], [whole] if whole.line == 0),
            "{}",
            shown()
        );
        return;
    }
    let whole = sense(input);
    assert_eq!(whole, line_by_line(input), "{}", shown());
    for fault in whole.as_ref().err().into_iter().flatten() {
        assert!(!fault.message.chars().any(char::is_control), "{fault:?}");
    }

    // How lines end, and what an editor puts in front of them, means nothing.
    let mut dressed = vec![[input, b"\n"].concat(), [input, b"\n# end"].concat()];
    if !input.starts_with(BOM) {
        dressed.push([BOM, input].concat());
    }
    let crlf = input.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let (line, end) = line.split_at(line.len() - usize::from(line.ends_with(b"\n")));
        [line, if end.is_empty() { b"" } else { b"\r\n" }].concat()
    });
    dressed.push(crlf.collect::<Vec<_>>().concat());
    for other in dressed {
        assert_eq!(whole, sense(&other), "{}", other.escape_ascii());
    }

    let Ok(found) = whole else { return };
    for (user, text) in &found {
        // A line ends at its feed and a name at its colon, and neither is printed anywhere as it is.
        let is_odd = |byte: &u8| byte.is_ascii_control() || *byte == b':';
        assert!(!user.is_empty() && !user.iter().any(is_odd), "{}", shown());
        match Hash::parse(text.as_bytes()) {
            // Of a locked user there is none.
            _ if text.is_empty() => {}
            Ok(hash) => is_bounded(&hash),
            Err(fault) => panic!("{text}: {fault}"),
        }
    }
    let cheap = |text: &str| text.starts_with("{S") || text.starts_with("$1$");
    if let ([(user, text)], Ok(users)) = (&found[..], Users::parse(input))
        && cheap(text)
    {
        for password in [&b""[..], b"\0", user, text.as_bytes()] {
            assert!(!users.check(user, password), "{}", shown());
        }
    }
}

/// What a file means, taken line by line: a file has no more faults than its lines have, but for users who are in it twice.
fn line_by_line(input: &[u8]) -> Sense {
    let mut at = if input.starts_with(BOM) { BOM.len() } else { 0 };
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    let mut first: HashMap<&[u8], usize> = HashMap::new();
    for (index, line) in lines(input).enumerate() {
        assert_eq!((line.number, line.whole.start), (index + 1, at));
        at = line.whole.end;
        // Not on the first line, where a byte order mark would mean nothing.
        let alone = [b"\n", &input[line.whole]].concat();
        let mut fault = |message| {
            faults.push(LineFault {
                line: line.number,
                message,
            });
        };
        match (line.content, Users::parse(&alone)) {
            (Content::Nothing, Err(alone)) if alone.iter().all(|fault| fault.line == 0) => {}
            (Content::User { user, hash }, Ok(alone)) => {
                assert_eq!(alone.len(), 1);
                let text = alone.find(user).map(|(_, hash)| hash.text().to_owned());
                match input.get(hash) {
                    Some([b'!' | b'*', ..]) => {
                        assert_eq!((text.as_deref(), alone.locked()), (None, 1))
                    }
                    whole => assert_eq!(text.as_deref().map(str::as_bytes), whole),
                }
                match first.get(user) {
                    Some(first) => fault(format!(
                        "the user of line {first} again: remove one of the two"
                    )),
                    None => {
                        first.insert(user, line.number);
                        found.push((user.to_vec(), text.unwrap_or_default()));
                    }
                }
            }
            (Content::User { .. } | Content::NoColon, Err(alone)) => match &alone[..] {
                [alone] if alone.line == 2 => fault(alone.message.clone()),
                alone => panic!("{alone:?}"),
            },
            (_, alone) => panic!("line {}: {:?}", line.number, alone.err()),
        }
    }
    assert_eq!(at, input.len());
    if found.is_empty() && faults.is_empty() {
        return Users::parse(b"").map(|_| Vec::new());
    }
    if faults.is_empty() {
        Ok(found)
    } else {
        Err(faults)
    }
}

/// An accepted hash is of a length and a cost that its kind has.
fn is_bounded(hash: &Hash) {
    let text = hash.text();
    let parts: Vec<&str> = text.split('$').collect();
    let is_crypt = |salts: usize, sum: usize| {
        let [.., salt, last] = &parts[..] else {
            return false;
        };
        (1..=salts).contains(&salt.len()) && last.len() == sum
    };
    let is_well = match hash.scheme() {
        Scheme::Bcrypt { cost } => text.len() == 60 && (4..=16).contains(&cost),
        Scheme::Apr1 | Scheme::Md5 => is_crypt(8, 22) && parts.len() == 4,
        Scheme::Sha256 { rounds } => is_crypt(16, 43) && (1_000..=1_000_000).contains(&rounds),
        Scheme::Sha512 { rounds } => is_crypt(16, 86) && (1_000..=1_000_000).contains(&rounds),
        Scheme::Sha1 => text.len() == 5 + 28,
        Scheme::SaltedSha1 => (6 + 28..=6 + 112).contains(&text.len()),
    };
    assert!(
        is_well && text.bytes().all(|byte| byte.is_ascii_graphic()),
        "{text}"
    );
}
