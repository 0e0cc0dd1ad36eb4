//! Shapes that several endpoints use.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use shared::limits::Limits as RunLimits;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// Done.
#[derive(Serialize, ToSchema)]
pub(crate) struct Success {
    pub(crate) success: bool,
}

/// The limits of a run. Members and schema follow the table in `shared::limits`.
pub(crate) struct Limits(pub(crate) RunLimits);

impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(RunLimits::ALL.len()))?;
        for limit in RunLimits::ALL {
            members.serialize_entry(limit.api_name, &(limit.get)(&self.0))?;
        }
        members.end()
    }
}

impl PartialSchema for Limits {
    fn schema() -> RefOr<Schema> {
        let mut object = ObjectBuilder::new().description(Some("The limits of one run."));
        for limit in RunLimits::ALL {
            let value = ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
                .minimum(Some(0))
                .description(Some(limit.meaning));
            object = object.property(limit.api_name, value).required(limit.api_name);
        }
        object.into()
    }
}

impl ToSchema for Limits {
    fn name() -> Cow<'static, str> {
        "Limits".into()
    }
}
