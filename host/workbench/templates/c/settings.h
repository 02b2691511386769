// The configuration.

#pragma once

#include "text.h"

// A configured value; false where there is none, or an empty one.
bool configured(const char *key, policy_string_t *value);
