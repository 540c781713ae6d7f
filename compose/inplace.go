package compose

import (
	"maps"
	"strings"
)

// fixedMAC ends the field of an endpoint's MAC address: the Engine doesn't tell one that was asked for from its own choice,
// so that it can't be compared.
const fixedMAC = ".mac_address"

// InPlace tells whether the Engine changes a field of [Service.Fields] on a running container: restart policy, limits of
// CPU, memory and processes, attachments to networks.
func InPlace(field string) bool {
	switch field {
	case "restart", "cpus", "cpu_shares", "cpu_period", "cpu_quota", "cpuset", "mem_limit", "mem_reservation", "memswap_limit", "pids_limit":
		return true
	}
	return strings.HasPrefix(field, "networks.") && !strings.HasSuffix(field, fixedMAC)
}

// Fits tells whether a container is what the service wants, but for what changes in place, going by the [LabelHash] and
// [LabelFields] that it was created with. The first version of the hash covered what changes in place too.
func (s *Service) Fits(hash string, had map[string]string) bool {
	if hash == s.Hash || !strings.HasPrefix(hash, "1:") {
		return hash == s.Hash
	}
	changes := func(name, _ string) bool { return strings.HasPrefix(name, "networks.") || InPlace(name) }
	want := maps.Clone(s.Fields)
	had = maps.Clone(had)
	maps.DeleteFunc(want, changes)
	maps.DeleteFunc(had, changes)
	return len(had) > 0 && maps.Equal(want, had)
}
