//! What must hold of a PROXY header, whatever the bytes are: nobody depends on how they were cut on their way, and nothing of what
//! follows them is touched. Whatever does not hold panics.

use super::*;

/// All that must hold of what a balancer says first.
pub(crate) fn proxy_header(input: &[u8]) {
    let whole = parse(input);
    // The longest beginning that has no end yet.
    let waits = (0..=input.len())
        .take_while(|length| parse(input.get(..*length).unwrap_or_default()) == Ok(None))
        .count();
    assert!(waits <= LONGEST, "{waits} bytes, and no end");
    match whole {
        Ok(None) => assert_eq!(waits, input.len() + 1),
        Ok(Some((source, length))) => {
            assert_eq!(waits, length, "it is there as soon as its last byte is");
            if let Source::Client(address) = source {
                assert_eq!(address, address.to_canonical());
            }
            let alone = input.get(..length).unwrap_or_default();
            assert_eq!(parse(alone), whole);
            let behind = [alone, b"\r\nPROXY "].concat();
            assert_eq!(parse(&behind), whole);
        }
        // What is wrong stays wrong, for the same reason.
        Err(_) => (waits..=input.len()).for_each(|length| {
            assert_eq!(parse(input.get(..length).unwrap_or_default()), whole);
        }),
    }
}
