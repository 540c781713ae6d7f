package compose

import (
	"fmt"
	"strconv"
)

// extension is the attribute of a service for what the compose-spec has no word for (compose-spec, Extensions).
const extension = "x-galley"

// extensionKeys are the keys of x-galley, each with what takes its value; want says what that must be, where it isn't.
func extensionKeys() map[string]func(out *Service, value any) (want string) {
	return map[string]func(*Service, any) string{
		// early_probes (true or false, default true): run the healthcheck's test also before its first interval is over,
		// to find out sooner that a container is ready. false leaves it to the Engine alone, for tests that are costly.
		"early_probes": extensionFlag(func(out *Service, on bool) { out.NoEarlyProbes = !on }),
		// on_secret_change (a signal): rewrite a config or secret in place when its content changes, and send that signal,
		// for processes that can read it again. Without it the container is replaced.
		"on_secret_change": extensionSignal(func(out *Service, signal string) { out.OnSecretChange = signal }),
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
	keys := extensionKeys()
	for _, key := range sortedKeys(entries) {
		attribute := extension + "." + key
		take, known := keys[key]
		if !known {
			hint := didYouMean(key, sortedKeys(keys))
			if hint == "" {
				hint = fmt.Sprintf("%s has %s", extension, alternatives(sortedKeys(keys)))
			}
			s.refuse(attribute, "unknown-key", hint, "unknown key %q", key)
			continue
		}
		if want := take(s.out, entries[key]); want != "" {
			s.refuse(attribute, "wrong-type", "", "%q must be %s", key, want)
		}
	}
}
