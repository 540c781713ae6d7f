package imports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// AbsentError says that no archive holds an image.
type AbsentError struct {
	Ref string
	// Near are the tags of the same repository that there are.
	Near []string
}

func (e *AbsentError) Error() string {
	text := fmt.Sprintf("image %q is in no tarball", e.Ref)
	if len(e.Near) > 0 {
		text += "; they have " + strings.Join(e.Near, ", ")
	}
	return text
}

// DigestTag is the tag by which a machine without registry knows the image that a reference names by a registry's digest:
// "nginx:sha256-…" for "nginx@sha256:…". No Engine takes such a digest from a tarball, but each takes tags. "" is for
// references without one.
func DigestTag(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	digested, ok := named.(reference.Digested)
	if err != nil || !ok || !isDigest(digested.Digest().String()) {
		return ""
	}
	return reference.FamiliarName(named) + ":" + strings.Replace(digested.Digest().String(), ":", "-", 1)
}

// TaggedDigest is the reference by a registry's digest that a [DigestTag] stands for; "" is for other tags.
func TaggedDigest(tag string) string {
	named, err := reference.ParseNormalizedNamed(tag)
	tagged, ok := named.(reference.Tagged)
	if err != nil || !ok {
		return ""
	}
	if digest := strings.Replace(tagged.Tag(), "-", ":", 1); isDigest(digest) {
		return reference.FamiliarName(named) + "@" + digest
	}
	return ""
}

// Answers tells whether a reference names the image by a registry's digest, whatever the archive calls it.
func (i Image) Answers(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	digested, ok := named.(reference.Digested)
	return err == nil && ok && slices.Contains(i.Digests, digested.Digest().String())
}

// Find returns the image that a reference, or an ID, stands for once all archives were loaded, in their order: of several
// with the tag the last one. None is an [*AbsentError]. What a registry's digest names is found by that, or by its [DigestTag].
func Find(archives []Archive, ref string) (Image, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	tag, _ := familiar(ref)
	absent := &AbsentError{Ref: ref}
	for _, a := range slices.Backward(archives) {
		for _, img := range a.Images {
			switch {
			case img.ID == ref, img.Answers(ref), tag != "" && slices.Contains(img.Tags, tag):
				return img, nil
			case err == nil:
				absent.Near = append(absent.Near, sameRepository(img.Tags, reference.FamiliarName(named))...)
			}
		}
	}
	slices.Sort(absent.Near)
	absent.Near = slices.Compact(absent.Near)
	return Image{}, absent
}

func sameRepository(tags []string, name string) []string {
	var same []string
	for _, tag := range tags {
		if strings.HasPrefix(tag, name+":") {
			same = append(same, tag)
		}
	}
	return same
}
