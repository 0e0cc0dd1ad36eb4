//! /apps/{appId}: one app, with the tabs Run, Runs, API and Edit.

pub(crate) mod api;
pub(crate) mod archive;
mod definition;
pub(crate) mod edit;
pub(crate) mod preview;
pub(crate) mod runs;
mod snippets;
pub(crate) mod start;
pub(crate) mod versions;

use gateway_domain::apps::CurrentApp;
use shared::ids::AppId;

use crate::console::page::{Frame, Part};
use crate::console::session::Visitor;

/// The tabs of an app's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Run,
    Runs,
    Api,
    Edit,
}

/// The top of each tab.
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
        let title = match self.tab {
            Tab::Run => self.name.clone(),
            Tab::Runs => format!("Runs · {}", self.name),
            Tab::Api => format!("API · {}", self.name),
            Tab::Edit => format!("Edit · {}", self.name),
        };
        Frame::new(title, Part::Apps, visitor)
    }
}
