//! Shapes that several endpoints use.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use shared::limits::{Ceilings as PlanCeilings, Limits as RunLimits};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
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

/// The plan's ceilings of the limits of a run. Members and schema follow the table in `shared::limits`.
pub(crate) struct Ceilings(pub(crate) PlanCeilings);

impl Serialize for Ceilings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(RunLimits::ALL.len()))?;
        for limit in RunLimits::ALL {
            members.serialize_entry(limit.ceiling_api_name, &(limit.ceiling)(&self.0))?;
        }
        members.end()
    }
}

impl PartialSchema for Ceilings {
    fn schema() -> RefOr<Schema> {
        let mut object = ObjectBuilder::new()
            .description(Some("The highest limits of a run. Null means that the app decides."));
        for limit in RunLimits::ALL {
            let value = ObjectBuilder::new()
                .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
                .minimum(Some(0))
                .description(Some(limit.meaning));
            object = object.property(limit.ceiling_api_name, value).required(limit.ceiling_api_name);
        }
        object.into()
    }
}

impl ToSchema for Ceilings {
    fn name() -> Cow<'static, str> {
        "Ceilings".into()
    }
}
