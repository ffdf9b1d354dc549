//! `portreeve health`: whether a running gate on this machine is well.
//!
//! Takes the settings of `serve`, so that a container's health check and its gate cannot differ.
//! What the gate answers is read with suspicion all the same: it may be another program.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, DigitallySignedStruct, SignatureScheme};

use crate::config::{Admin, Listen, Settings};
use crate::http::ResponseHead;
use crate::net::{Cidr, HostPort};
use crate::terminal::complain;
use crate::tls;

/// For connecting, and for each read and write after it. Health checks give up after some seconds.
const LIMIT: Duration = Duration::from_secs(3);
/// An answer's head is read up to here.
const LONGEST_HEAD: usize = 64 * 1024;

/// Asks, says what is wrong on standard error, and exits 0 or 1.
pub fn run(settings: Settings) -> ExitCode {
    match ask(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            complain(&format!("portreeve: {reason}"));
            ExitCode::FAILURE
        }
    }
}

fn ask(settings: &Settings) -> Result<(), String> {
    if let Some(admin) = &settings.admin {
        let status = match &admin.value {
            Admin::Http(place) => connect(place).and_then(|stream| request(stream, "/readyz")),
            Admin::Unix(path) => connect_unix(path).and_then(|stream| request(stream, "/readyz")),
        };
        return match status {
            Ok(200) => Ok(()),
            Ok(status) => Err(format!("{}: not ready (status {status})", admin.value)),
            Err(error) => Err(format!("{}: {error}", admin.value)),
        };
    }
    let mut served = settings.listen.iter();
    let first = served.find(|listen| !matches!(listen.value, Listen::Redirect(_)));
    let Some(first) = first else {
        return Err("there is no listener to ask".into());
    };
    // Any answer is one of a gate that is well; a 401 most of all.
    let dial = |place| connect(place).and_then(|stream| announce(stream, &settings.proxy_protocol));
    let status = match &first.value {
        Listen::Http(place) | Listen::Redirect(place) => {
            dial(place).and_then(|stream| request(stream, "/v2/"))
        }
        Listen::Https(place) => dial(place)
            .and_then(secure)
            .and_then(|stream| request(stream, "/v2/")),
        Listen::Unix(path) => connect_unix(path).and_then(|stream| request(stream, "/v2/")),
    };
    match status {
        Err(error) if !wants_certificate(&error) => Err(format!("{}: {error}", first.value)),
        _ => Ok(()),
    }
}

/// Whether the gate has said that it serves nobody without a certificate: one that can say so is well.
fn wants_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
        ))
    )
}

fn connect(place: &HostPort) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in place.to_socket_addrs()?.flat_map(reachable) {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LIMIT))?;
                stream.set_write_timeout(Some(LIMIT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Begins as those peers have to, where this is one of them.
fn announce(mut stream: TcpStream, balancers: &[Cidr]) -> io::Result<TcpStream> {
    let own = stream.local_addr()?.ip();
    if balancers.iter().any(|network| network.contains(own)) {
        stream.write_all(b"PROXY UNKNOWN\r\n")?;
    }
    Ok(stream)
}

/// A gate that listens everywhere is asked on loopback.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let port = address.port();
    match address.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => {
            vec![
                (Ipv6Addr::LOCALHOST, port).into(),
                (Ipv4Addr::LOCALHOST, port).into(),
            ]
        }
        IpAddr::V4(ip) if ip.is_unspecified() => vec![(Ipv4Addr::LOCALHOST, port).into()],
        _ => vec![address],
    }
}

fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn secure(
    stream: TcpStream,
) -> io::Result<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
    let config = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Whoever))
        .with_no_client_auth();
    let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let connection =
        rustls::ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(rustls::StreamOwned::new(connection, stream))
}

/// Sends nothing secret, and is content with any valid answer.
fn request(mut stream: impl Read + Write, path: &str) -> io::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match ResponseHead::parse(&answer, "GET") {
            Ok(Some((head, _))) => return Ok(head.status()),
            Ok(None) if answer.len() < LONGEST_HEAD => {}
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the answer is not HTTP",
                ));
            }
        }
        let taken = match stream.read(&mut piece)? {
            0 => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "closed without an answer",
                ));
            }
            taken => taken,
        };
        answer.extend_from_slice(piece.get(..taken).unwrap_or_default());
    }
}

/// The question is whether the gate answers on this machine, not who it is: its certificate is for
/// its public name, and nothing secret is sent.
#[derive(Debug)]
struct Whoever;

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
