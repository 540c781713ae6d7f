package compose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/consts"
	"github.com/compose-spec/compose-go/v2/types"
)

// standing is what becomes of an attribute.
type standing int

const (
	// handled: it has its full effect. A handled row stands for exactly the attributes that it names: one that a later
	// compose-spec adds below them is found to be not supported yet.
	handled standing = iota
	// judged: what becomes of it depends on other attributes; lowering says so, or the service that uses the declaration.
	judged
	// ignored: it has no effect, and a warning says so.
	ignored
	// refused: galley is not meant to do it; an error tells the way out.
	refused
	// pending: an error says that it is not supported yet.
	pending
)

// support is a row of the table: what becomes of some attributes below a path. Of other standings than handled, a row
// covers everything below its attributes too. In paths, "*" is any key and "[]" any item.
type support struct {
	standing   standing
	under      string
	attributes string // separated by blanks
	why        string // follows "is ignored:" or "is not supported:"; of a judged one, says what it depends on
	hint       string
}

// What becomes of the configs and secrets that only a cluster has.
const (
	onlyClusters = "refused where a service uses it: only a cluster has such ones"
	useFile      = "use file, environment or content"
)

// supportTable says of every attribute of the compose-spec what becomes of it. A test holds it against the schema.
func supportTable() []support {
	return slices.Concat(serviceSupport(), containerSupport("services.*"), containerSupport("services.*.pre_start.[]"), deploySupport(), []support{
		// version only informs (compose-spec, "Version and name"); include is resolved by the loader.
		{handled, "", "name version include include.[].path include.[].env_file include.[].project_directory", "", ""},
		{handled, "", "services services.* networks networks.* volumes volumes.*", "", ""},
		{handled, "networks.*", "name external external.name driver driver_opts driver_opts.* labels labels.* internal attachable " +
			"enable_ipv4 enable_ipv6 ipam ipam.driver ipam.options ipam.options.* ipam.config ipam.config.[].subnet " +
			"ipam.config.[].ip_range ipam.config.[].gateway ipam.config.[].aux_addresses ipam.config.[].aux_addresses.*", "", ""},
		{handled, "volumes.*", "name external external.name driver driver_opts driver_opts.* labels labels.*", "", ""},
		// what only a cluster has, as external ones, is no matter unless a service asks for it
		{handled, "", "configs configs.* secrets secrets.*", "", ""},
		{handled, "configs.*", "name file environment content", "", ""},
		{handled, "secrets.*", "name file environment", "", ""},
		{judged, "configs.*", "external template_driver", onlyClusters, useFile},
		{judged, "secrets.*", "external driver driver_opts template_driver", onlyClusters, useFile},
		{ignored, "configs.*", "labels", "there is nothing to put them on", "use labels for the containers"},
		{ignored, "secrets.*", "labels", "there is nothing to put them on", "use labels for the containers"},
		{judged, "", "models", "refused where a service uses it: galley runs containers only", "run the model's server as a service"},
		{refused, "", "jobs", "galley keeps services running and starts no jobs", "make it a service without restart, and start that from a timer of the machine"},
	})
}

// serviceSupport is the part of the table on services.
func serviceSupport() []support {
	const s = "services.*"
	return []support{
		// resolved by the loader
		{handled, s, "extends extends.file extends.service profiles", "", ""},
		// a port's name and app_protocol inform people and tools (compose-spec, services: ports)
		{handled, s, "container_name links external_links tty stdin_open attach expose ports ports.[].name ports.[].app_protocol " +
			"ports.[].host_ip ports.[].mode ports.[].protocol ports.[].published ports.[].target", "", ""},
		// life
		{handled, s, "restart scale depends_on depends_on.* depends_on.*.condition depends_on.*.required depends_on.*.restart " +
			"healthcheck healthcheck.test healthcheck.disable healthcheck.interval healthcheck.timeout healthcheck.retries " +
			"healthcheck.start_period healthcheck.start_interval", "", ""},
		{handled, s, "pre_start pre_start.[].per_replica", "", ""},
		{handled, s, "post_start post_start.[].command post_start.[].user post_start.[].privileged post_start.[].working_dir " +
			"post_start.[].environment post_start.[].environment.*", "", ""},
		{handled, s, "pre_stop pre_stop.[].command pre_stop.[].user pre_stop.[].privileged pre_stop.[].working_dir " +
			"pre_stop.[].environment pre_stop.[].environment.*", "", ""},
		// other people's work
		{judged, s, "build", "ignored beside an image, refused without one: galley runs images and never builds", "build and tag the image elsewhere"},
		{ignored, s, "develop", "galley runs recipes and doesn't watch source files", ""},
		{refused, s, "provider", "galley runs containers only", "run what the provider stands for beside the recipe"},
	}
}

// containerSupport is the part on what services and the containers of pre_start have in common.
func containerSupport(s string) []support {
	return []support{
		// process
		{handled, s, "image platform pull_policy pull_refresh_after command entrypoint environment environment.* " +
			"env_file env_file.[].path env_file.[].format env_file.[].required user working_dir init group_add " +
			"labels labels.* label_file annotations annotations.* stop_signal stop_grace_period logging logging.driver " +
			"logging.options logging.options.*", "", ""},
		// security and namespaces
		{handled, s, "privileged read_only cap_add cap_drop security_opt runtime isolation ipc pid uts userns_mode cgroup cgroup_parent", "", ""},
		// resources
		{handled, s, "cpus cpu_shares cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpuset mem_limit mem_reservation " +
			"memswap_limit mem_swappiness oom_kill_disable oom_score_adj pids_limit shm_size sysctls sysctls.* " +
			"ulimits ulimits.* ulimits.*.soft ulimits.*.hard", "", ""},
		{handled, s, "blkio_config blkio_config.weight blkio_config.weight_device blkio_config.weight_device.[].path " +
			"blkio_config.weight_device.[].weight blkio_config.device_read_bps blkio_config.device_read_bps.[].path " +
			"blkio_config.device_read_bps.[].rate blkio_config.device_read_iops blkio_config.device_read_iops.[].path " +
			"blkio_config.device_read_iops.[].rate blkio_config.device_write_bps blkio_config.device_write_bps.[].path " +
			"blkio_config.device_write_bps.[].rate blkio_config.device_write_iops blkio_config.device_write_iops.[].path " +
			"blkio_config.device_write_iops.[].rate", "", ""},
		{handled, s, "devices devices.[].source devices.[].target devices.[].permissions device_cgroup_rules gpus gpus.[].driver " +
			"gpus.[].count gpus.[].device_ids gpus.[].capabilities gpus.[].options gpus.[].options.*", "", ""},
		{ignored, s, "cpu_count cpu_percent", "only Windows containers have it", "use cpus"},
		// storage
		{handled, s, "volumes volumes.[].type volumes.[].source volumes.[].target volumes.[].read_only volumes.[].bind " +
			"volumes.[].bind.create_host_path volumes.[].bind.propagation volumes.[].bind.recursive volumes.[].bind.selinux " +
			"volumes.[].volume volumes.[].volume.labels volumes.[].volume.labels.* volumes.[].volume.nocopy volumes.[].volume.subpath " +
			"volumes.[].tmpfs volumes.[].tmpfs.size volumes.[].tmpfs.mode volumes.[].image volumes.[].image.subpath " +
			"tmpfs volumes_from storage_opt use_api_socket", "", ""},
		{ignored, s + ".volumes.[]", "consistency", "it means something to Docker Desktop only", ""},
		// network
		{handled, s, "hostname domainname dns dns_opt dns_search extra_hosts extra_hosts.* mac_address network_mode " +
			"networks networks.* networks.*.aliases networks.*.driver_opts networks.*.driver_opts.* networks.*.gw_priority " +
			"networks.*.interface_name networks.*.ipv4_address networks.*.ipv6_address networks.*.link_local_ips " +
			"networks.*.mac_address networks.*.priority networks.*.use_service_name_alias", "", ""},
		// files
		{handled, s, "configs configs.[].source configs.[].target configs.[].uid configs.[].gid configs.[].mode " +
			"secrets secrets.[].source secrets.[].target secrets.[].uid secrets.[].gid secrets.[].mode", "", ""},
		// what no container on Linux, or on one machine, can have
		{refused, s, "models", "galley runs containers only", "run the model's server as a service"},
		{refused, s, "credential_spec", "only Windows containers have it", "remove it"},
		{refused, s, "umask", "no Engine has a setting for it", "set it in the image's entrypoint"},
	}
}

// deploySupport is the part on deploy: what it says of a cluster means nothing to one machine.
func deploySupport() []support {
	const d = "services.*.deploy"
	return []support{
		{handled, "services.*", "deploy", "", ""},
		{handled, d, "mode replicas resources resources.limits resources.limits.cpus resources.limits.memory " +
			"resources.limits.pids resources.reservations resources.reservations.memory resources.reservations.devices " +
			"resources.reservations.devices.[].driver resources.reservations.devices.[].count resources.reservations.devices.[].device_ids " +
			"resources.reservations.devices.[].capabilities resources.reservations.devices.[].options " +
			"resources.reservations.devices.[].options.* restart_policy restart_policy.condition restart_policy.max_attempts " +
			"update_config update_config.order update_config.parallelism update_config.delay update_config.monitor update_config.failure_action " +
			"rollback_config rollback_config.order rollback_config.parallelism rollback_config.delay rollback_config.monitor " +
			"rollback_config.failure_action", "", ""},
		{ignored, d, "labels", "there is no cluster's service to put them on", "use labels for the containers"},
		{ignored, d, "placement endpoint_mode", "there is one machine", ""},
		{ignored, d + ".resources.reservations", "cpus generic_resources", "there is no scheduler that reserves it", ""},
		{ignored, d + ".restart_policy", "delay window", "the Engine waits by a scheme of its own", ""},
		{ignored, d, "update_config.max_failure_ratio rollback_config.max_failure_ratio", "every failure counts",
			"use failure_action: continue to go on in spite of failures"},
	}
}

// unsupported finds the attributes of a merged model that don't have their full effect. The paths are the model's own,
// with indices. Of inactive services, which are in the model too, nothing is said.
func unsupported(model map[string]any, inactive types.Services) []Diagnostic {
	v := supportVisit{inactive: inactive}
	v.mapping(supportTree(), model)
	slices.SortFunc(v.found, func(a, b Diagnostic) int { return strings.Compare(a.Path, b.Path) })
	return v.found
}

// supportNode is the table as a tree, by the parts of paths.
type supportNode struct {
	row      *support
	children map[string]*supportNode
}

func supportTree() *supportNode {
	root := &supportNode{}
	root.at("services.*.name").row = &support{standing: judged} // written by the loader
	table := supportTable()
	for i := range table {
		for attribute := range strings.FieldsSeq(table[i].attributes) {
			root.at(join(table[i].under, attribute)).row = &table[i]
		}
	}
	return root
}

// at returns the node at a path, made if need be.
func (n *supportNode) at(path string) *supportNode {
	for part := range strings.SplitSeq(path, ".") {
		if n.children == nil {
			n.children = map[string]*supportNode{}
		}
		if n.children[part] == nil {
			n.children[part] = &supportNode{}
		}
		n = n.children[part]
	}
	return n
}

func (n *supportNode) child(key string) *supportNode {
	if child, ok := n.children[key]; ok {
		return child
	}
	return n.children["*"]
}

type supportVisit struct {
	inactive types.Services
	path     []string // the keys and items that lead to the value visited
	found    []Diagnostic
}

func (v *supportVisit) mapping(n *supportNode, m map[string]any) {
	depth := len(v.path)
	for key, value := range m {
		if _, inactive := v.inactive[key]; inactive && depth == 1 && v.path[0] == "services" {
			continue
		}
		child := n.child(key)
		v.path = append(v.path[:depth], key)
		switch {
		case child == nil && (strings.HasPrefix(key, "x-") || key == consts.Extensions):
		case child == nil:
			v.unknown(key, sortedKeys(n.children), value)
		case child.row != nil && child.row.standing != handled:
			v.find(*child.row, value)
		default:
			v.value(child, value)
		}
	}
	v.path = v.path[:depth]
}

func (v *supportVisit) value(n *supportNode, value any) {
	switch value := value.(type) {
	case map[string]any:
		if n.children != nil {
			v.mapping(n, value)
		}
	case []any:
		if items := n.children["[]"]; items != nil {
			depth := len(v.path)
			for i, item := range value {
				v.path = append(v.path[:depth], fmt.Sprintf("[%d]", i))
				v.value(items, item)
			}
			v.path = v.path[:depth]
		}
	}
}

// unknown tells of a key that the table lacks: misspelt where the schema lets anything stand, or new.
func (v *supportVisit) unknown(key string, siblings []string, value any) {
	near := didYouMean(key, siblings)
	if near == "" {
		v.find(support{standing: pending}, value)
		return
	}
	v.found = append(v.found, Diagnostic{
		Severity: Error, Code: "unknown-key", Path: dottedPath(v.path), Message: fmt.Sprintf("unknown key %q", key), Hint: near,
	})
}

// find tells of an attribute in use, in the words of its row.
func (v *supportVisit) find(row support, value any) {
	if isEmpty(value) || row.standing == judged {
		return
	}
	d := Diagnostic{Path: dottedPath(v.path), Hint: row.hint}
	name := d.Path
	if len(v.path) > 2 && v.path[0] == "services" {
		name = dottedPath(v.path[2:])
	}
	switch row.standing {
	case ignored:
		d.Severity, d.Code, d.Message = Warning, codeIgnored, fmt.Sprintf("%s is ignored: %s", name, row.why)
	case refused:
		d.Severity, d.Code, d.Message = Error, codeUnsupported, fmt.Sprintf("%s is not supported: %s", name, row.why)
	default:
		d.Severity, d.Code, d.Message = Error, codeNotYet, fmt.Sprintf("%s is not supported yet", name)
	}
	v.found = append(v.found, d)
}

// dottedPath writes keys and items as "services.web.ports[0]".
func dottedPath(parts []string) string {
	return strings.ReplaceAll(strings.Join(parts, "."), ".[", "[")
}

func isEmpty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case map[string]any:
		return len(value) == 0
	case []any:
		return len(value) == 0
	case bool:
		return !value
	}
	return false
}
