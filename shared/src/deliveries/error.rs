//! Why an attempt failed. The list is closed: every attempt without success has one of these codes, and a
//! sentence beside it.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::net::failure::RequestFailure;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// Why an attempt failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum DeliveryError { $($(#[$doc])* $name,)* }

        impl DeliveryError {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stored and shown code.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

errors! {
    /// The host name cannot be resolved.
    DnsFailed = "dns_failed";
    /// The host has no address that the account's webhooks may reach.
    AddressNotAllowed = "address_not_allowed";
    ConnectRefused = "connect_refused";
    ConnectTimeout = "connect_timeout";
    /// The connection failed in another way, for example because there is no route to the host.
    ConnectFailed = "connect_failed";
    TlsFailed = "tls_failed";
    TlsTimeout = "tls_timeout";
    TlsCertificateInvalid = "tls_certificate_invalid";
    /// No status arrived in time.
    Timeout = "timeout";
    ConnectionReset = "connection_reset";
    /// The answer is no valid HTTP.
    InvalidResponse = "invalid_response";
    /// The answer's status is not 2xx. A redirect is not followed, so it is such a status too.
    Status = "status";
    /// The URL is not one that capi sends webhooks to.
    InvalidUrl = "invalid_url";
    /// capi sent no request: the fault is its own, or the run no longer exists.
    NotSent = "not_sent";
}

impl From<&RequestFailure> for DeliveryError {
    fn from(failure: &RequestFailure) -> Self {
        match failure {
            RequestFailure::InvalidUrl(refusal) if refusal.is_about_the_address() => Self::AddressNotAllowed,
            RequestFailure::AddressNotAllowed | RequestFailure::AddressesMixed => Self::AddressNotAllowed,
            RequestFailure::InvalidUrl(_) => Self::InvalidUrl,
            RequestFailure::DnsFailed | RequestFailure::DnsTimeout => Self::DnsFailed,
            RequestFailure::ConnectRefused => Self::ConnectRefused,
            RequestFailure::ConnectTimeout => Self::ConnectTimeout,
            RequestFailure::ConnectFailed => Self::ConnectFailed,
            RequestFailure::TlsFailed => Self::TlsFailed,
            RequestFailure::TlsTimeout => Self::TlsTimeout,
            RequestFailure::TlsCertificateInvalid(_) => Self::TlsCertificateInvalid,
            RequestFailure::Timeout => Self::Timeout,
            RequestFailure::ConnectionReset | RequestFailure::ConnectionClosed => Self::ConnectionReset,
            RequestFailure::InvalidResponse | RequestFailure::HeadTooLong => Self::InvalidResponse,
            RequestFailure::TooManyRedirects => Self::Status,
        }
    }
}

impl FromStr for DeliveryError {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|error| error.as_str() == text);
        known.copied().ok_or_else(|| format!("{text:?} is not an error of a delivery"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_part_of_the_contract() {
        let codes: Vec<_> = DeliveryError::ALL.iter().map(|error| error.as_str()).collect();
        assert_eq!(
            codes.join(" "),
            "dns_failed address_not_allowed connect_refused connect_timeout connect_failed tls_failed \
             tls_timeout tls_certificate_invalid timeout connection_reset invalid_response status \
             invalid_url not_sent"
        );
        for error in DeliveryError::ALL {
            assert_eq!(serde_json::to_value(error).unwrap(), error.as_str());
            assert_eq!(error.as_str().parse(), Ok(*error));
        }
    }
}
