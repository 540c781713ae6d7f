package compose

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
)

// Content is the text of a config or secret. Printed or logged, whatever the verb, it shows its size alone; as JSON it is
// base64, so that a project that is saved and read again still has it.
type Content []byte

// Format writes the size.
func (c Content) Format(w fmt.State, _ rune) { fmt.Fprint(w, c.String()) }

// String and GoString tell the size.
func (c Content) String() string   { return fmt.Sprintf("(%d bytes)", len(c)) }
func (c Content) GoString() string { return c.String() }

// MarshalText tells the size: that is what a log asks for.
func (c Content) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalJSON and UnmarshalJSON keep all of it.
func (c Content) MarshalJSON() ([]byte, error) { return json.Marshal([]byte(c)) }

// UnmarshalJSON is the opposite of MarshalJSON.
func (c *Content) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, (*[]byte)(c)) }

// digest tells contents apart without giving them away: who has the digest alone, and not the key, can't try guesses.
func (c Content) digest(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(c)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// File is a config or secret as a service's containers see it: a file of its own, which they can only read.
type File struct {
	Kind FileKind
	// Name is the key of the config or secret in the recipe.
	Name string
	// Target is the absolute path in the container.
	Target string
	// UID and GID own the file; -1 leaves that to who writes it.
	UID, GID int
	// Mode are the permission bits.
	Mode uint32
	// Content is what stands in it, Digest a digest of that by the key of [Source.Key].
	Content Content
	Digest  string
}

// same tells whether two files are alike, their contents by digest.
func (f File) same(other File) bool {
	f.Content, other.Content = nil, nil
	return reflect.DeepEqual(f, other)
}

// FileKind says what a [File] is.
type FileKind string

// The kinds of files.
const (
	KindConfig FileKind = "config"
	KindSecret FileKind = "secret"
)
