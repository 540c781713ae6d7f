package imports

import (
	"archive/tar"
	"bytes"
	"slices"
	"strings"
	"testing"
)

// without leaves entries out.
func without(parts []part, names ...string) []part {
	return slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return slices.Contains(names, p.name) })
}

// within puts entries into a folder.
func within(folder string, parts []part) []part {
	parts = slices.Clone(parts)
	for i := range parts {
		parts[i].name = folder + "/" + parts[i].name
	}
	return parts
}

// replaced gives an entry another content.
func replaced(parts []part, name, content string) []part {
	parts = slices.Clone(parts)
	for i := range parts {
		if parts[i].name == name {
			parts[i].content = content
		}
	}
	return parts
}

// TestFaults: whatever is wrong with an archive has a name, and plain words.
func TestFaults(t *testing.T) {
	docker := dockerParts(web())
	config, base := sum(web().configJSON())+".json", sum("base layer")+".tar"
	var l layout
	l.name(l.manifest(web()), "docker.io/library/web:1")
	oci := l.ociParts()
	var artifacts layout
	artifacts.name(artifacts.blob("application/vnd.oci.image.manifest.v1+json", asJSON(object{
		"config": artifacts.blob("application/vnd.cncf.helm.config.v1+json", `{"name":"chart"}`), "layers": []object{},
	})), "registry.example/chart:1")
	whole, squeezed := tarOf(t, docker...), packed(t, Gzip, tarOf(t, docker...))
	flipped := slices.Clone(squeezed)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	arm := web()
	arm.config["architecture"] = "arm64"
	deep := strings.Repeat("[", 20_000)
	tests := []struct {
		name    string
		content []byte
		fault   Fault
		words   string
	}{
		{"empty file", nil, Empty, "the file is empty"},
		{"tar without entries", tarOf(t), Empty, "an archive without entries"},
		{"no image listed", tarOf(t, part{name: manifestName, content: "[]"}), Empty, "it holds no image"},
		{"empty index", tarOf(t, part{name: indexName, content: `{"manifests":[]}`}, part{name: layoutName, content: "{}"}), Empty, "it holds no image"},
		{"short text", []byte("hello"), NotImage, "not a tar archive"},
		{"long text", []byte(strings.Repeat("hello ", 1000)), NotImage, "not a tar archive"},
		{"pointer of Git LFS", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"), NotImage, "`git lfs pull` brings that"},
		{"web page", []byte("\r\n<!DOCTYPE HTML>\n<html></html>"), NotImage, "it is a web page"},
		{"a server's error", []byte(`{"errors": [{"status": 404}]}`), NotImage, "it is JSON"},
		{"zip", []byte("PK\x03\x04\x14"), NotImage, "it is a zip archive: only plain tars are read"},
		{"lz4", []byte("\x04\x22\x4d\x18\x64"), NotImage, "it is compressed with lz4"},
		{"layout in a folder", tarOf(t, within("web", oci)...), NotImage, `lies in its folder "web"`},
		{"docker-archive in a folder", tarOf(t, within("web", docker)...), NotImage, `lies in its folder "web"`},
		{"skopeo's dir:", tarOf(t, part{name: "version", content: "Directory Transport Version: 1.1\n"}, part{name: manifestName, content: `{"layers": [], "config": {}}`}), NotImage, "skopeo copy dir:"},
		{"compressed text", packed(t, Gzip, []byte("hello")), NotImage, "not a tar archive"},
		{"another tar", tarOf(t, part{name: "readme", content: "x"}), NotImage, "neither manifest.json nor index.json is in it"},
		{"docker export", tarOf(t, part{name: "bin/sh", content: "x"}, part{name: "etc/passwd", content: "x"}), NotImage, "`docker save` writes images"},
		{"before 1.10", tarOf(t, part{name: "a/layer.tar", content: "x"}, part{name: "repositories", content: "{}"}), NotImage, "before 1.10"},
		{"artifacts", tarOf(t, artifacts.ociParts()...), NotImage, "artifacts, not images"},
		{"cut in a layer", whole[:515], Truncated, "unexpected EOF"},
		{"cut between entries", whole[:1024], Truncated, "it ends before its manifest.json"},
		{"cut before the manifest", tarOf(t, without(docker, manifestName)...), Truncated, "it ends before its manifest.json"},
		{"cut before the index", tarOf(t, without(oci, indexName, layoutName)...), Truncated, "it ends before its index.json"},
		{"cut while compressed", squeezed[:len(squeezed)/2], Truncated, "unexpected EOF"},
		{"cut in the header of gzip", squeezed[:5], Truncated, "unexpected EOF"},
		{"cut zstd", packed(t, Zstd, whole)[:100], Truncated, "unexpected EOF"},
		{"cut xz", packed(t, Xz, whole)[:100], Truncated, "unexpected EOF"},
		{"flipped checksum of gzip", flipped, Corrupt, "invalid checksum"},
		{"huge dictionary of xz", hugeXz(t, whole), Excessive, "4GiB of memory, more than the 128MiB"},
		{"configuration missing", tarOf(t, without(docker, config)...), Corrupt, "is not in the archive"},
		{"configuration changed", tarOf(t, replaced(docker, config, arm.configJSON())...), Corrupt, "does not have the digest"},
		{"configuration broken", tarOf(t, replaced(docker, config, "{")...), Corrupt, "decoding JSON"},
		{"configuration of something else", tarOf(t, replaced(docker, config, "{}")...), Corrupt, "is not the description of an image"},
		{"layer missing", tarOf(t, without(docker, base)...), Corrupt, "is not in the archive"},
		{"blob changed", tarOf(t, replaced(oci, "blobs/sha256/"+sum("base layer"), "bad layers")...), Corrupt, "does not have the"},
		{"blob of another size", tarOf(t, replaced(oci, "blobs/sha256/"+sum("base layer"), "bad")...), Corrupt, "has 3 bytes, not the 10"},
		{"layer changed", tarOf(t, replaced(docker, base, "bad layers")...), Corrupt, "does not have the content"},
		{"layer link to itself", tarOf(t, append(without(docker, base), part{name: base, target: base})...), Corrupt, "is not in the archive"},
		{"layer too many", tarOf(t, append(without(docker, manifestName), part{name: manifestName, content: asJSON([]object{
			{"Config": config, "Layers": []string{base, base, base}},
		})})...), Corrupt, "an image of 3 layers is said to have 2"},
		{"bad tag", tarOf(t, dockerParts(sample{tags: []string{"Bad Tag"}})...), Corrupt, `"Bad Tag" is no tag`},
		{"two manifests", tarOf(t, append(docker, part{name: "./manifest.json", content: "[]"})...), Corrupt, "two different files"},
		{"deep JSON", tarOf(t, part{name: manifestName, content: deep}), Corrupt, "decoding JSON"},
		{"long JSON", tarOf(t, part{name: manifestName, content: "[" + strings.Repeat(" ", maxDocument)}), Excessive, "longer than"},
		{"long list", tarOf(t, part{name: manifestName, content: "[" + strings.Repeat("{},", maxElements) + "{}]"}), Excessive, "more than 4096 elements"},
		{"long name", tarOf(t, part{name: strings.Repeat("n", maxPath+1)}), Excessive, "a name in it is longer"},
		{"many configurations", manyConfigurations(t), Excessive, "more manifests and configurations"},
		{"indexes in indexes", deepIndex(t), Corrupt, "indexes nest deeper than 4"},
		{"many entries", manyEntries(t), Excessive, "more entries than any image archive has"},
		{"path as digest", tarOf(t, part{name: indexName, content: `{"manifests":[{"digest":"../x:00"}]}`}, part{name: layoutName, content: "{}"}), Corrupt, "is no digest"},
		{"index of itself", indexOfItself(t), Corrupt, "does not have the"},
	}
	s := onAMD64()
	s.Verify = true
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			archives, err := s.Scan(t.Context(), write(t, t.TempDir(), "image.tar", tt.content))
			wantFault(t, err, tt.fault, tt.words)
			if len(archives) > 0 {
				t.Errorf("there is an archive too: %+v", archives)
			}
		})
	}
}

// hugeXz has a dictionary of 4 GiB in its header.
func hugeXz(t *testing.T, content []byte) []byte {
	squeezed := packed(t, Xz, content)
	filter := bytes.Index(squeezed[12:], []byte{0x21, 1})
	squeezed[12+filter+2] = 40
	return squeezed
}

func manyEntries(t *testing.T) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for range maxEntries + 1 {
		if err := w.WriteHeader(&tar.Header{Name: "n", Typeflag: tar.TypeDir, Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
	}
	return packed(t, Zstd, out.Bytes())
}

// manyConfigurations are each within the limits, and too much together.
func manyConfigurations(t *testing.T) []byte {
	var parts []part
	id := strings.Repeat("i", 900)
	ids := `{"rootfs":{"diff_ids":["` + strings.Repeat(id+`","`, 4000) + `"]}}`
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		parts = append(parts, part{name: name, content: ids})
	}
	return tarOf(t, parts...)
}

func deepIndex(t *testing.T) []byte {
	var l layout
	d := l.manifest(web())
	for range maxDepth + 1 {
		d = l.list(d)
	}
	l.name(d, "docker.io/library/deep:1")
	return tarOf(t, l.ociParts()...)
}

// indexOfItself has a blob that names itself, which a digest can't.
func indexOfItself(t *testing.T) []byte {
	digest := "sha256:" + sum("")
	index := asJSON(object{"manifests": []object{{"digest": digest}}})
	return tarOf(t, part{name: indexName, content: index}, part{name: layoutName, content: "{}"},
		part{name: "blobs/sha256/" + sum(""), content: index})
}

// TestVerify: only when it is asked for, layers are read; what is damaged in one is not seen otherwise.
func TestVerify(t *testing.T) {
	content := tarOf(t, replaced(dockerParts(web()), sum("base layer")+".tar", "bad layers")...)
	for _, how := range []Compression{Plain, Gzip} {
		if got := one(t, onAMD64(), packed(t, how, content)); len(got.Images) != 1 {
			t.Errorf("got %+v", got)
		}
	}
}

// TestDamage cuts and flips an archive at every place. What is then found without a fault is what was found before.
func TestDamage(t *testing.T) {
	s := onAMD64()
	s.Verify = true
	for _, how := range []Compression{Plain, Gzip} {
		whole := packed(t, how, tarOf(t, dockerParts(sample{tags: []string{"web:1"}, layers: []string{"layer"}})...))
		want := one(t, s, whole).Images[0]
		dir := t.TempDir()
		try := func(content []byte, place int, damage string) {
			archives, err := s.Scan(t.Context(), write(t, dir, "image.tar", content))
			if err == nil && (len(archives) != 1 || archives[0].Images[0].ID != want.ID || archives[0].Images[0].DiffIDs[0] != want.DiffIDs[0]) {
				t.Errorf("%s %s at %d: %+v", how, damage, place, archives)
			}
		}
		for i := 0; i < len(whole); i += 19 {
			try(whole[:i], i, "cut")
			flipped := slices.Clone(whole)
			flipped[i] ^= 1 << (i % 8)
			try(flipped, i, "flipped")
		}
	}
}
