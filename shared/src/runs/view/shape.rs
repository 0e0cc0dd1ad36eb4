//! A run as the contract shows it: the same shape in GET, in lists, in webhooks and in the console.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::backend::Backend;
use diesel::deserialize;
use diesel::row::NamedRow;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
#[cfg(feature = "openapi")]
use utoipa::ToSchema;

use crate::db::Json;
#[cfg(feature = "openapi")]
use crate::deliveries::WebhookEvent;
use crate::ids::{ApiKeyId, AppId, RunId};
use crate::runs::RunStatus;
use crate::time::Time;

use super::files::{GivenFile, ShownArtifact};
use super::source::ShownSource;
use super::webhook::Webhook;
#[cfg(feature = "openapi")]
use super::webhook::WebhookState;

/// Where a run was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Api,
    Console,
}

impl Source {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Console => "console",
        }
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Api, Self::Console]
            .into_iter()
            .find(|source| source.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a source"))
    }
}

// A gateway of the former version reads rows that this version writes. So a new status, or a field that
// readers require, needs one release before it that reads it and does not write it.
/// One execution of an app.
#[derive(Debug, Clone, Serialize, QueryableByName)]
#[cfg_attr(feature = "openapi", derive(ToSchema), schema(as = Run))]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    #[diesel(sql_type = SqlUuid)]
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub id: RunId,
    /// The first text input, or else the first characters of the id.
    #[diesel(sql_type = Text)]
    pub title: String,
    #[diesel(sql_type = Text)]
    #[cfg_attr(feature = "openapi", schema(value_type = RunStatus))]
    pub status: RunStatus,
    #[diesel(sql_type = SqlUuid)]
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub app_id: AppId,
    #[diesel(sql_type = Text)]
    pub app_name: String,
    /// The version that the run pins.
    #[diesel(sql_type = Integer)]
    pub app_version: i32,
    // One that only a later version knows is shown as it is.
    #[diesel(sql_type = Text)]
    #[cfg_attr(feature = "openapi", schema(value_type = Source))]
    pub source: String,
    #[diesel(sql_type = Nullable<Jsonb>)]
    #[cfg_attr(feature = "openapi", schema(required, value_type = Option<UsedKey>))]
    pub api_key: Option<Json<UsedKey>>,
    /// With defaults. Left out in lists.
    #[diesel(sql_type = Nullable<Jsonb>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<BTreeMap<String, Value>>, nullable = false))]
    pub inputs: Option<Value>,
    /// The model that the run uses.
    #[diesel(sql_type = Text)]
    pub chat_model_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub webhook_url: Option<String>,
    /// Left out in webhooks.
    #[diesel(sql_type = Jsonb)]
    #[serde(skip_serializing_if = "Webhook::is_left_out")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<WebhookState>))]
    pub webhook: Json<Webhook>,
    /// The events that send a webhook. Null without `webhookUrl`.
    #[diesel(sql_type = Nullable<Array<Text>>)]
    #[cfg_attr(feature = "openapi", schema(required, value_type = Option<Vec<WebhookEvent>>))]
    pub webhook_events: Option<Vec<String>>,
    /// What the client sent, in its order. The agent finds the files under `inputs/`.
    #[diesel(sql_type = Array<Jsonb>)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<GivenFile>))]
    pub files: Vec<Json<GivenFile>>,
    #[diesel(sql_type = Jsonb)]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, String>))]
    pub metadata: Json<BTreeMap<String, String>>,
    /// What the run produced. Left out in lists.
    #[diesel(sql_type = Nullable<Jsonb>)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ShownResult>))]
    pub result: Option<Json<ShownResult>>,
    #[diesel(sql_type = Array<Jsonb>)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<ShownArtifact>))]
    pub artifacts: Vec<Json<ShownArtifact>>,
    /// Why a run failed. Codes may be added.
    #[diesel(sql_type = Nullable<Text>)]
    #[cfg_attr(feature = "openapi", schema(required, example = "model_unavailable"))]
    pub error_code: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    #[cfg_attr(feature = "openapi", schema(required, value_type = Option<ShownError>))]
    pub error: Option<Json<ShownError>>,
    /// Why a pending run waits.
    #[diesel(sql_type = Nullable<Jsonb>)]
    #[cfg_attr(feature = "openapi", schema(required, value_type = Option<Pending>))]
    pub pending: Option<Json<Pending>>,
    #[diesel(sql_type = Jsonb)]
    #[cfg_attr(feature = "openapi", schema(value_type = Usage))]
    pub usage: Json<Usage>,
    /// The hosts that the run's tools tried to reach, with redirects, in alphabetical order.
    #[diesel(sql_type = Array<Text>)]
    #[cfg_attr(feature = "openapi", schema(example = json!(["example.org", "www.example.org"])))]
    pub contacted_hosts: Vec<String>,
    /// How often a worker started the run or took it over.
    #[diesel(sql_type = Integer)]
    pub attempt: i32,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: Time,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub started_at: Option<Time>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub completed_at: Option<Time>,
    #[diesel(embed)]
    pub links: RunLinks,
    /// The number of the last event.
    #[diesel(sql_type = BigInt)]
    #[serde(skip)]
    pub last_seq: i64,
    /// The database's time of reading.
    #[diesel(sql_type = Timestamptz)]
    #[serde(skip)]
    pub read_at: DateTime<Utc>,
}

impl RunView {
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.status.is_over()
    }
}

/// The addresses of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct RunLinks {
    /// The run. Needs the key.
    #[serde(rename = "self")]
    pub this: String,
    /// The page of the console, for people.
    pub console: String,
    /// The events of the run. Needs the key.
    pub events: String,
}

/// They are not part of the row: [`super::Viewer`] sets them.
impl<DB: Backend> QueryableByName<DB> for RunLinks {
    fn build<'a>(_: &impl NamedRow<'a, DB>) -> deserialize::Result<Self> {
        Ok(Self::default())
    }
}

/// The key that created the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct UsedKey {
    #[cfg_attr(feature = "openapi", schema(value_type = Uuid))]
    pub id: ApiKeyId,
    pub name: String,
}

/// What a run produced.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema), schema(as = RunResult))]
pub struct ShownResult {
    pub text: String,
    /// The text as JSON, if the app declares an output schema. It matches that schema.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>, nullable = false, required = false))]
    pub data: Option<Value>,
    /// True if the run did not complete: the result is what there was so far.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<bool>, nullable = false, required = false))]
    pub partial: bool,
    /// The web pages that the run found, read or cites, in the order of their numbers. Absent if there are
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Option<Vec<ShownSource>>, nullable = false, required = false)
    )]
    pub sources: Vec<ShownSource>,
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<ShownArtifact>, required))]
    pub artifacts: Vec<ShownArtifact>,
}

/// A null that is present is a value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema), schema(as = RunError))]
#[serde(rename_all = "camelCase")]
pub struct ShownError {
    pub code: String,
    pub message: String,
    /// The step that failed, counted from 1.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub step: Option<i32>,
    /// The number of the event that reports the failure.
    pub event_seq: i64,
    /// Whether the same run, created again, is likely to succeed.
    pub retryable: bool,
}

/// Why a run waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct Pending {
    #[cfg_attr(feature = "openapi", schema(example = "waiting_for_worker"))]
    pub reason: String,
    #[cfg_attr(feature = "openapi", schema(value_type = Time))]
    pub since: Time,
    /// The account's runs before this one, counted up to 10,000.
    pub ahead: i64,
}

/// What a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub steps: i32,
    pub tool_calls: i32,
    /// Those of the input tokens that the model server had in its prompt cache. Absent if it does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<i64>,
    /// Those of the output tokens that were reasoning. Absent if the model server does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<i64>,
}
