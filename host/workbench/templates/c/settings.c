#include "settings.h"

bool configured(const char *key, policy_string_t *value) {
  policy_string_t name;
  policy_string_set(&name, key);
  return volward_policy_config_get(&name, value) && value->len > 0;
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
