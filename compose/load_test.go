package compose

import (
	"context"
	"path/filepath"
	"testing"
)

func BenchmarkLoad(b *testing.B) {
	for _, file := range []string{"/tmp/c30.yml", "/tmp/c100.yml"} {
		b.Run(filepath.Base(file), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Load(context.Background(), Source{Files: []string{file}, Dir: "/"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
