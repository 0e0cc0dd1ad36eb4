//! The app endpoints, and the app as they show it.

pub(super) mod archive;
mod body;
pub(super) mod create;
pub(super) mod get;
pub(super) mod list;
pub(super) mod put;
mod types;

use gateway_domain::apps::list::{App as StoredApp, load};
use serde::Serialize;
use serde_json::Value;
use shared::apps::{FetchUrls, InputType};
use shared::ids::{AppId, UserId};
use shared::time::Time;
use utoipa::ToSchema;

use super::types::Limits;
use crate::context::Context;
use crate::http::ApiError;

/// The cause in the log if a newer build stored the definition.
const UNREADABLE: &str = "a stored definition cannot be read";

/// An agent app in its current version.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct App {
    #[schema(value_type = Uuid)]
    id: AppId,
    name: String,
    description: String,
    version: i32,
    inputs: Vec<InputField>,
    tools: Vec<String>,
    /// The model of runs that name no other model.
    chat_model_id: String,
    limits: Limits,
    fetch: Fetch,
    /// The provider that `web_search` uses. Null: the installation's default, or the app does not search.
    #[schema(required)]
    search_provider: Option<String>,
    #[schema(required, value_type = Option<BTreeMap<String, Value>>)]
    output_schema: Option<Value>,
    archived: bool,
    created_at: Time,
    updated_at: Time,
}

/// Which pages `fetch_url` may read. A request must satisfy both rules, and so must each redirect.
#[derive(Serialize, ToSchema)]
pub(super) struct Fetch {
    /// The only hosts that may be contacted. Every host, if it is empty.
    #[schema(example = json!(["example.org", "*.example.net"]))]
    hosts: Vec<String>,
    /// `any`: every URL at these hosts. `listed`: the same, and `hosts` is not empty. `known`: only URLs that
    /// the run was given or found on a page that it fetched. Rules may be added.
    #[schema(value_type = String, example = "known")]
    urls: FetchUrls,
}

/// [`InputType`] for the document.
#[derive(ToSchema)]
#[schema(as = InputType, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes shared::apps::InputType, which knows no OpenAPI")]
pub(super) enum InputKind {
    Text,
    Number,
    Boolean,
    Select,
    File,
}

/// [`FetchUrls`] for the document.
#[derive(ToSchema)]
#[schema(as = FetchUrls, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes shared::apps::FetchUrls, which knows no OpenAPI")]
pub(super) enum FetchKind {
    Any,
    Listed,
    Known,
}

/// One field of an app's form.
#[derive(Serialize, ToSchema)]
pub(super) struct InputField {
    name: String,
    label: String,
    #[schema(value_type = InputKind)]
    r#type: InputType,
    required: bool,
    #[schema(required, value_type = Value)]
    default: Option<Value>,
    /// The choices of a select.
    options: Vec<String>,
}

impl App {
    /// The user's app in this version, or in its current one.
    async fn load(
        context: &Context,
        user: UserId,
        app: AppId,
        version: Option<i32>,
    ) -> Result<Self, ApiError> {
        let stored = load(&context.db, user, app, version).await?.ok_or(ApiError::not_found("app"))?;
        Self::new(&stored, &context.models.default_model().id).ok_or_else(|| ApiError::internal(UNREADABLE))
    }

    /// `default_model` is the model of apps that name none. `None` if this build cannot read the definition.
    fn new(stored: &StoredApp, default_model: &str) -> Option<Self> {
        let definition = stored.definition()?;
        let field = |field: shared::apps::InputField| InputField {
            label: field.label.unwrap_or_else(|| field.name.clone()),
            name: field.name,
            r#type: field.r#type,
            required: field.required,
            default: field.default,
            options: field.options,
        };
        Some(Self {
            id: stored.id,
            name: definition.name,
            description: definition.description,
            version: stored.version,
            inputs: definition.inputs.into_iter().map(field).collect(),
            tools: definition.tools,
            chat_model_id: definition.model.unwrap_or_else(|| default_model.to_owned()),
            limits: Limits(definition.limits),
            fetch: Fetch { hosts: definition.fetch.hosts, urls: definition.fetch.urls },
            search_provider: definition.web_search.provider,
            output_schema: definition.output.map(|output| output.schema),
            archived: stored.archived,
            created_at: Time(stored.created_at),
            updated_at: Time(stored.updated_at),
        })
    }
}
