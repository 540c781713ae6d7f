package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The limits of what is read of an archive. The first is the one that registries and containerd set for a manifest; the
// others allow for hundreds of images.
const (
	maxDocument = 4 << 20  // bytes of one JSON file
	maxFile     = 1 << 40  // bytes of any; a sparse file claims more without having them
	maxKept     = 16 << 20 // bytes of all that is kept of them
	maxElements = 4096     // elements of a list in them
	maxEntries  = 100_000  // of the tar
	maxNames    = 8 << 20  // bytes of all their names
)

// document is what matters of an index, a manifest or an image's configuration; which one it is, its fields tell. All
// else that they hold is dropped while decoding, so that what is kept is small.
// Source: OCI image-spec, image-index, manifest and config; docker-image-spec for the healthcheck.
type document struct {
	Manifests list[descriptor] `json:"manifests"`
	Layers    list[descriptor] `json:"layers"`
	Config    *section         `json:"config"`
	RootFS    *rootFS          `json:"rootfs"`
	OS        string           `json:"os"`
	Arch      string           `json:"architecture"`
	Variant   string           `json:"variant"`
	// fingerprint is set for a configuration; see [Fingerprint].
	fingerprint string
	// saved is a docker-archive's manifest.json.
	saved list[savedImage]
}

// section is the "config" of a manifest, which is a descriptor, and that of a configuration, which says how to run.
type section struct {
	MediaType   string         `json:"mediaType"`
	Digest      string         `json:"digest"`
	Size        int64          `json:"size"`
	Entrypoint  command        `json:"Entrypoint"`
	Cmd         command        `json:"Cmd"`
	Healthcheck *healthSection `json:"Healthcheck"`
}

type healthSection struct {
	Test                                          list[string]
	Interval, Timeout, StartPeriod, StartInterval time.Duration
	Retries                                       int
}

type rootFS struct {
	DiffIDs list[string] `json:"diff_ids"`
}

// descriptor points to a blob. Source: OCI image-spec, descriptor.
type descriptor struct {
	MediaType   string           `json:"mediaType"`
	Digest      string           `json:"digest"`
	Size        int64            `json:"size"`
	URLs        list[string]     `json:"urls"`
	Platform    *platformSection `json:"platform"`
	Annotations annotations      `json:"annotations"`
}

type platformSection struct {
	OS      string `json:"os"`
	Arch    string `json:"architecture"`
	Variant string `json:"variant"`
}

// annotations are those that count.
type annotations struct {
	// ImageName is containerd's, a whole reference. Source: containerd, images.AnnotationImageName.
	ImageName string `json:"io.containerd.image.name"`
	// RefName is a reference or only a tag. Source: OCI image-spec, annotations.
	RefName string `json:"org.opencontainers.image.ref.name"`
	// Kind marks what belongs to an image and is none: BuildKit's attestations.
	Kind string `json:"vnd.docker.reference.type"`
}

// savedImage is an element of manifest.json. Source: docker-image-spec v1.2, "Combined Image JSON + Filesystem Changeset
// Format".
type savedImage struct {
	Config   string
	RepoTags list[string]
	Layers   list[string]
}

// errLong says that a list in a document is longer than anybody needs.
type errLong struct{}

func (errLong) Error() string { return fmt.Sprintf("a list of more than %d elements", maxElements) }

// list is a JSON list of bounded length: a short text must not become a long slice.
type list[T any] []T

// UnmarshalJSON decodes element by element.
func (l *list[T]) UnmarshalJSON(text []byte) error {
	*l = nil
	decoder := json.NewDecoder(bytes.NewReader(text))
	switch first, err := decoder.Token(); {
	case err != nil:
		return err
	case first == nil: // null
		return nil
	case first != json.Delim('['):
		return errors.New("no list where one belongs")
	}
	*l = list[T]{}
	for decoder.More() {
		if len(*l) == maxElements {
			return errLong{}
		}
		var element T
		if err := decoder.Decode(&element); err != nil {
			return err
		}
		*l = append(*l, element)
	}
	return nil
}

// command is a list of words; the Engine also takes one word without list.
type command list[string]

// UnmarshalJSON decodes either.
func (c *command) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		*c = make(command, 1)
		return json.Unmarshal(text, &(*c)[0])
	}
	return (*list[string])(c).UnmarshalJSON(text)
}

// parse decodes a JSON file; nil without error is one that says nothing about images.
func parse(text []byte) (*document, error) {
	d := &document{}
	var err error
	if bytes.TrimLeft(text, " \t\r\n")[0] == '[' {
		err = json.Unmarshal(text, &d.saved)
	} else {
		err = json.Unmarshal(text, d)
	}
	var long errLong
	switch {
	case errors.As(err, &long):
		return nil, flawf(Excessive, "%w", err)
	case err != nil:
		return nil, flawf(Corrupt, "decoding JSON: %w", err)
	case d.Manifests == nil && d.Layers == nil && d.RootFS == nil && d.saved == nil && (d.Config == nil || d.Config.Digest == ""):
		return nil, nil
	case d.RootFS != nil:
		d.fingerprint = Fingerprint(text)
	}
	return d, nil
}

// weight is about how many bytes a document takes in memory.
func (d *document) weight() int {
	w := 512
	for _, s := range d.saved {
		w += 72 + len(s.Config) + weigh(s.RepoTags) + weigh(s.Layers)
	}
	for _, descriptors := range []list[descriptor]{d.Manifests, d.Layers} {
		for _, x := range descriptors {
			w += 200 + len(x.MediaType) + len(x.Digest) + weigh(x.URLs) +
				len(x.Annotations.ImageName) + len(x.Annotations.RefName) + len(x.Annotations.Kind)
		}
	}
	if d.RootFS != nil {
		w += weigh(d.RootFS.DiffIDs)
	}
	if c := d.Config; c != nil {
		w += len(c.MediaType) + len(c.Digest) + weigh(list[string](c.Entrypoint)) + weigh(list[string](c.Cmd))
		if c.Healthcheck != nil {
			w += weigh(c.Healthcheck.Test)
		}
	}
	return w + len(d.OS) + len(d.Arch) + len(d.Variant)
}

func weigh(texts list[string]) int {
	w := 0
	for _, t := range texts {
		w += 16 + len(t)
	}
	return w
}
