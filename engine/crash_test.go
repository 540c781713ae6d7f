package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"galley/engine"
	"galley/engine/enginetest"
	"galley/engine/enginetest/dockerd"
)

// inMemory is an Engine of the test's own, with a suite on it, and the options of further processes.
func inMemory(t *testing.T, api string) (*enginetest.Engine, *suite, engine.Options) {
	memory := enginetest.New(t, enginetest.WithAPI(api), enginetest.WithSpeed(1000))
	memory.AddImage(enginetest.Image{Ref: "busybox:latest"})
	s := newSuite(t, memory.Host(), "cut", "10.232.0.0/24")
	s.engine.Close()
	opts := quick(memory.Host())
	opts.Memory = &lasting{}
	s.engine = connect(t, opts)
	return memory, s, opts
}

func connect(t *testing.T, opts engine.Options) *engine.Engine {
	t.Helper()
	e, err := engine.Connect(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func changes(c enginetest.Call) bool {
	return c.Method != http.MethodGet && c.Method != http.MethodHead
}

// cutAfter lets the first n calls that change something through, and then nothing any more: for the Engine, the client is
// gone. reached tells whether there was more to do.
func cutAfter(n int) (intercept func(enginetest.Call) *enginetest.Fault, reached func() bool) {
	var mu sync.Mutex
	cut := false
	return func(c enginetest.Call) *enginetest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if changes(c) {
				n--
			}
			if cut = cut || n < 0; cut {
				return &enginetest.Fault{Drop: true}
			}
			return nil
		}, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return cut
		}
}

func TestTheNextUpFinishesWhatWasCutAnywhere(t *testing.T) {
	for _, api := range []string{"1.41", "1.51"} {
		for _, name := range slices.Sorted(maps.Keys(upgrades())) {
			t.Run(api+"/"+name, func(t *testing.T) {
				t.Parallel()
				cutEverywhere(t, api, upgrades()[name])
			})
		}
	}
}

func cutEverywhere(t *testing.T, api string, u upgrade) {
	memory, s, opts := inMemory(t, api)
	renew := func() {
		memory.Reset()
		memory.AddImage(enginetest.Image{Ref: "busybox:latest"})
	}
	ending := u.ending(t, s)
	opts.ReconnectWithin = time.Millisecond
	doomed := *s
	doomed.engine = connect(t, opts)
	for n, more := 0, true; more && !t.Failed(); n++ {
		renew()
		u.prepare(t, s)
		intercept, reached := cutAfter(n)
		memory.Intercept(intercept)
		err := doomed.converge(t.Context(), u.to(s), u.options())
		memory.Intercept(nil)
		if more = reached(); more && err == nil {
			t.Errorf("cut after %d calls, there was no error", n)
		}
		if diff := cmp.Diff(ending, u.finish(t, s)); diff != "" {
			t.Errorf("cut after %d calls, the next up ends elsewhere (-undisturbed +now):\n%s", n, diff)
		}
		if leaked := s.anonymousVolumes(t.Context(), t, true); len(leaked) > 0 {
			t.Errorf("cut after %d calls, %d anonymous volumes leaked", n, len(leaked))
		}
		if t.Failed() {
			t.Logf("the calls were:\n%s", changing(memory.Calls()))
		}
	}
}

// changing lists the calls that change something.
func changing(calls []enginetest.Call) (text string) {
	for _, c := range calls {
		if changes(c) {
			text += fmt.Sprintln(c.Status, c.Method, c.Path, c.Query.Encode())
		}
	}
	return text
}

// crashing and its companions tell the test binary that it is to be the program that crashes.
const (
	crashing   = "GALLEY_TEST_CRASHING_UPGRADE"
	crashHost  = "GALLEY_TEST_CRASHING_HOST"
	crashInto  = "GALLEY_TEST_CRASHING_PROJECT"
	crashRange = "GALLEY_TEST_CRASHING_SUBNET"
)

// TestMain lets the crash test run this very program: an upgrade in a process of its own, to be killed.
func TestMain(m *testing.M) {
	name := os.Getenv(crashing)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := upgradeHere(upgrades()[name]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func upgradeHere(u upgrade) error {
	e, err := engine.Connect(context.Background(), quick(os.Getenv(crashHost)))
	if err != nil {
		return err
	}
	s := &suite{project: os.Getenv(crashInto), subnet: os.Getenv(crashRange), engine: e}
	return u.unexpected(s.converge(context.Background(), u.to(s), u.options()))
}

// crashed are the upgrades that are crashed on a real Engine; all are cut in memory.
func crashed() []string {
	return []string{
		"a short chain with gates changes",
		"a service with dependents is replaced",
		"a network is redefined",
		"hooks run around a replacement",
		"what changed in place changes back",
		"an update that fails is put back",
	}
}

// TestTheNextUpFinishesWhatAKilledOneBegan kills galley's process after each single call of an update.
func TestTheNextUpFinishesWhatAKilledOneBegan(t *testing.T) {
	if testing.Short() {
		t.Skip("kills and repeats some seventy updates on a real engine")
	}
	host := dockerd.ForTest(t).Host()
	all := newSuite(t, host, "killed", "")
	before := all.anonymousVolumes(t.Context(), t, true)
	t.Run("upgrades", func(t *testing.T) {
		for i, name := range crashed() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newSuite(t, host, fmt.Sprintf("killed%d", i), fmt.Sprintf("10.233.%d.0/24", i))
				s.engine.Close()
				s.engine = connect(t, quick(host))
				killEverywhere(t, s, name)
			})
		}
	})
	for _, v := range all.anonymousVolumes(t.Context(), t, true) {
		if !slices.Contains(before, v) {
			t.Errorf("the anonymous volume %s leaked", v)
		}
	}
}

func killEverywhere(t *testing.T, s *suite, name string) {
	u := upgrades()[name]
	ending := u.ending(t, s)
	for n := range u.killed() {
		s.clear(t)
		u.prepare(t, s)
		more := killedAfter(t, s, name, n)
		s.engine.Close()
		s.engine = connect(t, quick(s.host)) // what this one remembers, the killed one changed
		if diff := cmp.Diff(ending, u.finish(t, s)); diff != "" {
			t.Errorf("killed after %d calls, the next up ends elsewhere (-undisturbed +now):\n%s", n, diff)
		}
		if !more || t.Failed() {
			break
		}
	}
	s.clear(t)
}

// clear removes the project with the anonymous volumes that its containers mount.
func (s *suite) clear(t *testing.T) {
	t.Helper()
	var mounted []string
	for _, c := range s.state(t).Containers {
		for _, m := range c.Summary.Mounts {
			if madeUp.MatchString(m.Name) {
				mounted = append(mounted, m.Name)
			}
		}
	}
	s.cleanUp(t)
	for _, name := range mounted {
		// Gone with its container, if it was made for that.
		if err := s.docker.VolumeRemove(t.Context(), name, true); err != nil {
			t.Error(err)
		}
	}
}

// killedAfter runs the upgrade in a process of its own and kills that once n of its calls that change something were
// answered. It returns false if the process came to its end before.
func killedAfter(t *testing.T, s *suite, name string, n int) bool {
	t.Helper()
	guard := &guard{left: n, killed: make(chan struct{})}
	guard.ReverseProxy = httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport:     &http.Transport{DialContext: dialing(s.host)},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // the killed process breaks its connections
	}
	dir, err := os.MkdirTemp("", "guard") // the test's own directory would make a path too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: guard}
	go server.Serve(listener)
	defer server.Close()
	child := exec.Command(os.Args[0])
	// The race detector would pause for a second at the end of those that do end.
	child.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", crashing+"="+name, crashHost+"=unix://"+listener.Addr().String(), crashInto+"="+s.project, crashRange+"="+s.subnet)
	var said bytes.Buffer
	child.Stderr = &said
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	select {
	case <-guard.killed:
		// After its last call it may have ended by itself.
		if err := child.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		<-ended
		guard.restarts.Wait()
		return true
	case err := <-ended:
		if err != nil {
			t.Errorf("the upgrade failed by itself: %v: %s", err, &said)
		}
		return false
	}
}

func dialing(host string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(host, "unix://"))
	}
}

// guard passes calls on to the Engine until it has answered enough of those that change something. From then on nothing
// gets through: the process that makes them is to be killed.
type guard struct {
	httputil.ReverseProxy
	killed chan struct{}

	// restarts are those under way: the Engine carries a restart to its end though nobody waits for it, and a container that
	// has not been stopped yet looks as if it had been restarted already.
	restarts sync.WaitGroup

	mu   sync.Mutex
	left int
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	dead := g.left == 0
	restart := !dead && strings.HasSuffix(r.URL.Path, "/restart")
	if restart {
		g.restarts.Add(1)
	}
	g.mu.Unlock()
	switch {
	case dead:
		<-r.Context().Done()
		return
	case restart:
		defer g.restarts.Done()
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
		defer cancel()
		r = r.WithContext(ctx)
	}
	g.ReverseProxy.ServeHTTP(w, r)
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left--; g.left == 0 {
		close(g.killed)
	}
}
