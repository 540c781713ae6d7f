package main

import (
	"context"
	"image"
	"image/color"
	_ "image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"galley/bosh"
	"galley/engine/enginetest/dockerd"
)

// shown is a project whose services are in different states.
const shown = `
name: shop
services:
  db:
    image: busybox
    command: sh -c 'echo "<b>ready</b>"; exec sleep infinity'
    healthcheck: {test: "true", interval: 100ms}
  web:
    image: busybox
    command: sleep infinity
    ports: ["127.0.0.1:8080:80"]
    depends_on: {db: {condition: service_healthy}}
  job:
    image: busybox
    command: sh -c 'echo no disk; exit 3'
    depends_on: [db]
`

// chromium is Debian's browser without a screen.
func chromium(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "chromium", append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir=" + t.TempDir(), "--window-size=1200,1000", "--hide-scrollbars",
	}, args...)...)
	cmd.WaitDelay = 10 * time.Second // its children may hold its output
	return cmd
}

// TestThePageIsShownByABrowser looks at the status page as people do. GALLEY_SCREENSHOT names a file to keep the picture in.
func TestThePageIsShownByABrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a browser takes a while: not with -short")
	}
	if err := dockerd.Install(t.Context(), t.Output(), "chromium"); err != nil {
		t.Skipf("there is no browser: %v", err)
	}
	p := supervisor(t, newEngine(t), shown, "--socket", "s")
	untilStatus(t, p, "each service is in its state", func(s *bosh.Status) bool {
		return len(s.Services) == 3 && s.Services[0].State == "up" && s.Services[1].State == "failed" && s.Services[2].State == "up"
	})
	site, asked := pageServer(t, filepath.Join(p.Dir, "s"))

	dom, err := chromium(t, "--dump-dom", site).Output()
	if err != nil {
		t.Fatalf("showing the page: %v", err)
	}
	for _, part := range []string{
		"<title>not up: shop</title>", `<td class="name">web</td><td class="up">up</td>`, "127.0.0.1:8080-&gt;80/tcp",
		`<td class="failed">failed</td>`, "&lt;b&gt;ready&lt;/b&gt;", "no disk", "<svg ", "db: up",
	} {
		if !strings.Contains(string(dom), part) {
			t.Errorf("the browser does not have %q:\n%s", part, dom)
		}
	}

	shot := os.Getenv("GALLEY_SCREENSHOT")
	if shot == "" {
		shot = filepath.Join(t.TempDir(), "page.png")
	}
	if out, err := chromium(t, "--screenshot="+shot, site).CombinedOutput(); err != nil {
		t.Fatalf("drawing the page: %v\n%s", err, out)
	}
	looksAlive(t, shot)

	before := asked.Load()
	open := chromium(t, "--blink-settings=scriptEnabled=false", "--remote-debugging-port=0", site)
	if err := open.Start(); err != nil {
		t.Fatal(err)
	}
	eventually := &soak{T: t}
	eventually.until("the page asks for itself again", func() bool { return asked.Load() >= before+2 })
	open.Process.Kill()
	open.Wait()
}

// pageServer lets a browser ask a unix socket, and counts how often the page is asked for.
func pageServer(t *testing.T, socket string) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "galley"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if _, err := os.Stat(socket); err != nil {
			return bosh.Dial(ctx, socket+asideSuffix) // a service has failed
		}
		return bosh.Dial(ctx, socket)
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			asked.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

// looksAlive looks for the colours of the states in a picture of the page.
func looksAlive(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, _, err := image.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	green, red := 0, 0
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x++ {
			switch c := color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA); {
			case int(c.G) > int(c.R)+30 && int(c.G) > int(c.B)+15:
				green++
			case int(c.R) > int(c.G)+30 && int(c.R) > int(c.B)+15:
				red++
			}
		}
	}
	if green < 500 || red < 250 { // two boxes of the graph, and one, have about a thousand and half of that
		t.Errorf("the picture has %d green and %d red points: it does not show what is up and what has failed", green, red)
	}
}
