package main

import (
	"path/filepath"
	"sync"

	"galley/engine/contexts"
)

// at is where the Engine is, once that was looked up: a context that is put to use meanwhile is for later commands.
type at struct {
	once     sync.Once
	endpoint contexts.Endpoint
	err      error
}

// address is where the Engine is; its Host is "" where nothing says so, which means the local socket. What comes first wins,
// as for the docker command line: --host or --context, DOCKER_HOST, DOCKER_CONTEXT, and the context that "docker context use"
// chose.
func (c *cli) address() (contexts.Endpoint, error) {
	c.at.once.Do(func() { c.at.endpoint, c.at.err = c.findAddress() })
	return c.at.endpoint, c.at.err
}

func (c *cli) findAddress() (contexts.Endpoint, error) {
	g, host := c.global, c.getenv("DOCKER_HOST")
	switch {
	case g.host != "" && g.context != "":
		return contexts.Endpoint{}, contradiction("--host", "--context")
	case g.host != "":
		return contexts.Endpoint{Host: g.host}, nil
	case g.context == "" && host != "":
		return contexts.Endpoint{Host: host}, nil
	}
	name := either(g.context, c.getenv("DOCKER_CONTEXT"))
	dir := c.dockerDir()
	if dir == "" && name == "" {
		return contexts.Endpoint{}, nil
	}
	found, err := contexts.Find(dir, name)
	switch {
	case err != nil:
		return contexts.Endpoint{}, err
	case found == nil:
		return contexts.Endpoint{Host: host}, nil
	}
	return *found, nil
}

// dockerDir is the directory of the docker command line's settings, "" where the surroundings name none.
func (c *cli) dockerDir() string {
	switch config, home := c.getenv("DOCKER_CONFIG"), c.getenv("HOME"); {
	case config != "":
		return c.absolute(config)
	case home != "":
		return c.absolute(filepath.Join(home, ".docker"))
	}
	return ""
}
