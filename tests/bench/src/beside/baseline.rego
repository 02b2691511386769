# What the policy `baseline` says (plugins/baseline/src/lib.rs): a volume is for one instance,
# exclusively, unless it is marked shareable; what is attached already is respected; no copies.
# The input is the facts, as the decision log has them.
package volward.baseline

# Granted as asked, or every reason why not.
decision := {"denials": denials} if count(denials) > 0

else := {"disks": [answer |
	some disk in input.disks
	answer := {
		"volume": disk.id,
		"sharing": disk.asked_sharing,
		"access": disk.asked_access,
		"copy": "none",
	}
]}

denials contains {"code": "not-shareable", "message": message} if {
	some disk in input.disks
	disk.asked_sharing == "shared"
	not disk.shareable
	name := sprintf("%s/%s", [disk.pool, disk.name])
	message := sprintf(
		"%s is asked for shared, but is not marked shareable: mark it with `volward volume set %s --shareable yes`, or ask for it exclusively",
		[name, name],
	)
}

denials contains {"code": "in-use", "message": message} if {
	some disk in input.disks
	some held in disk.attachments
	counts(held)
	excludes(held, disk)
	message := sprintf(
		"%s/%s is attached %s on node %s for instance %s%s",
		[disk.pool, disk.name, how(held), held.node, held.instance, but(held)],
	)
}

# An intent is settled under the lease; a migrating instance's own attachment is the daemon's to
# check.
counts(held) if {
	held.state != "intent"
	not migrates(held)
}

migrates(held) if {
	input.request.purpose == "migration-in"
	held.instance == input.request.instance
}

excludes(held, _) if held.sharing == "exclusive"

excludes(_, disk) if disk.asked_sharing == "exclusive"

how(held) := "exclusively" if held.sharing == "exclusive"

how(held) := "shared" if held.sharing == "shared"

but(held) := " (quarantined: see `volward explain` on that node)" if {
	held.state == "quarantined"
} else := ", and it is asked for exclusively" if {
	held.sharing == "shared"
} else := ""
