package engine_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"galley/compose"
)

// shown is what inspects show of a project's containers, networks and volumes, a line for each value: "web-1.Config.User".
// What differs from one time to the next is left out, and lists whose order means nothing are sorted.
type shown map[string]string

// look reads what the Engine shows of the project. Addresses that the recipe doesn't name are the Engine's own choice, and
// where configs and secrets are kept is that of who makes them.
func (s *suite) look(t *testing.T, p *compose.Project, recipe string) shown {
	t.Helper()
	l := looking{recipe: recipe, shown: shown{}, files: map[string]bool{}}
	for _, service := range p.Services {
		for _, f := range service.Files {
			l.files[f.Target] = true
		}
	}
	mine := filters.NewArgs(filters.Arg("label", compose.LabelProject+"="+s.project))
	containers, err := s.docker.ContainerList(t.Context(), container.ListOptions{All: true, Filters: mine})
	must(t, err)
	var names []string
	for _, c := range containers {
		names = append(names, c.ID, c.Names[0][1:], c.ID[:12], c.Names[0][1:])
	}
	l.names = strings.NewReplacer(names...)
	for _, c := range containers {
		_, raw, err := s.docker.ContainerInspectWithRaw(t.Context(), c.ID, false)
		must(t, err)
		l.add(t, c.Labels[compose.LabelService]+"-"+c.Labels[compose.LabelNumber], raw)
	}
	networks, err := s.docker.NetworkList(t.Context(), network.ListOptions{Filters: mine})
	must(t, err)
	for _, n := range networks {
		_, raw, err := s.docker.NetworkInspectWithRaw(t.Context(), n.ID, network.InspectOptions{})
		must(t, err)
		l.add(t, "network "+n.Name, raw)
	}
	volumes, err := s.docker.VolumeList(t.Context(), volume.ListOptions{Filters: mine})
	must(t, err)
	for _, v := range volumes.Volumes {
		_, raw, err := s.docker.VolumeInspectWithRaw(t.Context(), v.Name)
		must(t, err)
		l.add(t, "volume "+v.Name, raw)
	}
	return l.shown
}

// looking is a look under way.
type looking struct {
	shown  shown
	recipe string
	names  *strings.Replacer // containers' names by their ids
	files  map[string]bool   // where containers have configs and secrets
}

func (l looking) add(t *testing.T, name string, raw []byte) {
	t.Helper()
	var document map[string]any
	must(t, json.Unmarshal([]byte(l.names.Replace(string(raw))), &document))
	if host, ok := document["HostConfig"].(map[string]any); ok {
		config := document["Config"].(map[string]any)
		document["Asked"] = l.less(askedMounts(host["Binds"], host["Mounts"], config["Volumes"]), "Target")
		delete(host, "Binds")
		delete(host, "Mounts")
		delete(config, "Volumes")
		document["Mounts"] = l.less(mounted(document["Mounts"]), "Destination")
	}
	l.flatten(name, document)
}

// passing are what differs each time, or comes from the other lines: ids, times, paths below the Engine's own folder.
var passing = regexp.MustCompile(`\.(Id|Created|CreatedAt|Image|Name|GraphDriver|Path|Args|(Resolv|Host|Log|Hostname|Hosts)\w*Path|ExecIDs|Mountpoint` +
	`|Containers|SandboxID|SandboxKey|EndpointID|NetworkID|ImageManifestDescriptor)($|\.)|\.State\.(Pid|StartedAt|FinishedAt|Health)` +
	`|^[^.]*\.NetworkSettings\.(EndpointID|Gateway|GlobalIPv6\w*|IP\w*|MacAddress|LinkLocal\w*|Secondary\w*|Bridge)$`)

// chosen are what the Engine chooses where the recipe doesn't.
var chosen = regexp.MustCompile(`\.(IPAddress|IPPrefixLen|Gateway|MacAddress|GlobalIPv6Address|GlobalIPv6PrefixLen|IPv6Gateway|DNSNames|IPAM\.Config|Ports\..*)$`)

func (l looking) flatten(path string, v any) {
	if passing.MatchString(path) {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			l.flatten(path+"."+key, inner)
		}
	case []any:
		var texts []string
		for _, element := range v {
			text, _ := json.Marshal(element) // it came out of JSON
			texts = append(texts, string(text))
		}
		if !strings.HasSuffix(path, ".Cmd") && !strings.HasSuffix(path, ".Entrypoint") && !strings.HasSuffix(path, ".Test") {
			slices.Sort(texts)
			texts = slices.Compact(texts)
		}
		l.line(path, strings.Join(texts, " "))
	case nil:
	default:
		text, _ := json.Marshal(v)
		l.line(path, string(text))
	}
}

func (l looking) line(path, text string) {
	bare := strings.Trim(text, `"`)
	switch {
	case text == "" || text == `""` || text == "false" || text == "0":
	case chosen.MatchString(path) && !strings.Contains(l.recipe, bare):
	case strings.HasSuffix(path, ".com.docker.compose.depends_on"):
		parts := strings.Split(bare, ",")
		slices.Sort(parts)
		l.shown[path] = strings.Join(parts, ",")
	default:
		l.shown[path] = text
	}
}

// askedMounts are the mounts in the notation of HostConfig.Mounts, in whichever they were asked for: Binds say much the same
// in a line of text, and the Engine makes an anonymous volume for each of Volumes.
func askedMounts(binds, mounts, volumes any) []any {
	var asked []any
	for _, entry := range list(binds) {
		source, rest, _ := strings.Cut(entry.(string), ":")
		target, mode, _ := strings.Cut(rest, ":")
		m := map[string]any{"Source": source, "Target": target, "Type": "volume"}
		if strings.HasPrefix(source, "/") {
			m["Type"] = "bind"
		}
		for option := range strings.SplitSeq(mode, ",") {
			switch option {
			case "ro":
				m["ReadOnly"] = true
			case "", "rw":
			case "z", "Z":
				m["Label"] = option
			case "nocopy":
				m["VolumeOptions"] = map[string]any{"NoCopy": true}
			default:
				m["BindOptions"] = map[string]any{"Propagation": option}
			}
		}
		asked = append(asked, m)
	}
	for _, entry := range list(mounts) {
		m := entry.(map[string]any)
		if options, ok := m["BindOptions"].(map[string]any); ok {
			delete(options, "CreateMountpoint") // Binds always do
		}
		for _, options := range []string{"BindOptions", "VolumeOptions", "TmpfsOptions", "ImageOptions"} {
			if o, ok := m[options].(map[string]any); ok && len(o) == 0 {
				delete(m, options)
			}
		}
		asked = append(asked, m)
	}
	declared, _ := volumes.(map[string]any)
	for target := range declared {
		asked = append(asked, map[string]any{"Target": target, "Type": "volume"})
	}
	return asked
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// less leaves configs and secrets out.
func (l looking) less(mounts []any, target string) []any {
	return slices.DeleteFunc(mounts, func(m any) bool { return l.files[m.(map[string]any)[target].(string)] })
}

var anonymous = regexp.MustCompile(`^[0-9a-f]{64}$`)

// mounted are the mounts that there are, without how they were asked for and where the Engine keeps volumes.
func mounted(mounts any) []any {
	for _, entry := range list(mounts) {
		m := entry.(map[string]any)
		delete(m, "Mode")
		if m["Type"] != "bind" {
			delete(m, "Source")
		}
		if name, _ := m["Name"].(string); anonymous.MatchString(name) {
			m["Name"] = "anonymous"
		}
	}
	return list(mounts)
}

// difference is one that is meant, with the reason.
type difference struct{ path, why string }

// differences are the lines in which one project is shown other than the other, less those that are meant.
func differences(one, other shown, meant []difference) []string {
	all := maps.Clone(one)
	maps.Copy(all, other)
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(all)) {
		known := slices.ContainsFunc(meant, func(d difference) bool { return regexp.MustCompile(d.path).MatchString(path) })
		if one[path] != other[path] && !known {
			lines = append(lines, path+"\n\t"+one[path]+"\n\t"+other[path])
		}
	}
	return lines
}
