//! Why a request to an address that a user gave failed. The set is closed: the client classifies every error,
//! and all readers (delivery attempts, tool results, logs) show the same code and sentence.

use super::public_url::UrlRefusal;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    #[error("The URL {0}.")]
    InvalidUrl(#[from] UrlRefusal),
    #[error("The host has no public address.")]
    AddressNotAllowed,
    /// The host has public and other addresses.
    #[error("The host has an address that is not public.")]
    AddressesMixed,
    #[error("The host name cannot be resolved.")]
    DnsFailed,
    #[error("The host name was not resolved in time.")]
    DnsTimeout,
    #[error("The host refused the connection.")]
    ConnectRefused,
    #[error("No connection to the host was made in time.")]
    ConnectTimeout,
    #[error("The host cannot be reached.")]
    ConnectFailed,
    #[error("The TLS handshake with the host failed. Does the host speak HTTPS at this port?")]
    TlsFailed,
    #[error("The TLS handshake with the host did not end in time.")]
    TlsTimeout,
    #[error("{0}")]
    TlsCertificateInvalid(CertificateFault),
    #[error("The host did not send its whole answer in time.")]
    Timeout,
    #[error("The host reset the connection before the end of its answer.")]
    ConnectionReset,
    #[error("The host closed the connection before the end of its answer.")]
    ConnectionClosed,
    #[error("The host did not answer with valid HTTP.")]
    InvalidResponse,
    #[error("The headers of the host's answer are too long.")]
    HeadTooLong,
    #[error("The host redirects too many times.")]
    TooManyRedirects,
}

/// Why a TLS certificate is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    #[error("The TLS certificate of the host is self-signed, or of an unknown certificate authority.")]
    UnknownIssuer,
    #[error("The TLS certificate of the host is for another name.")]
    WrongName,
    #[error("The TLS certificate of the host has expired.")]
    Expired,
    #[error("The TLS certificate of the host is not valid yet.")]
    NotYetValid,
    #[error("The TLS certificate of the host is not valid.")]
    Other,
}

impl RequestFailure {
    /// The stable name, for logs and programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidUrl(refusal) if refusal.is_about_the_address() => "address_not_allowed",
            Self::AddressNotAllowed | Self::AddressesMixed => "address_not_allowed",
            Self::InvalidUrl(_) => "invalid_url",
            Self::DnsFailed | Self::DnsTimeout => "dns_failed",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::TlsFailed => "tls_failed",
            Self::TlsTimeout => "tls_timeout",
            Self::TlsCertificateInvalid(_) => "tls_certificate_invalid",
            Self::Timeout => "timeout",
            Self::ConnectionReset | Self::ConnectionClosed => "connection_reset",
            Self::InvalidResponse | Self::HeadTooLong => "invalid_response",
            Self::TooManyRedirects => "too_many_redirects",
        }
    }
}
