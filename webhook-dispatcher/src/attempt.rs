//! What a delivery attempt shows, and how the delivery and its lane go on.

use std::time::Duration;

use shared::deliveries::{DeliveryError, DeliveryStatus};
use shared::text::CleanText;

use crate::circuit;

const MAX_ERROR_BYTES: usize = 300;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptResult {
    /// From connecting to the status of the answer, or to the failure.
    pub duration: Duration,
    pub status_code: Option<u16>,
    /// `None` means delivered.
    pub error: Option<DeliveryError>,
    /// A sentence for the receiver's owner, beside the error.
    pub message: Option<CleanText>,
    /// The beginning of the answer's body.
    pub response_body: Option<CleanText>,
    /// The seconds that the answer's `Retry-After` asks for.
    pub retry_after: Option<u64>,
}

impl AttemptResult {
    #[must_use]
    pub fn failed(error: DeliveryError, message: &str) -> Self {
        let message = Some(CleanText::new(message, MAX_ERROR_BYTES));
        Self { error: Some(error), message, ..Self::default() }
    }

    /// Of an attempt for which no request could be made.
    #[must_use]
    pub fn not_sent(message: &str) -> Self {
        Self::failed(DeliveryError::NotSent, message)
    }
}

/// How a delivery and its lane go on after an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Next {
    pub status: DeliveryStatus,
    /// Until the next attempt.
    pub wait: Duration,
    pub lane: Option<circuit::Change>,
}
