package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"galley/compose"
	"galley/engine"
)

// present is what an Engine has of a project's containers, found by labels: no recipe is needed.
type present struct {
	project    string
	engine     *engine.Engine
	containers []*engine.Container
}

// present connects and lists the project's containers. Services that neither have one nor stand in the recipe are refused.
func (c *cli) present(ctx context.Context, services []string) (*present, error) {
	name, err := compose.ProjectName(c.source())
	if err != nil {
		return nil, err
	}
	e, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	p := &present{project: name, engine: e}
	if p.containers, err = e.Containers(ctx, name); err == nil {
		err = c.checkServices(ctx, services, p.containers)
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	return p, nil
}

// replica finds the container of a service with that number, or, where the number is 0, the first.
func (p *present) replica(service string, number int) (*engine.Container, error) {
	for _, have := range p.containers {
		if have.Service == service && !have.OneOff && (number == 0 || have.Number == number) {
			return have, nil
		}
	}
	if number != 0 {
		return nil, noSuchReplica(service, number)
	}
	return nil, &noContainerError{service}
}

// noSuchReplica is the mistake of asking for a number that no container of the service has.
func noSuchReplica(service string, number int) error {
	return &usageError{err: fmt.Errorf("service %q has no container with the number %d", service, number)}
}

// running is replica for what needs a running container.
func (p *present) running(service string, number int) (*engine.Container, error) {
	at := slices.IndexFunc(p.containers, func(have *engine.Container) bool {
		return have.Service == service && (!have.OneOff || have.Scheduled()) && number == 0 && have.Running()
	})
	if at >= 0 {
		return p.containers[at], nil
	}
	have, err := p.replica(service, number)
	if err == nil && !have.Running() {
		err = &noContainerError{service}
	}
	return have, err
}

// noContainerError says that a service has no container for what was asked.
type noContainerError struct {
	service string
}

func (e *noContainerError) Error() string { return fmt.Sprintf("service %q is not running", e.service) }

// shortName is a container's name without the project's, however the two are joined: "db-1".
func shortName(project, name string) string {
	rest, ok := strings.CutPrefix(name, project)
	if ok && len(rest) > 1 && (rest[0] == '-' || rest[0] == '_') {
		return rest[1:]
	}
	return name
}
