//! The console without a browser: who may open what (K11), sessions, forms and streams.

mod access;
mod deliveries;
mod editing;
mod keys;
mod live;
mod quotas;
mod samples;
mod sessions;
mod sizes;
mod sources;

/// The form of the editor: these fields, and limits that every plan allows.
fn app_form<'f>(fields: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let limits = [
        "limits.steps",
        "limits.seconds",
        "limits.tokens",
        "limits.tool_calls",
        "limits.output_bytes",
        "limits.workspace_bytes",
    ];
    fields.iter().copied().chain(limits.map(|limit| (limit, "5"))).collect()
}
