package imports

import "testing"

func TestADigestTagStandsForItsDigest(t *testing.T) {
	digest := "sha256:" + sum("manifest")
	for ref, tag := range map[string]string{
		"nginx@" + digest:                      "nginx:sha256-" + sum("manifest"),
		"reg.example:5000/team/app@" + digest:  "reg.example:5000/team/app:sha256-" + sum("manifest"),
		"docker.io/library/nginx:1@" + digest:  "nginx:sha256-" + sum("manifest"),
		"nginx:1":                              "",
		"nginx@sha512:" + sum("a") + sum("b"):  "",
		"Not a reference@sha256:" + sum("any"): "",
	} {
		if got := DigestTag(ref); got != tag {
			t.Errorf("%s: got tag %q, want %q", ref, got, tag)
		}
		if tag == "" {
			continue
		}
		back := TaggedDigest(tag)
		if DigestTag(back) != tag || (Image{Digests: []string{digest}}).Answers(back) != true {
			t.Errorf("%s stands for %q", tag, back)
		}
	}
	for _, tag := range []string{"nginx:1", "nginx", "nginx:sha256-12", "nginx:sha512-" + sum("a") + sum("b"), "nginx@" + digest, "nginx:sha256-" + sum("a") + ".sig"} {
		if got := TaggedDigest(tag); got != "" {
			t.Errorf("%s stands for %q", tag, got)
		}
	}
}
