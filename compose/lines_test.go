package compose

import "testing"

func TestLine(t *testing.T) {
	text := "one\ntwo\r\nthree\rfour\u0085five\u2028six\u2029seven"
	for number, want := range []string{"", "one", "two", "three", "four", "five", "six", "seven", ""} {
		if got := Line(text, number); got != want {
			t.Errorf("line %d is %q, want %q", number, got, want)
		}
	}
}
