//! Turns the errors of each stage of a request into a [`RequestFailure`].

use std::error::Error;
use std::io::{self, ErrorKind};

use shared::net::certificate::certificate_fault;
use shared::net::failure::RequestFailure;

use crate::head_limit::TooLong;

pub(crate) fn connect_failure(kind: ErrorKind) -> RequestFailure {
    match kind {
        ErrorKind::ConnectionRefused => RequestFailure::ConnectRefused,
        ErrorKind::TimedOut => RequestFailure::ConnectTimeout,
        _ => RequestFailure::ConnectFailed,
    }
}

pub(crate) fn tls_failure(error: &io::Error) -> RequestFailure {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(error)) => {
            RequestFailure::TlsCertificateInvalid(certificate_fault(error))
        }
        _ => RequestFailure::TlsFailed,
    }
}

pub(crate) fn exchange_failure(error: &hyper::Error) -> RequestFailure {
    let first: &(dyn Error + 'static) = error;
    let causes = || std::iter::successors(Some(first), |&error| error.source());
    let io = causes().find_map(|cause| cause.downcast_ref::<io::Error>());
    if error.is_parse_too_large() || io.is_some_and(holds::<TooLong>) {
        RequestFailure::HeadTooLong
    } else if io.is_some_and(holds::<rustls::Error>) {
        // A server may refuse the client after the handshake, for example without a client certificate.
        RequestFailure::TlsFailed
    } else if io.map(io::Error::kind).is_some_and(is_reset) {
        RequestFailure::ConnectionReset
    } else if error.is_incomplete_message()
        || error.is_canceled()
        || io.map(io::Error::kind) == Some(ErrorKind::UnexpectedEof)
    {
        RequestFailure::ConnectionClosed
    } else {
        RequestFailure::InvalidResponse
    }
}

fn holds<E: Error + 'static>(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<E>()).is_some()
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}
