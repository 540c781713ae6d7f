package compose

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRawEnvFilesAreTakenToTheLetter(t *testing.T) {
	const text = "\ufeffA=\"quoted\" $B # no comment\n\n# a comment\n  INDENTED=1\nEMPTY=\nKNOWN\nUNKNOWN\nC=x=y\r\n"
	got := map[string]string{}
	err := parseRaw(strings.NewReader(text), "test.env", got, func(key string) (string, bool) { return "from outside", key == "KNOWN" })
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": `"quoted" $B # no comment`, "INDENTED": "1", "EMPTY": "", "KNOWN": "from outside", "C": "x=y"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables differ (-want +got):\n%s", diff)
	}
}

func TestARawEnvFileThatIsNoneIsRefusedByItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\nTWO WORDS=2\n": `failed to read test.env: line 2: variable name "TWO WORDS" contains white space`,
		"=value\n":           "failed to read test.env: line 1: no variable name",
	} {
		err := parseRaw(strings.NewReader(text), "test.env", map[string]string{}, nil)
		if err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
}
