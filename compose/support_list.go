package compose

import (
	"strings"

	"github.com/compose-spec/compose-go/v2/schema"
)

// Support tells what becomes of one attribute of the compose-spec.
type Support struct {
	// Path is the attribute; "*" is any key and "[]" any item, as in "services.*.ports.[].target".
	Path string `json:"path"`
	// Standing is one of:
	//
	//	handled  it has its full effect
	//	depends  on other attributes, or on the service that uses it; Reason says how
	//	ignored  it has no effect, and a warning says so
	//	refused  an error says so: galley is not meant to do it
	//	pending  an error says so: it is not supported yet
	Standing string `json:"standing"`
	// Reason says why it is not handled, Hint what to do instead.
	Reason string `json:"reason,omitempty"`
	Hint   string `json:"hint,omitempty"`
	// API is the least Engine API version that it needs, as "1.44", if that is newer than 1.41, the oldest one that galley
	// drives; When restricts that to some values.
	API  string `json:"engine_api,omitempty"`
	When string `json:"engine_api_when,omitempty"`
}

// SupportTable lists all attributes of the compose-spec, sorted by path, but not those below one that is not handled: they
// share its fate.
func SupportTable() []Support {
	root := supportTree()
	var all []Support
	for _, path := range schema.AttributePaths() {
		row, own := standingAt(root, string(path))
		if row == nil || !own {
			continue
		}
		names := map[standing]string{handled: "handled", judged: "depends", ignored: "ignored", refused: "refused", pending: "pending"}
		s := Support{Path: string(path), Standing: names[row.standing], Reason: row.why, Hint: row.hint}
		for _, l := range leastAPIs() {
			if l.path == s.Path {
				s.API, s.When = l.api, l.when
			}
		}
		all = append(all, s)
	}
	return all
}

// standingAt returns the row that decides about an attribute, as [supportVisit] finds it, and whether it is the attribute's
// own or that of one above it.
func standingAt(n *supportNode, path string) (row *support, own bool) {
	parts := strings.Split(path, ".")
	for i, part := range parts {
		if n = n.children[part]; n == nil {
			return nil, false
		}
		if n.row != nil && n.row.standing != handled {
			return n.row, i == len(parts)-1
		}
	}
	return n.row, true
}

// least is an attribute that needs a newer Engine API than the oldest one that galley drives.
type least struct {
	path, api string
	when      string // with which values; "" is always
}

// leastAPIs lists them. A test holds it against what lowering requires.
func leastAPIs() []least {
	all := []least{{"networks.*.enable_ipv4", "1.48", "false"}, {"services.*.healthcheck.start_interval", "1.44", ""}}
	for _, s := range []string{"services.*", "services.*.pre_start.[]"} {
		all = append(all,
			least{s + ".annotations", "1.43", ""},
			least{s + ".devices.[].source", "1.44", "the name of a CDI device"},
			least{s + ".networks.*.driver_opts.*", "1.46", "com.docker.network.endpoint.sysctls; that of ifname needs 1.49"},
			least{s + ".networks.*.gw_priority", "1.48", ""},
			least{s + ".networks.*.interface_name", "1.49", ""},
			least{s + ".networks.*.mac_address", "1.44", "not on the first network"},
			least{s + ".security_opt", "1.48", "writable-cgroups"},
			least{s + ".volumes.[].bind", "1.42", "with create_host_path beside recursive, or a path with a colon"},
			least{s + ".volumes.[].bind.recursive", "1.44", "writable or readonly"},
			least{s + ".volumes.[].type", "1.48", "image; cluster needs 1.42"},
			least{s + ".volumes.[].volume.subpath", "1.45", ""},
		)
	}
	return all
}

// APIText says in words which Engine API it needs; "" if any will do.
func (s Support) APIText() string {
	if s.When == "" {
		return s.API
	}
	return s.API + " (" + s.When + ")"
}

// Remark is the reason and the way out, as far as there are any.
func (s Support) Remark() string {
	if s.Reason == "" || s.Hint == "" {
		return s.Reason + s.Hint
	}
	return s.Reason + "; " + s.Hint
}
