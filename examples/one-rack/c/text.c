#include "text.h"

#include <stdlib.h>
#include <string.h>

void add(policy_string_t *line, policy_string_t more) {
  line->ptr = realloc(line->ptr, line->len + more.len);
  if (!line->ptr && line->len + more.len > 0) abort();
  if (more.len > 0) memcpy(line->ptr + line->len, more.ptr, more.len);
  line->len += more.len;
}

// Not a copy: what is lent by the program itself.
static policy_string_t own(const char *words) {
  return (policy_string_t){(uint8_t *)words, strlen(words)};
}

void add_words(policy_string_t *line, const char *words) { add(line, own(words)); }

policy_string_t text(const char *words) {
  policy_string_t line = {NULL, 0};
  add_words(&line, words);
  return line;
}

bool equal(policy_string_t one, policy_string_t other) {
  return one.len == other.len && (one.len == 0 || !memcmp(one.ptr, other.ptr, one.len));
}

static uint8_t lower(uint8_t letter) {
  return letter >= 'A' && letter <= 'Z' ? letter + ('a' - 'A') : letter;
}

bool equal_in_any_case(policy_string_t one, policy_string_t other) {
  if (one.len != other.len) return false;
  for (size_t n = 0; n < one.len; n++) {
    if (lower(one.ptr[n]) != lower(other.ptr[n])) return false;
  }
  return true;
}

bool is(policy_string_t text, const char *words) { return equal(text, own(words)); }

bool after(policy_string_t text, const char *prefix, policy_string_t *rest) {
  size_t len = strlen(prefix);
  if (text.len < len || memcmp(text.ptr, prefix, len)) return false;
  *rest = (policy_string_t){text.ptr + len, text.len - len};
  return true;
}

static bool is_blank(uint8_t letter) { return letter == ' ' || letter == '\t' || letter == '\n'; }

policy_string_t trimmed(policy_string_t text) {
  while (text.len > 0 && is_blank(text.ptr[text.len - 1])) text.len--;
  while (text.len > 0 && is_blank(*text.ptr)) text.ptr++, text.len--;
  return text;
}

static bool parts(uint8_t letter) { return is_blank(letter) || letter == ','; }

bool next_word(policy_string_t *list, policy_string_t *word) {
  while (list->len > 0 && parts(*list->ptr)) list->ptr++, list->len--;
  *word = (policy_string_t){list->ptr, 0};
  while (list->len > 0 && !parts(*list->ptr)) list->ptr++, list->len--, word->len++;
  return word->len > 0;
}

bool has_word(policy_string_t list, policy_string_t word) {
  policy_string_t one;
  while (next_word(&list, &one)) {
    if (equal(one, word)) return true;
  }
  return false;
}
