//! /apps/{appId}: one app. Run, Runs, API, Edit.

pub(super) mod api;
pub(super) mod archive;
mod definition;
pub(super) mod edit;
pub(super) mod preview;
pub(super) mod runs;
mod snippets;
pub(super) mod start;
pub(super) mod versions;

use std::sync::Arc;

use shared::ids::AppId;

use super::page::{Frame, Part};
use super::visitor::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use gateway_domain::apps::CurrentApp;

/// The tabs of an app's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Run,
    Runs,
    Api,
    Edit,
}

/// What stands above every tab.
struct Header {
    id: AppId,
    name: String,
    description: String,
    version: i32,
    archived: bool,
    tab: Tab,
}

impl Header {
    fn new(app: &CurrentApp, tab: Tab) -> Self {
        Self {
            id: app.id,
            name: app.definition.name.clone(),
            description: app.definition.description.clone(),
            version: app.version,
            archived: app.archived,
            tab,
        }
    }

    fn tabs(&self) -> [(&'static str, String, bool); 4] {
        let id = self.id;
        [
            ("Run", format!("/apps/{id}"), self.tab == Tab::Run),
            ("Runs", format!("/apps/{id}/runs"), self.tab == Tab::Runs),
            ("API", format!("/apps/{id}/api"), self.tab == Tab::Api),
            ("Edit", format!("/apps/{id}/edit"), self.tab == Tab::Edit),
        ]
    }

    fn frame(&self, visitor: &Visitor) -> Frame {
        let tab = match self.tab {
            Tab::Run => self.name.clone(),
            Tab::Runs => format!("Runs · {}", self.name),
            Tab::Api => format!("API · {}", self.name),
            Tab::Edit => format!("Edit · {}", self.name),
        };
        Frame::new(tab, Part::Apps, visitor)
    }
}

/// The visitor's app that the path names, as it is now.
async fn app_of(context: &Context, visitor: &Visitor, id: &str) -> Result<Arc<CurrentApp>, ApiError> {
    let id: AppId = id.parse().map_err(|_| ApiError::not_found("app"))?;
    context.load_app(visitor.user(), id).await
}
