package imports

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// described is what a configuration says of how and where its image is run, and when and by whom it was made.
// Source: OCI image-spec, config; docker-image-spec for the others.
type described struct {
	Created string  `json:"created"`
	Author  string  `json:"author"`
	OS      string  `json:"os"`
	Arch    string  `json:"architecture"`
	Config  running `json:"config"`
}

type running struct {
	User         string              `json:",omitempty"`
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Env          list[string]        `json:",omitempty"`
	Entrypoint   command             `json:",omitempty"`
	Cmd          command             `json:",omitempty"`
	Volumes      map[string]struct{} `json:",omitempty"`
	WorkingDir   string              `json:",omitempty"`
	Labels       map[string]string   `json:",omitempty"`
	StopSignal   string              `json:",omitempty"`
	Healthcheck  *healthSection      `json:",omitempty"`
	OnBuild      list[string]        `json:",omitempty"`
	Shell        list[string]        `json:",omitempty"`
}

// Fingerprint is a digest of what tells images apart in a configuration, as JSON, but for their layers; "" if it can't be
// understood. That of the Engine's description of the image is the same, though it has other fields, another order, and
// spells out what is empty: by it and the layers, an image is recognised where the Engine names no configuration.
func Fingerprint(config []byte) string {
	var d described
	if json.Unmarshal(config, &d) != nil {
		return ""
	}
	if at, err := time.Parse(time.RFC3339Nano, d.Created); err == nil {
		d.Created = at.UTC().Format(time.RFC3339Nano)
		if at.IsZero() {
			d.Created = ""
		}
	}
	if h := d.Config.Healthcheck; h != nil && len(h.Test) == 0 {
		d.Config.Healthcheck = nil
	}
	text, err := json.Marshal(d)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}
