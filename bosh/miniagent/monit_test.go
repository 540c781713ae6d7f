package miniagent

import (
	"bufio"
	"context"
	"encoding/xml"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// monit is the VM's process supervisor: Debian's 5.33, where stemcells have 5.2.5. It differs:
//
//   - after unmonitor, stop does not call the stop program: [vm.stop] sends monitor first;
//   - it waits for the start program to end before it looks for the process: 5.2.5 starts it and looks;
//   - it wants a check of the network socket in the same words, and reports a failing one in the service's status, too.
type monit struct {
	vm    *vm
	ended chan struct{}

	mu      sync.Mutex
	woken   chan struct{} // closed and replaced with each line that monit logs
	reloads int           // how often monit has said that it has read its files again
}

// monitrc has a cycle of a second instead of ten, and no delay.
const monitrc = `set daemon 1
set log /dev/stdout
set pidfile /run/monit.pid
set idfile /run/monit.id
set statefile /run/monit.state
set httpd unixsocket /var/vcap/monit/sock allow vcap:hidden
set eventqueue basedir /run/monit-events slots 100
include /var/vcap/monit/*.monitrc
`

// startMonit starts monit as the first thing on the VM.
func startMonit(v *vm) *monit {
	v.t.Helper()
	rc := filepath.Join(v.dir, "vcap/monit/monitrc")
	if err := os.WriteFile(rc, []byte(monitrc), 0o600); err != nil {
		v.t.Fatal(err)
	}
	m := &monit{vm: v, ended: make(chan struct{}), woken: make(chan struct{})}
	cmd := v.inside(context.Background(), "monit", "-I", "-v", "-c", "/var/vcap/monit/monitrc")
	said, err := cmd.StdoutPipe()
	if err != nil {
		v.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	log, err := os.OpenFile(filepath.Join(v.dir, "vcap/monit/log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		v.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	up := make(chan struct{})
	go func() {
		defer close(m.ended)
		defer log.Close()
		var once sync.Once
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if !strings.Contains(lines.Text(), "Cannot read proc file") { // about AppArmor, for each process in each cycle
				fmt.Fprintln(log, lines.Text())
			}
			if strings.Contains(lines.Text(), "Starting Monit HTTP server") || strings.Contains(lines.Text(), "Monit HTTP server started") {
				once.Do(func() { close(up) })
			}
			m.take(lines.Text())
		}
		_ = cmd.Wait() // it ends with its VM
	}()
	select {
	case <-up:
	case <-m.ended:
		v.t.Fatal("monit ended at once")
	case <-time.After(within):
		v.t.Fatal("monit does not start")
	}
	return m
}

func (m *monit) take(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if line == "'vm' Monit reloaded" {
		m.reloads++
	}
	close(m.woken)
	m.woken = make(chan struct{})
}

func (m *monit) reloaded() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reloads
}

// next is closed when monit logs its next line.
func (m *monit) next() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.woken
}

// service is what monit says of one, as the agent reads it.
type service struct {
	Name    string `xml:"name"`
	Status  int    `xml:"status"`
	Monitor int    `xml:"monitor"`
	Pending int    `xml:"pendingaction"`
	PID     int    `xml:"pid"`
}

// state is the word that the agent has for a service.
func (s service) state() string {
	switch {
	case s.Monitor == 0:
		return "unmonitored"
	case s.Monitor == 2 || s.Pending != 0:
		return "starting"
	case s.Status == 0:
		return "running"
	}
	return "failing"
}

// status asks monit for all services.
func (m *monit) status() (map[string]service, error) {
	socket := filepath.Join(m.vm.dir, "vcap/monit/sock")
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://monit/_status?format=xml", nil)
	if err != nil {
		return nil, err
	}
	request.SetBasicAuth("vcap", "hidden")
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var all struct {
		Services []service `xml:"service"`
	}
	decoder := xml.NewDecoder(answer.Body)
	decoder.CharsetReader = latin1
	if err := decoder.Decode(&all); err != nil {
		return nil, fmt.Errorf("reading monit's status: %w", err)
	}
	services := map[string]service{}
	for _, s := range all.Services {
		if s.Name == "docker" || s.Name == "galley" {
			services[s.Name] = s
		}
	}
	return services, nil
}

// await waits until the services are as wanted. monit has no events but the lines of its log.
func (m *monit) await(t *testing.T, what string, budget time.Duration, wanted func(map[string]service) bool) {
	t.Helper()
	deadline := time.NewTimer(budget)
	defer deadline.Stop()
	for {
		next := m.next()
		services, err := m.status()
		if err == nil && wanted(services) {
			return
		}
		select {
		case <-next:
		case <-m.ended:
			t.Fatalf("monit ended while waiting for: %s", what)
		case <-deadline.C:
			t.Fatalf("after %s: not so: %s; monit says %v, %v", budget, what, services, err)
		}
	}
}
