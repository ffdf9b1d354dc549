//! The settings: each one is written down here, once. The flags of the commands, the variables, the names in a
//! configuration file, the defaults and the help all come from these rows.
//!
//! It must not know what a value means; that is `settings`. Nothing in here is hostile: it is all our own text.

use std::sync::LazyLock;

/// Calls `$then!` with the words given and then the rows of the table.
///
/// A row is `field "PLACEHOLDER" = "default", "help";`, or with `~` for `=` where the default is words and not a value.
/// The name of the setting is that of the field, with `-` for `_`. A placeholder that ends in `...` makes the setting
/// repeatable, and `yes|no` makes it a switch. The help is a sentence without a full stop that begins in lower case. A row
/// that ends in `, serve;` is of no use to `auth`, which has neither a backend nor somebody else to ask.
macro_rules! with_settings {
    ($then:ident! { $($words:tt)* }) => {
        $then! {
            { $($words)* }

            config "FILE" ~ "none",
                "read settings from FILE too, one `name value` a line; a flag or a variable wins over it";
            listen "URL..." = "https://[::]:443",
                "where to accept clients: https://ADDR:PORT, http://ADDR:PORT on a loopback address, unix:PATH, or redirect://ADDR:PORT to send all to https://";
            insecure_http "yes|no" = "no",
                "allow http:// on any address, because something in front of it ends TLS";
            backend "URL..." ~ "required",
                "where the registry is: http://HOST:PORT, https://HOST:PORT or unix:PATH; several are tried in order", serve;
            backend_ca "FILE" ~ "the system's roots",
                "PEM certificates that an https:// backend must chain to", serve;
            htpasswd "FILE" ~ "none",
                "check passwords against this file, as Apache's htpasswd writes it";
            auth_backend "URL" ~ "none",
                "ask this HTTP API who may pass; exactly one of this and --htpasswd is needed", serve;
            auth_cache "SECONDS" ~ "what the API's Cache-Control says, else 0",
                "how long an answer of the API holds, for an API that says nothing and decides by credentials alone", serve;
            auth_timeout "SECONDS" = "5",
                "limit for one whole call of the API", serve;
            auth_ca "FILE" ~ "the system's roots",
                "PEM certificates that an https:// API must chain to", serve;
            auth_probe "on|off" = "on",
                "ask the API about a made-up credential at start, and object if it is let in", serve;
            access "FILE" ~ "whoever is known may do everything",
                "a file that says who may pull, push and delete in which repository, a line each; see portreeve.access(5)", serve;
            token_key "FILE..." ~ "a random one, so that a restart ends running tokens",
                "a key for tokens, made if it is not there: the first seals, all open; the same on every copy of the gate", serve;
            external_url "URL" ~ "https:// and the Host asked for",
                "where clients reach the gate, for tokens and Location, where something in front ends TLS", serve;
            site "FILE..." ~ "none",
                "a file of settings for one host, which it names by `host NAME`; what is not in it is as here", serve;
            sites "DIR" ~ "none",
                "a directory of such files, those that end in .conf; they may come, change and go while the gate runs", serve;
            client_ca "FILE" ~ "none",
                "ask for client certificates that chain to one of these PEM certificates; they name their user", serve;
            client_auth "optional|required" = "optional",
                "with --client-ca: a certificate or a password, or a certificate always", serve;
            realm "TEXT" = "Registry",
                "the name that a client shows when it asks for a password";
            guesses "N" = "10",
                "distinct wrong passwords of one address within a minute before it is told 429; 0 is no limit";
            guesses_exempt "CIDR..." ~ "none",
                "networks whose wrong passwords are not counted";
            tls_cert "FILE..." ~ "none",
                "PEM certificate chain; several are chosen by the name that the client asks for";
            tls_key "FILE..." ~ "none",
                "PEM private key of the --tls-cert in the same position";
            tls_self_signed "DIR" ~ "none",
                "instead of a certificate: make a private CA and a server certificate, and keep and renew them in DIR";
            tls_name "NAME..." ~ "none",
                "a further name or address for the certificate of --tls-self-signed";
            acme "NAME..." ~ "none",
                "have a certificate for this name from an ACME authority, whose terms you agree to, and have it renewed";
            acme_dir "DIR" ~ "required with --acme",
                "where the account, keys and certificates of --acme are kept; several gates may share it";
            acme_directory "URL" = "https://acme-v02.api.letsencrypt.org/directory",
                "the directory of the authority";
            acme_email "ADDRESS" ~ "none",
                "where the authority may write to";
            acme_ca "FILE" ~ "the system's roots",
                "PEM certificates that the authority must chain to";
            acme_profile "NAME" ~ "the authority's choice",
                "the kind of certificate to ask for, where the authority has several";
            proxy_protocol "CIDR..." ~ "none",
                "peers that begin each connection with a PROXY header, version 1 or 2, whose address replaces theirs everywhere; read from no others";
            trusted_proxy "CIDR..." ~ "none",
                "peers whose X-Forwarded-For, X-Real-IP, X-Forwarded-Proto and X-Forwarded-Host are believed";
            backend_authorization "drop|user|pass" = "drop",
                "what the backend sees of the credentials: nothing, the user without the password, or all of it", serve;
            paths "strict|as-sent" = "strict",
                "refuse paths that can be read in two ways wherever the path decides; as-sent: under /v2/ alone, for an API that copes", serve;
            allow "CIDR..." ~ "everybody",
                "networks whose clients are served; others get 403 before anything is checked", serve;
            preflight "yes|no" = "no",
                "let CORS preflights through without credentials: OPTIONS with Origin and Access-Control-Request-Method, without other fields", serve;
            max_requests "N" = "4096",
                "requests in flight at once; none costs a thread while it waits, and no user and no network has more than half of them";
            workers "N" ~ "by the machine",
                "threads that may wait, for a hash, an API or a name: 32 and one for each processor, 128 more with an API";
            max_connections "N" = "10000",
                "open client connections, idle ones included; less if the file limit is lower";
            max_connections_per_address "N" = "512",
                "open connections of one client address that never got anything; 0 is no limit, trusted proxies have none";
            header_timeout "SECONDS" = "10",
                "for the TLS handshake and the head of a request, in total";
            idle_timeout "SECONDS" = "75",
                "for a connection without a request";
            body_timeout "SECONDS" = "60",
                "for a body in which nothing moves, either way; its total time has no limit", serve;
            response_timeout "SECONDS" = "900",
                "for the backend to begin its answer", serve;
            connect_timeout "SECONDS" = "5",
                "for connecting to a backend", serve;
            drain_timeout "SECONDS" = "30",
                "for requests in flight to end when the gate is told to stop";
            admin "URL" ~ "off",
                "where to serve /healthz, /readyz, /metrics and a status page: http://127.0.0.1:PORT or unix:PATH";
            insecure_admin "yes|no" = "no",
                "allow --admin on an address that is not loopback, and under any host name";
            health_path "PATH" ~ "off",
                "a path that the gate answers itself, without credentials: 200 while it is ready, else 503; for balancers and kubelet";
            log "text|json" = "text",
                "form of the access log, which goes to standard output";
            sandbox "on|off|require" = "on",
                "confinement by Landlock and seccomp after start; on takes what the kernel has and says what it lacks, require refuses to start without both";
        }
    };
}
pub(crate) use with_settings;

/// The same with those rows alone that are of use to `auth`.
macro_rules! with_settings_of_auth {
    ($then:ident! $words:tt) => {
        $crate::config::with_settings!(settings_of_auth! { $then $words });
    };
}
pub(crate) use with_settings_of_auth;

/// Goes through the rows one by one, and keeps those without `serve`.
macro_rules! settings_of_auth {
    ({ $then:ident $words:tt $($kept:tt)* }) => {
        $then! { $words $($kept)* }
    };
    ({ $($state:tt)* } $field:ident $placeholder:tt $mark:tt $default:tt, $help:tt, serve; $($rest:tt)*) => {
        settings_of_auth! { { $($state)* } $($rest)* }
    };
    ({ $($state:tt)* } $field:ident $placeholder:tt $mark:tt $default:tt, $help:tt; $($rest:tt)*) => {
        settings_of_auth! { { $($state)* $field $placeholder $mark $default, $help; } $($rest)* }
    };
}
pub(crate) use settings_of_auth;

/// All settings, in the order in which help and documentation have them.
pub fn settings_table() -> &'static [Setting] {
    &TABLE
}

/// One setting, as a person sees it.
#[derive(Debug)]
pub struct Setting {
    /// Which one it is.
    pub id: Id,
    /// As in a configuration file, and behind `--`.
    pub name: String,
    /// The environment variable, `PORTREEVE_…`.
    pub variable: String,
    /// A second variable that counts when the first one is unset.
    pub alias: Option<&'static str>,
    /// What stands for the value in help: `URL`, `FILE`, `yes|no`.
    pub placeholder: &'static str,
    /// How many values it takes.
    pub kind: Kind,
    /// The default as a person reads it.
    pub default: &'static str,
    /// Whether that text is also a value, parsed as if somebody had typed it.
    pub default_is_value: bool,
    /// One sentence, without a full stop.
    pub help: &'static str,
    /// Which commands have a use for it.
    pub scope: Scope,
}

impl Setting {
    /// Whether it takes several values.
    pub fn repeatable(&self) -> bool {
        self.kind == Kind::Many
    }
}

/// How many values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One.
    One,
    /// Several: flags, words of a variable, lines of a file.
    Many,
    /// Yes or no; as a flag, no value means yes.
    Switch,
}

/// Which of the commands that accept clients have a use for a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Both `serve` and `auth`.
    Everywhere,
    /// `serve`.
    Serve,
}

impl Id {
    /// Its row.
    pub fn setting(self) -> &'static Setting {
        // Rows and names come from the same text, in the same order.
        &settings_table()[self as usize]
    }
}

/// Finds a setting by its name in a configuration file.
pub fn by_name(name: &str) -> Option<&'static Setting> {
    settings_table().iter().find(|setting| setting.name == name)
}

/// The name that somebody may have meant who wrote `given`.
pub(crate) fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in three letters is still a slip; more is another word.
    const LETTERS_PER_SLIP: usize = 3;
    // Far longer than any name; what is longer is no slip of the hand, and the comparison is quadratic.
    const LONGEST: usize = 64;
    if given.len() > LONGEST {
        return None;
    }
    // TLS_CERT is a slip of the shift key, and no letter of it is wrong.
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let given = plain(given);
    names
        .map(|name| (edits(&given, &plain(name)), name))
        .filter(|(edits, name)| *edits <= name.len().max(LETTERS_PER_SLIP) / LETTERS_PER_SLIP)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, &above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != *y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Variables of older set-ups that are honoured beside ours.
const ALIASES: [(&str, &str); 2] = [("backend", "BACKEND"), ("auth-backend", "AUTH_BACKEND")];

fn setting(
    id: Id,
    field: &str,
    placeholder: &'static str,
    default: &'static str,
    default_is_value: bool,
    help: &'static str,
    scope: Scope,
) -> Setting {
    let name = field.replace('_', "-");
    let kind = match placeholder {
        "yes|no" => Kind::Switch,
        _ if placeholder.ends_with("...") => Kind::Many,
        _ => Kind::One,
    };
    Setting {
        id,
        variable: format!("PORTREEVE_{}", field.to_ascii_uppercase()),
        alias: ALIASES
            .iter()
            .find(|(of, _)| *of == name)
            .map(|(_, alias)| *alias),
        name,
        placeholder: placeholder.trim_end_matches("..."),
        kind,
        default,
        default_is_value,
        help,
        scope,
    }
}

macro_rules! is_value {
    (=) => {
        true
    };
    (~) => {
        false
    };
}

macro_rules! scope {
    () => {
        Scope::Everywhere
    };
    (serve) => {
        Scope::Serve
    };
}

macro_rules! build_table {
    ({} $($field:ident $placeholder:tt $mark:tt $default:tt, $help:tt $(, $scope:ident)?;)*) => {
        /// Names the rows of the table, so that a typing error in a name does not compile.
        #[allow(non_camel_case_types, missing_docs)] // the names are those of the fields, documented by their help
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Id { $($field),* }

        static TABLE: LazyLock<Vec<Setting>> = LazyLock::new(|| vec![
            $(setting(Id::$field, stringify!($field), $placeholder, $default, is_value!($mark), $help, scope!($($scope)?))),*
        ]);
    };
}
with_settings!(build_table! {});

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_and_variables_follow_from_the_field() {
        let setting = by_name("max-connections-per-address").unwrap();
        assert_eq!(setting.variable, "PORTREEVE_MAX_CONNECTIONS_PER_ADDRESS");
        assert_eq!(by_name("backend").unwrap().alias, Some("BACKEND"));
        assert_eq!(by_name("auth-backend").unwrap().alias, Some("AUTH_BACKEND"));
        assert_eq!(by_name("listen").unwrap().placeholder, "URL");
        assert!(by_name("listen").unwrap().repeatable());
        assert_eq!(by_name("insecure-http").unwrap().kind, Kind::Switch);
    }

    #[test]
    fn rows_stand_at_the_place_that_their_id_says() {
        for (at, setting) in settings_table().iter().enumerate() {
            assert_eq!(setting.id as usize, at, "{}", setting.name);
        }
    }

    #[test]
    fn help_is_a_sentence_without_a_full_stop() {
        for setting in settings_table() {
            assert!(!setting.help.ends_with('.'), "{}", setting.name);
            assert!(!setting.default.is_empty(), "{}", setting.name);
        }
    }

    #[test]
    fn a_slip_finds_the_name_and_another_word_does_not() {
        let find = |given| nearest(given, settings_table().iter().map(|s| s.name.as_str()));
        assert_eq!(find("lisen"), Some("listen"));
        assert_eq!(find("tls_key"), Some("tls-key"));
        assert_eq!(find("TLS-KEY"), Some("tls-key"));
        assert_eq!(find("TLS_CERT"), Some("tls-cert"));
        assert_eq!(
            find("Max-Connections-Per-Adress"),
            Some("max-connections-per-address")
        );
        assert_eq!(find("backends"), Some("backend"));
        assert_eq!(find("htpaswd"), Some("htpasswd"));
        assert_eq!(find("proxy_pass"), None);
        assert_eq!(find(""), None);
        assert_eq!(find(&"x".repeat(100_000)), None);
    }
}
