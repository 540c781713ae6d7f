package imports

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// one scans a single archive that must be without fault.
func one(t *testing.T, s Scanner, content []byte) Archive {
	t.Helper()
	path := write(t, t.TempDir(), "image.tar", content)
	archives, err := s.Scan(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if len(archives) != 1 || archives[0].Path != path || archives[0].Size != int64(len(content)) {
		t.Fatalf("archives: %+v", archives)
	}
	return archives[0]
}

func amd64() Platform { return Platform{OS: "linux", Architecture: "amd64"} }

// wantWeb is what must be found of [web] in any archive.
func wantWeb() Image {
	return Image{
		Tags: []string{"web:1", "web:latest"}, ID: "sha256:" + sum(web().configJSON()), Fingerprint: Fingerprint([]byte(web().configJSON())),
		Platform: amd64(), Platforms: []Platform{amd64()}, Runs: true, Size: int64(len("base layerweb layer")),
		DiffIDs:    []string{"sha256:" + sum("base layer"), "sha256:" + sum("web layer")},
		Entrypoint: []string{"/web"}, Cmd: []string{"serve"},
		Healthcheck: &Healthcheck{Test: []string{"CMD", "probe"}, Interval: 3 * time.Second, Retries: 4},
	}
}

// bare is an image without its layers' files, whose names are each archive's own.
func bare(t *testing.T, i Image) Image {
	t.Helper()
	var size int64
	for _, l := range i.Layers {
		size += l.Size
	}
	if len(i.Layers) != len(i.DiffIDs) || i.Size != 0 && size != i.Size {
		t.Errorf("layers %+v of an image of %d bytes, %v", i.Layers, i.Size, i.DiffIDs)
	}
	i.Layers = nil
	return i
}

// TestFormats reads the same images from each format in each compression, thoroughly and not.
func TestFormats(t *testing.T) {
	var oci layout
	manifest := oci.manifest(web())
	oci.name(manifest, "docker.io/library/web:1")
	oci.name(manifest, "docker.io/library/web:latest")
	other := oci.manifest(db())
	oci.name(other, "registry.example:5000/team/db:15")
	var both []part
	for _, p := range oci.ociParts() {
		if p.name == layoutName { // as docker save sorts them
			both = append(both, part{name: manifestName, content: asJSON([]object{{
				"Config": "blobs/sha256/" + sum(web().configJSON()), "RepoTags": []string{"web:latest", "web:1"},
				"Layers": []string{"blobs/sha256/" + sum("base layer"), "blobs/sha256/" + sum("web layer")},
			}})})
		}
		both = append(both, p)
	}
	formats := []struct {
		name   string
		parts  []part
		format Format
		index  bool
	}{
		{"docker", dockerParts(web(), db()), DockerArchive, false},
		{"oci", oci.ociParts(), OCIArchive, true},
		{"both", both, DockerArchive, true},
		{"dotted names", dotted(dockerParts(web(), db())), DockerArchive, false},
	}
	for _, f := range formats {
		for _, how := range []Compression{Plain, Gzip, Zstd, Xz} {
			for _, verify := range []bool{false, true} {
				t.Run(f.name+" "+string(how), func(t *testing.T) {
					s := onAMD64()
					s.Verify = verify
					content := packed(t, how, tarOf(t, f.parts...))
					got := one(t, s, content)
					if got.Format != f.format || got.Compression != how || len(got.Images) != 2 {
						t.Fatalf("got %+v", got)
					}
					if sum := "sha256:" + sum(string(content)); verify && got.Digest != sum || !verify && got.Digest != "" {
						t.Errorf("digest %q, verify %t", got.Digest, verify)
					}
					want := wantWeb()
					if f.index {
						want.Digest = manifest["digest"].(string)
						want.Digests = []string{want.Digest}
					}
					if !reflect.DeepEqual(bare(t, got.Images[0]), want) {
						t.Errorf("got  %+v\nwant %+v", got.Images[0], want)
					}
					if tags := got.Images[1].Tags; !slices.Equal(tags, db().tags) || got.Images[1].Healthcheck.Enabled() {
						t.Errorf("second image: %+v", got.Images[1])
					}
				})
			}
		}
	}
}

// dotted names entries as `tar -C dir -c .` does.
func dotted(parts []part) []part {
	all := []part{{name: "./"}}
	for _, p := range parts {
		p.name = "./" + p.name
		all = append(all, p)
	}
	return all
}

// bzipped is the tar of [TestBzip2], in the words of bzip2 1.0.8.
const bzipped = `
QlpoOTFBWSZTWW0X/M0AAP//ks6AAAxQBf/0DmYcCv//3+okAAAAjAhAAlzoAG6GhQTRkBkaGQ0ANDQDQNNDRoNRMpmoxA00YCGmQGhppoGhoDCJ6qNHqepk
GjIyDQBpkyDEGgyYIIpE0AmRMaieVPaUzSeUHknqHqaabUxpHpP495kEoD6UD7BQg7bFR03xbWFgaBAG80szCwLkO5gWSDC+7vw144ev5+Hdxi/9o+P9R5RH
jIp8JH/EggCJCqt9NJw5wKxga0AAjZmIDTbrloBklHLgs4Sjys8+IdgUki/cECL49naVB3hAnXAkJ7e6DtHrcI4UefVQl+B0txeXNTvaEmxo8mu5vKnF0cH4
JR7xtMGjn6dFTgVWOZMn6V5ORqMW9mXPgbHYbG4yagivVBsqtJPY1h7rdrZRhwLjmcyym5tYZ3XlZQk4uxzdZU3Nbi5BoFRNtdbYyYai0yaOs1SYTObi62pu
a24wKFTkUbm5zOYkTZs3FoTbWHU4kiZrMCpmlHaGFJRCyh2BD74D94J9UtB9PbMdtYf4b3Q5x2MjN+P+13+fYBLt3fq+UWGLwOBWcni7Cw0oWHRc9J9OpxOT
De4PO2FY3sM2b0c1mO2W/gyfUzkTLjUzazPuv+vDdzOB7C92v2xm70tfl6Ba7+V7xNQ3snc+p8/A/mC7Tn9k99nW4u5hqc3kdJfoR/ZhI35E9h1/Xlb1ZHrr
+fGG4x/HxIPRqz60ZIG3NMg0N2EtFRqrNMwPmpTCgMEdxJ7rS64CyqDWV6WzKIJURQioDt4jYKAUMGQu6g7Ct2oA9sb3Ey3DrAMI/KbB8RLSPMCL+LuSKcKE
g2i/5mg=
`

func TestBzip2(t *testing.T) {
	content, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(bzipped, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	got := one(t, onAMD64(), content)
	if got.Compression != Bzip2 || !reflect.DeepEqual(bare(t, got.Images[0]), wantWeb()) {
		t.Errorf("got %+v", got)
	}
}

// TestLinkedLayers: Docker before 25 wrote a layer that images share once, and links to it.
func TestLinkedLayers(t *testing.T) {
	config := web().configJSON()
	parts := []part{
		{name: "aaa/"}, {name: "aaa/VERSION", content: "1.0"}, {name: "aaa/json", content: `{"id":"aaa","os":"linux"}`},
		{name: "aaa/layer.tar", content: "base layer"},
		{name: "bbb/layer.tar", target: "../ccc/layer.tar"},
		{name: "ccc/layer.tar", content: "web layer"},
		{name: sum(config) + ".json", content: config},
		{name: manifestName, content: asJSON([]object{{
			"Config": sum(config) + ".json", "RepoTags": web().tags, "Layers": []string{"aaa/layer.tar", "bbb/layer.tar"},
		}})},
		{name: "repositories", content: `{"web":{"1":"bbb"}}`},
	}
	s := onAMD64()
	s.Verify = true
	if got := bare(t, one(t, s, tarOf(t, parts...)).Images[0]); !reflect.DeepEqual(got, wantWeb()) {
		t.Errorf("got %+v", got)
	}
}

// TestCompressedLayers: registries' layers are compressed; the tarball's layer then has two digests.
func TestCompressedLayers(t *testing.T) {
	image := sample{layers: []string{"one layer"}}
	squeezed := string(packed(t, Gzip, []byte("one layer")))
	archive := func(config string) []byte {
		var l layout
		l.name(l.blob("application/vnd.oci.image.manifest.v1+json", asJSON(object{
			"config": l.blob("application/vnd.oci.image.config.v1+json", config),
			"layers": []object{l.blob("application/vnd.oci.image.layer.v1.tar+gzip", squeezed)},
		})), "docker.io/library/squeezed:1")
		return tarOf(t, l.ociParts()...)
	}
	s := onAMD64()
	s.Verify = true
	if got := one(t, s, archive(image.configJSON())).Images[0]; got.Size != int64(len(squeezed)) || got.DiffIDs[0] != "sha256:"+sum("one layer") {
		t.Errorf("got %+v", got)
	}
	path := write(t, t.TempDir(), "other.tar", archive(sample{layers: []string{"another"}}.configJSON()))
	_, err := s.Scan(t.Context(), path)
	wantFault(t, err, Corrupt, "does not have the content")
}

func TestPlatforms(t *testing.T) {
	var l layout
	on := func(arch string) sample {
		return sample{layers: []string{arch + " layer"}, config: object{"architecture": arch}}
	}
	attestation := platform(l.manifest(sample{config: object{"os": "unknown", "architecture": "unknown"}}), "unknown", "unknown")
	notHere := object{"digest": "sha256:" + sum("not here"), "size": 8, "platform": object{"os": "linux", "architecture": "s390x"}}
	list := l.list(
		platform(l.manifest(on("arm64")), "linux", "arm64"), platform(l.manifest(on("amd64")), "linux", "amd64"),
		platform(l.manifest(on("386")), "linux", "386"), notHere, attestation)
	l.name(list, "docker.io/library/many:1")
	content := tarOf(t, l.ociParts()...)
	tests := []struct {
		machine, chosen string
		runs            bool
	}{
		{"amd64", "amd64", true},
		{"arm64", "arm64", true},
		{"386", "386", true},
		{"riscv64", "arm64", false},
	}
	for _, tt := range tests {
		t.Run(tt.machine, func(t *testing.T) {
			for _, how := range []Compression{Plain, Gzip} {
				path := write(t, t.TempDir(), "many.tar", packed(t, how, content))
				archives, err := Scanner{Platform: Platform{OS: "linux", Architecture: tt.machine}}.Scan(t.Context(), path)
				if len(archives) != 1 {
					t.Fatal(err)
				}
				got := archives[0].Images[0]
				platforms := []Platform{{"linux", "arm64", ""}, {"linux", "amd64", ""}, {"linux", "386", ""}}
				if got.Platform.Architecture != tt.chosen || got.Runs != tt.runs || !slices.Equal(got.Platforms, platforms) ||
					got.Digest != list["digest"] || got.DiffIDs[0] != "sha256:"+sum(tt.chosen+" layer") {
					t.Errorf("got %+v", got)
				}
				if tt.runs && err != nil {
					t.Error(err)
				}
				if !tt.runs {
					wantFault(t, err, WrongPlatform, `image "many:1" is for linux/arm64, linux/amd64, linux/386, and this machine is linux/riscv64`)
				}
			}
		})
	}
}

// TestPlatformsWithoutIndex: manifests of one name, for different platforms, are one image.
func TestPlatformsWithoutIndex(t *testing.T) {
	var l layout
	for _, arch := range []string{"arm64", "amd64"} {
		l.name(l.manifest(sample{layers: []string{arch}, config: object{"architecture": arch}}), "docker.io/library/two:1")
	}
	got := one(t, onAMD64(), tarOf(t, l.ociParts()...))
	if len(got.Images) != 1 || got.Images[0].Platform != amd64() || len(got.Images[0].Platforms) != 2 {
		t.Errorf("got %+v", got.Images)
	}
}

// TestNames: what an OCI layout calls its images, and what of that is a name.
func TestNames(t *testing.T) {
	tests := []struct {
		key, value string
		tags       []string
	}{
		{"io.containerd.image.name", "docker.io/library/web:1", []string{"web:1"}},
		{"org.opencontainers.image.ref.name", "registry.example/web:1", []string{"registry.example/web:1"}},
		{"org.opencontainers.image.ref.name", "quay.io/team/web", []string{"quay.io/team/web:latest"}},
		{"org.opencontainers.image.ref.name", "latest", []string{}},
		{"org.opencontainers.image.ref.name", "Not: a name", []string{}},
	}
	for _, tt := range tests {
		var l layout
		d := l.manifest(web())
		d["annotations"] = object{tt.key: tt.value}
		l.index = append(l.index, d)
		if got := one(t, onAMD64(), tarOf(t, l.ociParts()...)).Images[0].Tags; !reflect.DeepEqual(got, tt.tags) {
			t.Errorf("%q: tags %q, want %q", tt.value, got, tt.tags)
		}
	}
}

// TestOneWord: the Engine takes a command that is no list, and so do we.
func TestOneWord(t *testing.T) {
	image := sample{config: object{"config": object{"Cmd": "serve", "Entrypoint": nil, "Healthcheck": object{"Test": []string{"NONE"}}}}}
	got := one(t, onAMD64(), tarOf(t, dockerParts(image)...)).Images[0]
	if !slices.Equal(got.Cmd, []string{"serve"}) || got.Entrypoint != nil || got.Healthcheck == nil || got.Healthcheck.Enabled() {
		t.Errorf("got %+v", got)
	}
}

// TestEarlyEnd: where descriptions stand before layers, a compressed archive is not read on, unless to verify it.
func TestEarlyEnd(t *testing.T) {
	parts := dockerParts(web())
	slices.Reverse(parts)
	noise := noise(1 << 20)
	whole := packed(t, Gzip, tarOf(t, append(parts, part{name: "noise", content: noise})...))
	cut := whole[:len(whole)-len(noise)/2]
	want := wantWeb()
	want.Size = 0
	if got := bare(t, one(t, onAMD64(), cut).Images[0]); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	s := onAMD64()
	s.Verify = true
	_, err := s.Scan(t.Context(), write(t, t.TempDir(), "cut.tgz", cut))
	wantFault(t, err, Truncated, "unexpected EOF")
}

// noise is text that does not compress, the same each time.
func noise(n int) string {
	out := make([]byte, n)
	state := uint64(1)
	for i := range out {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		out[i] = byte(state)
	}
	return string(out)
}

// TestMemory: what is allocated in all does not grow with a layer, whether it is read or passed over.
func TestMemory(t *testing.T) {
	const size, most = 24 << 20, 12 << 20
	image := sample{layers: []string{strings.Repeat("\x00", size)}}
	content := tarOf(t, dockerParts(image)...)
	for _, how := range []Compression{Plain, Gzip, Zstd} {
		for _, verify := range []bool{false, true} {
			path := write(t, t.TempDir(), "big.tar", packed(t, how, content))
			s := onAMD64()
			s.Verify = verify
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			archives, err := s.Scan(t.Context(), path)
			runtime.ReadMemStats(&after)
			if err != nil || archives[0].Images[0].Size != size {
				t.Fatalf("%+v, %v", archives, err)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > most {
				t.Errorf("%s, verify %t: %d bytes allocated", how, verify, took)
			}
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	asked := errors.New("asked to end")
	cancel(asked)
	if _, err := onAMD64().Scan(ctx, write(t, t.TempDir(), "image.tar", tarOf(t, dockerParts(web())...))); !errors.Is(err, asked) {
		t.Errorf("got %v", err)
	}
}

// TestUnreadable covers what is not a file, or not for us.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Scan(pipe)
	wantFault(t, err, Unreadable, "not a regular file")
	_, err = Scan(dir)
	wantFault(t, err, Unreadable, "it is a directory")
	layout := filepath.Dir(write(t, t.TempDir(), layoutName, []byte("{}")))
	_, err = Scan(layout)
	wantFault(t, err, Unreadable, "`tar -C "+layout)
	_, err = Scan(filepath.Join(dir, "nowhere.tar"))
	if wantFault(t, err, Missing, "no such file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is no fs.ErrNotExist", err)
	}
	if os.Getuid() == 0 {
		t.Skip("root reads what is not for it, so that an unreadable file can't be made")
	}
	secret := write(t, dir, "secret.tar", tarOf(t, dockerParts(web())...))
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	_, err = Scan(secret)
	if wantFault(t, err, Unreadable, "permission denied"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v is no fs.ErrPermission", err)
	}
}

// wantFault checks that there is exactly one fault, and its words.
func wantFault(t *testing.T, err error, fault Fault, words string) {
	t.Helper()
	all := faults(err)
	if len(all) != 1 || all[0].Fault != fault || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v\nwant %s: %s", err, fault, words)
	}
}

// faults takes what Scan returned apart.
func faults(err error) []*Error {
	var e *Error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Error
		for _, one := range joined.Unwrap() {
			all = append(all, faults(one)...)
		}
		return all
	}
	if errors.As(err, &e) {
		return []*Error{e}
	}
	return nil
}
