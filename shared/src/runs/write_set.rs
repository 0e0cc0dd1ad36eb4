//! The columns of a set of writes to running runs: the arguments that `append_runs_v1` and `finish_runs_v1`
//! share.

use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use serde_json::Value;
use uuid::Uuid;

use super::events::{self, EventData, LoggedMessage};
use super::fence::Fence;
use super::usage::{UsageDelta, contacted_hosts};
use crate::db::{Prepared, PushBinds};

/// One column for each argument. Items are numbered from 1.
#[derive(Debug, Default)]
pub struct WriteSet<'e> {
    runs: Vec<Uuid>,
    attempts: Vec<i32>,
    claims: Vec<Uuid>,
    after: Vec<i64>,
    /// The events of each item.
    counts: Vec<i32>,
    input_tokens: Vec<i64>,
    output_tokens: Vec<i64>,
    steps: Vec<i32>,
    tool_calls: Vec<i32>,
    cached_tokens: Vec<Option<i64>>,
    reasoning_tokens: Vec<Option<i64>>,
    /// The item of each event, and the event's number among those of its item, from 1.
    event_items: Vec<i32>,
    event_numbers: Vec<i32>,
    event_types: Vec<&'static str>,
    event_data: Vec<Value>,
    host_items: Vec<i32>,
    hosts: Vec<&'e str>,
    /// The items whose tokens count for their account.
    counted_items: Vec<i32>,
    counted_tokens: Vec<i64>,
}

impl<'e> WriteSet<'e> {
    /// Adds an item: `events` and then `last` follow event number `after` of the run. Returns what they use.
    pub fn add(
        &mut self,
        fence: Fence,
        after: i64,
        events: &'e [EventData],
        last: Option<&EventData>,
    ) -> UsageDelta {
        self.runs.push(fence.run.uuid());
        self.attempts.push(fence.attempt);
        self.claims.push(fence.claim);
        self.after.push(after);
        let item = self.last_item();
        let (types, data) = events::columns(events.iter().chain(last));
        let numbers = (1..).take(types.len());
        self.event_numbers.extend(numbers.clone());
        self.counts.push(numbers.last().unwrap_or(0));
        self.event_items.extend(types.iter().map(|_| item));
        self.event_types.extend(types);
        self.event_data.extend(data);
        let hosts = contacted_hosts(events);
        self.host_items.extend(hosts.iter().map(|_| item));
        self.hosts.extend(hosts);
        let usage = UsageDelta::of(events);
        self.input_tokens.push(usage.input_tokens);
        self.output_tokens.push(usage.output_tokens);
        self.steps.push(usage.steps);
        self.tool_calls.push(usage.tool_calls);
        self.cached_tokens.push(usage.cached_input_tokens);
        self.reasoning_tokens.push(usage.reasoning_tokens);
        usage
    }

    /// Counts tokens of the last item for its account.
    pub fn count(&mut self, tokens: i64) {
        self.counted_items.push(self.last_item());
        self.counted_tokens.push(tokens);
    }

    fn last_item(&self) -> i32 {
        i32::try_from(self.runs.len()).unwrap_or(i32::MAX)
    }

    /// Binds the 19 columns, from `p_runs` to `p_counted_tokens`.
    #[must_use]
    pub fn bind_to<Binds: PushBinds>(self, to: Prepared<Binds>) -> Prepared<impl PushBinds> {
        to.bind::<Array<SqlUuid>, _>(self.runs)
            .bind::<Array<Integer>, _>(self.attempts)
            .bind::<Array<SqlUuid>, _>(self.claims)
            .bind::<Array<BigInt>, _>(self.after)
            .bind::<Array<Integer>, _>(self.counts)
            .bind::<Array<BigInt>, _>(self.input_tokens)
            .bind::<Array<BigInt>, _>(self.output_tokens)
            .bind::<Array<Integer>, _>(self.steps)
            .bind::<Array<Integer>, _>(self.tool_calls)
            .bind::<Array<Nullable<BigInt>>, _>(self.cached_tokens)
            .bind::<Array<Nullable<BigInt>>, _>(self.reasoning_tokens)
            .bind::<Array<Integer>, _>(self.event_items)
            .bind::<Array<Integer>, _>(self.event_numbers)
            .bind::<Array<Text>, _>(self.event_types)
            .bind::<Array<Jsonb>, _>(self.event_data)
            .bind::<Array<Integer>, _>(self.host_items)
            .bind::<Array<Text>, _>(self.hosts)
            .bind::<Array<Integer>, _>(self.counted_items)
            .bind::<Array<BigInt>, _>(self.counted_tokens)
    }
}

/// The approximate bytes of the texts of these events. This is enough to keep a set small.
#[must_use]
pub fn bytes_about(events: &[EventData]) -> usize {
    let texts = events.iter().map(|event| match event {
        EventData::Message(LoggedMessage::System { content } | LoggedMessage::User { content, .. }) => {
            content.len()
        }
        EventData::Message(LoggedMessage::Assistant(answer)) => {
            answer.content.len() + answer.tool_calls.iter().map(|call| call.arguments.len()).sum::<usize>()
        }
        EventData::ToolResult(result) => result.content.len(),
        _ => 0,
    });
    texts.sum()
}
