package compose

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// serviceKeys are a service's attributes in the order in which docker compose 2.40 prints them: tools compare its output
// with an earlier one line by line.
const serviceKeys = "profiles annotations attach build develop blkio_config cap_add cap_drop cgroup_parent cgroup cpu_count " +
	"cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpus cpuset cpu_shares command configs container_name " +
	"credential_spec depends_on deploy device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint provider " +
	"environment env_file expose extends external_links extra_hosts group_add gpus hostname healthcheck image init ipc isolation " +
	"labels label_file links logging mem_limit mem_reservation memswap_limit mem_swappiness mac_address models network_mode " +
	"networks oom_kill_disable oom_score_adj pid pids_limit platform ports privileged pull_policy pull_refresh_after read_only " +
	"restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty " +
	"ulimits umask use_api_socket user userns_mode uts volume_driver volumes volumes_from working_dir pre_start post_start pre_stop"

// canonicalYAML writes a project as docker compose does.
func canonicalYAML(p *types.Project) ([]byte, error) {
	text, err := p.MarshalYAML()
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) > 0 {
		services := child(doc.Content[0], "services")
		for i := 1; services != nil && i < len(services.Content); i += 2 {
			sortKeys(services.Content[i], strings.Fields(serviceKeys))
			for _, volume := range items(child(services.Content[i], "volumes")) {
				sayCreateHostPath(volume)
			}
		}
	}
	return encodeYAML(&doc)
}

// sortKeys puts a mapping's keys in an order; others come last, as they stood.
func sortKeys(mapping *yaml.Node, order []string) {
	type pair struct{ key, value *yaml.Node }
	var pairs []pair
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		pairs = append(pairs, pair{mapping.Content[i], mapping.Content[i+1]})
	}
	rank := func(p pair) int {
		if at := slices.Index(order, p.key.Value); at >= 0 {
			return at
		}
		return len(order)
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return rank(a) - rank(b) })
	mapping.Content = mapping.Content[:0]
	for _, p := range pairs {
		mapping.Content = append(mapping.Content, p.key, p.value)
	}
}

// sayCreateHostPath writes out the default that the loader leaves out of bind mounts. Others may have SELinux labels there.
func sayCreateHostPath(volume *yaml.Node) {
	bind := child(volume, "bind")
	if bind == nil || scalar(child(volume, "type")) != types.VolumeTypeBind || child(bind, "create_host_path") != nil {
		return
	}
	bind.Style = 0 // not {}
	bind.Content = append(bind.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "create_host_path"}, &yaml.Node{Kind: yaml.ScalarNode, Value: "true"})
	sortKeys(bind, []string{"selinux", "propagation", "create_host_path"})
}

func encodeYAML(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	err := encoder.Close()
	return text.Bytes(), err
}

// canonicalJSON writes a project as docker compose does, but for the order of keys.
func canonicalJSON(p *types.Project) ([]byte, error) {
	text, err := p.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var model map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&model); err != nil {
		return nil, err
	}
	services, _ := model["services"].(map[string]any)
	for _, s := range services {
		service, _ := s.(map[string]any)
		volumes, _ := service["volumes"].([]any)
		for _, v := range volumes {
			volume, _ := v.(map[string]any)
			if bind, ok := volume["bind"].(map[string]any); ok && volume["type"] == types.VolumeTypeBind && bind["create_host_path"] == nil {
				bind["create_host_path"] = true
			}
		}
	}
	return encodeJSON(model)
}

func encodeJSON(value any) ([]byte, error) {
	text, err := json.MarshalIndent(value, "", "  ")
	return append(text, '\n'), err
}
