// Refuses instances whose name begins with the configured `prefix`.

#include "settings.h"

// The component's type is added when the component is made; the bindings want its object file.
void __component_type_object_force_link_policy(void) {}

bool exports_volward_policy_attach_review(exports_volward_policy_attach_borrow_request_t request,
                                          exports_volward_policy_attach_borrow_answer_t answer,
                                          exports_volward_policy_attach_denial_t *denial) {
  policy_string_t name, prefix;
  volward_policy_facts_method_request_instance_name(request, &name);
  bool refused = configured("prefix", &prefix) && begins(name, prefix);
  if (refused) {
    policy_string_t message = text("instance ");
    add(&message, name);
    add_words(&message, " may not start: names that begin with ");
    add(&message, prefix);
    add_words(&message, " are refused here");
    denial->code = text("name-refused");
    denial->message = message;
    denial->retry_after_ms.is_some = false;
  }
  // What was lent must be given back before the call ends, or it ends in a trap.
  volward_policy_facts_request_drop_borrow(request);
  volward_policy_answers_answer_drop_borrow(answer);
  return !refused;
}
