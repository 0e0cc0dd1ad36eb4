//! A web page that a run used, as the contract shows it.

use serde::{Deserialize, Serialize};
#[cfg(feature = "openapi")]
use utoipa::ToSchema;

#[cfg(feature = "openapi")]
use crate::runs::events::SourceUse;

/// A web page that a run found, read or cites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema), schema(as = RunSource))]
pub struct ShownSource {
    /// The number by which the result cites the page, as `[1]`. Each URL of a run has one.
    pub id: u32,
    pub url: String,
    /// Empty if the page has none.
    pub title: String,
    /// The strongest use. Values may be added.
    // One that only a later version knows is shown as it is.
    #[cfg_attr(feature = "openapi", schema(value_type = SourceUse))]
    pub how: String,
}
