//! Why rustls refuses a certificate, in the words of [`CertificateFault`].

use rustls::CertificateError;

use super::failure::CertificateFault;

#[must_use]
pub fn certificate_fault(error: &CertificateError) -> CertificateFault {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateFault::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateFault::WrongName
        }
        CertificateError::UnknownIssuer => CertificateFault::UnknownIssuer,
        // `openssl req -x509` makes a certificate that is its own authority.
        CertificateError::Other(other)
            if matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) =>
        {
            CertificateFault::UnknownIssuer
        }
        _ => CertificateFault::Other,
    }
}
