//! Why a request to an address that a user gave failed. The set is closed: the client classifies every error,
//! and all readers (delivery attempts, tool results, logs) show the same code and sentence.

use super::public_url::UrlRefusal;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    #[error("The URL {0}.")]
    InvalidUrl(#[from] UrlRefusal),
    #[error("The host has no public address.")]
    AddressNotAllowed,
    #[error("The host name cannot be resolved.")]
    DnsFailed,
    #[error("The host refused the connection.")]
    ConnectRefused,
    #[error("No connection to the host was made in time.")]
    ConnectTimeout,
    #[error("The host cannot be reached.")]
    ConnectFailed,
    #[error("The TLS handshake with the host failed.")]
    TlsFailed,
    #[error("The TLS certificate of the host is not valid.")]
    TlsCertificateInvalid,
    #[error("The host did not send its whole answer in time.")]
    Timeout,
    #[error("The host closed the connection before the end of its answer.")]
    ConnectionReset,
    #[error("The host did not answer with valid HTTP.")]
    InvalidResponse,
    #[error("The host redirects too many times.")]
    TooManyRedirects,
}

impl RequestFailure {
    /// The stable name, for logs and programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidUrl(UrlRefusal::NotPublic(_)) | Self::AddressNotAllowed => "address_not_allowed",
            Self::InvalidUrl(_) => "invalid_url",
            Self::DnsFailed => "dns_failed",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::TlsFailed => "tls_failed",
            Self::TlsCertificateInvalid => "tls_certificate_invalid",
            Self::Timeout => "timeout",
            Self::ConnectionReset => "connection_reset",
            Self::InvalidResponse => "invalid_response",
            Self::TooManyRedirects => "too_many_redirects",
        }
    }
}
