package compose

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/consts"
	"github.com/compose-spec/compose-go/v2/types"
)

// extension is the attribute of a service for what the compose-spec has no word for (compose-spec, Extensions).
const extension = "x-galley"

// ExtensionKey is a key of x-galley on a service.
type ExtensionKey struct {
	Name string
	// Value says what it takes, Default what counts without it.
	Value, Default string
	// Doc says in sentences what it does.
	Doc string
	// take hands the value on; want says what that must be, where it isn't.
	take func(out *Service, value any) (want string)
}

// ExtensionKeys are the keys of x-galley, sorted by name: `galley help extensions` prints them.
func ExtensionKeys() []ExtensionKey {
	return []ExtensionKey{
		{
			Name: "early_probes", Value: "true or false", Default: "true",
			Doc: "Run the healthcheck's test also before its first interval is over, to find out sooner that a container is ready. " +
				"false leaves it to the Engine alone, for tests that are costly.",
			take: extensionFlag(func(out *Service, on bool) { out.NoEarlyProbes = !on }),
		},
		{
			Name: "on_secret_change", Value: "a signal, as SIGHUP", Default: "the container is replaced",
			Doc:  "Rewrite a config or secret in place when its content changes, and send that signal, for processes that can read it again.",
			take: extensionSignal(func(out *Service, signal string) { out.OnSecretChange = signal }),
		},
		{
			Name: "on_unhealthy", Value: "restart", Default: "an unhealthy container is left, and reported",
			Doc: "Have galley run restart a container that became unhealthy, with a growing pause between one restart and the next.",
			take: func(out *Service, value any) string {
				out.RestartUnhealthy = value == "restart"
				if !out.RestartUnhealthy {
					return "restart"
				}
				return ""
			},
		},
		{
			Name: "schedule", Value: "times as in crontab(5), as \"*/5 * * * *\" or @daily, or @every 1h", Default: "the service is there all the time",
			Doc: "Have galley run start the service at these times, in a new container each; up leaves it out but for its image. " +
				"A time at which it still runs passes, and so do those while nobody supervises. " +
				"The times are local ones (TZ), unless CRON_TZ=ZONE stands before them.",
			take: extensionSchedule,
		},
	}
}

// extensionFlag takes true or false. As a text too: that is what a variable gives, and the loader knows no types here.
func extensionFlag(set func(out *Service, on bool)) func(*Service, any) string {
	return func(out *Service, value any) string {
		on, isBool := value.(bool)
		if text, isText := value.(string); isText {
			parsed, err := strconv.ParseBool(text)
			on, isBool = parsed, err == nil && (text == "true" || text == "false")
		}
		if !isBool {
			return "true or false"
		}
		set(out, on)
		return ""
	}
}

// extensionSignal takes the name or number of a signal.
func extensionSignal(set func(out *Service, signal string)) func(*Service, any) string {
	return func(out *Service, value any) string {
		name := fmt.Sprint(value)
		if !isSignal(name) {
			return "a signal of signal(7), as SIGHUP"
		}
		set(out, name)
		return ""
	}
}

// extension lowers x-galley. Unlike other extensions, it means something: what it doesn't know is an error.
func (s *serviceLowering) extension() {
	value := s.src.Extensions[extension]
	if value == nil {
		return
	}
	entries, ok := value.(map[string]any)
	if !ok {
		s.refuse(extension, "wrong-type", "", "%q must be a mapping", extension)
		return
	}
	keys := map[string]ExtensionKey{}
	for _, k := range ExtensionKeys() {
		keys[k.Name] = k
	}
	for _, name := range sortedKeys(entries) {
		attribute := extension + "." + name
		key, known := keys[name]
		if !known {
			hint := orElse(didYouMean(name, sortedKeys(keys)), fmt.Sprintf("%s has %s", extension, alternatives(sortedKeys(keys))))
			s.refuse(attribute, "unknown-key", hint, "unknown key %q", name)
			continue
		}
		if want := key.take(s.out, entries[name]); want != "" {
			s.refuse(attribute, "wrong-type", "", "%q must be %s", name, want)
		}
	}
}

// checkExtensions finds x-galley where it means nothing, and extensions of a service whose name is nearly that.
func checkExtensions(model map[string]any) []Diagnostic {
	var found []Diagnostic
	misplaced := func(path string, entries map[string]any) {
		if _, there := extensionsOf(entries)[extension]; there {
			found = append(found, Diagnostic{
				Severity: Error, Code: "unknown-key", Path: join(path, extension),
				Message: fmt.Sprintf("%q means nothing here", extension), Hint: "it belongs into a service",
			})
		}
	}
	misplaced("", model)
	for _, kind := range sections() {
		entries, _ := model[kind].(map[string]any)
		for _, name := range sortedKeys(entries) {
			attributes, _ := entries[name].(map[string]any)
			if kind != "services" {
				misplaced(join(kind, name), attributes)
				continue
			}
			for _, key := range sortedKeys(extensionsOf(attributes)) {
				if key != extension && didYouMean(key, []string{extension}) != "" {
					found = append(found, Diagnostic{
						Severity: Warning, Code: codeIgnored, Path: join(join(kind, name), key),
						Message: fmt.Sprintf("%s is an extension that nobody reads", key), Hint: didYouMean(key, []string{extension}),
					})
				}
			}
		}
	}
	return found
}

// extensionsOf are the keys that start with x-, which the loader puts apart.
func extensionsOf(attributes map[string]any) map[string]any {
	all := map[string]any{}
	for key, value := range attributes {
		if strings.HasPrefix(key, "x-") {
			all[key] = value
		}
	}
	switch apart := attributes[consts.Extensions].(type) {
	case map[string]any:
		maps.Copy(all, apart)
	case types.Extensions:
		maps.Copy(all, apart)
	}
	return all
}
