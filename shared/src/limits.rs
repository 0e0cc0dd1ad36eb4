//! The limits of one run, as an app sets them. App files, the editor, the API and the console read this
//! table, so no other source file lists the limits. A new limit is one entry here and the code in the
//! run-worker that enforces it. Tests then demand its row in docs/API.md and a new docs/openapi.json.

use serde::{Deserialize, Serialize};

/// One limit, for the parts that handle all of them alike.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// In app files and in stored definitions: `tool_calls`.
    pub name: &'static str,
    /// In the API: `toolCalls`.
    pub api_name: &'static str,
    /// In the console: `Tool calls`.
    pub label: &'static str,
    /// What it counts, in one sentence.
    pub meaning: &'static str,
    pub default: u32,
    /// The highest value that an app may set. The lowest is 1.
    pub highest: u32,
    pub get: fn(&Limits) -> u32,
    pub set: fn(&mut Limits, u32),
    /// In plans files: `max_tool_calls`.
    pub ceiling_name: &'static str,
    /// In the API: `maxToolCalls`.
    pub ceiling_api_name: &'static str,
    pub ceiling: fn(&Ceilings) -> Option<u32>,
    pub set_ceiling: fn(&mut Ceilings, u32),
}

macro_rules! limits {
    ($($name:ident, $api_name:literal, $label:literal, $meaning:literal,
       ceiling $ceiling:ident, $ceiling_api_name:literal,
       default $default:expr, highest $highest:expr;)*) => {
        /// The limits of one run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Limits {
            $(#[doc = $meaning] pub $name: u32,)*
        }

        /// The highest values that a plan lets an app's run have. `None` means no ceiling.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
        #[serde(default)]
        pub struct Ceilings {
            $(pub $ceiling: Option<u32>,)*
        }

        impl Default for Limits {
            /// Enough for a task that takes a person an afternoon, too little to use up a month's budget.
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            /// All limits, in the order in which people see them.
            pub const ALL: &'static [Limit] = &[$(Limit {
                name: stringify!($name),
                api_name: $api_name,
                label: $label,
                meaning: $meaning,
                default: $default,
                highest: $highest,
                get: |limits| limits.$name,
                set: |limits, value| limits.$name = value,
                ceiling_name: stringify!($ceiling),
                ceiling_api_name: $ceiling_api_name,
                ceiling: |ceilings| ceilings.$ceiling,
                set_ceiling: |ceilings, value| ceilings.$ceiling = Some(value),
            },)*];
        }
    };
}

// The highest values bound the event log, which a worker reads as a whole.
limits! {
    steps, "steps", "Steps", "Model answers.",
        ceiling max_steps, "maxSteps",
        default 20, highest 1000;
    seconds, "seconds", "Seconds", "Only the time in which a worker works on the run, over all attempts.",
        ceiling max_seconds, "maxSeconds",
        default 600, highest 86_400;
    tokens, "tokens", "Tokens", "Input and output together.",
        ceiling max_tokens, "maxTokens",
        default 200_000, highest 100_000_000;
    tool_calls, "toolCalls", "Tool calls", "Calls of tools.",
        ceiling max_tool_calls, "maxToolCalls",
        default 100, highest 2000;
    output_bytes, "outputBytes", "Output bytes",
        "The model's words and arguments, tools' results, artifacts.",
        ceiling max_output_bytes, "maxOutputBytes",
        default 8 << 20, highest 64 << 20;
    workspace_bytes, "workspaceBytes", "Workspace bytes", "Bytes of the run's files.",
        ceiling max_workspace_bytes, "maxWorkspaceBytes",
        default 100 << 20, highest 1 << 30;
}

impl Limits {
    /// The same limits under a plan's ceilings.
    #[must_use]
    pub fn under(self, plan: Option<&crate::config::Plan>) -> Self {
        let mut lowered = self;
        for limit in Self::ALL {
            if let Some(ceiling) = plan.and_then(|plan| (limit.ceiling)(&plan.ceilings)) {
                (limit.set)(&mut lowered, (limit.get)(&self).min(ceiling));
            }
        }
        lowered
    }

    /// The limits above the plan's ceilings, each with its ceiling.
    pub fn above(self, plan: &crate::config::Plan) -> impl Iterator<Item = (&'static Limit, u32)> {
        let lowered = self.under(Some(plan));
        let pairs = Self::ALL.iter().map(move |limit| (limit, (limit.get)(&lowered)));
        pairs.filter(move |(limit, ceiling)| (limit.get)(&self) > *ceiling)
    }

    /// The limits whose values are out of range.
    pub fn out_of_range(&self) -> impl Iterator<Item = &'static Limit> {
        Self::ALL.iter().filter(|limit| !(1..=limit.highest).contains(&(limit.get)(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_stored_form_have_the_same_limits() {
        let stored = serde_json::to_value(Limits::default()).unwrap();
        let stored: Vec<_> = stored.as_object().unwrap().keys().map(String::as_str).collect();
        let mut listed: Vec<_> = Limits::ALL.iter().map(|limit| limit.name).collect();
        listed.sort_unstable();
        assert_eq!(listed, stored);
        for limit in Limits::ALL {
            let mut limits = Limits::default();
            assert_eq!((limit.get)(&limits), limit.default, "{}", limit.name);
            (limit.set)(&mut limits, 7);
            assert_eq!((limit.get)(&limits), 7, "{}", limit.name);
        }
    }

    #[test]
    fn each_limit_has_its_ceiling() {
        use crate::config::Plans;

        let free = Plans::built_in();
        let free = free.get("free").unwrap();
        let highest = |limit: &Limit| (limit.ceiling)(&free.ceilings).unwrap();
        let mut greedy = Limits::default();
        for limit in Limits::ALL {
            assert!(limit.default <= highest(limit), "an app without {} is one of the plan free", limit.name);
            assert_eq!(limit.ceiling_name, format!("max_{}", limit.name));
            (limit.set)(&mut greedy, limit.highest);
        }
        let above: Vec<_> = greedy.above(free).map(|(limit, ceiling)| (limit.name, ceiling)).collect();
        assert_eq!(above, Limits::ALL.iter().map(|limit| (limit.name, highest(limit))).collect::<Vec<_>>());
        let lowered = greedy.under(Some(free));
        assert!(Limits::ALL.iter().all(|limit| (limit.get)(&lowered) == highest(limit)));
    }

    #[test]
    fn the_documentation_lists_each_limit() {
        let documented = include_str!("../../docs/API.md");
        for limit in Limits::ALL {
            let Limit { api_name, meaning, default, highest, .. } = limit;
            let row = format!("| {api_name} | {meaning} | {default} | {highest} |");
            assert!(documented.contains(&row), "docs/API.md, section Limits of a run, lacks: {row}");
        }
    }

    /// Outside of this table and of the code that enforces limits, no source file lists them. So a new limit
    /// is one edit.
    #[test]
    fn only_this_table_and_the_enforcement_name_the_limits() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut naming = Vec::new();
        for folder in ["shared/src", "gateway/src", "gateway/domain/src", "webhook-dispatcher/src"] {
            files_naming(&root.join(folder), &["tool_calls", "output_bytes", "workspace_bytes"], &mut naming);
        }
        assert_eq!(naming, ["limits.rs"], "these files would change with a new limit");
    }

    /// The names of the files below `folder` that name all of `words`.
    fn files_naming(folder: &std::path::Path, words: &[&str], found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_naming(&path, words, found);
            } else if let Ok(text) = std::fs::read_to_string(&path)
                && words.iter().all(|word| text.contains(word))
            {
                found.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
}
