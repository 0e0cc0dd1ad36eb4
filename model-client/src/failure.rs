//! Says why no HTTP answer arrived. The text does not hold the URL, because a URL may hold a key.

use std::error::Error;

use shared::net::certificate::certificate_fault;

use super::ModelError;

/// The server let too much time pass.
pub(super) fn silent() -> ModelError {
    ModelError::Silent("no byte arrived in time; timeout_seconds in the models file sets the time".to_owned())
}

pub(super) fn of(error: &reqwest::Error) -> ModelError {
    if let Some(fault) = certificate(error) {
        return ModelError::Unreachable(format!("{fault} Check base_url, or renew the certificate"));
    }
    if error.is_connect() && has_cause::<rustls::Error>(error) {
        let why =
            "the TLS handshake failed; check that base_url begins with https only if the server speaks it";
        return ModelError::Unreachable(why.to_owned());
    }
    ModelError::unavailable(if error.is_connect() && names_dns(error) {
        "its host name cannot be resolved; check base_url"
    } else if error.is_connect() {
        "no connection; check base_url, and that the server runs"
    } else {
        "the connection broke"
    })
}

/// The causes of an error, the nearest first. An I/O error hides what it holds from `source`.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| {
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        held.map_or_else(|| error.source(), |held| Some(held))
    })
}

fn has_cause<E: Error + 'static>(error: &reqwest::Error) -> bool {
    causes(error).any(<dyn Error>::is::<E>)
}

/// The resolver's error has a private type.
fn names_dns(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.to_string().contains("dns error"))
}

/// What is wrong with the server's certificate, if that is the cause.
fn certificate(error: &reqwest::Error) -> Option<shared::net::failure::CertificateFault> {
    causes(error).find_map(|cause| match cause.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(fault)) => Some(certificate_fault(fault)),
        _ => None,
    })
}
