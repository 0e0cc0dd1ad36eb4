use super::*;

const LIMITS: Limits =
    Limits { steps: 10, seconds: 100, tokens: 1000, tool_calls: 5, output_bytes: 500, workspace_bytes: 1 };

fn spent(steps: u32, tool_calls: u32, tokens: u64, output_bytes: u64) -> Spent {
    Spent { steps, tool_calls, tokens, output_bytes, last_input: 0 }
}

#[test]
fn each_limit_has_its_own_end() {
    let budget = Budget::new(LIMITS, 0.0, Instant::now());
    let code = |error: Option<RunError>| error.map_or("", |error| error.code.as_str());
    assert_eq!(code(budget.exceeded(&spent(10, 5, 1000, 500))), "", "up to the limit is within it");
    assert_eq!(code(budget.exceeded(&spent(1, 6, 0, 0))), "tool_call_limit_exceeded");
    assert_eq!(code(budget.exceeded(&spent(1, 0, 1001, 0))), "token_limit_exceeded");
    assert_eq!(code(budget.exceeded(&spent(1, 0, 0, 501))), "output_limit_exceeded");
    assert_eq!(code(budget.exhausted(&spent(9, 5, 999, 500))), "");
    assert_eq!(code(budget.exhausted(&spent(10, 0, 0, 0))), "step_limit_exceeded");
    assert_eq!(code(budget.exhausted(&spent(1, 0, 1000, 0))), "token_limit_exceeded");
    assert_eq!(budget.tokens_left(&spent(1, 0, 400, 0)), 600);
    assert_eq!(budget.out_of_time(&Spent::default()).step, Some(1));
}

#[test]
fn the_model_is_warned_at_four_fifths_and_before_the_last_step() {
    let now = Instant::now();
    let warning = |limits, spent, used| Budget::new(limits, used, now).warning(&spent, now);
    assert_eq!(warning(LIMITS, spent(7, 3, 799, 399), 79.0), None);
    for (near, what) in [
        (spent(8, 0, 0, 0), "2 of 10 steps"),
        (spent(1, 4, 0, 0), "1 of 5 tool calls"),
        (spent(1, 0, 800, 0), "200 of 1000 tokens"),
        (spent(1, 0, 0, 400), "100 of 500 bytes"),
    ] {
        assert!(warning(LIMITS, near, 0.0).unwrap().starts_with(what), "{what}");
    }
    assert!(warning(LIMITS, spent(1, 0, 0, 0), 80.0).unwrap().starts_with("20 of 100 seconds"));
    assert!(warning(Limits { steps: 2, ..LIMITS }, spent(1, 0, 0, 0), 0.0).is_some());
}

#[test]
fn the_last_answer_is_asked_for_while_there_is_room_for_it() {
    let now = Instant::now();
    let used_up = |spent: Spent, added, seconds_used| {
        Budget::new(LIMITS, seconds_used, now).used_up(&spent, added, now)
    };
    let input = |last_input| Spent { last_input, ..spent(1, 0, 300, 0) };
    let cases = [
        (spent(1, 1, 100, 100), 10, 0.0, None),
        (spent(9, 0, 0, 0), 0, 0.0, Some(UsedUp::Steps)),
        (spent(1, 5, 0, 0), 0, 0.0, Some(UsedUp::ToolCalls)),
        (spent(1, 6, 0, 0), 0, 0.0, Some(UsedUp::ToolCalls)),
        (input(300), 0, 0.0, None),
        (input(300), 1, 0.0, Some(UsedUp::Tokens)),
        (spent(1, 0, 0, 0), 0, 89.0, None),
        (spent(1, 0, 0, 0), 0, 90.0, Some(UsedUp::Time)),
        (spent(1, 0, 0, 475), 0, 0.0, None),
        (spent(1, 0, 0, 501), 0, 0.0, Some(UsedUp::Output)),
        (spent(0, 0, 0, 0), 900, 95.0, None),
    ];
    for (spent, added, seconds_used, expected) in cases {
        assert_eq!(used_up(spent, added, seconds_used), expected, "{spent:?} {added} {seconds_used}");
    }
    let only = Budget::new(Limits { steps: 1, ..LIMITS }, 0.0, now);
    assert_eq!(only.used_up(&Spent::default(), 0, now), Some(UsedUp::Steps));
}

#[test]
fn calls_end_before_the_last_answer() {
    let now = Instant::now();
    let ends = |seconds| {
        let budget = Budget::new(Limits { seconds, ..LIMITS }, 0.0, now);
        assert!(budget.calls_end() < budget.calls_cut() && budget.calls_cut() < budget.deadline());
        (budget.deadline() - budget.calls_end()).as_millis()
    };
    assert_eq!([2, 20, 100, 600, 7200].map(ends), [500, 5000, 10_000, 60_000, 60_000]);
}

#[test]
fn tokens_and_time_add_up_over_attempts() {
    let mut spent = Spent::default();
    let usage =
        |input_tokens, output_tokens| StepUsage { input_tokens, output_tokens, ..StepUsage::default() };
    spent.add_step(&usage(3, 4), 2);
    spent.add_step(&usage(-3, 0), 1);
    assert_eq!(spent, Spent { steps: 2, tool_calls: 3, tokens: 7, output_bytes: 0, last_input: 0 });
    let now = Instant::now();
    assert_eq!(Budget::new(LIMITS, 30.0, now).deadline(), now + Duration::from_secs(70));
    for used in [1e300, f64::NAN, 101.0] {
        assert!(Budget::new(LIMITS, used, now).deadline() <= now + Duration::from_secs(100), "{used}");
    }
}
