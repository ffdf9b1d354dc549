//! Tables of what settings must accept, refuse and say.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::config::{by_name, settings_table};
use crate::net::Host;

fn load_for(
    purpose: Purpose,
    flags: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<Settings, Vec<String>> {
    let flags = flags
        .iter()
        .map(|(name, value)| (by_name(name).expect(name), (*value).to_owned()))
        .collect();
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    Settings::load(flags, variables.into_iter(), purpose)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn load(flags: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    load_for(Purpose::Serve, flags, &[])
}

/// With what every gate needs.
fn load_with(flags: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let base = [
        ("backend", "http://127.0.0.1:5000"),
        ("htpasswd", "/h"),
        ("tls-self-signed", "/d"),
    ];
    load(&[&base, flags].concat())
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = load_with(&[]).unwrap();
    let listen: Vec<_> = settings
        .listen
        .iter()
        .map(|listen| listen.value.to_string())
        .collect();
    assert_eq!(listen, ["https://[::]:443"]);
    assert!(!settings.insecure_http && !settings.insecure_admin && settings.auth_probe);
    assert_eq!(settings.realm, "Registry");
    assert_eq!(settings.backend_authorization, BackendAuthorization::Drop);
    assert_eq!(
        (settings.max_requests, settings.max_connections),
        (4096, 10_000)
    );
    assert_eq!(settings.workers, None);
    assert_eq!(settings.max_connections_per_address, Some(512));
    assert_eq!(settings.guesses, Some(10));
    assert!(settings.guesses_exempt.is_empty());
    let seconds = [
        settings.timeouts.header,
        settings.timeouts.idle,
        settings.timeouts.body,
        settings.timeouts.response,
        settings.timeouts.connect,
        settings.timeouts.drain,
        settings.auth_timeout,
    ];
    assert_eq!(
        seconds.map(|duration| duration.as_secs()),
        [10, 75, 60, 900, 5, 30, 5]
    );
    assert_eq!(settings.auth_cache, None);
    assert!(
        settings.admin.is_none()
            && settings.backend_ca.is_none()
            && settings.trusted_proxies.is_empty()
    );
    assert_eq!(settings.log, Format::Text);
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn names_of_an_authority_are_names_and_what_belongs_to_them_stands_beside() {
    let beside = [("backend", "unix:/r"), ("htpasswd", "/u")];
    for (more, fault) in [
        (&[("acme", "a.example"), ("acme-dir", "/d")][..], ""),
        (
            &[
                ("acme", "A.Example"),
                ("acme-dir", "/d"),
                ("acme-profile", "shortlived"),
            ],
            "",
        ),
        (&[("acme", "a.example")], "needs acme-dir DIR"),
        (
            &[("acme", "*.a.example"), ("acme-dir", "/d")],
            "a wildcard name has to be proved by DNS",
        ),
        (
            &[("acme", "10.0.0.1"), ("acme-dir", "/d")],
            "an address, and certificates",
        ),
        (
            &[("acme", "a b"), ("acme-dir", "/d")],
            "neither the name of a host",
        ),
        (
            &[("acme-dir", "/d"), ("tls-self-signed", "/s")],
            "means something only with acme",
        ),
        (
            &[("acme-email", "a@b"), ("tls-self-signed", "/s")],
            "means something only with acme",
        ),
        (
            &[("acme", "a"), ("acme-dir", "/d"), ("tls-self-signed", "/s")],
            "either this or acme, not both",
        ),
        (&[("acme", "a"), ("acme", "A"), ("acme-dir", "/d")], "twice"),
        (
            &[
                ("acme", "a"),
                ("acme-dir", "/d"),
                ("acme-directory", "http://a/"),
            ],
            "not a URL that begins with https://",
        ),
        (
            &[("acme", "a"), ("acme-dir", "/d"), ("acme-email", "me")],
            "not an e-mail address",
        ),
        (
            &[("acme", "a"), ("acme-dir", "/d"), ("acme-profile", "a b")],
            "not the name of a profile",
        ),
    ] {
        let flags = [&beside[..], more].concat();
        match load(&flags) {
            Ok(settings) => assert_eq!((fault, settings.acme.is_some()), ("", true), "{more:?}"),
            Err(faults) => {
                let found = faults.iter().any(|found| found.to_string().contains(fault));
                assert!(
                    !fault.is_empty() && found && faults.len() == 1,
                    "{more:?}: {faults:?}"
                );
            }
        }
    }
}

#[test]
fn every_default_that_is_a_value_is_a_right_one() {
    assert!(load_with(&[]).is_ok());
    for setting in settings_table()
        .iter()
        .filter(|setting| setting.default_is_value)
    {
        let authority = if setting.name.starts_with("auth-") {
            "auth-backend"
        } else {
            "htpasswd"
        };
        let mut flags = vec![
            ("backend", "unix:/r"),
            (authority, "http://a"),
            (&setting.name, setting.default),
        ];
        flags.extend((setting.name == "client-auth").then_some(("client-ca", "/c")));
        match setting.name.starts_with("acme-") {
            true => flags.extend([("acme", "a.example"), ("acme-dir", "/d")]),
            false => flags.push(("tls-self-signed", "/d")),
        }
        assert!(load(&flags).is_ok(), "{}", setting.name);
    }
}

#[test]
fn guesses_are_for_a_password_file_and_whoever_exempts_everybody_is_told() {
    let file = [
        ("backend", "http://b:1"),
        ("htpasswd", "/h"),
        ("tls-self-signed", "/d"),
        ("guesses", "0"),
        ("guesses-exempt", "10.0.0.0/8"),
        ("guesses-exempt", "0.0.0.0/0"),
    ];
    let settings = load(&file).unwrap();
    assert_eq!(settings.guesses, None);
    assert_eq!(settings.guesses_exempt.len(), 2);
    assert_eq!(
        settings.warnings,
        ["--guesses-exempt \"0.0.0.0/0\": nobody's guesses are counted"]
    );
}

#[test]
fn values_arrive_typed() {
    let settings = load(&[
        ("listen", "https://0.0.0.0:5443"),
        ("listen", "http://[::1]:5080"),
        ("backend", "https://registry:5000"),
        ("backend", "unix:/run/r"),
        ("auth-backend", "https://auth/check"),
        ("auth-cache", "0"),
        ("auth-probe", "off"),
        ("tls-cert", "/c1"),
        ("tls-cert", "/c2"),
        ("tls-key", "/k1"),
        ("tls-key", "/k2"),
        ("proxy-protocol", "10.0.0.5"),
        ("proxy-protocol", "0.0.0.0/0"),
        ("trusted-proxy", "10.0.0.0/8"),
        ("trusted-proxy", "::/0"),
        ("backend-authorization", "user"),
        ("allow", "10.0.0.0/8"),
        ("allow", "::1"),
        ("preflight", "yes"),
        ("max-connections-per-address", "0"),
        ("admin", "http://localhost:9000"),
        ("log", "json"),
    ])
    .unwrap();
    assert_eq!(settings.backend.len(), 2);
    let Backend::Https(host_port) = &settings.backend.first().unwrap().value else {
        panic!()
    };
    assert_eq!(host_port.host, Host::Name("registry".into()));
    let pairs: Vec<_> = settings
        .tls_pairs
        .iter()
        .map(|pair| (pair.cert.origin.text(), pair.key.origin.text()))
        .collect();
    assert_eq!(pairs, [("/c1", "/k1"), ("/c2", "/k2")]);
    assert_eq!(settings.auth_cache, Some(Duration::ZERO));
    assert!(!settings.auth_probe);
    assert_eq!(
        (settings.proxy_protocol.len(), settings.allowed.len()),
        (2, 2)
    );
    assert!(settings.preflight);
    assert_eq!(settings.max_connections_per_address, None);
    assert_eq!(settings.backend_authorization, BackendAuthorization::User);
    assert_eq!(settings.log, Format::Json);
    assert_eq!(
        settings.warnings,
        [
            "--proxy-protocol \"0.0.0.0/0\": everybody's PROXY header is believed",
            "--trusted-proxy \"::/0\": everybody's X-Forwarded-For is believed"
        ]
    );
}

#[test]
fn a_variable_can_be_taken_back_by_a_flag() {
    let base = [
        ("backend", "unix:/r"),
        ("htpasswd", "/h"),
        ("tls-self-signed", "/d"),
    ];
    let flags = [&base[..], &[("admin", "off"), ("insecure-http", "no")]].concat();
    let variables = [
        ("PORTREEVE_ADMIN", "http://127.0.0.1:1"),
        ("PORTREEVE_INSECURE_HTTP", "yes"),
    ];
    let settings = load_for(Purpose::Serve, &flags, &variables).unwrap();
    assert!(settings.admin.is_none() && !settings.insecure_http);
}

#[test]
fn every_switch_takes_every_word_in_every_source() {
    let base = [
        ("backend", "unix:/r"),
        ("auth-backend", "http://auth"),
        ("tls-self-signed", "/d"),
        ("listen", "http://127.0.0.1:80"),
    ];
    let path = std::env::temp_dir().join(format!("portreeve-switch-{}.conf", std::process::id()));
    for (word, expected) in [
        ("on", true),
        ("YES", true),
        ("True", true),
        ("1", true),
        ("OFF", false),
        ("no", false),
        ("False", false),
        ("0", false),
    ] {
        for name in ["insecure-http", "insecure-admin", "auth-probe"] {
            let setting = by_name(name).unwrap();
            std::fs::write(&path, format!("{name} {word}\n")).unwrap();
            let by_flag = load_for(Purpose::Serve, &[&base[..], &[(name, word)]].concat(), &[]);
            let by_variable = load_for(Purpose::Serve, &base, &[(&setting.variable, word)]);
            let file = [("config", path.to_str().unwrap())];
            let by_file = load_for(Purpose::Serve, &[&base[..], &file].concat(), &[]);
            for settings in [by_flag, by_variable, by_file] {
                let settings = settings.unwrap();
                let found = match name {
                    "insecure-http" => settings.insecure_http,
                    "insecure-admin" => settings.insecure_admin,
                    _ => settings.auth_probe,
                };
                assert_eq!(found, expected, "{name} {word}");
            }
        }
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_drags_no_other_fault_along() {
    let flags = [
        ("config", "/nowhere/portreeve.conf"),
        ("listen", "http://0.0.0.0:80"),
        ("tls-cert", "/c"),
        ("tls-name", "a"),
        ("auth-cache", "5"),
        ("log", "xml"),
    ];
    let expected = [
        "--config \"/nowhere/portreeve.conf\": no such file or directory",
        "--log \"xml\": neither text nor json",
    ];
    assert_eq!(load(&flags).unwrap_err(), expected);
    assert_eq!(load_for(Purpose::Auth, &flags, &[]).unwrap_err(), expected);
    let path = std::env::temp_dir().join(format!("portreeve-utf16-{}.conf", std::process::id()));
    std::fs::write(&path, b"\xff\xfeb\0a\0").unwrap();
    let faults = load(&[("config", path.to_str().unwrap())]).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        faults,
        [format!(
            "--config {path:?}: UTF-16, as some programs of Windows write text: save it as UTF-8"
        )]
    );
}

#[test]
fn a_line_with_a_misspelt_name_is_not_also_missing() {
    let path = std::env::temp_dir().join(format!("portreeve-misspelt-{}.conf", std::process::id()));
    let text = "backnd unix:/r\nhtpaswd /h\ntls_cert /c\ntls-key /k\n";
    std::fs::write(&path, text).unwrap();
    let path_text = path.to_str().unwrap();
    let faults = load(&[("config", path_text)]).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        faults,
        [
            format!("{path_text}:1: backnd: no such setting; did you mean backend?"),
            format!("{path_text}:2: htpaswd: no such setting; did you mean htpasswd?"),
            format!("{path_text}:3: tls_cert: no such setting; did you mean tls-cert?"),
        ]
    );
}

#[test]
fn nothing_given_lists_all_that_is_missing() {
    assert_eq!(
        load(&[]).unwrap_err(),
        [
            "backend: required; say where the registry is, as in --backend http://127.0.0.1:5000",
            "htpasswd: required; say who may pass: --htpasswd FILE, or --auth-backend URL to ask an API",
            "listen \"https://[::]:443\" (the default): https:// needs a certificate: --tls-cert FILE and --tls-key \
             FILE, --acme NAME to have one made, or --tls-self-signed DIR for trials and closed networks",
        ]
    );
}

#[test]
fn a_value_that_is_wrong_is_not_also_missing() {
    let faults = load(&[
        ("backend", "registry"),
        ("auth-backend", "auth"),
        ("tls-self-signed", "/d"),
    ])
    .unwrap_err();
    assert_eq!(
        faults,
        [
            "--backend \"registry\": not a backend; write http://HOST:PORT, https://HOST:PORT or unix:PATH",
            "--auth-backend \"auth\": not a URL of an API; write http://HOST:PORT/PATH or https://HOST:PORT/PATH",
        ]
    );
}

#[test]
fn each_setting_refuses_what_it_cannot_be() {
    let cases = [
        ("listen", "443"),
        ("insecure-http", "maybe"),
        ("backend", "http://h/x"),
        ("auth-cache", "-1"),
        ("auth-timeout", "0"),
        ("auth-probe", "perhaps"),
        ("realm", "a\nb"),
        ("realm", ""),
        ("htpasswd", "a\0b"),
        ("tls-name", "a b"),
        ("proxy-protocol", "10.0.0.5:443"),
        ("allow", "everybody"),
        ("preflight", "maybe"),
        ("trusted-proxy", "all"),
        ("backend-authorization", "keep"),
        ("workers", "0"),
        ("max-connections", "many"),
        ("max-connections-per-address", "off"),
        ("header-timeout", "10s"),
        ("drain-timeout", "86401"),
        ("admin", "9000"),
        ("log", "xml"),
    ];
    for (name, value) in cases {
        let faults = load_with(&[(name, value)]).unwrap_err();
        assert!(
            faults
                .iter()
                .any(|fault| fault.starts_with(&format!("--{name} {value:?}: "))),
            "{faults:?}"
        );
    }
}

#[test]
fn a_password_in_a_url_is_never_shown() {
    for name in ["backend", "auth-backend", "listen", "admin"] {
        for value in [
            "http://user:pa55@host:5000",
            "http://user:pa55/@host",
            "user:pa55@host",
            "http://host?x=pa55",
        ] {
            let faults = load(&[(name, value)]).err().unwrap_or_default();
            assert!(
                !faults.is_empty() && !faults.join("\n").contains("pa55"),
                "{faults:?}"
            );
        }
    }
}

#[test]
fn settings_that_do_not_fit_each_other_are_faults() {
    let cases: [(&[(&str, &str)], &str); 9] = [
        (
            &[("auth-backend", "http://auth")],
            "--htpasswd \"/h\": only one can say who may pass, this or --auth-backend \"http://auth\"",
        ),
        (
            &[("listen", "http://0.0.0.0:80")],
            "--listen \"http://0.0.0.0:80\": passwords would travel in the clear; write https://, or a loopback \
             address, or --insecure-http if something in front ends TLS",
        ),
        (
            &[("tls-cert", "/c"), ("tls-key", "/k")],
            "--tls-self-signed \"/d\": either this or tls-cert and tls-key, not both",
        ),
        (
            &[("tls-cert", "/c")],
            "--tls-cert \"/c\": has no tls-key beside it; they are paired in order, and there are 1 tls-cert and 0 tls-key",
        ),
        (
            &[("tls-cert", "/c"), ("tls-key", "/k"), ("tls-key", "/l")],
            "--tls-key \"/l\": has no tls-cert beside it; they are paired in order, and there are 1 tls-cert and 2 tls-key",
        ),
        (
            &[("auth-cache", "5")],
            "--auth-cache \"5\": means something only with auth-backend",
        ),
        (
            &[("auth-probe", "on")],
            "--auth-probe \"on\": means something only with auth-backend",
        ),
        (
            &[("auth-ca", "/a")],
            "--auth-ca \"/a\": means something only with auth-backend",
        ),
        (
            &[("admin", "http://0.0.0.0:9000")],
            "--admin \"http://0.0.0.0:9000\": whoever reaches it sees who uses the registry; write \
             http://127.0.0.1:9000, or --insecure-admin if that is meant",
        ),
    ];
    for (flags, expected) in cases {
        let faults = load_with(flags).unwrap_err();
        assert!(faults.iter().any(|fault| fault == expected), "{faults:#?}");
    }
    let faults = load(&[
        ("backend", "unix:/r"),
        ("htpasswd", "/h"),
        ("listen", "unix:/l"),
        ("tls-name", "a"),
    ]);
    assert_eq!(
        faults.unwrap_err(),
        [
            "--tls-name \"a\": means something only with tls-self-signed; a tls-cert has its names in it"
        ]
    );
}

#[test]
fn what_somebody_insists_on_is_allowed() {
    assert!(load_with(&[("listen", "http://0.0.0.0:80"), ("insecure-http", "yes")]).is_ok());
    assert!(load_with(&[("admin", "http://0.0.0.0:80"), ("insecure-admin", "1")]).is_ok());
    assert!(load_with(&[("listen", "http://127.0.0.1:80")]).is_ok());
    assert!(load_with(&[("listen", "unix:/run/x")]).is_ok());
}

#[test]
fn a_clear_listener_needs_no_certificate() {
    let flags = [
        ("backend", "unix:/r"),
        ("htpasswd", "/h"),
        ("listen", "http://127.0.0.1:80"),
    ];
    assert!(load(&flags).is_ok());
    assert!(load(&[&flags[..], &[("tls-cert", "/c"), ("tls-key", "/k")]].concat()).is_ok());
}

#[test]
fn asking_for_health_needs_only_what_is_given_to_be_right() {
    let settings = load_for(Purpose::Health, &[("listen", "https://0.0.0.0:5443")], &[]).unwrap();
    assert_eq!(settings.listen.len(), 1);
    assert!(load_for(Purpose::Health, &[("listen", "x")], &[]).is_err());
}

#[test]
fn auth_passes_over_what_is_for_serve_right_or_wrong() {
    let path = std::env::temp_dir().join(format!("portreeve-shared-{}.conf", std::process::id()));
    let shared = "backend nonsense\nauth-backend http://auth\nauth-timeout 0\nconnect-timeout 7\nhtpasswd /h\n";
    std::fs::write(&path, shared).unwrap();
    let flags = [
        ("config", path.to_str().unwrap()),
        ("listen", "http://127.0.0.1:8080"),
    ];
    let variables = [("BACKEND", "nonsense"), ("PORTREEVE_AUTH_PROBE", "perhaps")];
    let settings = load_for(Purpose::Auth, &flags, &variables);
    std::fs::remove_file(&path).unwrap();
    let settings = settings.unwrap();
    assert!(settings.backend.is_empty() && settings.auth_backend.is_none());
    assert_eq!(settings.timeouts.connect.as_secs(), 5);
    assert_eq!(settings.htpasswd.unwrap().origin.text(), "/h");
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn auth_needs_a_password_file_and_listeners_as_serve_does() {
    let faults = load_for(
        Purpose::Auth,
        &[
            ("listen", "http://0.0.0.0:80"),
            ("admin", "http://0.0.0.0:81"),
        ],
        &[("AUTH_BACKEND", "http://auth")],
    );
    let faults = faults.unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert_eq!(
        faults.first().unwrap(),
        "htpasswd: required; say who may pass: --htpasswd FILE"
    );
    assert!(faults[1].starts_with("--listen") && faults[2].starts_with("--admin"));
}

#[test]
fn the_old_variables_alone_are_enough() {
    let variables = [
        ("BACKEND", "http://registry:5000"),
        ("AUTH_BACKEND", "http://auth:8080/"),
        ("PORTREEVE_TLS_SELF_SIGNED", "/data"),
    ];
    let settings = load_for(Purpose::Serve, &[], &variables).unwrap();
    assert_eq!(
        settings.auth_backend.unwrap().value.url(),
        "http://auth:8080/"
    );
    assert_eq!(
        load_for(Purpose::Serve, &[], &[("BACKEND", "registry:5000")])
            .unwrap_err()
            .first()
            .unwrap(),
        "BACKEND \"registry:5000\": not a backend; did you mean http://registry:5000?"
    );
}

#[test]
fn all_faults_of_all_sources_come_at_once() {
    let path = std::env::temp_dir().join(format!("portreeve-settings-{}.conf", std::process::id()));
    std::fs::write(&path, "workers none\nlisen x\nbackend unix:/r\n").unwrap();
    let path_text = path.to_str().unwrap();
    let faults = load_for(
        Purpose::Serve,
        &[
            ("config", path_text),
            ("log", "xml"),
            ("tls-self-signed", "/d"),
        ],
        &[("PORTREEVE_IDLE_TIMEOUT", "0")],
    );
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        faults.unwrap_err(),
        [
            format!("{path_text}:1: workers \"none\": not a number between 1 and 65536"),
            format!("{path_text}:2: lisen: no such setting; did you mean listen?"),
            "PORTREEVE_IDLE_TIMEOUT \"0\": not a number of whole seconds between 1 and 86400".to_owned(),
            "--log \"xml\": neither text nor json".to_owned(),
            "htpasswd: required; say who may pass: --htpasswd FILE, or --auth-backend URL to ask an API".to_owned(),
        ]
    );
}
