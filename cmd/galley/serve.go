package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"galley/bosh"
)

// health serves what the supervisor says over HTTP: /healthz, /readyz, /metrics, /status and a page for people. Nothing can
// be changed by it.
type health struct {
	status *statusWriter
	pages  *pages
	server *http.Server
	// socket is where it listens, "" for nowhere. While a service has failed it is moved aside, so that monit's check of it
	// fails, and back when all is well.
	socket string

	mu      sync.Mutex
	failing bool
}

// asideSuffix is added to the socket's path while a service has failed.
const asideSuffix = ".failing"

func newHealth(status *statusWriter, metrics *metrics, pages *pages) *health {
	h := &health{status: status, pages: pages}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", h.ready)
	mux.HandleFunc("GET /status", h.json)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", pages.serve)
	h.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 16}
	return h
}

// listen opens a unix socket, and a TCP address, where they are asked for.
func (h *health) listen(socket, address string) error {
	var listeners []net.Listener
	if socket != "" {
		l, err := bosh.Listen(socket, 0o660)
		if err != nil {
			return err
		}
		_ = os.Remove(socket + asideSuffix) // left by a supervisor that was killed
		h.socket = socket
		listeners = append(listeners, l)
	}
	if address != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			h.close()
			return fmt.Errorf("listening for --listen: %w", err)
		}
		listeners = append(listeners, l)
	}
	for _, l := range listeners {
		go func() {
			// It ends with the server; a listener that breaks before shows in the checks of whoever uses it.
			_ = h.server.Serve(l)
		}()
	}
	return nil
}

// close ends what is served, and removes the socket.
func (h *health) close() {
	_ = h.server.Close() // nobody is owed an answer any more
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.socket != "" {
		_ = os.Remove(h.socket)
		_ = os.Remove(h.socket + asideSuffix)
	}
}

// update moves the socket aside while a service has failed, and back.
func (h *health) update(s *bosh.Status) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	failing := hasFailed(s)
	if h.socket == "" || failing == h.failing {
		return nil
	}
	from, to := h.socket, h.socket+asideSuffix
	if !failing {
		from, to = to, from
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("moving the health socket: %w", err)
	}
	h.failing = failing
	return nil
}

// hasFailed tells whether a service has, and nothing is being done about it.
func hasFailed(s *bosh.Status) bool {
	if s.Busy || s.Yielded {
		return false
	}
	for _, one := range s.Services {
		if one.State == "failed" {
			return true
		}
	}
	return false
}

// ready answers 200 when every service is up, else 503 with those that are not.
func (h *health) ready(w http.ResponseWriter, _ *http.Request) {
	s := h.status.status()
	if s.Up {
		io.WriteString(w, "ok\n")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, line := range troublesOf(s) {
		fmt.Fprintln(w, line)
	}
	for _, f := range downReport(s, nil) {
		fmt.Fprintln(w, f.text)
	}
	if len(s.Services) == 0 {
		io.WriteString(w, "starting\n")
	}
}

// json answers with the status file's text.
func (h *health) json(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	// Who has gone needs no answer.
	_ = writeJSON(w, h.status.status())
}

// serveHealth opens the sockets that were asked for; the function that ends it does no harm where there are none.
func (s *supervision) serveHealth(ctx context.Context) (end func(), err error) {
	metrics := newMetrics(s.status)
	s.metrics = metrics
	if s.flags.socket == "" && s.flags.listen == "" {
		return func() {}, nil
	}
	h := newHealth(s.status, metrics, &pages{cli: s.cli, status: s.status, ctx: ctx})
	if err := h.listen(s.flags.socket, s.flags.listen); err != nil {
		return nil, errors.Join(err)
	}
	s.status.after = func(status *bosh.Status) {
		if err := h.update(status); err != nil {
			s.log.Error("the health socket does not show what it should", "error", err)
		}
	}
	return h.close, nil
}
