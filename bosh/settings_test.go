package bosh

import (
	"slices"
	"strings"
	"testing"
)

func validSettings() Settings {
	return Settings{Project: "running", StopMode: StopContainers, Scope: ScopeAuto, WaitTimeout: 1, DrainTimeout: 1}
}

func TestWrongPropertiesAreNamed(t *testing.T) {
	valid := validSettings()
	if err := valid.validate(); err != nil {
		t.Fatal(err)
	}
	for property, spoil := range map[string]func(*Settings){
		"project":       func(s *Settings) { s.Project = "$(id)" },
		"stop_mode":     func(s *Settings) { s.StopMode = "kill" },
		"daemon_scope":  func(s *Settings) { s.Scope = "" },
		"env":           func(s *Settings) { s.Env = map[string]string{"A=B; id": "x"} },
		"wait.timeout":  func(s *Settings) { s.WaitTimeout = 0 },
		"drain.timeout": func(s *Settings) { s.DrainTimeout = -1 },
	} {
		s := validSettings()
		spoil(&s)
		if err := s.validate(); err == nil || !strings.Contains(err.Error(), `property "`+property+`"`) {
			t.Errorf("%s: got error %v", property, err)
		}
	}
}

func TestTheRecipeSeesTheInstanceAndTheOperatorsVariables(t *testing.T) {
	s := validSettings()
	s.Instance = Instance{IP: "10.0.0.5", Name: "db", Index: "0", Bootstrap: true}
	s.Peers = []string{"10.0.0.5", "10.0.0.6"}
	s.Env = map[string]string{"A": "a\nb"}
	environ := s.Environ(VM{Root: "/"})
	for _, want := range []string{
		"PWD=/var/vcap/jobs/docker/etc/running", "BOSH_INSTANCE_IP=10.0.0.5", "BOSH_INSTANCE_BOOTSTRAP=true",
		"BOSH_PEERS=10.0.0.5,10.0.0.6", "A=a\nb",
	} {
		if !slices.Contains(environ, want) {
			t.Errorf("%q is not in %q", want, environ)
		}
	}
}

func TestWhatIsNearIsNotAskedForThroughAProxy(t *testing.T) {
	if got := (Proxy{NoProxy: "x"}).Environ("10.0.0.5"); got != nil {
		t.Errorf("without a proxy: %q", got)
	}
	got := Proxy{HTTP: "http://p", NoProxy: "registry.internal"}.Environ("10.0.0.5")
	if want := "NO_PROXY=localhost,127.0.0.1,::1,.bosh,10.0.0.5,registry.internal"; !slices.Contains(got, want) || !slices.Contains(got, "http_proxy=http://p") {
		t.Errorf("got %q", got)
	}
}
