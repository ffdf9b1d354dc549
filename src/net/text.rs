//! Addresses as text. Each request has two or three, and std takes ten times as long for an IPv4 address.

use std::fmt::Write as _;
use std::net::IpAddr;

/// Appends an address as it is usually written.
pub fn push_address(out: &mut String, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // Writing to a string cannot fail.
        let _ = write!(out, "{address}");
        return;
    };
    let mut between = "";
    for octet in address.octets() {
        out.push_str(between);
        out.push_str(itoa::Buffer::new().format(octet));
        between = ".";
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_look_as_std_writes_them() {
        for text in [
            "0.0.0.0",
            "10.0.0.7",
            "255.199.100.9",
            "::1",
            "2001:db8::7",
            "::ffff:1.2.3.4",
        ] {
            let mut out = "a ".to_owned();
            push_address(&mut out, text.parse().unwrap());
            assert_eq!(out, format!("a {text}"));
        }
    }
}
