package enginetest

import (
	"cmp"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"
)

// vol is a volume with its files.
type vol struct {
	volume.Volume
	// anonymous ones go with their container when that is asked for.
	anonymous bool
	serial    int
	tree      *tree
}

// users are the containers that mount the volume, sorted.
func (e *Engine) users(name string) []string {
	var users []string
	for id, c := range e.containers {
		if slices.ContainsFunc(c.mounts, func(m mountPoint) bool { return m.Name == name && name != "" }) {
			users = append(users, id)
		}
	}
	slices.Sort(users)
	return users
}

// makeVolume returns the volume of that name, made if it is new; "" makes an anonymous one.
func (e *Engine) makeVolume(opts volume.CreateOptions) (*vol, error) {
	if v := e.volumes[opts.Name]; v != nil {
		if opts.Driver != "" && opts.Driver != v.Driver {
			return nil, fail(http.StatusConflict, "create %s: conflict: volume name must be unique", opts.Name)
		}
		return v, nil
	}
	v := &vol{tree: newTree()}
	if opts.Name == "" {
		opts.Name = newID()
		v.anonymous = true
		if e.atLeast("1.42") {
			opts.Labels = maps.Clone(opts.Labels)
			if opts.Labels == nil {
				opts.Labels = map[string]string{}
			}
			opts.Labels["com.docker.volume.anonymous"] = ""
		}
	}
	if opts.Driver == "" {
		opts.Driver = "local"
	}
	if opts.Driver != "local" {
		return nil, fail(http.StatusNotFound, "create %s: error looking up volume plugin %s: plugin %q not found", opts.Name, opts.Driver, opts.Driver)
	}
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`).MatchString(opts.Name) && len(opts.Name) != 1 || strings.Contains(opts.Name, "/") {
		return nil, fail(http.StatusBadRequest, `create %s: %q includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`, opts.Name, opts.Name)
	}
	e.serial++
	v.serial = e.serial
	v.Volume = volume.Volume{
		Name: opts.Name, Driver: opts.Driver, Labels: opts.Labels, Options: opts.DriverOpts, Scope: "local",
		CreatedAt:  time.Now().UTC().Format(time.RFC3339),
		Mountpoint: "/var/lib/docker/volumes/" + opts.Name + "/_data",
	}
	e.volumes[opts.Name] = v
	e.emit(events.VolumeEventType, events.ActionCreate, opts.Name, map[string]string{"driver": opts.Driver})
	return v, nil
}

func (e *Engine) dropVolume(v *vol) {
	delete(e.volumes, v.Name)
	e.emit(events.VolumeEventType, events.ActionDestroy, v.Name, map[string]string{"driver": v.Driver})
}

func (e *Engine) volumesSorted() []*vol {
	return slices.SortedFunc(maps.Values(e.volumes), func(a, b *vol) int { return cmp.Compare(a.serial, b.serial) })
}

// createVolume answers POST /volumes/create.
func (e *Engine) createVolume(r *request) error {
	var opts volume.CreateOptions
	if err := r.read(&opts); err != nil {
		return err
	}
	e.mu.Lock()
	v, err := e.makeVolume(opts)
	if v != nil {
		v.anonymous = v.anonymous && opts.Name == ""
	}
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return r.reply(http.StatusCreated, v.Volume)
}

// listVolumes answers GET /volumes.
func (e *Engine) listVolumes(r *request) error {
	args, err := r.filters("dangling", "name", "driver", "label", "label!")
	if err != nil {
		return err
	}
	list := volume.ListResponse{Volumes: []*volume.Volume{}}
	e.mu.Lock()
	for _, v := range e.volumesSorted() {
		if e.volumePasses(v, args) {
			copied := v.Volume
			list.Volumes = append(list.Volumes, &copied)
		}
	}
	e.mu.Unlock()
	return r.reply(http.StatusOK, list)
}

func (e *Engine) volumePasses(v *vol, args filters.Args) bool {
	if args.Contains("dangling") {
		want := args.ExactMatch("dangling", "true") || args.ExactMatch("dangling", "1")
		if want != (len(e.users(v.Name)) == 0) {
			return false
		}
	}
	return (!args.Contains("name") || args.Match("name", v.Name)) && args.ExactMatch("driver", v.Driver) && labelsPass(args, v.Labels)
}

// labelsPass applies the filters "label" and "label!".
func labelsPass(args filters.Args, labels map[string]string) bool {
	if args.Contains("label") && !args.MatchKVList("label", labels) {
		return false
	}
	return !args.Contains("label!") || !args.MatchKVList("label!", labels)
}

// volume finds a volume.
func (e *Engine) volume(name string) (*vol, error) {
	if v := e.volumes[name]; v != nil {
		return v, nil
	}
	return nil, fail(http.StatusNotFound, "get %s: no such volume", name)
}

// inspectVolume answers GET /volumes/*.
func (e *Engine) inspectVolume(r *request) error {
	e.mu.Lock()
	v, err := e.volume(r.name)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, v.Volume)
}

// removeVolume answers DELETE /volumes/*.
func (e *Engine) removeVolume(r *request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	v, err := e.volume(r.name)
	switch {
	case err != nil && r.flag("force"):
		return r.done(http.StatusNoContent)
	case err != nil:
		return err
	}
	if users := e.users(v.Name); len(users) > 0 {
		return fail(http.StatusConflict, "remove %s: volume is in use - [%s]", v.Name, strings.Join(users, ", "))
	}
	e.dropVolume(v)
	return r.done(http.StatusNoContent)
}
