package imports

import "testing"

// TestFingerprints holds configurations against what Engines tell of the same images, and of others.
func TestFingerprints(t *testing.T) {
	const config = `{"created":"2024-05-01T10:00:00.5Z","author":"me","os":"linux","rootfs":{"type":"layers","diff_ids":[]},
		"config":{"Hostname":"","Image":"sha256:00","Cmd":["serve"],"Env":["A=1"],"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD","probe"],"Interval":3000000000}}}`
	for told, same := range map[string]bool{
		`{"Id":"sha256:11","Os":"linux","Author":"me","Created":"2024-05-01T12:00:00.500+02:00","Config":{"Entrypoint":null,"Volumes":null,"User":"","ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Interval":3000000000,"Test":["CMD","probe"]},"Env":["A=1"],"Cmd":["serve"]}}`: true,
		`{"Os":"linux","Author":"me","Created":"2024-05-01T10:00:01Z","Config":{"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Interval":3000000000,"Test":["CMD","probe"]},"Env":["A=1"],"Cmd":["serve"]}}`:                                                                      false,
		`{"Os":"linux","Author":"me","Created":"2024-05-01T10:00:00.5Z","Config":{"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Interval":3000000000,"Test":["CMD","probe"]},"Env":["A=2"],"Cmd":["serve"]}}`:                                                                    false,
		`{"Os":"linux","Author":"me","Created":"2024-05-01T10:00:00.5Z","Config":null}`: false,
	} {
		if got := Fingerprint([]byte(told)) == Fingerprint([]byte(config)); got != same {
			t.Errorf("%s\nis the same: %t, want %t", told, got, same)
		}
	}
	if Fingerprint([]byte(`{"created":"0001-01-01T00:00:00Z","config":{}}`)) != Fingerprint([]byte(`{}`)) {
		t.Error("what is spelled out as empty makes a difference")
	}
	if got := Fingerprint([]byte(`{"config":{"Env":"no list"}}`)); got != "" {
		t.Errorf("got %q of what can't be understood", got)
	}
}
