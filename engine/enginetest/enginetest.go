package enginetest

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Option changes an Engine before it starts.
type Option func(*Engine)

// WithAPI sets the newest API version that the Engine speaks, as "1.41"; the default is "1.51". The Engine's words and
// defaults follow it: below 1.44 they are those of dockerd 20.10, from there on those of 26 to 28.
func WithAPI(version string) Option { return func(e *Engine) { e.api = version } }

// WithMinAPI sets the oldest API version that the Engine speaks; the default is "1.12", or "1.24" from API 1.44 on.
func WithMinAPI(version string) Option { return func(e *Engine) { e.minAPI = version } }

// WithSpeed makes the Engine's time run faster: sleeps, grace periods, healthchecks and restart delays last as long as
// they say, divided by factor. Timestamps stay real.
func WithSpeed(factor float64) Option { return func(e *Engine) { e.speed = factor } }

// WithPool sets the subnets that networks get when they name none; the default are dockerd's own.
func WithPool(subnets ...string) Option { return func(e *Engine) { e.pool = subnets } }

// WithDataRoot sets the directory that the Engine names as its data's; nothing is ever put there. The default is /var/lib/docker.
func WithDataRoot(dir string) Option { return func(e *Engine) { e.dataRoot = dir } }

// Engine is a Docker Engine in memory. Its methods may be called from several goroutines.
type Engine struct {
	dir         string
	api, minAPI string
	speed       float64
	pool        []string
	dataRoot    string
	born        time.Time

	// background ends with the Engine; tasks are all goroutines that it started.
	background context.Context
	end        context.CancelFunc
	tasks      sync.WaitGroup

	daemon daemon
	record record

	// mu guards all below. It is never held while waiting.
	mu         sync.Mutex
	closed     bool
	containers map[string]*ctr
	networks   map[string]*netw
	volumes    map[string]*vol
	images     map[string]*img
	layers     map[string][]byte // of the images, without compression, by digest
	remote     map[string]*remoteImage
	execs      map[string]*execution
	ports      portTable
	events     eventLog
	serial     int
	// holdRecords is as in [Engine.HoldRecords].
	holdRecords <-chan struct{}
}

// New starts an Engine, which ends with the test.
func New(t testing.TB, opts ...Option) *Engine {
	t.Helper()
	e, err := Start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// Start starts an Engine outside of a test; Close ends it.
func Start(opts ...Option) (*Engine, error) {
	e := &Engine{api: "1.51", speed: 1, dataRoot: "/var/lib/docker", born: time.Now().UTC()}
	for _, o := range opts {
		o(e)
	}
	if e.minAPI == "" {
		e.minAPI = "1.12"
		if e.atLeast("1.44") {
			e.minAPI = "1.24"
		}
	}
	// Not the test's own directory: its name can be too long for a socket's path, which ends at 108 bytes.
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		return nil, err
	}
	e.dir = dir
	e.background, e.end = context.WithCancel(context.Background())
	e.Reset()
	if err := e.serve(); err != nil {
		return nil, err
	}
	return e, nil
}

// Host is the Engine's address, as DOCKER_HOST takes it.
func (e *Engine) Host() string { return "unix://" + e.socket() }

func (e *Engine) socket() string { return filepath.Join(e.dir, "sock") }

// Reset takes everything away but the three predefined networks, without events: images, calls and Intercept too.
func (e *Engine) Reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		e.halt(c)
	}
	e.containers = map[string]*ctr{}
	e.networks = map[string]*netw{}
	e.volumes = map[string]*vol{}
	e.images, e.layers = map[string]*img{}, map[string][]byte{}
	e.remote = map[string]*remoteImage{}
	e.execs = map[string]*execution{}
	e.ports = portTable{}
	e.events.forget()
	e.holdRecords = nil
	e.addPredefinedNetworks()
	e.record.reset()
}

// Close ends the Engine: its connections break, its processes are gone. All goroutines have ended when it returns.
func (e *Engine) Close() {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.closed = true
	for _, c := range e.containers {
		e.halt(c)
	}
	e.mu.Unlock()
	e.end()
	e.daemon.stop()
	e.tasks.Wait()
	os.RemoveAll(e.dir)
}

// task runs f in a goroutine that Close waits for.
func (e *Engine) task(f func()) {
	e.tasks.Add(1)
	go func() {
		defer e.tasks.Done()
		f()
	}()
}

// scaled is how long d lasts at the Engine's speed.
func (e *Engine) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / e.speed)
}

// daemon is the part of the Engine that Stop takes away: the socket with its connections.
type daemon struct {
	mu      sync.Mutex
	server  *http.Server
	handled sync.WaitGroup
	// up ends when the daemon stops, and with it what streams and hangs.
	up   context.Context
	down context.CancelFunc
	// hijacked connections are no longer the server's to close.
	hijacked map[net.Conn]bool
}

// serve listens on the socket.
func (e *Engine) serve() error {
	listener, err := net.Listen("unix", e.socket())
	if err != nil {
		return err
	}
	d := &e.daemon
	d.mu.Lock()
	defer d.mu.Unlock()
	d.up, d.down = context.WithCancel(e.background)
	d.hijacked = map[net.Conn]bool{}
	up := d.up
	d.server = &http.Server{
		Handler:     http.HandlerFunc(e.ServeHTTP),
		BaseContext: func(net.Listener) context.Context { return up },
	}
	server := d.server
	e.task(func() { _ = server.Serve(listener) }) // it always ends with ErrServerClosed
	return nil
}

// stop closes the socket and every connection, and waits for the calls under way to end.
func (d *daemon) stop() {
	d.mu.Lock()
	if d.server == nil {
		d.mu.Unlock()
		return
	}
	d.down()
	d.server.Close()
	d.server = nil
	for conn := range d.hijacked {
		conn.Close()
	}
	d.mu.Unlock()
	d.handled.Wait()
}

// Stop ends the daemon as SIGTERM does: it no longer answers, its streams break, its containers die.
func (e *Engine) Stop() {
	e.daemon.stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.sorted() {
		e.dieWithDaemon(c)
	}
	e.events.forget()
}

// Start starts a stopped daemon again, with the containers whose restart policy says so.
func (e *Engine) Start() error {
	e.mu.Lock()
	for _, c := range e.sorted() {
		e.rise(c)
	}
	e.mu.Unlock()
	return e.serve()
}

// Restart stops and starts the daemon.
func (e *Engine) Restart() error {
	e.Stop()
	return e.Start()
}
