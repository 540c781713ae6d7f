package enginetest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"galley/engine/enginetest"
	"galley/engine/enginetest/dockerd"
)

// What a conformance script says:
//
//	METHOD /path [body] [:: field field …]
//	    makes a call, and records the answer's status and body, or only the named fields of it
//	UNTIL /path :: field=value
//	    waits for the Engine's events until a GET shows that value; nothing is recorded
//	EVENTS name
//	    records what the Engine told of the container from the script's beginning to the container's removal
//	@api … before a line: only for these API versions
//
// The golden transcripts are what real Engines answered: run the tests with -update and GALLEY_TEST_ENGINE=20.10, 26.1
// and 28.5 to record them anew.
var update = flag.Bool("update", false, "record the golden files anew, from the real Engine")

func scripts(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("testdata/conformance/*.txt")
	if err != nil || len(found) == 0 {
		t.Fatalf("got %v, %v, want scripts", found, err)
	}
	return found
}

func golden(script, api string) string {
	return strings.TrimSuffix(script, ".txt") + "-" + api + ".golden"
}

func TestMemoryAnswersAsRecorded(t *testing.T) {
	for _, api := range []string{"1.41", "1.45", "1.51"} {
		for _, script := range scripts(t) {
			t.Run(api+"/"+filepath.Base(script), func(t *testing.T) {
				t.Parallel()
				want, err := os.ReadFile(golden(script, api))
				if err != nil {
					t.Fatal(err)
				}
				e := enginetest.New(t, enginetest.WithAPI(api))
				e.AddImage(enginetest.Image{Ref: "busybox", Cmd: []string{"sh"}, Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}})
				got := play(t, e.Host(), api, script)
				if diff := differences(string(want), got); diff != "" {
					t.Errorf("not as the real Engine (-real +memory):\n%s", diff)
				}
			})
		}
	}
}

func TestRealEngineAnswersAsRecorded(t *testing.T) {
	daemon := dockerd.ForTest(t)
	ping, err := daemon.Client().Ping(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts(t) {
		t.Run(filepath.Base(script), func(t *testing.T) {
			file := golden(script, ping.APIVersion)
			got := play(t, daemon.Host(), ping.APIVersion, script)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				t.Skipf("no transcript was recorded of API %s", ping.APIVersion)
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := differences(string(want), got); diff != "" {
				t.Errorf("not as recorded (-recorded +now):\n%s", diff)
			}
		})
	}
}

// differences shows the lines that differ, each call before its answers.
func differences(want, got string) string {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	call := ""
	for i := range max(len(wants), len(gots)) {
		w, g := at(wants, i), at(gots, i)
		if !strings.HasPrefix(w, " ") {
			call = w
		}
		if w != g {
			fmt.Fprintf(&b, "%s\n-%s\n+%s\n", call, w, g)
		}
	}
	return b.String()
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// player runs one script against one Engine.
type player struct {
	t     *testing.T
	ctx   context.Context
	http  *http.Client
	api   string
	began int64
	out   strings.Builder
	ids   map[string]string
}

// play runs a script and returns its transcript.
func play(t *testing.T, host, api, script string) string {
	t.Helper()
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	p := &player{t: t, ctx: ctx, api: api, began: time.Now().UnixNano(), ids: map[string]string{}}
	p.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(host, "unix://"))
	}}}
	t.Cleanup(p.http.CloseIdleConnections)
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "@") {
			versions, rest, _ := strings.Cut(line[1:], " ")
			if !strings.Contains(versions, api) {
				continue
			}
			line = rest
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			p.step(line)
		}
	}
	return p.out.String()
}

func (p *player) step(line string) {
	call, shown, _ := strings.Cut(line, " :: ")
	verb, rest, _ := strings.Cut(call, " ")
	path, body, _ := strings.Cut(rest, " ")
	switch verb {
	case "UNTIL":
		p.until(path, shown)
	case "EVENTS":
		p.events(path)
	default:
		status, answer := p.call(verb, path, body)
		fmt.Fprintf(&p.out, "%s %s %s\n", verb, path, body)
		fmt.Fprintf(&p.out, "    %d %s\n", status, p.normal(show(answer, strings.Fields(shown))))
	}
}

func (p *player) call(method, path, body string) (int, []byte) {
	p.t.Helper()
	// Filters are written plainly in the script.
	if name, filters, ok := strings.Cut(path, "filters="); ok {
		path = name + "filters=" + url.QueryEscape(filters)
	}
	request, err := http.NewRequestWithContext(p.ctx, method, "http://engine"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := p.http.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, bytes.TrimSpace(answer)
}

// until reads again after each event, until the field has the value.
func (p *player) until(path, condition string) {
	p.t.Helper()
	field, value, _ := strings.Cut(condition, "=")
	request, err := http.NewRequestWithContext(p.ctx, http.MethodGet, "http://engine/events", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := p.http.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	for events := bufio.NewScanner(response.Body); ; {
		_, answer := p.call(http.MethodGet, path, "")
		if show(answer, []string{field}) == field+"="+value {
			return
		}
		if !events.Scan() {
			p.t.Fatalf("%s never had %s; its last answer was\n%s", path, condition, answer)
		}
	}
}

// events records the actions of a container up to its removal.
func (p *player) events(name string) {
	p.t.Helper()
	since := fmt.Sprintf("%d.%09d", p.began/1e9, p.began%1e9)
	request, err := http.NewRequestWithContext(p.ctx, http.MethodGet, "http://engine/events?since="+since+"&filters="+url.QueryEscape(`{"container":["`+name+`"]}`), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := p.http.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	var told []string
	for stream := json.NewDecoder(response.Body); ; {
		var event struct {
			Action string
			Actor  struct{ Attributes map[string]string }
		}
		if err := stream.Decode(&event); err != nil {
			p.t.Fatalf("the events of %s ended: %v", name, err)
		}
		if strings.HasPrefix(event.Action, "exec_") {
			continue // healthchecks run as often as they can
		}
		delete(event.Actor.Attributes, "execDuration")
		attributes, err := json.Marshal(event.Actor.Attributes)
		if err != nil {
			p.t.Fatal(err)
		}
		told = append(told, fmt.Sprintf("    %s %s\n", event.Action, p.normal(string(attributes))))
		// An Engine may tell of a stop before it tells of the death that it waited for.
		if last := len(told) - 1; event.Action == "die" && last > 0 && strings.HasPrefix(told[last-1], "    stop ") {
			told[last-1], told[last] = told[last], told[last-1]
		}
		if event.Action == "destroy" {
			break
		}
	}
	fmt.Fprintf(&p.out, "EVENTS %s\n%s", name, strings.Join(told, ""))
}

// show picks fields like "State.Health.Status" or "0.Status" out of a JSON answer; all of it without fields.
func show(answer []byte, fields []string) string {
	if len(fields) == 0 {
		return string(answer)
	}
	var decoded any
	if err := json.Unmarshal(answer, &decoded); err != nil {
		return string(answer)
	}
	var shown []string
	for _, field := range fields {
		value := decoded
		for _, key := range strings.Split(field, ".") {
			value = pick(value, key)
		}
		if list, ok := value.([]any); ok && strings.HasSuffix(field, ".Ports") {
			// The Engine lists them in the order of a map.
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		text, isText := value.(string)
		if !isText {
			raw, err := json.Marshal(value)
			if err != nil {
				return err.Error()
			}
			text = string(raw)
		}
		shown = append(shown, field+"="+text)
	}
	return strings.Join(shown, " ")
}

func pick(value any, key string) any {
	switch v := value.(type) {
	case map[string]any:
		if key == "#" {
			return len(v)
		}
		return v[key]
	case []any:
		if key == "#" {
			return len(v)
		}
		var index int
		if _, err := fmt.Sscan(key, &index); err == nil && index < len(v) {
			return v[index]
		}
	}
	return nil
}

// normal replaces what differs between two runs: ids, times, durations.
func (p *player) normal(text string) string {
	name := func(id string) string {
		short := id[:12]
		if p.ids[short] == "" {
			p.ids[short] = fmt.Sprintf("<id%d>", len(p.ids)+1)
		}
		if len(id) == 12 {
			return "short" + p.ids[short]
		}
		return p.ids[short]
	}
	for _, rule := range []struct {
		pattern string
		with    func(string) string
	}{
		{`\b[0-9a-f]{64}\b`, name},
		{`\b[0-9a-f]{12}\b`, name},
		{`\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`, func(s string) string {
			if strings.HasPrefix(s, "0001") {
				return "<never>"
			}
			return "<time>"
		}},
		{`(Less than a second|\d+ seconds?)`, func(string) string { return "<duration>" }},
		{`/[a-z0-9/._-]*/volumes/`, func(string) string { return "/<root>/volumes/" }},
	} {
		text = regexp.MustCompile(rule.pattern).ReplaceAllStringFunc(text, rule.with)
	}
	// A multiplexed stream has bytes that no text file should have.
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0xfffd {
			return '.'
		}
		return r
	}, text)
}
