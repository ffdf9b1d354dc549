#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| portreeve::properties::proxy_header(input));
