package imports

import (
	"time"
)

// Format is how an archive is laid out.
type Format string

// The formats. An archive that is laid out both ways, as Docker 25 and later write them, counts as a docker-archive, which
// every Engine loads.
const (
	// DockerArchive has a manifest.json that names configurations and layers.
	DockerArchive Format = "docker-archive"
	// OCIArchive is an OCI image layout in a tar: oci-layout, index.json and blobs. Source: OCI image-spec, image-layout.
	OCIArchive Format = "oci-archive"
)

// Archive is an exported image tarball.
type Archive struct {
	// Path is as it was given, or as a list names it; a relative path of a list starts from the list's directory.
	Path string `json:"path"`
	// Listed are the places in .lst files that name it; none, if it was given directly.
	Listed []Position `json:"listed,omitempty"`
	// Size is in bytes as it lies on disk, Modified when that was written.
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	// Digest is the file's checksum, "sha256:…"; empty unless a list asked for it, or everything was to be verified.
	Digest      string      `json:"digest,omitempty"`
	Format      Format      `json:"format"`
	Compression Compression `json:"compression"`
	// Images are in the archive's order, the same image once.
	Images []Image `json:"images"`
}

// Image is an image in an archive: of several platforms the one that suits this machine best, else the first.
type Image struct {
	// Tags are as the Engine shows them, "nginx:1.25" or "registry:5000/team/app:2"; none if the archive names none.
	Tags []string `json:"tags"`
	// ID is the configuration's digest: the image's ID under graph drivers.
	ID string `json:"id"`
	// Digest is that of what the archive's index names, a manifest or an index of platforms: the image's ID under the
	// containerd image store. Empty where the archive has no index.
	Digest string `json:"digest,omitempty"`
	// Digests are all by which a registry may name it: its manifest's, and those of the indexes that lead to that. None where
	// the archive has no index.
	Digests []string `json:"digests,omitempty"`
	// Fingerprint tells the configuration from others as [Fingerprint] does.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Platform is the image's own; Platforms are all that the archive carries of it.
	Platform  Platform   `json:"platform"`
	Platforms []Platform `json:"platforms"`
	// Runs tells whether the machine that was scanned for runs it.
	Runs bool `json:"runs"`
	// Size is in bytes, that of the layers as they lie in the archive: compressed, perhaps. 0 if reading could stop before.
	Size int64 `json:"size"`
	// DiffIDs are the digests of the layers' uncompressed contents, the lowest layer first; Layers are the files that hold
	// them, in the same order.
	DiffIDs    []string `json:"diff_ids"`
	Layers     []Layer  `json:"layers"`
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	// Healthcheck is nil if the image has none.
	Healthcheck *Healthcheck `json:"healthcheck,omitempty"`
}

// Layer is a file of an archive.
type Layer struct {
	// File is its name in the archive, Size its size there in bytes; 0 if reading could stop before and nothing else tells.
	File string `json:"file"`
	Size int64  `json:"size"`
	// Compression is the layer's own, inside the archive's; empty if reading could stop before.
	Compression Compression `json:"compression,omitempty"`
}

// Healthcheck is how an image says that its containers are probed; a duration of 0 is the Engine's default.
// Source: docker-image-spec, HealthcheckConfig.
type Healthcheck struct {
	// Test begins with NONE, CMD or CMD-SHELL.
	Test          []string      `json:"test"`
	Interval      time.Duration `json:"interval,omitempty"`
	Timeout       time.Duration `json:"timeout,omitempty"`
	StartPeriod   time.Duration `json:"start_period,omitempty"`
	StartInterval time.Duration `json:"start_interval,omitempty"`
	Retries       int           `json:"retries,omitempty"`
}

// Enabled tells whether containers are probed at all: there is a test, and it is not NONE.
func (h *Healthcheck) Enabled() bool {
	return h != nil && len(h.Test) > 0 && h.Test[0] != "NONE"
}
