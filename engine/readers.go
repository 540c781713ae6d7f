package engine

import (
	"context"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/volume"
	"golang.org/x/sync/errgroup"

	"galley/compose"
)

// Top lists the processes of a running container: the titles of the columns, and a row for each process.
func (e *Engine) Top(ctx context.Context, c *Container) (titles []string, rows [][]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	top, err := e.api.ContainerTop(ctx, c.ID, nil)
	return top.Titles, top.Processes, e.calling(ctx, "listing the processes of "+c.Name, err)
}

// Images reads the images that containers were created from, by id. One that is gone is missing in the answer.
func (e *Engine) Images(ctx context.Context, containers []*Container) (map[string]image.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	var ids []string
	for _, c := range containers {
		ids = append(ids, c.ImageID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	found := make([]image.InspectResponse, len(ids))
	calls, ctx := errgroup.WithContext(ctx)
	for i, id := range ids {
		calls.Go(func() (err error) {
			found[i], err = e.api.ImageInspect(ctx, id)
			return e.calling(ctx, "reading image "+id, gone(err))
		})
	}
	if err := calls.Wait(); err != nil {
		return nil, err
	}
	images := map[string]image.InspectResponse{}
	for i, id := range ids {
		if found[i].ID != "" {
			images[id] = found[i]
		}
	}
	return images, nil
}

// AllContainers reads the containers of all projects on the Engine; with all those that do not run, too.
func (e *Engine) AllContainers(ctx context.Context, all bool) ([]*Container, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: all, Filters: filters.NewArgs(filters.Arg("label", compose.LabelProject))})
	if err != nil {
		return nil, e.reading(ctx, "containers", err)
	}
	var containers []*Container
	for _, summary := range list {
		containers = append(containers, observe(summary))
	}
	return containers, nil
}

// Volumes reads the project's volumes.
func (e *Engine) Volumes(ctx context.Context, project string) ([]*volume.Volume, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.AnswerWithin)
	defer cancel()
	list, err := e.api.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", compose.LabelProject+"="+project))})
	return list.Volumes, e.reading(ctx, "volumes", err)
}
