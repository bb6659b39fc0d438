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
    (51, "src/filter/tests.rs", "all_headers_together_are_bounded"),
    (38, CACHING, "a_hit_asks_nobody_and_strips_and_sets_all_the_same"),
    (38, RULES, "a_good_token_is_good_for_its_time"),
    (63, RULES, "another_endpoint_is_another_question"),
    (129, KEY, "whatever_differs_is_another_question"),
    (129, RULES, "another_endpoint_is_another_question"),
    (130, RULES, "each_request_is_judged_by_the_configuration_of_its_time"),
    (130, UPDATES, "row_130_an_update_applies_to_what_is_remembered"),
    (131, RULES, "another_endpoint_is_another_question"),
    (131, UPDATES, "row_130_an_update_applies_to_what_is_remembered"),
    (132, KEY, "whatever_differs_is_another_question"),
    (133, STORE, "a_million_keys_and_no_mistake"),
    (133, FLOOD, "a_flood_of_tokens_takes_no_more_memory"),
    // What they cost is not asserted: the table is the standard library's, seeded at random.
    (134, STORE, "a_million_keys_and_no_mistake"),
    (135, KEY, "whatever_differs_is_another_question"),
    (136, CACHING, "what_is_revoked_is_refused_by_every_worker_within_the_ttl"),
    (137, RULES, "the_answers_own_exp_ends_it"),
    (138, "src/provider/expiry.rs", "every_kind_of_exp"),
    (138, RULES, "the_answers_own_exp_ends_it"),
    (139, RULES, "the_answers_own_exp_ends_it"),
    (139, CACHING, "a_token_is_asked_for_again_when_it_has_ended"),
    (139, CACHING, "a_jwt_is_asked_for_again_when_it_has_ended"),
    (140, RULES, "a_wall_clock_that_jumps_moves_exp_alone"),
    (141, RULES, "the_providers_cache_control"),
    (142, RULES, "the_newest_word_counts"),
    (142, CACHING, "what_is_revoked_is_refused_by_every_worker_within_the_ttl"),
    (143, RULES, "what_says_nothing_of_the_token_is_not_kept"),
    (143, CACHING, "what_says_nothing_of_the_token_is_asked_again"),
    (144, STORE, "bad_tokens_drive_out_no_good_ones"),
    (144, FLOOD, "a_flood_of_bad_tokens_leaves_good_ones_alone"),
    (145, "src/filter/tests.rs", "each_request_gets_its_own_answer"),
    (145, MAIN, "catalogue"),
    (146, RULES, "an_outage_prolongs_nothing"),
    (146, CACHING, "an_outage_is_bridged_until_the_ttl_and_not_beyond"),
    (147, STORE, "bounds_of_none_one_and_some"),
    (148, STORE, "bytes_are_bounded_too"),
    (149, "src/filter/tests/sharing.rs", "no_token_is_shared"),
    (150, RULES, "each_request_is_judged_by_the_configuration_of_its_time"),
    (151, TRAP, "row_151_a_new_vm_remembers_nothing"),
    (152, RULES, "each_request_is_judged_by_the_configuration_of_its_time"),
    (152, CACHING, "a_changed_attribute_is_seen_within_the_ttl"),
    (153, JOINING, "a_thousand_requests_with_one_token_are_one_call"),
    (153, JOINING, "each_worker_asks_once_at_most"),
    (154, JOINING, "the_first_client_of_a_shared_call_may_leave"),
    (154, UPDATES, "row_154_a_call_outlives_its_configuration"),
    (154, TRAP, "row_154_nobody_waits_for_the_timer"),
    (155, JOINING, "the_first_client_of_a_shared_call_may_leave"),
    (155, CALLS, "a_client_that_leaves_does_not_affect_the_others"),
    (156, CALLS, "too_many_calls_are_refused_at_once"),
    (156, JOINING, "more_calls_than_may_be_are_refused_at_once"),
    (157, CALLS, "each_gets_its_own_instances_headers"),
    (158, CALLS, "each_gets_its_own_instances_headers"),
    (158, JOINING, "each_instance_sets_its_own_headers"),
    (159, CALLS, "one_call_and_everybody_gets_its_answer"),
    (160, CALLS, "a_call_that_was_not_sent_leaves_nothing"),
    (161, CALLS, "nobody_waits_past_its_own_deadline"),
    // The crowd after the rows: requests with a path and a header of their own share calls.
    (162, MAIN, "catalogue"),
    (163, CALLS, "one_call_and_everybody_gets_its_answer"),
    (165, JOINING, "a_connection_with_eighty_streams_is_reset_in_the_middle"),
    (166, CALLS, "too_many_that_wait_are_refused_at_once"),
    (167, FLOOD, "streams_that_are_opened_and_reset_leave_nothing"),
    (168, CALLS, "call_numbers_may_wrap"),
];

/// Cases without a test, and why.
pub const LEFT_OUT: &[(RangeInclusive<u32>, &str)] = &[(
    164..=164,
    "cannot be written: one function carries a decision out, and the resume follows it",
)];
