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
    ModelError::unavailable(if error.is_connect() {
        "no connection; check base_url, and that the server runs"
    } else {
        "the connection broke"
    })
}

/// What is wrong with the server's certificate, if that is the cause.
fn certificate(error: &reqwest::Error) -> Option<shared::net::failure::CertificateFault> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(fault)) = error.downcast_ref() {
            return Some(certificate_fault(fault));
        }
        // `source` of an I/O error skips the error that it holds.
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = held.map_or_else(|| error.source(), |held| Some(held));
    }
    None
}
