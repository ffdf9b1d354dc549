//! Every answer of the gate's own that is not a yes: one enum, one table of what each is on the wire. How a refusal is
//! written down is the business of `answer`; who decides that one is due lives elsewhere.

use std::fmt;

use super::fields::FieldFault;
use super::framing::{FramingFault, ProtectedField, VersionFault};
use super::scan::LineFault;

/// Why a request does not get its answer from the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The table below says of each what it is, in the words that its client gets.
pub enum Refusal {
    BareLineFeed,
    BareCarriageReturn,
    Nul,
    FoldedLine,
    TlsExpected,
    BadRequestLine,
    BadMethod,
    BadTarget,
    BadVersion,
    BadFieldName,
    BadFieldValue,
    HeadTooLong,
    TooManyFields,
    TargetTooLong,
    VersionNotSupported,
    MethodNotAllowed,
    AsteriskWithoutOptions,
    DotSegment,
    EmptySegment,
    Backslash,
    Fragment,
    PathCharacter,
    BadEscape,
    DisguisedEscape,
    NoHost,
    HostTwice,
    BadHost,
    OtherAuthority,
    LengthTwice,
    BadLength,
    LengthAndCoding,
    BadCoding,
    CodingInOldVersion,
    UnknownCoding,
    ProtectedFieldListed,
    UnknownExpectation,
    BadChunk,
    AuthorizationTwice,
    AuthorizationTooLong,
    /// With the value of each `WWW-Authenticate` to send.
    Unauthorized {
        challenges: Vec<String>,
    },
    /// Who may not do what, where that is known.
    Denied {
        why: Option<Box<str>>,
    },
    NoSuchPath,
    NoSuchSite,
    OtherSite,
    /// What the backend answered when it was asked for its catalogue.
    NoCatalog {
        status: u16,
    },
    BadQuery,
    FormBody,
    ManifestTooLong,
    TagExists {
        message: Box<str>,
    },
    /// Until when.
    ReadOnly {
        why: Box<str>,
    },
    /// What a tag is now; seconds until another attempt has a chance.
    TagUnsure {
        retry_after: u32,
    },
    /// Seconds until another attempt has a chance.
    TooManyRequests {
        retry_after: u32,
    },
    BackendUnreachable,
    BackendGarbled,
    BackendSilent,
    /// The credentials could not be checked; seconds until another attempt has a chance.
    Unsure {
        retry_after: u32,
    },
    /// The health path was asked.
    NotReady,
    /// No worker, no check, no room; seconds until another attempt has a chance.
    Overloaded {
        retry_after: u32,
    },
}

impl Refusal {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        self.row().0
    }

    /// What a person can read and do something about; also what the log says.
    pub fn message(&self) -> &str {
        match self {
            Self::Denied { why: Some(message) }
            | Self::TagExists { message }
            | Self::ReadOnly { why: message } => message,
            _ => self.row().1,
        }
    }

    /// The error code of the OCI distribution specification, or the nearest word of the same kind.
    pub fn code(&self) -> &'static str {
        match self.status() {
            401 => "UNAUTHORIZED",
            403 | 409 => "DENIED",
            404 => "NAME_UNKNOWN",
            413 => "SIZE_INVALID",
            405 | 415 | 417 | 421 | 501 | 505 => "UNSUPPORTED",
            429 => "TOOMANYREQUESTS",
            500 | 502..=504 => "UNAVAILABLE",
            _ => "BAD_REQUEST",
        }
    }

    /// Whether nobody can say any more where the next request would begin, so that the connection has to be closed.
    /// True of everything that the head or the chunks were refused for.
    pub fn breaks_framing(&self) -> bool {
        !matches!(
            self,
            Self::AuthorizationTwice
                | Self::AuthorizationTooLong
                | Self::Unauthorized { .. }
                | Self::Denied { .. }
                | Self::NoSuchPath
                | Self::NoSuchSite
                | Self::OtherSite
                | Self::NoCatalog { .. }
                | Self::BadQuery
                | Self::FormBody
                | Self::ManifestTooLong
                | Self::TagExists { .. }
                | Self::ReadOnly { .. }
                | Self::TagUnsure { .. }
                | Self::TooManyRequests { .. }
                | Self::BackendUnreachable
                | Self::BackendGarbled
                | Self::BackendSilent
                | Self::Unsure { .. }
                | Self::NotReady
                | Self::Overloaded { .. }
        )
    }

    /// The value of `Retry-After`.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyRequests { retry_after }
            | Self::Unsure { retry_after }
            | Self::TagUnsure { retry_after }
            | Self::Overloaded { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// The table.
    fn row(&self) -> (u16, &'static str) {
        match self {
            Self::BareLineFeed => (400, "a line ends with a bare LF: end every line with CR LF"),
            Self::BareCarriageReturn => (400, "a bare CR in the head: use CR only before LF"),
            Self::Nul => (
                400,
                "a NUL in the head: speak HTTP here, or https:// if this port wants TLS",
            ),
            Self::FoldedLine => (400, "a folded header line: put each field on one line"),
            Self::TlsExpected => (
                400,
                "this port speaks TLS: write https:// instead of http://",
            ),
            Self::BadRequestLine => (
                400,
                "the request line is not method, target and version with one blank between: check the client",
            ),
            Self::BadMethod => (400, "the method is not a word of letters: check the client"),
            Self::BadTarget => (
                400,
                "the request target has characters or a form that a target cannot have: percent-encode them",
            ),
            Self::PathCharacter => (
                400,
                "a character in the path that a path cannot have: percent-encode it",
            ),
            Self::BadVersion => (400, "the version is not HTTP/ and two digits: use HTTP/1.1"),
            Self::BadFieldName => (
                400,
                "a header field without a proper name and a colon right behind it: check the fields that the client adds",
            ),
            Self::BadFieldValue => (
                400,
                "a header field with a control character in its value: check the fields that the client adds",
            ),
            Self::HeadTooLong => (
                431,
                "the header fields are over 32 KiB: send fewer or shorter ones",
            ),
            Self::TooManyFields => (431, "more than 100 header fields: send fewer"),
            Self::TargetTooLong => (414, "the request target is over 16 KiB: shorten it"),
            Self::VersionNotSupported => (
                505,
                "only HTTP/1.1 and HTTP/1.0 are spoken here: tell the client to use one of them",
            ),
            Self::MethodNotAllowed => (
                405,
                "CONNECT and TRACE are not for this server: ask for what it holds with GET",
            ),
            Self::AsteriskWithoutOptions => {
                (400, "the target * goes with OPTIONS only: name a path")
            }
            Self::DotSegment => (
                400,
                "a . or .. segment in the path, alone or before a semicolon: write the path that is meant",
            ),
            Self::EmptySegment => (400, "a // in the path: write a single slash"),
            Self::Backslash => (
                400,
                "a backslash in the path: write a slash, or leave it out",
            ),
            Self::Fragment => (
                400,
                "a fragment in the request target: leave out # and what follows",
            ),
            Self::BadEscape => (
                400,
                "a % in the path that two hexadecimal digits do not follow: write %25 for a percent sign",
            ),
            Self::DisguisedEscape => (
                400,
                "a percent escape in the path of a character that needs none or must not stand there: write the character itself or leave it out",
            ),
            Self::NoHost => (400, "no Host field: send the name of this server"),
            Self::HostTwice => (400, "more than one Host field: send one"),
            Self::BadHost => (
                400,
                "the Host field is not a name or address with an optional port: send the name of this server",
            ),
            Self::OtherAuthority => (
                400,
                "the request target names another host than the Host field: make them agree",
            ),
            Self::LengthTwice => (400, "more than one Content-Length: send one"),
            Self::BadLength => (
                400,
                "the Content-Length is not a plain number: send digits only",
            ),
            Self::LengthAndCoding => (
                400,
                "both Content-Length and Transfer-Encoding: send one of them",
            ),
            Self::BadCoding => (
                400,
                "the Transfer-Encoding is malformed, or chunked is repeated or not last: send chunked alone",
            ),
            Self::CodingInOldVersion => (
                400,
                "a Transfer-Encoding in HTTP/1.0: use HTTP/1.1 or send a Content-Length",
            ),
            Self::UnknownCoding => (
                501,
                "a transfer coding that is not known here: send chunked alone",
            ),
            Self::ProtectedFieldListed => (
                400,
                "the Connection field names a field that must not be taken out: check the client",
            ),
            Self::UnknownExpectation => (
                417,
                "an expectation other than 100-continue: leave out the Expect field",
            ),
            Self::BadChunk => (
                400,
                "a malformed chunk in the request body: check the client and any proxy before this server",
            ),
            Self::AuthorizationTwice => (400, "more than one Authorization field: send one"),
            Self::AuthorizationTooLong => (
                431,
                "the Authorization field is too long: use a shorter user name, password or token",
            ),
            Self::Unauthorized { .. } => (
                401,
                "authentication required: log in with a user name and password that are valid here",
            ),
            Self::Denied { .. } => (
                403,
                "this user may not do this here: ask the operator for access, or log in as another user",
            ),
            Self::NoSuchPath => (
                404,
                "nothing of a registry is called so: see that the name has lower-case letters alone, and the path is one of the API",
            ),
            Self::NoSuchSite => (
                421,
                "no host of this name is served here: check the name, or tell the operator to add a site for it",
            ),
            Self::OtherSite => (
                421,
                "this connection was opened for another host: open one whose TLS server name is the Host of the request",
            ),
            Self::NoCatalog { status } => (
                *status,
                "the server behind the gate does not show its catalogue: ask its operator, or name the repository",
            ),
            Self::BadQuery => (
                400,
                "a semicolon, a bad escape or a value in the query that cannot stand there: check the client",
            ),
            Self::FormBody => (
                415,
                "an upload does not begin with a form: send no body, or the blob itself",
            ),
            Self::ManifestTooLong => (413, "a manifest over 4 MiB: send a smaller one"),
            // It is said which.
            Self::TagExists { .. } => (409, "the tag exists and may not be moved"),
            Self::ReadOnly { .. } => (405, "read-only for a while"),
            Self::TagUnsure { .. } => (
                503,
                "whether the tag exists could not be found out just now: try again shortly",
            ),
            Self::TooManyRequests { .. } => (
                429,
                "too many wrong passwords from your network: wait a while, then log in with the right one",
            ),
            Self::BackendUnreachable => (
                502,
                "the server behind the gate cannot be reached: try again later, and tell the operator if it stays so",
            ),
            Self::BackendGarbled => (
                502,
                "the server behind the gate did not answer in proper HTTP: tell the operator",
            ),
            Self::BackendSilent => (
                504,
                "the server behind the gate did not answer in time: try again later, and tell the operator if it stays so",
            ),
            Self::Unsure { .. } => (
                503,
                "the credentials could not be checked just now: try again shortly",
            ),
            Self::NotReady => (503, "this gate is not ready to serve: its log says why"),
            Self::Overloaded { .. } => {
                (503, "too much is going on here just now: try again shortly")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.message())
    }
}

impl std::error::Error for Refusal {}

impl From<LineFault> for Refusal {
    fn from(fault: LineFault) -> Self {
        match fault {
            LineFault::BareLineFeed => Self::BareLineFeed,
            LineFault::BareCarriageReturn => Self::BareCarriageReturn,
            LineFault::Nul => Self::Nul,
            LineFault::Folded => Self::FoldedLine,
            LineFault::TooLong => Self::HeadTooLong,
            LineFault::TooManyLines => Self::TooManyFields,
        }
    }
}

impl From<FieldFault> for Refusal {
    fn from(fault: FieldFault) -> Self {
        match fault {
            FieldFault::Name => Self::BadFieldName,
            FieldFault::Value => Self::BadFieldValue,
        }
    }
}

impl From<VersionFault> for Refusal {
    fn from(fault: VersionFault) -> Self {
        match fault {
            VersionFault::Malformed => Self::BadVersion,
            VersionFault::OtherMajor => Self::VersionNotSupported,
        }
    }
}

impl From<FramingFault> for Refusal {
    fn from(fault: FramingFault) -> Self {
        match fault {
            FramingFault::LengthTwice => Self::LengthTwice,
            FramingFault::LengthUnclean => Self::BadLength,
            FramingFault::LengthAndCoding => Self::LengthAndCoding,
            FramingFault::CodingMalformed => Self::BadCoding,
            FramingFault::CodingUnknown => Self::UnknownCoding,
            FramingFault::CodingInOldVersion => Self::CodingInOldVersion,
        }
    }
}

impl From<ProtectedField> for Refusal {
    fn from(_: ProtectedField) -> Self {
        Self::ProtectedFieldListed
    }
}
