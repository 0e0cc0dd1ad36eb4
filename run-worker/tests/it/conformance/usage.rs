//! Tokens, as servers count them.

use serde_json::{Value, json};

use super::case::{Case, Seen, anthropic, openai, responses};
use super::chat::{choice, finish, sse, text, usage};
use super::server::Reply;
use super::{anthropic as claude, harness, responses as items};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_as_servers_count_them() {
    let cases = [of_chat(), where_it_is(), odd_numbers(), of_other_providers()];
    harness::run(cases.into_iter().flatten().collect()).await;
}

/// The step used these tokens: input, output, cached input, reasoning. `Null` stands for not counted.
fn used(expected: Value) -> impl Fn(&Seen) {
    move |seen| {
        let usage = &seen.answers()[0]["usage"];
        let members = ["inputTokens", "outputTokens", "cachedInputTokens", "reasoningTokens"];
        let used: Value = members.iter().map(|member| usage[*member].clone()).collect();
        assert_eq!(used, expected, "{usage}");
        assert_eq!(usage.get("estimated"), None);
        let (input, output) = (seen.run().input_tokens, seen.run().output_tokens);
        assert_eq!(json!([input, output]), json!([expected[0], expected[1]]), "the row of the run");
    }
}

fn answer(last: Value) -> Reply {
    sse([text("Done."), finish("stop"), last])
}

fn counts(name: &str, counted: Value, expected: Value) -> Case {
    openai(name).replies([answer(usage(counted))]).check(used(expected))
}

fn of_chat() -> Vec<Case> {
    let details = json!({
        "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 80, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 8, "accepted_prediction_tokens": 0},
    });
    let no_details = json!({
        "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "prompt_tokens_details": null,
        "completion_tokens_details": null,
    });
    let deepseek = json!({
        "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "prompt_cache_hit_tokens": 64,
        "prompt_cache_miss_tokens": 36, "completion_tokens_details": {"reasoning_tokens": 8},
    });
    let kimi =
        json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cached_tokens": 64});
    let gemini = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 100_015});
    let too_small = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 0});
    let no_cache = json!({
        "prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 0},
    });
    vec![
        counts("usage-of-openai", details, json!([100, 20, 80, 8])),
        counts("usage-of-vllm", no_details, json!([100, 20, null, null])),
        counts("usage-of-deepseek", deepseek, json!([100, 20, 64, 8])),
        counts("usage-of-kimi", kimi, json!([100, 20, 64, null])),
        // The thinking is only in the sum.
        openai("usage-of-gemini").replies([answer(usage(gemini))]).check(|seen| {
            let usage = &seen.answers()[0]["usage"];
            assert_eq!((&usage["inputTokens"], &usage["outputTokens"]), (&json!(10), &json!(100_005)));
        }),
        counts("usage-with-a-small-sum", too_small, json!([10, 5, null, null])),
        counts("usage-without-cached-tokens", no_cache, json!([100, 20, 0, null])),
    ]
}

fn where_it_is() -> Vec<Case> {
    let counted = json!({"prompt_tokens": 100, "completion_tokens": 20});
    let expected = || used(json!([100, 20, null, null]));
    let groq = json!({"choices": [], "x_groq": {"id": "r", "usage": counted}});
    let growing = |output: i64| {
        let mut chunk = text(if output == 20 { "ne." } else { "Do" });
        chunk["usage"] = json!({"prompt_tokens": 100, "completion_tokens": output});
        chunk
    };
    let mut first = text("Done.");
    first["usage"] = counted.clone();
    let whole = json!({"choices": [{"message": {"content": "Done."}, "finish_reason": "stop"}],
        "usage": counted});
    let estimated = |name: &str, reply: Reply| {
        openai(name).replies([reply]).check(|seen| {
            let usage = &seen.answers()[0]["usage"];
            assert_eq!(usage["estimated"], true);
            assert!(usage["inputTokens"].as_i64().is_some_and(|tokens| (1..100_000).contains(&tokens)));
        })
    };
    vec![
        openai("usage-at-groq").replies([answer(groq)]).check(expected()),
        openai("usage-in-the-choice").replies([answer(choice("usage", counted.clone()))]).check(expected()),
        openai("usage-in-each-chunk")
            .replies([sse([growing(3), growing(20), finish("stop")])])
            .check(expected()),
        openai("usage-in-the-first-chunk").replies([sse([first, finish("stop")])]).check(expected()),
        openai("usage-not-streamed").replies([Reply::json(200, &whole)]).check(expected()),
        estimated("no-usage", sse([text("Done."), finish("stop")])),
        estimated("usage-is-null", answer(usage(Value::Null))),
        estimated("usage-is-empty", answer(usage(json!({})))),
        estimated("usage-is-a-list", answer(usage(json!([1, 2])))),
    ]
}

fn odd_numbers() -> Vec<Case> {
    let of =
        |input: Value, output: Value| usage(json!({"prompt_tokens": input, "completion_tokens": output}));
    let bounded = |seen: &Seen| {
        for tokens in [seen.run().input_tokens, seen.run().output_tokens] {
            assert!((0..=2_000_000_000).contains(&tokens), "{tokens}");
        }
    };
    let bad = |name: &str, input: Value, output: Value| {
        let case = openai(name).replies([answer(of(input, output))]);
        case.completes_or_fails("token_limit_exceeded").check(bounded)
    };
    let huge = json!(1_000_000_000_000_000_000_i64);
    vec![
        counts(
            "usage-in-floats",
            json!({"prompt_tokens": 100.0, "completion_tokens": 2e1}),
            json!([100, 20, null, null]),
        ),
        counts(
            "usage-in-texts",
            json!({"prompt_tokens": "100", "completion_tokens": "20"}),
            json!([100, 20, null, null]),
        ),
        bad("usage-of-a-quintillion", huge.clone(), huge),
        bad("usage-of-more-than-64-bits", json!(1e300), json!(u64::MAX)),
        bad("usage-below-zero", json!(-100), json!(-20)),
        bad("usage-of-objects", json!({"total": 3}), json!([])),
    ]
}

fn of_other_providers() -> Vec<Case> {
    let of_responses = json!({
        "input_tokens": 100, "input_tokens_details": {"cached_tokens": 80}, "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 8}, "total_tokens": 120,
    });
    let at_start = json!({
        "input_tokens": 10, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 10,
        "output_tokens": 1,
    });
    let no_cache = json!({"input_tokens": 100, "output_tokens": 1});
    let repeated = json!({
        "input_tokens": 10, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 10,
        "output_tokens": 20,
    });
    let messages = |start: &Value, end: &Value| {
        let block = claude::block(0, &claude::text("Done."));
        let events = [vec![claude::start_with(start)], block, claude::end_with("end_turn", end).to_vec()];
        claude::sse(events.concat())
    };
    let end = json!({"output_tokens": 20});
    vec![
        responses("usage-of-responses")
            .replies([items::answer_with(&[items::message("Done.")], &of_responses)])
            .check(used(json!([100, 20, 80, 8]))),
        // The cached tokens are not in input_tokens.
        anthropic("usage-of-messages")
            .replies([messages(&at_start, &end)])
            .check(used(json!([100, 20, 80, null]))),
        anthropic("usage-of-messages-repeated-at-the-end")
            .replies([messages(&at_start, &repeated)])
            .check(used(json!([100, 20, 80, null]))),
        anthropic("usage-of-messages-without-cache").replies([messages(&no_cache, &end)]).check(|seen| {
            let usage = &seen.answers()[0]["usage"];
            assert_eq!((&usage["inputTokens"], &usage["outputTokens"]), (&json!(100), &json!(20)));
        }),
    ]
}
