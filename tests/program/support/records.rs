//! Records of TLS 1.3 sealed by hand, for what no library sends: records without content, one key update after the other, a
//! name that is none. The handshake before them is rustls', whose secrets are logged for this.
use super::certificates;
use super::{Client, Gate};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use rustls::version::TLS13;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// RFC 8446, 4.6.3: a message of one byte that asks for no answer.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// The secrets of the last handshake.
#[derive(Debug, Default)]
pub struct Secrets(Mutex<Vec<(String, Vec<u8>)>>);

impl rustls::KeyLog for Secrets {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let mut all = self.0.lock().unwrap();
        all.push((label.to_owned(), secret.to_vec()));
    }
}

impl Secrets {
    fn last(&self, label: &str) -> Vec<u8> {
        let all = self.0.lock().unwrap();
        let found = all.iter().rev().find(|(name, _)| name == label);
        found.unwrap_or_else(|| panic!("no {label}")).1.clone()
    }
}

/// What one side sends after its handshake.
pub struct Sealer {
    socket: TcpStream,
    secret: Vec<u8>,
    key: LessSafeKey,
    iv: Vec<u8>,
    sequence: u64,
}

/// A client of the gate, and what goes to the gate from now on.
pub fn client(gate: &Gate) -> (Client, Sealer) {
    let secrets = Arc::new(Secrets::default());
    let mut config = certificates::client(&gate.ca(), &[&TLS13]);
    config.key_log = secrets.clone();
    let client = Client::tls(gate.authority("https"), "localhost", Arc::new(config));
    let sealer = Sealer::new(client.socket(), &secrets, "CLIENT_TRAFFIC_SECRET_0");
    (client, sealer)
}

impl Sealer {
    /// For the side whose secret has this label, and which has sent nothing yet.
    pub fn new(socket: TcpStream, secrets: &Secrets, label: &str) -> Self {
        let secret = secrets.last(label);
        let (key, iv) = keys(&secret);
        Self {
            socket,
            secret,
            key,
            iv,
            sequence: 0,
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    pub fn content(&mut self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.seal(APPLICATION_DATA, bytes.as_ref(), 0)
    }

    /// No content, and so much padding.
    pub fn empty(&mut self, padding: usize) -> Vec<u8> {
        self.seal(APPLICATION_DATA, b"", padding)
    }

    pub fn key_update(&mut self) -> Vec<u8> {
        let record = self.seal(HANDSHAKE, &KEY_UPDATE, 0);
        self.secret = expand(&self.secret, b"traffic upd", self.secret.len());
        (self.key, self.iv) = keys(&self.secret);
        self.sequence = 0;
        record
    }

    /// So many records without content, of the kinds that reset rustls' own limits for one another.
    pub fn without_content(&mut self, count: usize) -> Vec<Vec<u8>> {
        let record = |number: usize| match number % 16 {
            0 => self.empty(0),
            8 => self.empty(700),
            _ => self.key_update(),
        };
        (0..count).map(record).collect()
    }

    fn seal(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let mut inner = content.to_vec();
        inner.push(kind);
        inner.resize(inner.len() + padding, 0);
        let length = u16::try_from(inner.len() + AES_256_GCM.tag_len()).unwrap();
        let [high, low] = length.to_be_bytes();
        let head = [APPLICATION_DATA, 3, 3, high, low];
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.sequence.to_be_bytes());
        nonce
            .iter_mut()
            .zip(&self.iv)
            .for_each(|(byte, iv)| *byte ^= iv);
        self.sequence += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(head), &mut inner)
            .unwrap();
        [&head[..], &inner].concat()
    }
}

fn keys(secret: &[u8]) -> (LessSafeKey, Vec<u8>) {
    assert_eq!(secret.len(), 48, "not TLS_AES_256_GCM_SHA384");
    let key = UnboundKey::new(&AES_256_GCM, &expand(secret, b"key", 32)).unwrap();
    (LessSafeKey::new(key), expand(secret, b"iv", 12))
}

/// HKDF-Expand-Label (RFC 8446, 7.1) of no more than one block.
fn expand(secret: &[u8], label: &[u8], length: usize) -> Vec<u8> {
    let mut info = u16::try_from(length).unwrap().to_be_bytes().to_vec();
    info.push(u8::try_from(6 + label.len()).unwrap());
    info.extend_from_slice(b"tls13 ");
    info.extend_from_slice(label);
    info.extend_from_slice(&[0, 1]);
    let key = hmac::Key::new(hmac::HMAC_SHA384, secret);
    hmac::sign(&key, &info).as_ref()[..length].to_vec()
}
