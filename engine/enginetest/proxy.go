package enginetest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// ProxyFault is what goes wrong with what passes a [Proxy] to one host.
type ProxyFault struct {
	// Times is how often it strikes; 0 is always.
	Times int
	// Status, if set, is answered instead of passing anything on.
	Status int
	// CutAfter, if set, is the number of bytes from the host after which the connection breaks; with Stall it rests there,
	// until its caller goes.
	CutAfter int64
	Stall    bool
}

// Proxy is an HTTP proxy for a dockerd, with faults by host.
type Proxy struct {
	server *httptest.Server
	end    context.CancelFunc
	ended  context.Context

	mu     sync.Mutex
	faults map[string]*ProxyFault
}

// NewProxy starts a proxy, which ends with the test.
func NewProxy(t testing.TB) *Proxy {
	p := &Proxy{faults: map[string]*ProxyFault{}}
	p.ended, p.end = context.WithCancel(context.Background())
	p.server = httptest.NewServer(p)
	t.Cleanup(func() {
		p.end()
		p.server.Close()
	})
	return p
}

// URL is the proxy's address, as HTTP_PROXY takes it.
func (p *Proxy) URL() string { return p.server.URL }

// Break lets a fault befall what passes to a host ("198.18.0.1:5000"); nil mends it.
func (p *Proxy) Break(host string, fault *ProxyFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.faults, host)
	if fault != nil {
		copied := *fault
		p.faults[host] = &copied
	}
}

// fault is what is to befall the next connection to a host.
func (p *Proxy) fault(host string) ProxyFault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.faults[host]; f != nil {
		return *f
	}
	return ProxyFault{}
}

// struck takes note that a host's fault has befallen a connection.
func (p *Proxy) struck(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.faults[host]; f != nil && f.Times > 0 {
		if f.Times--; f.Times == 0 {
			delete(p.faults, host)
		}
	}
}

// ServeHTTP passes a request on: CONNECT for TLS, and requests with a whole URL.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := p.fault(r.Host)
	if fault.Status != 0 {
		p.struck(r.Host)
		http.Error(w, "the proxy says no", fault.Status)
		return
	}
	if r.Method == http.MethodConnect {
		p.connect(w, r, fault)
		return
	}
	if r.URL.Host == "" {
		http.Error(w, "no proxy request", http.StatusBadRequest)
		return
	}
	p.forward(w, r, fault)
}

// connect joins two connections.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request, fault ProxyFault) {
	host, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer host.Close()
	w.WriteHeader(http.StatusOK)
	caller, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer caller.Close()
	unhook := context.AfterFunc(p.ended, func() { caller.Close() })
	defer unhook()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(host, buffered) // a broken connection is what it is for
		host.Close()
	}()
	if pass(caller, host, fault) {
		return
	}
	p.struck(r.Host)
	if fault.Stall {
		<-gone
	}
}

// forward passes a plain request on.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, fault ProxyFault) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.URL = &url.URL{Scheme: "http", Host: r.URL.Host, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	answer, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	for key, values := range answer.Header {
		w.Header()[key] = values
	}
	w.WriteHeader(answer.StatusCode)
	if !pass(w, answer.Body, fault) {
		p.struck(r.Host)
		_ = http.NewResponseController(w).Flush()
		if fault.Stall {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}
}

// pass copies until the end, or until the fault strikes: then ok is false.
func pass(to io.Writer, from io.Reader, fault ProxyFault) (ok bool) {
	if fault.CutAfter == 0 {
		_, err := io.Copy(to, from)
		return err == nil
	}
	_, err := io.CopyN(to, from, fault.CutAfter)
	return err != nil // it ended before
}
