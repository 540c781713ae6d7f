package enginetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/versions"
)

// failure is an answer that is an error. Without a message it has no body (304).
type failure struct {
	status  int
	message string
}

func (f *failure) Error() string { return f.message }

func fail(status int, format string, args ...any) error {
	return &failure{status, fmt.Sprintf(format, args...)}
}

// request is one call, taken apart.
type request struct {
	*http.Request
	w http.ResponseWriter
	e *Engine
	// name is what stands for * in the route; query is the URL's.
	name  string
	query url.Values
	// api is the version that the caller speaks.
	api string
}

// older tells whether the caller speaks an API older than the version.
func (r *request) older(version string) bool { return versions.LessThan(r.api, version) }

// atLeast tells whether the Engine is as new as the API version.
func (e *Engine) atLeast(version string) bool { return versions.GreaterThanOrEqualTo(e.api, version) }

// flag reads a boolean as dockerd does: anything but these five is true.
func (r *request) flag(key string) bool {
	switch strings.ToLower(strings.TrimSpace(r.query.Get(key))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// filters reads the filters argument and refuses what is not among the accepted ones.
func (r *request) filters(accepted ...string) (filters.Args, error) {
	args, err := filters.FromJSON(r.query.Get("filters"))
	if err != nil {
		return args, fail(http.StatusBadRequest, "%s", err)
	}
	allowed := map[string]bool{}
	for _, key := range accepted {
		allowed[key] = true
	}
	for _, key := range args.Keys() {
		if !allowed[key] {
			return args, fail(http.StatusBadRequest, "%s filter '%s'", r.e.words("Invalid", "invalid"), key)
		}
	}
	return args, nil
}

// read decodes the body; an empty one leaves v as it is.
func (r *request) read(v any) error {
	err := json.NewDecoder(r.Body).Decode(v)
	if err != nil && !errors.Is(err, io.EOF) {
		return fail(http.StatusBadRequest, "invalid JSON: %s", err)
	}
	return nil
}

// reply answers with JSON.
func (r *request) reply(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.w.Header().Set("Content-Type", "application/json")
	r.w.WriteHeader(status)
	_, err = r.w.Write(append(body, '\n'))
	return gone(err)
}

// gone forgets that a caller went away before the answer's end: nobody is left to be told.
func gone(error) error { return nil }

// done answers without a body.
func (r *request) done(status int) error {
	r.w.WriteHeader(status)
	return nil
}

// stream begins an answer that grows, and returns the writer, which hands on at once what it is given.
func (r *request) stream(contentType string) io.Writer {
	r.w.Header().Set("Content-Type", contentType)
	r.w.WriteHeader(http.StatusOK)
	flusher := r.w.(http.Flusher)
	flusher.Flush()
	return flushing{r.w, flusher}
}

type flushing struct {
	io.Writer
	http.Flusher
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	f.Flush()
	return n, err
}

// hijack takes the connection over, answering as dockerd does for attach and exec.
func (r *request) hijack(contentType string) (net.Conn, io.Reader, func(), error) {
	conn, buffered, err := http.NewResponseController(r.w).Hijack()
	if err != nil {
		return nil, nil, nil, err
	}
	d := &r.e.daemon
	d.mu.Lock()
	if d.up.Err() != nil {
		conn.Close()
	}
	d.hijacked[conn] = true
	d.mu.Unlock()
	if r.Header.Get("Upgrade") != "" {
		fmt.Fprintf(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: %s\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", contentType)
	} else {
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n")
	}
	return conn, buffered.Reader, func() {
		conn.Close()
		d.mu.Lock()
		delete(d.hijacked, conn)
		d.mu.Unlock()
	}, nil
}

// ServeHTTP answers one call.
func (e *Engine) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	d := &e.daemon
	d.mu.Lock()
	if d.up.Err() != nil {
		d.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	d.handled.Add(1)
	d.mu.Unlock()
	defer d.handled.Done()
	counted := &statusWriter{ResponseWriter: w}
	path, version := splitVersion(hr.URL.Path)
	r := &request{Request: hr, w: counted, e: e, query: hr.URL.Query(), api: version}
	if version == "" {
		r.api = e.api
	}
	h := w.Header()
	h.Set("Api-Version", e.api)
	h.Set("Docker-Experimental", "false")
	h.Set("Ostype", "linux")
	h.Set("Server", "Docker/"+e.release()+" (linux)")
	e.intercepted(r, path, counted, func() {
		if err := e.route(r, path, version); err != nil {
			r.refuse(err)
		}
	})
}

// refuse answers with an error, unless an answer has begun.
func (r *request) refuse(err error) {
	if r.w.(*statusWriter).status != 0 {
		return
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{http.StatusInternalServerError, err.Error()}
	}
	if f.message == "" {
		r.w.WriteHeader(f.status)
		return
	}
	_ = r.reply(f.status, map[string]string{"message": f.message})
}

func (e *Engine) route(r *request, path, version string) error {
	if version != "" {
		switch {
		case versions.LessThan(version, e.minAPI):
			return fail(http.StatusBadRequest, "client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", version, e.minAPI)
		case versions.GreaterThan(version, e.api):
			return fail(http.StatusBadRequest, "client version %s is too new. Maximum supported API version is %s", version, e.api)
		}
	}
	h, _, name := e.find(r.Method, path)
	if h == nil {
		return fail(http.StatusNotFound, "page not found")
	}
	r.name = name
	return h(r)
}

// splitVersion cuts "/v1.41" off a path.
func splitVersion(path string) (rest, version string) {
	after, ok := strings.CutPrefix(path, "/v")
	if !ok {
		return path, ""
	}
	number, rest, ok := strings.Cut(after, "/")
	if _, err := strconv.ParseFloat(number, 64); err != nil || !ok {
		return path, ""
	}
	return "/" + rest, number
}

// statusWriter remembers the status that was answered.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

func (w *statusWriter) Flush() { w.ResponseWriter.(http.Flusher).Flush() }

// Unwrap lets an http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
