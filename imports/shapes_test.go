package imports

import (
	"slices"
	"testing"
)

// annotated completes a descriptor with annotations, those that tools give an image in a layout's index.
func annotated(d object, annotations object) object {
	with := object{"annotations": annotations}
	for key, value := range d {
		with[key] = value
	}
	return with
}

// attested is an index of an image and of what BuildKit says of it.
func (l *layout) attested(s sample) object {
	manifest := platform(l.manifest(s), "linux", "amd64")
	statement := l.blob("application/vnd.oci.image.manifest.v1+json", asJSON(object{
		"config": l.blob("application/vnd.oci.image.config.v1+json", asJSON(object{
			"architecture": "unknown", "os": "unknown", "rootfs": object{"type": "layers", "diff_ids": []string{"sha256:" + sum("statement")}},
		})),
		"layers": []object{l.blob("application/vnd.in-toto+json", "statement")},
	}))
	return l.list(manifest, annotated(platform(statement, "unknown", "unknown"), object{
		"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": manifest["digest"],
	}))
}

// TestToolsNameImages reads archives as the tools write them, each holding the same image: by the names that they give it,
// and by the digests that a registry would know it by.
func TestToolsNameImages(t *testing.T) {
	const full = "docker.io/library/web:1"
	refName := func(name string) object { return object{"org.opencontainers.image.ref.name": name} }
	for _, tt := range []struct {
		name string
		// index are the layout's own descriptors, digests those that its images answer to.
		index func(l *layout) (index []object, digests []string)
		tags  []string
	}{
		{"skopeo and crane, without a name", func(l *layout) ([]object, []string) {
			m := l.manifest(web())
			return []object{m}, digests(m)
		}, nil},
		{"skopeo, with a tag alone", func(l *layout) ([]object, []string) {
			m := l.manifest(web())
			return []object{annotated(m, refName("1"))}, digests(m)
		}, nil},
		{"podman and skopeo, with a name", func(l *layout) ([]object, []string) {
			m := l.manifest(web())
			return []object{annotated(m, refName(full))}, digests(m)
		}, []string{"web:1"}},
		{"buildx, with attestations", func(l *layout) ([]object, []string) {
			list := l.attested(web())
			named := annotated(list, object{"io.containerd.image.name": full, "org.opencontainers.image.ref.name": "1"})
			return []object{named}, digests(l.manifest(web()), list)
		}, []string{"web:1"}},
		{"crane, an index of platforms", func(l *layout) ([]object, []string) {
			m, other := l.manifest(web()), db()
			other.config = object{"architecture": "arm64"}
			list := l.list(platform(l.manifest(other), "linux", "arm64"), platform(m, "linux", "amd64"))
			return []object{list}, digests(m, list)
		}, nil},
		{"an index in an index", func(l *layout) ([]object, []string) {
			inner := l.attested(web())
			outer := l.list(inner)
			return []object{annotated(outer, refName(full))}, digests(l.manifest(web()), inner, outer)
		}, []string{"web:1"}},
		{"podman, by digest", func(l *layout) ([]object, []string) {
			m := l.manifest(web())
			return []object{annotated(m, refName("docker.io/library/web@"+m["digest"].(string)))}, digests(m)
		}, []string{"web:sha256-" + webDigits()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l layout
			index, digests := tt.index(&l)
			l.index = index
			for _, how := range []Compression{Plain, Gzip} {
				expectNames(t, one(t, onAMD64(), packed(t, how, tarOf(t, l.ociParts()...))), tt.tags, digests)
			}
			// Docker 25 and buildx write both descriptions, this one first.
			both := slices.Concat([]part{{name: manifestName, content: asJSON([]object{{
				"Config": "blobs/sha256/" + sum(web().configJSON()), "RepoTags": []string{"web:2"},
				"Layers": []string{"blobs/sha256/" + sum("base layer"), "blobs/sha256/" + sum("web layer")},
			}})}}, l.ociParts())
			expectNames(t, one(t, onAMD64(), tarOf(t, both...)), append(slices.Clone(tt.tags), "web:2"), digests)
		})
	}
}

func digests(descriptors ...object) []string {
	var all []string
	for _, d := range descriptors {
		all = append(all, d["digest"].(string))
	}
	return all
}

// webDigits are those of web's manifest.
func webDigits() string {
	var l layout
	return l.manifest(web())["digest"].(string)[len("sha256:"):]
}

func expectNames(t *testing.T, a Archive, tags, digests []string) {
	t.Helper()
	if len(a.Images) != 1 || a.Images[0].ID != "sha256:"+sum(web().configJSON()) {
		t.Fatalf("got %+v", a.Images)
	}
	if got := a.Images[0]; !slices.Equal(got.Tags, tags) || !slices.Equal(got.Digests, digests) {
		t.Errorf("got tags %q and digests %q, want %q and %q", got.Tags, got.Digests, tags, digests)
	}
	for _, digest := range digests {
		if _, err := Find([]Archive{a}, "elsewhere:5000/web:3@"+digest); err != nil {
			t.Error(err)
		}
	}
	if _, err := Find([]Archive{a}, "web@sha256:"+sum("another")); err == nil {
		t.Error("another digest is found")
	}
}
