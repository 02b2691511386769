// Refuses to delete volumes whose name begins with the configured `prefix`.

#include "settings.h"

// The component's type is added when the component is made; the bindings want its object file.
void __component_type_object_force_link_policy(void) {}

static bool refuses(volward_policy_operations_borrow_operation_t operation,
                    exports_volward_policy_operate_denial_t *denial) {
  volward_policy_operations_operation_kind_t kind;
  volward_policy_operations_method_operation_kind(operation, &kind);
  if (kind.tag != VOLWARD_POLICY_OPERATIONS_OPERATION_KIND_DELETE) return false;
  // There is none before a create.
  volward_policy_facts_own_disk_t volume;
  if (!volward_policy_operations_method_operation_volume(operation, &volume)) return false;
  policy_string_t name, prefix, message;
  volward_policy_facts_borrow_disk_t disk = volward_policy_facts_borrow_disk(volume);
  volward_policy_facts_method_disk_name(disk, &name);
  if (!configured("prefix", &prefix) || !begins(name, prefix)) return false;
  volward_policy_facts_method_disk_pool(disk, &message);
  add_words(&message, "/");
  add(&message, name);
  add_words(&message, " is not deleted: volumes whose name begins with ");
  add(&message, prefix);
  add_words(&message, " are kept");
  denial->code = text("kept");
  denial->message = message;
  denial->retry_after_ms.is_some = false;
  return true;
}

bool exports_volward_policy_operate_review(
    exports_volward_policy_operate_borrow_operation_t operation,
    exports_volward_policy_operate_denial_t *denial) {
  bool refused = refuses(operation, denial);
  // What was lent must be given back before the call ends, or it ends in a trap.
  volward_policy_operations_operation_drop_borrow(operation);
  return !refused;
}
