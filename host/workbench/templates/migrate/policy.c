// Refuses to migrate instances whose name begins with the configured `prefix`.

#include "settings.h"

// The component's type is added when the component is made; the bindings want its object file.
void __component_type_object_force_link_policy(void) {}

// Where the instance comes from, for people: nobody knows that where no node shows the volumes as
// attached.
static policy_string_t source(volward_policy_facts_borrow_request_t request) {
  volward_policy_facts_own_node_t peer;
  if (!volward_policy_facts_method_request_peer(request, &peer)) return text("where it is");
  policy_string_t place = text("on node "), name;
  volward_policy_facts_method_node_name(volward_policy_facts_borrow_node(peer), &name);
  add(&place, name);
  return place;
}

bool exports_volward_policy_migrate_review(exports_volward_policy_migrate_borrow_request_t request,
                                           exports_volward_policy_migrate_denial_t *denial) {
  policy_string_t name, prefix;
  volward_policy_facts_method_request_instance_name(request, &name);
  bool refused = configured("prefix", &prefix) && begins(name, prefix);
  if (refused) {
    policy_string_t message = text("instance ");
    add(&message, name);
    add_words(&message, " stays ");
    add(&message, source(request));
    add_words(&message, ": names that begin with ");
    add(&message, prefix);
    add_words(&message, " do not migrate");
    denial->code = text("stays");
    denial->message = message;
    denial->retry_after_ms.is_some = false;
  }
  // What was lent must be given back before the call ends, or it ends in a trap.
  volward_policy_facts_request_drop_borrow(request);
  return !refused;
}
