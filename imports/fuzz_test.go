package imports

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"testing"
)

// FuzzArchive feeds bytes to the reader. Whatever they are, there is no panic; what is returned is whole; an archive that
// passes when it is verified passes otherwise too, and says the same.
func FuzzArchive(f *testing.F) {
	var l layout
	l.name(l.list(platform(l.manifest(web()), "linux", "amd64"), platform(l.manifest(db()), "linux", "arm64")), "docker.io/library/web:1")
	for _, parts := range [][]part{dockerParts(web(), db()), l.ociParts(), {{name: "a/layer.tar", target: "../b"}, {name: "b", content: "{}"}}} {
		content := tarOf(f, parts...)
		for _, how := range []Compression{Plain, Gzip, Zstd, Xz} {
			f.Add(packed(f, how, content))
		}
		slices.Reverse(parts)
		f.Add(tarOf(f, parts...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		thorough, err := readBytes(t, data, true)
		quick, quickErr := readBytes(t, data, false)
		if err == nil && (quickErr != nil || !sameImages(thorough.Images, quick.Images)) {
			t.Errorf("verified: %+v\nonly read: %+v, %v", thorough, quick, quickErr)
		}
	})
}

// sameImages leaves out what reading that stops early does not know.
func sameImages(a, b []Image) bool {
	return slices.EqualFunc(a, b, func(a, b Image) bool {
		return a.ID == b.ID && a.Platform == b.Platform && slices.Equal(a.DiffIDs, b.DiffIDs) && reflect.DeepEqual(a.Healthcheck, b.Healthcheck)
	})
}

func readBytes(t *testing.T, data []byte, verify bool) (Archive, error) {
	s := onAMD64()
	s.Verify = verify
	a := Archive{Size: int64(len(data))}
	source := &source{ctx: context.Background(), file: bytes.NewReader(data)}
	err := s.read(&a, source, nil)
	if err != nil {
		if faultOf(err) == "" || err.Error() == "" {
			t.Errorf("error %#v", err)
		}
		return a, err
	}
	if len(a.Images) == 0 || a.Format == "" {
		t.Errorf("neither image nor error: %+v", a)
	}
	for _, image := range a.Images {
		if !isDigest(image.ID) || len(image.Platforms) == 0 || image.Size < 0 {
			t.Errorf("image %+v", image)
		}
	}
	return a, nil
}
