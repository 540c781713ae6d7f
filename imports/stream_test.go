package imports

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// all wants every image of an archive under its own tags.
func all(a Archive) []Wanted {
	var wanted []Wanted
	for _, image := range a.Images {
		wanted = append(wanted, Wanted{Image: image, Tags: image.Tags})
	}
	return wanted
}

// streamed reads back what Stream makes of wanted images.
func streamed(t *testing.T, a Archive, wanted []Wanted, options StreamOptions) Archive {
	t.Helper()
	var out bytes.Buffer
	if err := onAMD64().Stream(t.Context(), &out, a, wanted, options); err != nil {
		t.Fatal(err)
	}
	s := onAMD64()
	s.Verify = true
	return one(t, s, out.Bytes())
}

// ociOf is an OCI layout of [web] and [db], each for two machines.
func ociOf() []part {
	var l layout
	other := web()
	other.layers, other.config = []string{"arm layer"}, object{"architecture": "arm64"}
	l.name(l.list(platform(l.manifest(other), "linux", "arm64"), platform(l.manifest(web()), "linux", "amd64")), "docker.io/library/web:1")
	l.name(l.list(platform(l.manifest(db()), "linux", "amd64")), "registry.example:5000/team/db:15")
	return l.ociParts()
}

func TestAnyFormatIsStreamedAsADockerArchive(t *testing.T) {
	for name, parts := range map[string][]part{"docker": dockerParts(web(), db()), "oci": ociOf()} {
		for _, how := range []Compression{Plain, Gzip, Zstd, Xz} {
			t.Run(name+" "+string(how), func(t *testing.T) {
				a := one(t, onAMD64(), packed(t, how, tarOf(t, parts...)))
				a.Path = write(t, t.TempDir(), "again.tar", packed(t, how, tarOf(t, parts...)))
				got := streamed(t, a, all(a), StreamOptions{})
				if got.Format != DockerArchive || got.Compression != Plain || len(got.Images) != len(a.Images) {
					t.Fatalf("got %+v", got)
				}
				for i, image := range got.Images {
					want := a.Images[i]
					if image.ID != want.ID || !slices.Equal(image.DiffIDs, want.DiffIDs) || !slices.Equal(image.Tags, want.Tags) || len(image.Platforms) != 1 {
						t.Errorf("got %+v, want %+v", image, want)
					}
				}
			})
		}
	}
}

func TestOnlyWhatIsWantedIsStreamed(t *testing.T) {
	a := one(t, onAMD64(), tarOf(t, dockerParts(web(), db())...))
	a.Path = write(t, t.TempDir(), "again.tar", tarOf(t, dockerParts(web(), db())...))
	var out bytes.Buffer
	wanted := []Wanted{{Image: a.Images[1], Tags: []string{"other:2"}, Have: 1}}
	if err := onAMD64().Stream(t.Context(), &out, a, wanted, StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"db layer": true, "web layer": false, "base layer": false, "other:2": true, "web:1": false} {
		if strings.Contains(out.String(), text) != want {
			t.Errorf("%q is in the stream: %t", text, !want)
		}
	}
}

// TestLayersAreUnpacked takes the compression off that an Engine does not know, whether or not the scan saw it.
func TestLayersAreUnpacked(t *testing.T) {
	image := db()
	var l layout
	packedLayer := string(packed(t, Zstd, []byte("base layer")))
	d := l.blob("application/vnd.oci.image.manifest.v1+json", asJSON(object{
		"schemaVersion": 2,
		"config":        l.blob("application/vnd.oci.image.config.v1+json", image.configJSON()),
		"layers":        []object{l.blob("application/vnd.oci.image.layer.v1.tar+zstd", packedLayer), l.blob("application/vnd.oci.image.layer.v1.tar", "db layer")},
	}))
	l.name(d, "docker.io/library/db:1")
	parts := l.ociParts()
	slices.SortStableFunc(parts, func(a, b part) int { // documents first: a scan stops before the layers
		return strings.Compare(b.content[:1], a.content[:1])
	})
	for _, how := range []Compression{Plain, Gzip} {
		content := packed(t, how, tarOf(t, parts...))
		a := one(t, onAMD64(), content)
		a.Path = write(t, t.TempDir(), "again.tar", content)
		got := streamed(t, a, all(a), StreamOptions{Unpack: func(c Compression) bool { return c == Zstd }})
		if layer := got.Images[0].Layers[0]; layer.Compression != Plain || layer.Size != int64(len("base layer")) {
			t.Errorf("%s: got %+v", how, layer)
		}
		got = streamed(t, a, all(a), StreamOptions{})
		if layer := got.Images[0].Layers[0]; layer.Compression != Zstd || layer.Size != int64(len(packedLayer)) {
			t.Errorf("%s: got %+v, want it as it is", how, layer)
		}
	}
}

// TestABrokenArchiveIsNeverWhole truncates archives and flips bits after their scan: what is streamed then is either an
// error, and has no manifest, or holds the very images that were scanned.
func TestABrokenArchiveIsNeverWhole(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, parts := range [][]part{dockerParts(web(), db()), ociOf()} {
		for _, how := range []Compression{Plain, Gzip, Zstd, Xz} {
			content := packed(t, how, tarOf(t, parts...))
			path := write(t, t.TempDir(), "a.tar", content)
			archives, err := onAMD64().Scan(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			for range 60 {
				broken := slices.Clone(content)
				if random.IntN(2) == 0 {
					broken = broken[:random.IntN(len(broken))]
				} else {
					broken[random.IntN(len(broken))] ^= 1 << random.IntN(8)
				}
				if err := os.WriteFile(path, broken, 0o644); err != nil {
					t.Fatal(err)
				}
				checkStream(t, archives[0])
			}
		}
	}
}

// checkStream holds the promise of Stream for an archive that changed since its scan.
func checkStream(t *testing.T, a Archive) {
	t.Helper()
	var out bytes.Buffer
	err := onAMD64().Stream(t.Context(), &out, a, all(a), StreamOptions{})
	if err != nil {
		var known *Error
		if !errors.As(err, &known) || known.Path != a.Path {
			t.Errorf("error %#v", err)
		}
		if strings.Contains(out.String(), manifestName) {
			t.Errorf("a manifest in spite of %v", err)
		}
		return
	}
	path := write(t, t.TempDir(), "out.tar", out.Bytes())
	s := onAMD64()
	s.Verify = true
	got, err := s.Scan(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for i, image := range got[0].Images {
		if image.ID != a.Images[i].ID || !reflect.DeepEqual(image.DiffIDs, a.Images[i].DiffIDs) {
			t.Errorf("got %+v of %+v", image, a.Images[i])
		}
	}
}

func TestAStreamEndsWithItsContextOrItsReader(t *testing.T) {
	a := one(t, onAMD64(), tarOf(t, dockerParts(web())...))
	a.Path = write(t, t.TempDir(), "again.tar", tarOf(t, dockerParts(web())...))
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	if err := onAMD64().Stream(ctx, &bytes.Buffer{}, a, all(a), StreamOptions{}); err != reason {
		t.Errorf("got %v, want the context's cause", err)
	}
	if err := onAMD64().Stream(t.Context(), refusing{}, a, all(a), StreamOptions{}); err != errRefused {
		t.Errorf("got %v, want the writer's error", err)
	}
}

var errRefused = errors.New("no more")

type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, errRefused }
