// Keeps an instance within its rack when it migrates live; some do not migrate at all. `rack-NAME`,
// `stay` and `stay-tag` in the configuration, which settings.c reads.

#include "settings.h"

// The component's type is added when the component is made; the bindings want its object file.
void __component_type_object_force_link_policy(void) {}

// Always false, for whoever refuses returns that.
static bool refuse(exports_volward_policy_migrate_denial_t *denial, const char *code,
                   policy_string_t message) {
  denial->code = text(code);
  denial->message = message;
  denial->retry_after_ms.is_some = false;
  return false;
}

// Who does not migrate: by the UUID where the instance has no name.
static policy_string_t who(volward_policy_facts_borrow_request_t request) {
  policy_string_t line;
  volward_policy_facts_method_request_instance_name(request, &line);
  if (line.len == 0) volward_policy_facts_method_request_instance(request, &line);
  add_words(&line, " does not migrate: ");
  return line;
}

// Some instances stay where they were started.
static bool may_leave(volward_policy_facts_borrow_request_t request,
                      exports_volward_policy_migrate_denial_t *denial) {
  policy_string_t instance, tag;
  volward_policy_facts_method_request_instance(request, &instance);
  if (is_listed(instance)) {
    policy_string_t line = who(request);
    add_words(&line, "it is listed as `stay` in the settings of the policy one-rack; stop it and start it elsewhere");
    return refuse(denial, "stays", line);
  }
  // Disks are looked at only where a tag is asked for: each is a call into the daemon.
  if (!stay_tag(&tag)) return true;
  volward_policy_facts_list_own_disk_t disks;
  volward_policy_facts_method_request_disks(request, &disks);
  for (size_t n = 0; n < disks.len; n++) {
    volward_policy_facts_borrow_disk_t disk = volward_policy_facts_borrow_disk(disks.ptr[n]);
    policy_list_string_t tags;
    volward_policy_facts_method_disk_tags(disk, &tags);
    size_t found = 0;
    while (found < tags.len && !equal(tags.ptr[found], tag)) found++;
    if (found == tags.len) continue;
    policy_string_t pool, volume, line = who(request);
    volward_policy_facts_method_disk_pool(disk, &pool);
    volward_policy_facts_method_disk_name(disk, &volume);
    add_words(&line, "its volume ");
    add(&line, pool);
    add_words(&line, "/");
    add(&line, volume);
    add_words(&line, " has the LV tag ");
    add(&line, tag);
    add_words(&line, "; stop it and start it elsewhere, or take the tag away with `lvchange --deltag`");
    return refuse(denial, "stays", line);
  }
  return true;
}

static bool in_no_rack(exports_volward_policy_migrate_denial_t *denial, policy_string_t node) {
  policy_string_t line = text("node ");
  add(&line, node);
  add_words(&line, " is in no rack: add it to a `rack-NAME` in the settings of the policy one-rack");
  return refuse(denial, "no-rack", line);
}

// Where racks are named, an instance stays within its own.
static bool same_rack(volward_policy_facts_borrow_request_t request,
                      exports_volward_policy_migrate_denial_t *denial) {
  policy_list_tuple2_string_string_t settings;
  volward_policy_config_all(&settings);
  struct rack from, to;
  size_t any = 0;
  if (!next_rack(settings, &any, &from)) return true;
  volward_policy_facts_own_node_t peer;
  if (!volward_policy_facts_method_request_peer(request, &peer)) {
    return refuse(denial, "no-source",
                  text("the node that the instance comes from is not known, so nobody can say whether it is in the same rack"));
  }
  policy_string_t source, here;
  volward_policy_facts_method_node_name(volward_policy_facts_borrow_node(peer), &source);
  volward_policy_facts_own_node_t node = volward_policy_facts_method_request_node(request);
  volward_policy_facts_method_node_name(volward_policy_facts_borrow_node(node), &here);
  if (!rack_of(settings, source, &from)) return in_no_rack(denial, source);
  if (!rack_of(settings, here, &to)) return in_no_rack(denial, here);
  if (equal(from.name, to.name)) return true;

  policy_string_t line = text("node "), nodes = from.nodes, other;
  add(&line, source);
  add_words(&line, " is in rack ");
  add(&line, from.name);
  add_words(&line, " and node ");
  add(&line, here);
  add_words(&line, " in rack ");
  add(&line, to.name);
  add_words(&line, ": migrate within rack ");
  add(&line, from.name);
  const char *const at_first = ", to ", *parting = at_first;
  while (next_word(&nodes, &other)) {
    if (equal(other, source)) continue;
    add_words(&line, parting);
    add(&line, other);
    parting = " or ";
  }
  if (parting == at_first) add_words(&line, ", to a node that is added to it");
  return refuse(denial, "other-rack", line);
}

bool exports_volward_policy_migrate_review(exports_volward_policy_migrate_borrow_request_t request,
                                           exports_volward_policy_migrate_denial_t *denial) {
  bool agreed = may_leave(request, denial) && same_rack(request, denial);
  // What was lent must be given back before the call ends, or it ends in a trap.
  volward_policy_facts_request_drop_borrow(request);
  return agreed;
}
