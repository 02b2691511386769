// Text as the interface has it: with a length, and no zero at its end.
//
// An instance lives for one decision, and all its memory goes with it: nothing is freed here.
// printf is not used: it brings the C library's files with it, and those import WASI, of which a
// policy may have nothing.

#pragma once

#include <stdlib.h>
#include <string.h>

#include "bindings/policy.h"

static inline void add(policy_string_t *line, policy_string_t more) {
  line->ptr = realloc(line->ptr, line->len + more.len);
  if (!line->ptr && line->len + more.len > 0) abort();
  if (more.len > 0) memcpy(line->ptr + line->len, more.ptr, more.len);
  line->len += more.len;
}

static inline void add_words(policy_string_t *line, const char *words) {
  add(line, (policy_string_t){(uint8_t *)words, strlen(words)});
}

// A copy, which is what an answer is made of: whoever asked frees it.
static inline policy_string_t text(const char *words) {
  policy_string_t line = {NULL, 0};
  add_words(&line, words);
  return line;
}

static inline bool begins(policy_string_t text, policy_string_t prefix) {
  return prefix.len <= text.len && !memcmp(prefix.ptr, text.ptr, prefix.len);
}
