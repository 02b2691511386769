#include "settings.h"

#include <stdlib.h>
#include <string.h>

static const char RACK[] = "rack-";

static bool configured(const char *key, policy_string_t *value) {
  policy_string_t name;
  policy_string_set(&name, key);
  return volward_policy_config_get(&name, value);
}

bool next_rack(policy_list_tuple2_string_string_t settings, size_t *n, struct rack *rack) {
  while (*n < settings.len) {
    policy_tuple2_string_string_t setting = settings.ptr[(*n)++];
    rack->nodes = setting.f1;
    if (after(setting.f0, RACK, &rack->name)) return true;
  }
  return false;
}

bool rack_of(policy_list_tuple2_string_string_t settings, policy_string_t node, struct rack *rack) {
  for (size_t n = 0; next_rack(settings, &n, rack);) {
    if (has_word(rack->nodes, node)) return true;
  }
  return false;
}

bool is_listed(policy_string_t instance) {
  policy_string_t list, word;
  if (!configured("stay", &list)) return false;
  while (next_word(&list, &word)) {
    if (equal_in_any_case(word, instance)) return true;
  }
  return false;
}

static bool is_lv_tag(policy_string_t value, policy_string_t *tag) {
  *tag = trimmed(value);
  return tag->len > 0 && !memchr(tag->ptr, ' ', tag->len);
}

bool stay_tag(policy_string_t *tag) {
  policy_string_t value;
  return configured("stay-tag", &value) && is_lv_tag(value, tag);
}

// 8-4-4-4-12 hexadecimal digits.
static bool is_uuid(policy_string_t word) {
  for (size_t n = 0; n < word.len; n++) {
    uint8_t letter = word.ptr[n];
    bool digit = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f') ||
                 (letter >= 'A' && letter <= 'F');
    bool dash = n == 8 || n == 13 || n == 18 || n == 23;
    if (dash ? letter != '-' : !digit) return false;
  }
  return word.len == 36;
}

static void problem(exports_volward_policy_lifecycle_list_problem_t *problems, const char *key,
                    policy_string_t name, policy_string_t message) {
  policy_string_t whole = text(key);
  add(&whole, name);
  problems->ptr[problems->len++] = (exports_volward_policy_lifecycle_problem_t){whole, message};
}

// What is wrong with something that is quoted.
static policy_string_t quoted(policy_string_t value, const char *wrong) {
  policy_string_t line = text("\"");
  add(&line, value);
  add_words(&line, wrong);
  return line;
}

// What is wrong with a rack that was the last within the first `n` keys.
static void check_rack(policy_list_tuple2_string_string_t settings, size_t n, struct rack rack,
                       exports_volward_policy_lifecycle_list_problem_t *problems) {
  policy_string_t nodes = rack.nodes, node;
  if (!next_word(&nodes, &node)) problem(problems, RACK, rack.name, text("name its nodes"));
  struct rack before;
  for (size_t m = 0; next_rack(settings, &m, &before) && m < n;) {
    for (nodes = before.nodes; next_word(&nodes, &node);) {
      if (!has_word(rack.nodes, node)) continue;
      problem(problems, RACK, rack.name, quoted(node, "\" is in another rack, too"));
      return;
    }
  }
}

void exports_volward_policy_lifecycle_check_config(
    exports_volward_policy_lifecycle_list_problem_t *problems) {
  const policy_string_t nothing = {NULL, 0};
  policy_list_tuple2_string_string_t all;
  policy_string_t value, word;
  volward_policy_config_all(&all);
  // One for each key, a second one for each rack, and one where there is none.
  problems->ptr = calloc(2 * all.len + 1, sizeof *problems->ptr);
  if (!problems->ptr) abort();
  problems->len = 0;
  for (size_t n = 0; n < all.len; n++) {
    policy_string_t key = all.ptr[n].f0;
    if (is(key, "stay") || is(key, "stay-tag") || after(key, RACK, &word)) continue;
    problem(problems, "", key, text("unknown key; known are: rack-NAME, stay, stay-tag"));
  }
  if (configured("stay", &value)) {
    while (next_word(&value, &word)) {
      if (is_uuid(word)) continue;
      problem(problems, "stay", nothing, quoted(word, "\" is not the UUID of an instance"));
      break;
    }
  }
  if (configured("stay-tag", &value) && !is_lv_tag(value, &word)) {
    problem(problems, "stay-tag", nothing, quoted(value, "\" is not an LV tag"));
  }
  struct rack rack;
  for (size_t n = 0; next_rack(all, &n, &rack);) check_rack(all, n, rack, problems);
  if (all.len == 0) {
    problem(problems, "rack-NAME", nothing, text("name the nodes of each rack, or who stays"));
  }
}
