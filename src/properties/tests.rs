//! What the fuzz targets begin with, and what they once found, as ordinary tests.

#![allow(clippy::unwrap_used)]

use super::*;
use std::fs;
use std::path::Path;

type Property = fn(&[u8]);

/// With how long an input may be to be of interest: twice the limit of what is limited.
const TARGETS: [(&str, Property, usize); 8] = [
    ("request_head", request_head, 64 * 1024 + 4),
    ("response_head", response_head, 128 * 1024),
    ("chunks", chunks, 16 * 1024),
    ("proxy_header", proxy_header, 8 * 1024),
    ("authorization", authorization, 8 * 1024),
    ("target", target, 32 * 1024),
    ("password_file", password_file, 4 * 1024),
    ("configuration", configuration, 4 * 1024),
];

/// Runs all files of `tests/fuzz/KIND/TARGET` and says how many there were.
fn run(kind: &str, target: &str, property: Property) -> usize {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz")
        .join(kind)
        .join(target);
    let Ok(files) = fs::read_dir(&place) else {
        return 0;
    };
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        // Shown when the test fails.
        println!("{}", path.display());
        property(&fs::read(path).unwrap());
        count += 1;
    }
    count
}

#[test]
fn what_was_once_found_still_holds() {
    for (target, property, _) in TARGETS {
        run("regressions", target, property);
    }
}

#[test]
fn what_fuzzing_begins_with_holds() {
    // Not in what cargo publishes, which leaves out a package inside the package.
    if !Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/run")
        .exists()
    {
        return;
    }
    for (target, property, _) in TARGETS {
        assert!(run("corpus", target, property) >= 5, "{target}");
    }
}

/// Long inputs are what fuzzing comes to last, so here are some.
#[test]
fn long_inputs_hold_too() {
    for (target, property, longest) in TARGETS {
        for pattern in [
            "a",
            "a: b\r\n",
            "a:b\n",
            "\r\n",
            " ",
            "1\r\na\r\n",
            "realm a\n",
            "PROXY UNKNOWN ",
            "://@",
        ] {
            for length in [longest / 2, longest] {
                println!("{target}: {pattern:?}, {length}");
                let mut input = pattern.repeat(length / pattern.len() + 1).into_bytes();
                input.truncate(length);
                property(&input);
            }
        }
    }
}
