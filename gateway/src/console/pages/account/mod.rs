//! /account: API keys, webhooks, plan and usage, activity, security.

pub(crate) mod activity;
pub(crate) mod deliveries;
mod delivery_row;
pub(crate) mod key_form;
pub(crate) mod keys;
pub(crate) mod security;
pub(crate) mod usage;
pub(crate) mod webhooks;

use crate::console::page::{Frame, Part};
use crate::console::session::Visitor;

/// The pages, in the order of their tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Keys,
    Webhooks,
    Usage,
    Activity,
    Security,
}

impl Tab {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Keys, "API Keys", "/account/keys"),
        (Self::Webhooks, "Webhooks", "/account/webhooks"),
        (Self::Usage, "Plan and usage", "/account/usage"),
        (Self::Activity, "Activity", "/account/activity"),
        (Self::Security, "Security", "/account/security"),
    ];

    fn tabs(self) -> [(&'static str, &'static str, bool); 5] {
        Self::ALL.map(|(tab, label, href)| (label, href, tab == self))
    }

    fn frame(self, visitor: &Visitor) -> Frame {
        let label = Self::ALL.iter().find(|(tab, ..)| *tab == self).map_or("", |(_, label, _)| label);
        Frame::new(label, Part::Account, visitor)
    }
}
