// Refuses instances whose name begins with the configured `prefix`.
//
// An instance lives for one decision, and all its memory goes with it: nothing is freed here.
// printf is not used: it brings the C library's files with it, and those import WASI, of which a
// policy may have nothing.

#include <stdlib.h>
#include <string.h>

#include "bindings/policy.h"

// The component's type is added when the component is made; the bindings want its object file.
void __component_type_object_force_link_policy(void) {}

static bool configured(const char *key, policy_string_t *value) {
  policy_string_t name;
  policy_string_set(&name, key);
  return volward_policy_config_get(&name, value) && value->len > 0;
}

static void add(policy_string_t *line, const void *text, size_t len) {
  line->ptr = realloc(line->ptr, line->len + len);
  if (!line->ptr && line->len + len > 0) abort();
  memcpy(line->ptr + line->len, text, len);
  line->len += len;
}

static policy_string_t text(const char *words) {
  policy_string_t line = {NULL, 0};
  add(&line, words, strlen(words));
  return line;
}

bool exports_volward_policy_attach_review(exports_volward_policy_attach_borrow_request_t request,
                                          exports_volward_policy_attach_borrow_answer_t answer,
                                          exports_volward_policy_attach_denial_t *denial) {
  policy_string_t name, prefix;
  volward_policy_facts_method_request_instance_name(request, &name);
  bool refused = configured("prefix", &prefix) && prefix.len <= name.len &&
                 !memcmp(prefix.ptr, name.ptr, prefix.len);
  if (refused) {
    policy_string_t message = text("instance ");
    add(&message, name.ptr, name.len);
    const char *middle = " may not start: names that begin with ", *end = " are refused here";
    add(&message, middle, strlen(middle));
    add(&message, prefix.ptr, prefix.len);
    add(&message, end, strlen(end));
    denial->code = text("name-refused");
    denial->message = message;
    denial->retry_after_ms.is_some = false;
  }
  // What was lent must be given back before the call ends, or it ends in a trap.
  volward_policy_facts_request_drop_borrow(request);
  volward_policy_answers_answer_drop_borrow(answer);
  return !refused;
}

void exports_volward_policy_lifecycle_check_config(
    exports_volward_policy_lifecycle_list_problem_t *problems) {
  policy_list_tuple2_string_string_t all;
  volward_policy_config_all(&all);
  // One for each key that is there, and one for the key that must be.
  problems->ptr = calloc(all.len + 1, sizeof *problems->ptr);
  if (!problems->ptr) abort();
  problems->len = 0;
  for (size_t n = 0; n < all.len; n++) {
    policy_string_t key = all.ptr[n].f0;
    if (key.len == 6 && !memcmp(key.ptr, "prefix", 6)) continue;
    problems->ptr[problems->len++] =
        (exports_volward_policy_lifecycle_problem_t){key, text("unknown key; known are: prefix")};
  }
  policy_string_t prefix;
  if (!configured("prefix", &prefix)) {
    problems->ptr[problems->len++] = (exports_volward_policy_lifecycle_problem_t){
        text("prefix"), text("give the beginning of the names to refuse")};
  }
}
