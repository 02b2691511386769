// The configuration: `rack-NAME`, `stay` and `stay-tag`.

#pragma once

#include "text.h"

struct rack {
  policy_string_t name;
  // Their list, as it is configured.
  policy_string_t nodes;
};

// The racks, in the order of the configuration: `n` counts all keys, and begins at 0.
bool next_rack(policy_list_tuple2_string_string_t settings, size_t *n, struct rack *rack);
// The rack that a node is in.
bool rack_of(policy_list_tuple2_string_string_t settings, policy_string_t node, struct rack *rack);
// Whether an instance is listed as `stay`.
bool is_listed(policy_string_t instance);
// The LV tag with which an instance stays, where one is configured that can be a tag.
bool stay_tag(policy_string_t *tag);
