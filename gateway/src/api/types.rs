//! Shapes that several endpoints use.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use shared::limits::{Ceilings as PlanCeilings, Limit, Limits as RunLimits};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaType, Type};
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
        serializer.collect_map(RunLimits::ALL.iter().map(|limit| (limit.api_name, (limit.get)(&self.0))))
    }
}

impl PartialSchema for Limits {
    fn schema() -> RefOr<Schema> {
        members("The limits of one run.", &Type::Integer.into(), |limit| limit.api_name)
    }
}

impl ToSchema for Limits {
    fn name() -> Cow<'static, str> {
        "Limits".into()
    }
}

/// An object with one member for each limit.
fn members(described: &str, kind: &SchemaType, name: fn(&Limit) -> &'static str) -> RefOr<Schema> {
    let mut object = ObjectBuilder::new().description(Some(described));
    for limit in RunLimits::ALL {
        let value = ObjectBuilder::new()
            .schema_type(kind.clone())
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(0))
            .description(Some(limit.meaning));
        object = object.property(name(limit), value).required(name(limit));
    }
    object.into()
}

/// The limits of a run, as app files write them. Each has its default if it is absent.
pub(crate) struct FileLimits;

impl PartialSchema for FileLimits {
    fn schema() -> RefOr<Schema> {
        let mut object = ObjectBuilder::new()
            .description(Some("The limits of one run. A limit that is absent has its default."))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        for limit in RunLimits::ALL {
            let value = ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
                .minimum(Some(1))
                .maximum(Some(limit.highest))
                .description(Some(format!("{} By default {}.", limit.meaning, limit.default)));
            object = object.property(limit.name, value);
        }
        object.into()
    }
}

impl ToSchema for FileLimits {
    fn name() -> Cow<'static, str> {
        "FileLimits".into()
    }
}

/// The plan's ceilings of the limits of a run. Members and schema follow the table in `shared::limits`.
pub(crate) struct Ceilings(pub(crate) PlanCeilings);

impl Serialize for Ceilings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ceilings = RunLimits::ALL.iter().map(|limit| (limit.ceiling_api_name, (limit.ceiling)(&self.0)));
        serializer.collect_map(ceilings)
    }
}

impl PartialSchema for Ceilings {
    fn schema() -> RefOr<Schema> {
        let described = "The highest limits of a run. Null means that the app decides.";
        members(described, &SchemaType::from_iter([Type::Integer, Type::Null]), |limit| {
            limit.ceiling_api_name
        })
    }
}

impl ToSchema for Ceilings {
    fn name() -> Cow<'static, str> {
        "Ceilings".into()
    }
}
