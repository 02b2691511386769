// Keeps the LUN quiet at certain hours: then nothing big is attached, and nothing is copied in the
// background. `hours`, `max-size` and `except` in the configuration.
//
// An instance lives for one decision, and all its memory goes with it: nothing is freed here.
//
// printf is not used: it brings the C library's files with it, and those import WASI, of which a
// policy may have nothing.

#include <stdlib.h>
#include <string.h>

#include "bindings/policy.h"

static const char *const KEYS[] = {"hours", "max-size", "except"};

// The component's type is added when the component is made; the bindings want its object file.
void __component_type_object_force_link_policy(void) {}

struct hours {
  unsigned from, to;
};

// A configured value; NULL where there is none.
static char *configured(const char *key) {
  policy_string_t name, value;
  policy_string_set(&name, key);
  return volward_policy_config_get(&name, &value) ? strndup((char *)value.ptr, value.len) : NULL;
}

// Reads digits up to `end`, which must be something that is not one.
static bool digits(const char *text, const char *end, uint64_t *number) {
  *number = 0;
  for (const char *at = text; at < end; at++) {
    if (*at < '0' || *at > '9' || *number > (UINT64_MAX - (*at - '0')) / 10) return false;
    *number = *number * 10 + (*at - '0');
  }
  return end > text;
}

static bool parse_hours(const char *text, struct hours *hours) {
  const char *dash = strchr(text, '-');
  uint64_t from, to;
  if (!dash || !digits(text, dash, &from) || !digits(dash + 1, text + strlen(text), &to)) return false;
  *hours = (struct hours){from, to};
  return from < 24 && to < 24;
}

static bool parse_size(const char *text, uint64_t *size) {
  static const char *const UNITS[] = {"KiB", "MiB", "GiB", "TiB"};
  const char *end = text + strlen(text);
  unsigned shift = 0;
  for (unsigned unit = 0; unit < 4 && end - text > 3; unit++) {
    if (strcmp(end - 3, UNITS[unit]) != 0) continue;
    shift = 10 * (unit + 1);
    end -= 3;
    while (end > text && end[-1] == ' ') end--;
    break;
  }
  if (!digits(text, end, size) || *size > UINT64_MAX >> shift) return false;
  *size <<= shift;
  return true;
}

static unsigned local_hour(void) {
  int64_t minutes = (int64_t)(volward_policy_clock_now_ms() / 60000) +
                    volward_policy_clock_utc_offset_minutes();
  // The sum may be before the epoch, and `%` keeps the sign.
  int64_t of_day = (minutes % 1440 + 1440) % 1440;
  return of_day / 60;
}

static bool is_quiet(unsigned hour, struct hours hours) {
  return hours.from < hours.to ? hour >= hours.from && hour < hours.to
                               : hour >= hours.from || hour < hours.to;
}

// Adds to a string.
static void add(policy_string_t *line, const void *text, size_t len) {
  line->ptr = realloc(line->ptr, line->len + len);
  if (!line->ptr && line->len + len > 0) abort();
  memcpy(line->ptr + line->len, text, len);
  line->len += len;
}

static void add_words(policy_string_t *line, const char *words) { add(line, words, strlen(words)); }

static void add_number(policy_string_t *line, uint64_t number) {
  char digits[20], *at = digits + sizeof digits;
  do {
    *--at = (char)('0' + number % 10);
  } while (number /= 10);
  add(line, at, digits + sizeof digits - at);
}

static policy_string_t text(const char *words) {
  policy_string_t line = {NULL, 0};
  add_words(&line, words);
  return line;
}

// Says who is refused what, and why.
static void refuse(exports_volward_policy_attach_denial_t *denial,
                   volward_policy_facts_borrow_request_t request,
                   volward_policy_facts_borrow_disk_t disk, struct hours hours, uint64_t max_size) {
  policy_string_t pool, volume, node, name;
  volward_policy_facts_method_disk_pool(disk, &pool);
  volward_policy_facts_method_disk_name(disk, &volume);
  volward_policy_facts_own_node_t here = volward_policy_facts_method_request_node(request);
  volward_policy_facts_method_node_name(volward_policy_facts_borrow_node(here), &node);
  volward_policy_facts_method_request_instance_name(request, &name);

  policy_string_t line = pool;
  add_words(&line, "/");
  add(&line, volume.ptr, volume.len);
  add_words(&line, " has ");
  add_number(&line, volward_policy_facts_method_disk_size(disk));
  add_words(&line, " bytes, and from ");
  add_number(&line, hours.from);
  add_words(&line, " to ");
  add_number(&line, hours.to);
  add_words(&line, " o'clock nothing of more than ");
  add_number(&line, max_size);
  add_words(&line, " is attached on node ");
  add(&line, node.ptr, node.len);
  add_words(&line, ": start ");
  add(&line, name.ptr, name.len);
  add_words(&line, " later");

  denial->code = text("quiet-hours");
  denial->message = line;
  denial->retry_after_ms.is_some = false;
}

bool exports_volward_policy_attach_review(exports_volward_policy_attach_borrow_request_t request,
                                          exports_volward_policy_attach_borrow_answer_t answer,
                                          exports_volward_policy_attach_denial_t *denial) {
  struct hours hours = {0, 0};
  uint64_t max_size = 0;
  char *value;
  // check-config has said what is wrong; what is missing here was refused there.
  if ((value = configured("hours"))) parse_hours(value, &hours);
  if ((value = configured("max-size"))) parse_size(value, &max_size);

  policy_string_t name;
  volward_policy_facts_method_request_instance_name(request, &name);
  const char *prefix = configured("except");
  bool excepted = prefix && strlen(prefix) <= name.len && !memcmp(prefix, name.ptr, strlen(prefix));
  bool agreed = true;
  if (!excepted && is_quiet(local_hour(), hours)) {
    policy_string_t line = text("quiet hours");
    policy_list_tuple2_string_string_t no_fields = {NULL, 0};
    volward_policy_log_write(VOLWARD_POLICY_LOG_LEVEL_INFO, &line, &no_fields);

    volward_policy_facts_list_own_disk_t disks;
    volward_policy_facts_method_request_disks(request, &disks);
    for (size_t n = 0; n < disks.len && agreed; n++) {
      volward_policy_facts_borrow_disk_t disk = volward_policy_facts_borrow_disk(disks.ptr[n]);
      if (volward_policy_facts_method_disk_size(disk) > max_size) {
        refuse(denial, request, disk, hours, max_size);
        agreed = false;
      } else {
        volward_policy_answers_method_answer_copy_at_most(
            answer, disk, VOLWARD_POLICY_ANSWERS_COPY_MODE_WRITES_ONLY);
      }
    }
  }
  // What was lent must be given back before the call ends, or it ends in a trap.
  volward_policy_facts_request_drop_borrow(request);
  volward_policy_answers_answer_drop_borrow(answer);
  return agreed;
}

static void problem(exports_volward_policy_lifecycle_list_problem_t *problems, const char *key,
                    policy_string_t message) {
  problems->ptr[problems->len++] =
      (exports_volward_policy_lifecycle_problem_t){text(key), message};
}

// What is wrong with a value that is not `expected`.
static policy_string_t not(const char *value, const char *expected) {
  policy_string_t line = text("\"");
  add_words(&line, value);
  add_words(&line, "\" is not ");
  add_words(&line, expected);
  return line;
}

void exports_volward_policy_lifecycle_check_config(
    exports_volward_policy_lifecycle_list_problem_t *problems) {
  policy_list_tuple2_string_string_t all;
  volward_policy_config_all(&all);
  // One for each key that is there, and one for each that must be.
  problems->ptr = calloc(all.len + 2, sizeof *problems->ptr);
  if (!problems->ptr) abort();
  problems->len = 0;
  for (size_t n = 0; n < all.len; n++) {
    char *key = strndup((char *)all.ptr[n].f0.ptr, all.ptr[n].f0.len);
    bool known = false;
    for (size_t k = 0; k < sizeof KEYS / sizeof *KEYS; k++) known = known || !strcmp(key, KEYS[k]);
    if (!known) problem(problems, key, text("unknown key; known are: hours, max-size, except"));
  }
  struct hours hours;
  uint64_t size;
  char *value = configured("hours");
  if (!value) {
    problem(problems, "hours", text("is missing"));
  } else if (!parse_hours(value, &hours)) {
    problem(problems, "hours", not(value, "hours of the day such as \"22-6\""));
  }
  value = configured("max-size");
  if (!value) {
    problem(problems, "max-size", text("is missing"));
  } else if (!parse_size(value, &size)) {
    problem(problems, "max-size", not(value, "a size such as \"20GiB\" or a number of bytes"));
  }
}
