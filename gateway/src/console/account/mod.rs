//! /account: keys, webhooks, plan and usage, activity, security.

pub(super) mod activity;
pub(super) mod keys;
pub(super) mod security;
pub(super) mod usage;
pub(super) mod webhooks;

use super::page::{Frame, Part};
use super::visitor::Visitor;

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
