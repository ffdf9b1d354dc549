//! The `cert` command: a private CA and a server certificate in a directory, for trials and closed networks.
//!
//! Owns the words about them. Everything else is that of `--tls-self-signed`, so that `serve` can take over the directory
//! and goes on renewing what is in it. It must not know flags.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::files::shell_word;
use crate::tls::{self, Name, SelfSigned};

/// What is to be made where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertRequest {
    /// Holds the CA and the certificate, or will.
    pub directory: PathBuf,
    /// DNS names and addresses beside those of this machine; none: those of the certificate that is there.
    pub names: Vec<String>,
}

/// A name as somebody typed it, or why no certificate can be for it.
pub fn name(text: &str) -> Result<String, String> {
    Name::parse(text).map(|name| name.to_string())
}

/// Makes a new server certificate, and the CA if there is none, and says on `out` who is to be given what. An error is
/// exit status 1 and was not printed.
pub fn run(request: &CertRequest, out: &mut dyn Write) -> Result<(), String> {
    let made = SelfSigned::renew(&request.directory, &request.names)?;
    let text = words(request, &made);
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))
}

fn words(request: &CertRequest, made: &SelfSigned) -> String {
    let ca = made.ca_path();
    let did = if made.made_new_ca() { "made" } else { "kept" };
    let pair = made.pair();
    let until = pair
        .not_after()
        .map_or("an unknown date".to_owned(), tls::date);
    let mut text = format!(
        "{did} the private CA {ca:?}, until {}\n\
         made the certificate {:?} for {}, until {until}\n",
        tls::date(made.ca_not_after()),
        request.directory.join("server.crt"),
        pair.names().join(", "),
    );
    if made.made_new_ca() {
        text.push_str(
            "the directory is for its owner alone: if the gate runs as another user, give it to that one (chown -R)\n",
        );
    }
    text.push_str(&for_clients(&ca, &called(request, made.further_names())));
    text.push_str(&for_serve(&request.directory, made.further_names()));
    text
}

/// What clients will call the gate: the first name that was given now or before, or else that of this machine.
fn called(request: &CertRequest, further: &[Name]) -> String {
    let given = request.names.iter().map(|name| Name::parse(name));
    let known = given.flatten().chain(further.iter().cloned());
    let own = tls::host_name().map(Name::Dns);
    let is_one_host = |name: &Name| !name.to_string().starts_with('*');
    match known.filter(is_one_host).chain(own).next() {
        Some(Name::Address(address)) if address.is_ipv6() => format!("[{address}]"),
        Some(name) => name.to_string(),
        None => "HOST".to_owned(),
    }
}

fn for_clients(ca: &Path, host: &str) -> String {
    format!(
        "\n\
         Clients trust it once they have {ca:?}, and nothing else of that directory. Copy it to\n\
         \x20 docker      /etc/docker/certs.d/{host}:PORT/ca.crt\n\
         \x20 podman      /etc/containers/certs.d/{host}:PORT/ca.crt (skopeo and buildah, too)\n\
         \x20 containerd  /etc/containerd/certs.d/{host}:PORT/ca.crt (where config_path is /etc/containerd/certs.d)\n\
         \x20 Debian      /usr/local/share/ca-certificates/portreeve.crt, then run update-ca-certificates\n\
         \x20 Fedora      /etc/pki/ca-trust/source/anchors/portreeve.crt, then run update-ca-trust\n\
         without :PORT where the port is 443. The last two are for everything else on the machine, curl among it; docker\n\
         and containerd want to be restarted after them.\n"
    )
}

fn for_serve(directory: &Path, further: &[Name]) -> String {
    let names: String = further
        .iter()
        .map(|name| format!(" --tls-name {}", shell_word(&name.to_string())))
        .collect();
    let directory = shell_word(&directory.to_string_lossy());
    format!(
        "\n\
         Serve with it, and it is renewed in time without a word:\n\
         \x20 portreeve serve --tls-self-signed {directory}{names} ...\n\
         To have a new CA, delete ca.crt, ca.key, server.crt and server.key, and give the new ca.crt to all clients.\n"
    )
}
