//! Rows 129–168, and what earlier ones say of it: the verdict cache and shared calls. Each needs a scripted order of
//! events, so each is a test of its own, natively or on the real Envoy; the table says where.

use std::ops::RangeInclusive;

const KEY: &str = "src/provider/key.rs";
const STORE: &str = "src/filter/cache/tests.rs";
const RULES: &str = "src/filter/tests/caching.rs";
const CALLS: &str = "src/filter/tests/joining.rs";
const CACHING: &str = "integration/tests/caching.rs";
const JOINING: &str = "integration/tests/joining.rs";
const FLOOD: &str = "integration/tests/flood.rs";
const UPDATES: &str = "integration/tests/catalogue/updates.rs";
const TRAP: &str = "integration/tests/catalogue/trap.rs";
const MAIN: &str = "integration/tests/catalogue/main.rs";

/// Case, file, test. A case may have several.
pub const TESTS: &[(u32, &str, &str)] = &[
    (51, "src/filter/tests.rs", "all_headers_together_are_limited"),
    (38, CACHING, "hit_makes_no_call_and_still_strips_and_sets"),
    (38, RULES, "valid_token_is_cached_for_ttl"),
    (63, RULES, "other_endpoint_has_another_key"),
    (129, KEY, "whatever_differs_is_another_question"),
    (129, RULES, "other_endpoint_has_another_key"),
    (130, RULES, "hit_is_judged_by_the_current_configuration"),
    (130, UPDATES, "row_130_update_applies_to_cached_verdicts"),
    (131, RULES, "other_endpoint_has_another_key"),
    (131, UPDATES, "row_130_update_applies_to_cached_verdicts"),
    (132, KEY, "whatever_differs_is_another_question"),
    (133, STORE, "million_keys_without_collision"),
    (133, FLOOD, "flood_of_tokens_does_not_grow_memory"),
    // Their cost is not asserted: the table is the standard library's, with a random seed.
    (134, STORE, "million_keys_without_collision"),
    (135, KEY, "whatever_differs_is_another_question"),
    (136, CACHING, "revoked_token_is_refused_by_every_worker_within_ttl"),
    (137, RULES, "exp_of_the_answer_ends_the_verdict"),
    (138, "src/provider/expiry.rs", "every_kind_of_exp"),
    (138, RULES, "exp_of_the_answer_ends_the_verdict"),
    (139, RULES, "exp_of_the_answer_ends_the_verdict"),
    (139, CACHING, "verdict_ends_with_exp_of_the_answer"),
    (139, CACHING, "verdict_ends_with_exp_of_the_jwt"),
    (140, RULES, "wall_clock_jump_affects_only_exp"),
    (141, RULES, "provider_cache_control_is_respected"),
    (142, RULES, "newest_verdict_counts"),
    (142, CACHING, "revoked_token_is_refused_by_every_worker_within_ttl"),
    (143, RULES, "answers_that_are_no_verdict_are_not_cached"),
    (143, CACHING, "answer_that_is_no_verdict_is_not_cached"),
    (144, STORE, "invalid_tokens_evict_no_valid_ones"),
    (144, FLOOD, "flood_of_invalid_tokens_evicts_no_valid_one"),
    (145, "src/filter/tests.rs", "each_request_gets_its_own_answer"),
    (145, MAIN, "catalogue"),
    (146, RULES, "outage_extends_no_verdict"),
    (146, CACHING, "cached_verdict_bridges_an_outage_until_ttl"),
    (147, STORE, "limits_of_none_one_and_some"),
    (148, STORE, "bytes_are_limited_too"),
    (149, "src/filter/tests/sharing.rs", "shared_data_has_no_token"),
    (150, RULES, "hit_is_judged_by_the_current_configuration"),
    (151, TRAP, "row_151_new_vm_has_an_empty_cache"),
    (152, RULES, "hit_is_judged_by_the_current_configuration"),
    (152, CACHING, "changed_attribute_arrives_within_ttl"),
    (153, JOINING, "thousand_requests_with_one_token_share_one_call"),
    (153, JOINING, "each_worker_makes_at_most_one_call"),
    (154, JOINING, "first_client_of_a_shared_call_may_leave"),
    (154, UPDATES, "row_154_call_outlives_its_configuration"),
    (154, TRAP, "row_154_no_request_waits_for_the_timer"),
    (155, JOINING, "first_client_of_a_shared_call_may_leave"),
    (155, CALLS, "leaving_client_does_not_affect_others"),
    (156, CALLS, "too_many_calls_are_refused_at_once"),
    (156, JOINING, "calls_beyond_the_limit_are_refused_at_once"),
    (157, CALLS, "joined_request_gets_its_own_instances_headers"),
    (158, CALLS, "joined_request_gets_its_own_instances_headers"),
    (158, JOINING, "each_instance_sets_its_own_headers"),
    (159, CALLS, "joined_requests_share_one_answer"),
    (160, CALLS, "unsent_call_leaves_nothing"),
    (161, CALLS, "joined_request_does_not_wait_past_its_own_deadline"),
    // The crowd after the rows: requests with a path and a header of their own share calls.
    (162, MAIN, "catalogue"),
    (163, CALLS, "joined_requests_share_one_answer"),
    (165, JOINING, "connection_reset_with_eighty_waiting_streams"),
    (166, CALLS, "too_many_requests_for_one_call_are_refused_at_once"),
    (167, FLOOD, "reset_streams_leave_nothing"),
    (168, CALLS, "call_numbers_may_wrap"),
];

/// Cases without a test, and why.
pub const LEFT_OUT: &[(RangeInclusive<u32>, &str)] = &[(
    164..=164,
    "cannot be written: one function carries a decision out, and the resume follows it",
)];
