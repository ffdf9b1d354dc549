//! Pairs as openssl makes them, and every way in which they can be wrong.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::tls::scratch::Scratch;

fn openssl(scratch: &Scratch, arguments: &str) {
    let run = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(scratch.path())
        .output()
        .expect("openssl is installed");
    assert!(
        run.status.success(),
        "{arguments}: {}",
        String::from_utf8_lossy(&run.stderr)
    );
}

/// `NAME.crt` and `NAME.key` (PKCS#8) for NAME.example.
fn make(scratch: &Scratch, name: &str, kind: &str) -> (PathBuf, PathBuf) {
    openssl(
        scratch,
        &format!(
            "req -x509 -newkey {kind} -nodes -days 90 -subj /CN={name} \
             -addext subjectAltName=DNS:{name}.Example,IP:10.0.0.1,IP:fd00::1 -keyout {name}.key -out {name}.crt"
        ),
    );
    (
        scratch.path().join(format!("{name}.crt")),
        scratch.path().join(format!("{name}.key")),
    )
}

const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

fn faults(cert: &Path, key: &Path) -> Vec<(Which, String)> {
    let faults = load_pair(cert, key).err().expect("a fault");
    faults
        .into_iter()
        .map(|fault| (fault.which, fault.message))
        .collect()
}

fn fault(cert: &Path, key: &Path) -> (Which, String) {
    let mut faults = faults(cert, key);
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0)
}

#[test]
fn all_usual_kinds_of_key_are_read() {
    let scratch = Scratch::new();
    let (cert, key) = make(&scratch, "rsa", "rsa:2048");
    load_pair(&cert, &key).map_err(|_| "PKCS#8 RSA").unwrap();
    openssl(&scratch, "rsa -traditional -in rsa.key -out rsa1.key");
    assert!(
        fs::read_to_string(scratch.path().join("rsa1.key"))
            .unwrap()
            .contains("BEGIN RSA")
    );
    load_pair(&cert, &scratch.path().join("rsa1.key"))
        .map_err(|_| "PKCS#1")
        .unwrap();

    let (cert, key) = make(&scratch, "ec", P256);
    load_pair(&cert, &key).map_err(|_| "PKCS#8 EC").unwrap();
    openssl(&scratch, "ec -in ec.key -out sec1.key");
    let sec1 = fs::read_to_string(scratch.path().join("sec1.key")).unwrap();
    assert!(sec1.contains("BEGIN EC PRIVATE KEY"));
    // As `openssl ecparam -genkey` writes it.
    let with_parameters = format!(
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{sec1}"
    );
    load_pair(&cert, &scratch.file("ecparam.key", with_parameters))
        .map_err(|_| "SEC1")
        .unwrap();

    let (cert, key) = make(&scratch, "ed", "ed25519");
    let pair = load_pair(&cert, &key).map_err(|_| "Ed25519").unwrap();
    assert_eq!(pair.names(), ["ed.example", "10.0.0.1", "fd00::1"]);

    // Chain and key in one file, with a byte order mark and lines ended as on Windows.
    let both = format!(
        "\u{feff}{}{}",
        fs::read_to_string(&cert).unwrap(),
        fs::read_to_string(&key).unwrap()
    );
    let both = scratch.file("both.pem", both.replace('\n', "\r\n"));
    load_pair(&both, &both).map_err(|_| "one file").unwrap();
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let scratch = Scratch::new();
    let (cert, key) = make(&scratch, "a", P256);
    let absent = scratch.path().join("absent");
    assert_eq!(
        fault(&absent, &key),
        (Which::Cert, "no such file or directory".to_owned())
    );
    assert_eq!(
        fault(&cert, scratch.path()),
        (Which::Key, "is a directory".to_owned())
    );
    let both: Vec<Which> = faults(&absent, &absent)
        .into_iter()
        .map(|(which, _)| which)
        .collect();
    assert_eq!(both, [Which::Cert, Which::Key]);
    let large = scratch.file("large", vec![b'a'; 1024 * 1024 + 1]);
    assert!(
        fault(&large, &key)
            .1
            .starts_with("larger than 1048576 bytes")
    );
}

#[test]
fn the_wrong_thing_in_a_file_is_called_by_its_name() {
    let scratch = Scratch::new();
    let (cert, key) = make(&scratch, "a", P256);
    assert_eq!(
        faults(&key, &cert),
        [
            (
                Which::Cert,
                "no certificate in it, only \"PRIVATE KEY\"".to_owned()
            ),
            (
                Which::Key,
                "no private key in it, only \"CERTIFICATE\"".to_owned()
            ),
        ]
    );
    let empty = scratch.file("empty", "");
    assert_eq!(
        fault(&cert, &empty).1,
        "no private key in it: the file is empty"
    );
    let prose = scratch.file("prose", "see the other file\n");
    assert_eq!(
        fault(&prose, &key).1,
        "no certificate in it: not a PEM file"
    );
    openssl(&scratch, "x509 -in a.crt -outform der -out a.der");
    let (which, message) = fault(&scratch.path().join("a.der"), &key);
    assert_eq!(which, Which::Cert);
    assert!(
        message.contains("binary (DER or PKCS#12), not PEM"),
        "{message}"
    );
    openssl(&scratch, "req -new -key a.key -subj /CN=a -out a.csr");
    assert!(
        fault(&scratch.path().join("a.csr"), &key)
            .1
            .ends_with("only \"CERTIFICATE REQUEST\"")
    );
}

#[test]
fn an_encrypted_key_is_refused_with_the_remedy() {
    let scratch = Scratch::new();
    let (cert, key) = make(&scratch, "a", "rsa:2048");
    openssl(
        &scratch,
        "pkcs8 -topk8 -in a.key -passout pass:x -out pkcs8.key",
    );
    openssl(
        &scratch,
        "rsa -traditional -aes128 -in a.key -passout pass:x -out pkcs1.key",
    );
    for name in ["pkcs8.key", "pkcs1.key"] {
        let (which, message) = fault(&cert, &scratch.path().join(name));
        assert_eq!(which, Which::Key);
        assert!(
            message.contains("is encrypted") && message.contains("openssl pkey"),
            "{message}"
        );
    }
    load_pair(&cert, &key).map_err(|_| "plain").unwrap();
}

#[test]
fn damaged_files_are_refused() {
    let scratch = Scratch::new();
    let (cert, key) = make(&scratch, "a", P256);
    let text = fs::read_to_string(&cert).unwrap();
    let short = scratch.file("short", text.replace("-----END CERTIFICATE-----\n", ""));
    assert_eq!(
        fault(&short, &key).1,
        "cut short: no \"-----END CERTIFICATE-----\" line"
    );
    let noise = scratch.file("noise", text.replacen("MII", "M!!", 1));
    assert!(
        fault(&noise, &key)
            .1
            .starts_with("malformed PEM: not base64")
    );
    let junk = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    let second = scratch.file("second", format!("{text}{junk}"));
    assert_eq!(
        fault(&second, &key),
        (Which::Cert, "certificate 2 in it is malformed".to_owned())
    );
    let junk = scratch.file(
        "junk.key",
        "-----BEGIN PRIVATE KEY-----\nMAMCAQE=\n-----END PRIVATE KEY-----\n",
    );
    let (which, message) = fault(&cert, &junk);
    assert!(
        which == Which::Key && message.starts_with("malformed, or of a kind"),
        "{message}"
    );
    openssl(&scratch, "genrsa -out weak.key 1024");
    assert!(
        fault(&cert, &scratch.path().join("weak.key"))
            .1
            .contains("RSA of 2048 to 8192 bits")
    );
}

#[test]
fn what_became_of_the_lines_of_a_file_is_said() {
    let scratch = Scratch::new();
    let (cert, key) = make(&scratch, "a", P256);
    let text = fs::read_to_string(&key).unwrap();
    let lost = "the line breaks were lost: -----BEGIN …----- and -----END …----- must stand on lines of their own, \
                with the base64 on lines between them";
    let cases = [
        (text.replace('\n', ""), lost),
        (text.replacen("-----\n", "-----", 1), lost),
        (
            text.replace('\n', "\\n"),
            "the line breaks were lost: a backslash and an n stand where a line should end",
        ),
        (
            text.replacen("-----", "  -----", 1),
            "lines begin with blanks: -----BEGIN and -----END must stand at the beginning of their lines",
        ),
        (
            format!("\"{text}\""),
            "something stands before -----BEGIN on its line: take it away",
        ),
    ];
    for (mangled, expected) in cases {
        let (which, message) = fault(&cert, &scratch.file("mangled.key", &mangled));
        assert!(
            which == Which::Key && message.ends_with(expected),
            "{message} of {mangled}"
        );
    }
}

/// Whatever becomes of whichever of its line breaks, no twelve letters of a key stand in what is said of it.
#[test]
fn no_fault_holds_a_part_of_a_key() {
    let scratch = Scratch::new();
    let (cert, key) = make(&scratch, "a", P256);
    let text = fs::read_to_string(&key).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let instead = [
        "\n",
        "",
        " ",
        "\\n",
        "\t",
        "\r",
        "\0",
        "-----",
        "\n\n",
        "-----BEGIN ",
    ];
    // A linear congruential generator: the same numbers in each run.
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % bound
    };
    for _ in 0..2000 {
        let mut mangled = String::new();
        for line in text.lines() {
            mangled.push_str(line);
            mangled.push_str(instead[below(instead.len())]);
        }
        let from = below(4);
        mangled.drain(..from * usize::from(from > 2));
        let file = scratch.file("mangled.key", &mangled);
        for (cert, key) in [(&cert, &file), (&file, &key)] {
            let said: Vec<_> = match load_pair(cert, key) {
                Ok(_) => continue,
                Err(faults) => faults.iter().map(ToString::to_string).collect(),
            };
            let said = said.concat();
            let told = body
                .as_bytes()
                .windows(12)
                .any(|run| said.as_bytes().windows(12).any(|window| window == run));
            assert!(!told, "{said} of {mangled:?}");
        }
    }
}

#[test]
fn a_key_that_does_not_fit_is_refused() {
    let scratch = Scratch::new();
    let (cert, key) = make(&scratch, "a", P256);
    let (other, other_key) = make(&scratch, "b", P256);
    let (which, message) = fault(&cert, &other_key);
    assert!(
        which == Which::Key && message.starts_with("does not fit the certificate"),
        "{message}"
    );

    let both = fs::read_to_string(&key).unwrap() + &fs::read_to_string(&other_key).unwrap();
    let message = fault(&cert, &scratch.file("both.key", both)).1;
    assert!(message.starts_with("2 private keys in it"), "{message}");

    let chain = fs::read_to_string(&other).unwrap() + &fs::read_to_string(&cert).unwrap();
    let (which, message) = fault(&scratch.file("upside-down.crt", chain), &key);
    assert!(
        which == Which::Cert && message.contains("put the server's own first"),
        "{message}"
    );
}

#[test]
fn a_certificate_of_version_1_is_refused_with_the_remedy() {
    let scratch = Scratch::new();
    let (_, key) = make(&scratch, "a", P256);
    openssl(&scratch, "req -new -key a.key -subj /CN=a -out a.csr");
    openssl(
        &scratch,
        "x509 -req -in a.csr -signkey a.key -days 9 -out v1.crt",
    );
    let message = fault(&scratch.path().join("v1.crt"), &key).1;
    assert!(
        message.contains("version 1") && message.contains("-extfile"),
        "{message}"
    );
}

#[test]
fn dates_and_missing_names_are_warnings() {
    let scratch = Scratch::new();
    let (cert, key) = make(&scratch, "a", P256);
    let pair = load_pair(&cert, &key).map_err(|_| "good").unwrap();
    let (start, end) = (pair.not_before().unwrap(), pair.not_after().unwrap());
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(end.duration_since(start).unwrap(), 90 * day);
    assert_eq!(pair.warnings(start + day), [""; 0]);
    assert!(pair.warnings(start - day)[0].contains("not valid before 20"));
    assert!(pair.warnings(end - day)[0].contains("expires on 20"));
    assert!(pair.warnings(end)[0].contains("expired on 20"));

    openssl(
        &scratch,
        "req -x509 -key a.key -days 90 -subj /CN=a -out bare.crt",
    );
    let bare = load_pair(&scratch.path().join("bare.crt"), &key)
        .map_err(|_| "good")
        .unwrap();
    assert!(bare.warnings(start + day)[0].contains("no subjectAltName"));
}

/// A root, an intermediate and a server's certificate that it signed, with these extensions: `leaf.crt` and `leaf.key`.
fn signed_by_an_intermediate(scratch: &Scratch, extensions: &str) {
    let request =
        |name: &str| format!("req -newkey {P256} -nodes -subj /CN={name} -keyout {name}.key");
    let ca = scratch.file("ca.ext", "basicConstraints=critical,CA:TRUE\n");
    let leaf = scratch.file(
        "leaf.ext",
        format!("subjectAltName=DNS:leaf.example\n{extensions}"),
    );
    openssl(
        scratch,
        &format!("{} -x509 -days 90 -out root.crt", request("root")),
    );
    for (name, signer, file) in [("middle", "root", ca), ("leaf", "middle", leaf)] {
        openssl(scratch, &format!("{} -out {name}.csr", request(name)));
        openssl(
            scratch,
            &format!(
                "x509 -req -in {name}.csr -CA {signer}.crt -CAkey {signer}.key -CAcreateserial -days 90 \
                 -extfile {} -out {name}.crt",
                file.display()
            ),
        );
    }
}

#[test]
fn a_missing_intermediate_is_worth_a_warning_where_it_can_be_told() {
    const TELLS: &str = "authorityInfoAccess=caIssuers;URI:http://ca.example/middle.der\n";
    let scratch = Scratch::new();
    let of = |parts: &[&str]| {
        let text: String = parts
            .iter()
            .map(|part| fs::read_to_string(scratch.path().join(format!("{part}.crt"))).unwrap())
            .collect();
        let chain = scratch.file("chain.crt", text);
        let pair = load_pair(&chain, &scratch.path().join("leaf.key"));
        pair.map_err(|_| "good")
            .unwrap()
            .warnings(SystemTime::now())
    };
    signed_by_an_intermediate(&scratch, TELLS);
    for (parts, is_missing) in [
        (&["leaf"][..], true),
        (&["leaf", "root"], true),
        (&["leaf", "middle"], false),
        (&["leaf", "middle", "root"], false),
        (&["leaf", "root", "middle"], false),
    ] {
        let warnings = of(parts);
        let is_said = warnings.iter().any(|warning| {
            warning.starts_with("the certificate of its issuer \"middle\" is not in the file")
        });
        assert_eq!(is_said, is_missing, "{parts:?}: {warnings:?}");
        assert_eq!(warnings.len(), usize::from(is_missing), "{warnings:?}");
    }
    // It may be a private CA that clients know.
    signed_by_an_intermediate(&scratch, "");
    assert_eq!(of(&["leaf"]), [""; 0]);
}

#[test]
fn a_certificate_that_is_not_for_servers_is_worth_a_warning() {
    let scratch = Scratch::new();
    for (usage, is_right) in [
        ("extendedKeyUsage=clientAuth\n", false),
        ("extendedKeyUsage=codeSigning,emailProtection\n", false),
        ("extendedKeyUsage=clientAuth,serverAuth\n", true),
        ("extendedKeyUsage=anyExtendedKeyUsage\n", true),
        ("", true),
    ] {
        signed_by_an_intermediate(&scratch, usage);
        let at = |name: &str| scratch.path().join(name);
        let pair = load_pair(&at("leaf.crt"), &at("leaf.key"));
        let warnings = pair
            .map_err(|_| "good")
            .unwrap()
            .warnings(SystemTime::now());
        assert_eq!(warnings.is_empty(), is_right, "{usage}: {warnings:?}");
        assert!(
            is_right || warnings[0].contains("not for servers"),
            "{warnings:?}"
        );
    }
}
