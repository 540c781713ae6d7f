package compose

import (
	"slices"
	"strings"
)

// Code is a kind of finding.
type Code struct {
	// Name is the stable name, as "unknown-key".
	Name string `json:"code"`
	// Severity is that of its findings. BOSH's ((variables)) make a note of what would be an error without them.
	Severity Severity `json:"severity"`
	// Lint marks what is found only with [Source.Lint].
	Lint bool `json:"lint,omitempty"`
	// Sentence says what it means, and where it helps why.
	Sentence string `json:"sentence"`
}

// CodeUnreadable is for a recipe that its caller can't even open.
const CodeUnreadable = "unreadable-recipe"

// Codes are all kinds of findings there are, sorted by name. A test holds them against what the package finds.
func Codes() []Code {
	all := slices.Concat(textCodes(), valueCodes(), relationCodes(), lintCodes())
	slices.SortFunc(all, func(a, b Code) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Explain returns the code of that name, or else the hint that names the nearest one.
func Explain(name string) (code Code, hint string, ok bool) {
	var names []string
	for _, c := range Codes() {
		if c.Name == name {
			return c, "", true
		}
		names = append(names, c.Name)
	}
	return Code{}, didYouMean(name, names), false
}

// textCodes are about the files: whether they can be read, and put together to one recipe.
func textCodes() []Code {
	return []Code{
		{Name: "bosh-variables", Severity: Note, Sentence: "The recipe in a manifest has ((variables)), which the BOSH director fills in; they are taken as they stand."},
		{Name: "conflicting-types", Severity: Error, Sentence: "Several files give one key values that can't be merged, as a text and a list."},
		{Name: "duplicate-key", Severity: Error, Sentence: "A key stands twice in one mapping; YAML allows it once."},
		{Name: "empty-recipe", Severity: Error, Sentence: "There is nothing in the recipe."},
		{Name: "extends-cycle", Severity: Error, Sentence: "Services extend each other in a circle."},
		{Name: "include-cycle", Severity: Error, Sentence: "Files include each other in a circle."},
		{Name: "invalid-env-file", Severity: Error, Sentence: "An env file has a line that is not KEY=VALUE."},
		{Name: "invalid-interpolation", Severity: Error, Sentence: "A \"$\" is neither the start of a variable nor doubled."},
		{Name: "invalid-label-file", Severity: Error, Sentence: "A label file has a line that is not KEY=VALUE."},
		{Name: "invalid-recipe", Severity: Error, Sentence: "The loader refuses the recipe for a reason without a code of its own; the message says which."},
		{Name: "key-not-text", Severity: Error, Sentence: "A key is a number, a boolean or the like, and must be a text."},
		{Name: "loader-panic", Severity: Error, Sentence: "The loader broke on this input; the recipe can't be read."},
		{Name: "missing-env-file", Severity: Error, Sentence: "An env file that a service requires does not exist."},
		{Name: "missing-file", Severity: Error, Sentence: "A file that the recipe names does not exist or can't be read."},
		{Name: "missing-label-file", Severity: Error, Sentence: "A label file that a service names does not exist."},
		{Name: "missing-variable", Severity: Error, Sentence: "A config or secret comes from an environment variable that is not set."},
		{Name: "mixed-keys", Severity: Warning, Sentence: "The keys of a mapping in a manifest have several types, which the BOSH director can't sort."},
		{Name: "no-key", Severity: Error, Sentence: "The machine's own key, with which secrets are told apart, can't be read or made."},
		{Name: "no-services", Severity: Warning, Sentence: "The recipe has no service: nothing would run."},
		{Name: "not-a-mapping", Severity: Error, Sentence: "The top level of a recipe must be a mapping with \"services:\"."},
		{Name: "not-text", Severity: Error, Sentence: "The file is binary data, or not UTF-8."},
		{Name: "remote-file", Severity: Error, Sentence: "The recipe names a file of another machine (a URL, an OCI artifact, a Git repository); only local files are read."},
		{Name: "required-variable", Severity: Error, Sentence: "A variable of the form ${NAME:?message} has no value."},
		{Name: "self-reference", Severity: Error, Sentence: "A YAML anchor holds an alias of itself."},
		{Name: "too-large", Severity: Error, Sentence: "The recipe is too large, too deep, or its anchors multiply into too many entries."},
		{Name: "unchecked-variable", Severity: Note, Sentence: "A value could not be checked, since it is a ((variable)) of the manifest."},
		{Name: "undefined-variable", Severity: Warning, Sentence: "A variable has neither a value nor a default; it counts as empty."},
		{Name: CodeUnreadable, Severity: Error, Sentence: "One of several recipes that were to be checked can't be found or read."},
		{Name: "yaml-syntax", Severity: Error, Sentence: "The text is not valid YAML."},
	}
}

// valueCodes are about single keys and values.
func valueCodes() []Code {
	return []Code{
		{Name: "conflicting-keys", Severity: Error, Sentence: "Keys of one mapping exclude each other."},
		{Name: "duplicate-item", Severity: Error, Sentence: "A list that must be a set holds an item twice."},
		{Name: "external-with-settings", Severity: Error, Sentence: "What is external is made elsewhere, so that it can have a name but no settings."},
		{Name: "ignored", Severity: Warning, Sentence: "The attribute is accepted and has no effect; the message says why."},
		{Name: "invalid-address", Severity: Error, Sentence: "The value must be an IP address."},
		{Name: "invalid-device", Severity: Error, Sentence: "A device mapping has too many parts."},
		{Name: "invalid-healthcheck", Severity: Error, Sentence: "A healthcheck's test as a list must start with CMD, CMD-SHELL or NONE."},
		{Name: "invalid-mount", Severity: Error, Sentence: "An entry of volumes can't be read as [SOURCE:]TARGET[:MODE]."},
		{Name: "invalid-name", Severity: Error, Sentence: "The name of a service, network, volume, config or secret may hold only letters, digits, \".\", \"_\" and \"-\"."},
		{Name: "invalid-port", Severity: Error, Sentence: "An entry of ports can't be read as [[ADDRESS:]HOST_PORT:]CONTAINER_PORT[/PROTOCOL]."},
		{Name: "invalid-value", Severity: Error, Sentence: "The value is none that the compose-spec or the Engine takes."},
		{Name: "missing-key", Severity: Error, Sentence: "A mapping lacks a key that it must have."},
		{Name: "no-image", Severity: Error, Sentence: "A service says neither which image it runs nor how to build one."},
		{Name: "not-supported-yet", Severity: Error, Sentence: "The compose-spec has the attribute, and galley does not carry it out yet."},
		{Name: "unknown-key", Severity: Error, Sentence: "The compose-spec has no such key here; own keys start with \"x-\"."},
		{Name: "unsupported", Severity: Error, Sentence: "The attribute is outside of what galley does; the message says why, the hint what to do instead."},
		{Name: "wrong-type", Severity: Error, Sentence: "The value has the wrong type: a text where a list must stand, say."},
	}
}

// relationCodes are about what doesn't fit together.
func relationCodes() []Code {
	return []Code{
		{Name: "address-outside-subnet", Severity: Error, Sentence: "A container's fixed address lies outside of its network's subnets."},
		{Name: "asks-registry", Severity: Warning, Sentence: "With --air-gapped: the service's image is pulled at each up, which fails without its registry."},
		{Name: "conflict", Severity: Error, Sentence: "Attributes are each valid, but exclude each other; the message says why."},
		{Name: "dependency-cycle", Severity: Error, Sentence: "Services wait for each other in a circle: none could start."},
		{Name: "invalid-lock", Severity: Error, Sentence: "The lock beside the recipe can't be read, or an entry of it is no image with a digest."},
		{Name: "not-locked", Severity: Warning, Sentence: "There is a lock beside the recipe, and it does not say which image this tag means."},
		{Name: "stale-lock", Severity: Warning, Sentence: "The lock beside the recipe names an image that no service uses."},
		{Name: "duplicate-address", Severity: Error, Sentence: "Two containers would have one fixed address on a network, or one the address of its gateway."},
		{Name: "duplicate-container-name", Severity: Error, Sentence: "Two containers would have one name."},
		{Name: "duplicate-name", Severity: Error, Sentence: "Two networks, or two volumes that are defined differently, have one name: the Engine has but one of them."},
		{Name: "duplicate-mount", Severity: Error, Sentence: "Two mounts of a container have one target."},
		{Name: "engine-too-new", Severity: Warning, Sentence: "Newer Engines refuse an attribute; an error where --engine-api asks for one of them."},
		{Name: "engine-too-old", Severity: Error, Sentence: "An attribute needs a newer Engine API than the one asked for with --engine-api."},
		{Name: "image-for-other-machine", Severity: Error, Sentence: "With --air-gapped: the image that the tarballs hold does not run on this machine, or is not for the platform asked for."},
		{Name: "image-not-in-tarballs", Severity: Error, Sentence: "With --air-gapped: no tarball holds the image."},
		{Name: "inactive-service", Severity: Error, Sentence: "A service needs another one that no active profile asks for."},
		{Name: "missing-bind-source", Severity: Warning, Sentence: "The source of a bind mount does not exist: the Engine refuses it, or makes an empty directory in its place."},
		{Name: "network-mode-and-networks", Severity: Error, Sentence: "network_mode and networks exclude each other."},
		{Name: "never-completes", Severity: Error, Sentence: "A service waits until another one has completed, but that one's restart policy starts it again each time."},
		{Name: "never-healthy", Severity: Error, Sentence: "A service waits until another one is healthy, but that one's healthcheck is disabled; with --air-gapped also: neither the recipe nor its image has one."},
		{Name: "no-healthcheck", Severity: Warning, Sentence: "A service waits until another one is healthy, and the recipe has no healthcheck for that one: the image must have one."},
		{Name: "overlapping-subnets", Severity: Error, Sentence: "Two networks of the recipe have subnets that overlap; the Engine refuses the second one."},
		{Name: "port-and-replicas", Severity: Error, Sentence: "Several replicas of a service can't publish one fixed host port."},
		{Name: "port-conflict", Severity: Error, Sentence: "Two containers would publish the same host port, address and protocol."},
		{Name: "undefined-config", Severity: Error, Sentence: "A service refers to a config that the recipe doesn't define."},
		{Name: "undefined-network", Severity: Error, Sentence: "A service refers to a network that the recipe doesn't define."},
		{Name: "undefined-secret", Severity: Error, Sentence: "A service refers to a secret that the recipe doesn't define."},
		{Name: "undefined-service", Severity: Error, Sentence: "A service refers to another one that the recipe doesn't define."},
		{Name: "unusable-tarball", Severity: Error, Sentence: "With --air-gapped: a tarball, or a list of them, is missing, broken, or not what its checksum says."},
		{Name: "undefined-volume", Severity: Error, Sentence: "A service refers to a volume that the recipe doesn't define."},
	}
}

// lintCodes are what only check finds: the recipe runs in spite of it.
func lintCodes() []Code {
	return []Code{
		{Name: "obsolete-version", Severity: Note, Lint: true, Sentence: "The top-level version has no meaning any more (compose-spec, Version top-level element)."},
		{Name: "plain-secret", Severity: Warning, Lint: true, Sentence: "A password, token or key stands in the recipe's text as a variable's value, where everybody reads it who can read the recipe or inspect the container."},
		{Name: "unknown-mount-option", Severity: Warning, Lint: true, Sentence: "The text of a mount ends with an option that does not exist; docker compose drops it in silence."},
		{Name: "unpinned-image", Severity: Warning, Lint: true, Sentence: "An image has no tag, or \"latest\": what runs depends on when it was pulled."},
		{Name: "unused", Severity: Note, Lint: true, Sentence: "A network, volume, config or secret is defined, and no service uses it: it is not made."},
		{Name: "yaml-1.1", Severity: Warning, Lint: true, Sentence: "A value without quotes means something else to readers of YAML 1.1, as the BOSH director and docker-compose 1 are: 22:22 is the number 1342, no is false."},
	}
}
