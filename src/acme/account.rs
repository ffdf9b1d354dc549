//! The key of an account, and what is signed by it (RFC 7515, RFC 7638).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::text::Object;

/// A P-256 key that stands for an account.
pub struct AccountKey(EcdsaKeyPair);

/// By what the authority finds the key.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'a> {
    /// The key itself, of an account that may not be there yet.
    Key,
    /// The address of the account.
    Account(&'a str),
}

impl AccountKey {
    /// Of a key in PKCS#8.
    ///
    /// # Errors
    /// If it is no P-256 key.
    pub fn of_pkcs8(der: &[u8]) -> Result<AccountKey, String> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(AccountKey)
            .map_err(|_| "not a P-256 key".to_owned())
    }

    /// What is published where a challenge wants it: the token and the key's thumbprint.
    pub(super) fn authorization(&self, token: &str) -> String {
        format!(
            "{token}.{}",
            encoded(digest(&SHA256, self.jwk().as_bytes()).as_ref())
        )
    }

    /// A request of this account, signed.
    pub(super) fn sign(
        &self,
        by: By<'_>,
        nonce: &str,
        url: &str,
        payload: &str,
    ) -> Result<Vec<u8>, String> {
        let mut header = String::new();
        let mut object = Object::new(&mut header);
        object.text("alg", "ES256");
        match by {
            By::Key => object.member("jwk", |out| out.push_str(&self.jwk())),
            By::Account(account) => object.text("kid", account),
        };
        object.text("nonce", nonce).text("url", url).end();
        let header = encoded(header.as_bytes());
        let payload = encoded(payload.as_bytes());
        let signed = format!("{header}.{payload}");
        let signature = self
            .0
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| "a request could not be signed".to_owned())?;
        let mut body = String::new();
        Object::new(&mut body)
            .text("protected", header)
            .text("payload", payload)
            .text("signature", encoded(signature.as_ref()))
            .end();
        Ok(body.into_bytes())
    }

    /// The public key. Its members stand in the order in which its thumbprint is made.
    fn jwk(&self) -> String {
        // A 4, and the two coordinates (SEC 1, 2.3.3).
        let point = self.0.public_key().as_ref();
        let coordinates = point.get(1..).unwrap_or_default();
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        let mut out = String::new();
        Object::new(&mut out)
            .text("crv", "P-256")
            .text("kty", "EC")
            .text("x", encoded(x))
            .text("y", encoded(y))
            .end();
        out
    }
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("AccountKey")
    }
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
