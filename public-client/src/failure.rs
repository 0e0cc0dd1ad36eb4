//! Turns the errors of each stage of a request into a [`RequestFailure`].

use std::error::Error;
use std::io::{self, ErrorKind};

use shared::net::failure::RequestFailure;

pub(crate) fn connect_failure(kind: ErrorKind) -> RequestFailure {
    match kind {
        ErrorKind::ConnectionRefused => RequestFailure::ConnectRefused,
        ErrorKind::TimedOut => RequestFailure::ConnectTimeout,
        _ => RequestFailure::ConnectFailed,
    }
}

pub(crate) fn tls_failure(error: &io::Error) -> RequestFailure {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(_)) => RequestFailure::TlsCertificateInvalid,
        _ => RequestFailure::TlsFailed,
    }
}

pub(crate) fn exchange_failure(error: &hyper::Error) -> RequestFailure {
    let first: &(dyn Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |&error| error.source());
    let is_reset =
        causes.any(|cause| cause.downcast_ref().map(io::Error::kind).is_some_and(is_reset_or_closed));
    if error.is_incomplete_message() || error.is_canceled() || is_reset {
        RequestFailure::ConnectionReset
    } else {
        RequestFailure::InvalidResponse
    }
}

fn is_reset_or_closed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
    )
}
