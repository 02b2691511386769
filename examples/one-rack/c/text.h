// Text as the interface has it: with a length, and no zero at its end.
//
// An instance lives for one decision, and all its memory goes with it: nothing is freed here.
//
// printf is not used: it brings the C library's files with it, and those import WASI, of which a
// policy may have nothing.

#pragma once

#include "bindings/policy.h"

// A copy, which is what an answer is made of: whoever asked frees it.
policy_string_t text(const char *words);
void add(policy_string_t *line, policy_string_t more);
void add_words(policy_string_t *line, const char *words);

bool equal(policy_string_t one, policy_string_t other);
// Digits and letters without accents, which is all that a UUID has.
bool equal_in_any_case(policy_string_t one, policy_string_t other);
bool is(policy_string_t text, const char *words);
// Whether it begins with `prefix`, and then the rest.
bool after(policy_string_t text, const char *prefix, policy_string_t *rest);
// Without what is blank at both ends.
policy_string_t trimmed(policy_string_t text);
// Takes the next word off a list, whose words are parted by spaces or commas; false at its end.
bool next_word(policy_string_t *list, policy_string_t *word);
bool has_word(policy_string_t list, policy_string_t word);
