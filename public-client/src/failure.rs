//! Turns an error of reqwest into a [`RequestFailure`]. reqwest names only some of the causes, so this code
//! reads the chain of causes.

use std::error::Error;
use std::io::{self, ErrorKind};

use shared::net::failure::RequestFailure;

use crate::resolver::NotPublic;

pub(crate) fn classify(error: &reqwest::Error) -> RequestFailure {
    if find::<NotPublic>(error).is_some() {
        return RequestFailure::AddressNotAllowed;
    }
    if error.is_timeout() {
        return if error.is_connect() { RequestFailure::ConnectTimeout } else { RequestFailure::Timeout };
    }
    if error.is_dns() {
        return RequestFailure::DnsFailed;
    }
    match find::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(_)) => return RequestFailure::TlsCertificateInvalid,
        Some(_) => return RequestFailure::TlsFailed,
        None => {}
    }
    let mut kinds = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    if error.is_connect() {
        return kinds.find_map(connect_failure).unwrap_or(RequestFailure::ConnectFailed);
    }
    let is_incomplete = find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message);
    if is_incomplete || kinds.any(is_reset) {
        return RequestFailure::ConnectionReset;
    }
    RequestFailure::InvalidResponse
}

fn connect_failure(kind: ErrorKind) -> Option<RequestFailure> {
    match kind {
        ErrorKind::ConnectionRefused => Some(RequestFailure::ConnectRefused),
        // The TCP connection exists, so the host ended it during the TLS handshake.
        kind if is_reset(kind) => Some(RequestFailure::TlsFailed),
        _ => None,
    }
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
    )
}

fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |&error| cause(error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        // `source` of an io::Error skips the error that it wraps.
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
