package dockerd

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
)

// Software says how an image of real software is made from packages of Debian 12, on top of what [Busybox] has.
type Software struct {
	// Name is the image's name with its tag.
	Name string
	// Packages are fetched, with what they depend on.
	Packages []string
	// Without are packages that the programs below don't need, so they are not fetched.
	Without []string
	// Programs are copied with the libraries that they need.
	Programs []string
	// Trees are files and folders that are copied as they are.
	Trees []string
	// User and UID are the name and the number of the account that owns Dirs.
	User string
	UID  int
	Dirs []string
	// Files are further files: content by path.
	Files map[string]string
	// Links are symbolic links: target by path.
	Links  map[string]string
	Config container.Config
}

// Nginx is the web server on port 80, with the well-known image's folders: /usr/share/nginx/html, /etc/nginx/conf.d.
func Nginx() Software {
	return Software{
		Name:     "galley-test/nginx:1.22",
		Packages: []string{"nginx"},
		Without:  []string{"iproute2", "debconf"},
		Programs: []string{"/usr/sbin/nginx"},
		Trees:    []string{"/etc/nginx/mime.types"},
		User:     "www-data", UID: 33,
		Dirs: []string{"/var/lib/nginx", "/var/log/nginx"},
		Files: map[string]string{
			"/etc/nginx/nginx.conf":            nginxConf,
			"/etc/nginx/conf.d/default.conf":   "server { listen 80; root /usr/share/nginx/html; }\n",
			"/usr/share/nginx/html/index.html": "<h1>Welcome to nginx!</h1>\n",
		},
		Links: map[string]string{"/var/log/nginx/access.log": "/dev/stdout", "/var/log/nginx/error.log": "/dev/stderr"},
		Config: container.Config{
			Cmd:          []string{"nginx", "-g", "daemon off;"},
			ExposedPorts: nat.PortSet{"80/tcp": {}},
			StopSignal:   "SIGQUIT",
		},
	}
}

const nginxConf = `user www-data;
worker_processes 1;
pid /run/nginx.pid;
events { worker_connections 256; }
http {
	include mime.types;
	access_log /var/log/nginx/access.log;
	error_log /var/log/nginx/error.log;
	include conf.d/*.conf;
}
`

// Redis is the key-value store on port 6379, with its data in the volume /data.
func Redis() Software {
	return Software{
		Name:     "galley-test/redis:7",
		Packages: []string{"redis-server"},
		Without:  []string{"perl", "perl-base", "perl-modules-5.36", "libperl5.36", "debconf", "dpkg", "passwd", "adduser"},
		Programs: []string{"/usr/bin/redis-server", "/usr/bin/redis-cli"},
		User:     "redis", UID: 999,
		Dirs: []string{"/data"},
		Config: container.Config{
			User:         "redis",
			WorkingDir:   "/data",
			Cmd:          []string{"redis-server", "--protected-mode", "no"},
			Volumes:      map[string]struct{}{"/data": {}},
			ExposedPorts: nat.PortSet{"6379/tcp": {}},
		},
	}
}

//go:embed entrypoint-postgres.sh
var postgresEntrypoint string

// Postgres is the database on port 5432, with its data in the volume /var/lib/postgresql/data and its client programs.
// It takes POSTGRES_PASSWORD, POSTGRES_USER and POSTGRES_DB as the well-known image does.
func Postgres() Software {
	const home = "/usr/lib/postgresql/15"
	return Software{
		Name:     "galley-test/postgres:15",
		Packages: []string{"postgresql-15"},
		Without: []string{"perl", "perl-base", "perl-modules-5.36", "libperl5.36", "debconf", "dpkg", "passwd", "adduser",
			"locales", "libllvm14", "libz3-4", "postgresql-common", "postgresql-client-common", "ssl-cert", "openssl"},
		Programs: []string{home + "/bin/postgres", home + "/bin/initdb", home + "/bin/psql", home + "/bin/pg_isready",
			home + "/bin/pg_dump", home + "/lib/dict_snowball.so", home + "/lib/plpgsql.so", home + "/lib/libpqwalreceiver.so"},
		Trees: []string{"/usr/share/postgresql/15", "/usr/lib/locale/C.utf8", "/usr/share/zoneinfo/Etc", "/usr/share/zoneinfo/UTC"},
		User:  "postgres", UID: 999,
		Dirs:  []string{"/var/lib/postgresql/data", "/var/run/postgresql"},
		Files: map[string]string{"/usr/local/bin/entrypoint": postgresEntrypoint},
		Config: container.Config{
			User:         "postgres",
			Env:          []string{"PATH=" + home + "/bin:" + searchPath, "LANG=C.UTF-8"},
			Entrypoint:   []string{"entrypoint"},
			Cmd:          []string{"postgres", "-c", "listen_addresses=*", "-c", "jit=off"},
			Volumes:      map[string]struct{}{"/var/lib/postgresql/data": {}},
			ExposedPorts: nat.PortSet{"5432/tcp": {}},
			StopSignal:   "SIGINT", // the "fast" shutdown: it does not wait for clients to leave
		},
	}
}

// Etcd is the store that several machines form together, on the ports 2379 and 2380, with its client etcdctl.
func Etcd() Software {
	return Software{
		Name:     "galley-test/etcd:3",
		Packages: []string{"etcd-server", "etcd-client", "libc6"},
		Without:  []string{"adduser", "passwd", "debconf", "perl-base", "dpkg"},
		Programs: []string{"/usr/bin/etcd", "/usr/bin/etcdctl"},
		User:     "root",
		Config: container.Config{
			Env: []string{"PATH=" + searchPath, "ETCDCTL_API=3"},
			Cmd: []string{"etcd"},
		},
	}
}

// LoadSoftware makes the software's image, or takes it from the cache, and loads it into the Engine that api talks to.
func LoadSoftware(ctx context.Context, api client.ImageAPIClient, software Software, log io.Writer) error {
	archive, err := software.Archive(ctx, log)
	if err != nil {
		return err
	}
	file, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("reading the image %s: %w", software.Name, err)
	}
	defer file.Close()
	return LoadArchive(ctx, api, file)
}

// Archive makes the image's archive in the cache, unless it is there, and returns its path: a name that changes with the
// definition.
func (s Software) Archive(ctx context.Context, log io.Writer) (string, error) {
	path, err := s.archive(ctx, log)
	if err != nil {
		return "", fmt.Errorf("making the image %s: %w", s.Name, err)
	}
	return path, nil
}

func (s Software) archive(ctx context.Context, log io.Writer) (string, error) {
	definition, err := json.Marshal(struct {
		Software
		Layout int // raised when the same definition comes to give another image
	}{s, 1})
	if err != nil {
		return "", err
	}
	busybox, err := busyboxProgram(ctx, log) // before the cache is locked, because it may come from there
	if err != nil {
		return "", err
	}
	name := strings.NewReplacer("/", "-", ":", "-").Replace(s.Name)
	digest := sha256.Sum256(definition)
	return cached(fmt.Sprintf("image-%s-%x.tar", name, digest[:6]), func(path string) error {
		root := path + ".packages" // one place, so that the next try clears what an interrupted one left
		if err := os.RemoveAll(root); err != nil {
			return err
		}
		defer os.RemoveAll(root)
		if err := s.fetch(ctx, root, log); err != nil {
			return err
		}
		image, err := s.assemble(ctx, root, busybox)
		if err != nil {
			return err
		}
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return image.WriteArchive(file)
	})
}

func (s Software) fetch(ctx context.Context, root string, log io.Writer) error {
	debian, err := openSuite(ctx, "bookworm", log)
	if err != nil {
		return err
	}
	packages, err := debian.closure(ctx, s.Without, s.Packages...)
	if err != nil {
		return err
	}
	return debian.unpack(ctx, root, packages...)
}

// assemble picks from the unpacked packages what goes into the image.
func (s Software) assemble(ctx context.Context, root, busybox string) (Image, error) {
	image := Image{Names: []string{s.Name}, Config: s.Config}
	if image.Config.Env == nil {
		image.Config.Env = []string{"PATH=" + searchPath}
	}
	if err := addBusybox(ctx, &image.Root, busybox); err != nil {
		return image, err
	}
	if !strings.Contains(passwd, s.User+":") {
		image.Root.File("/etc/passwd", fmt.Sprintf("%s%s:x:%d:%d::/:/bin/sh\n", passwd, s.User, s.UID, s.UID))
		image.Root.File("/etc/group", fmt.Sprintf("%s%s:x:%d:\n", group, s.User, s.UID))
	}
	for _, program := range s.Programs {
		if err := image.Root.Program(root, program); err != nil {
			return image, err
		}
	}
	for _, tree := range s.Trees {
		if err := image.Root.Tree(root, tree); err != nil {
			return image, err
		}
	}
	for _, dir := range s.Dirs {
		image.Root.Dir(dir, 0o755, s.UID)
	}
	for _, file := range slices.Sorted(maps.Keys(s.Files)) {
		image.Root.File(file, s.Files[file])
	}
	for _, link := range slices.Sorted(maps.Keys(s.Links)) {
		image.Root.Link(link, s.Links[link])
	}
	return image, nil
}
