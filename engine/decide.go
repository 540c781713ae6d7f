package engine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"

	"galley/compose"
)

// servicePlan is what is decided about one service.
type servicePlan struct {
	spec     *compose.Service
	oneShot  bool // somebody waits for its completion
	back     bool // it is put back to containers that may be another recipe's
	replicas []*replica
	// update is how replicas are replaced: by update_config, or by rollback_config when they are put back.
	update compose.Update
	// inits are the last steps of the service's pre_start, once planned.
	inits []*node
	// surplus are containers that are too many.
	surplus []*Container
}

// replica is one container that shall be there, and those that stand in its place now.
type replica struct {
	number int
	// keep is the observed container that is as wanted; nil: one is created, for the reason why.
	keep *Container
	why  string
	// others are outdated or left over, and make room.
	others []*Container
	// lost are removed before, with a volume that is made anew.
	lost []*Container

	ref     ref
	created *node
	started *node // nil: it runs already
	passed  []*node
	awaits  map[gate]*node
}

// before are the containers that the replica comes after.
func (r *replica) before() []*Container { return append(slices.Clone(r.others), r.lost...) }

func (p *servicePlan) creates() bool {
	return slices.ContainsFunc(p.replicas, func(r *replica) bool { return r.keep == nil })
}

// renewed tells whether any replica takes the place of an earlier container: dependents may have to follow.
func (p *servicePlan) renewed() bool {
	return slices.ContainsFunc(p.replicas, func(r *replica) bool { return r.keep == nil && len(r.before()) > 0 })
}

// outran tells whether a container that stays took an earlier one's place after a dependent had last started.
func (p *servicePlan) outran(dependent *Container) bool {
	return slices.ContainsFunc(p.replicas, func(r *replica) bool { return r.keep != nil && slices.Contains(dependent.Behind, r.keep.ID) })
}

// beganAnew tells whether the container whose namespaces others share is started by this plan, or was after they were.
func (p *servicePlan) beganAnew(child *Container) bool {
	first := p.first()
	return first != nil && first.keep != nil && (first.started != nil || slices.Contains(child.Stranded, first.keep.ID))
}

// stoppedHere tells whether a replica that stays is stopped by this plan, to be started again.
func (d *differ) stoppedHere(p *servicePlan) bool {
	return slices.ContainsFunc(p.replicas, func(r *replica) bool { return r.keep != nil && r.started != nil && d.stops[r.keep.ID] != nil })
}

// decide assigns the observed containers of a service to its replicas.
func (d *differ) decide(s *compose.Service) *servicePlan {
	p := &servicePlan{spec: s, oneShot: isOneShot(d.want, s.Name), update: s.Update}
	if d.opts.restore != nil {
		p.update, p.back = s.Rollback, true
	}
	slots := map[int][]*Container{}
	for _, c := range d.have.Containers {
		if c.Service == s.Name && !c.OneOff && c.Phase != container.StateRemoving {
			slots[c.Number] = append(slots[c.Number], c)
		}
	}
	want := d.opts.replicas(s)
	for _, number := range d.numbers(s, slots, want) {
		r := &replica{number: number, awaits: map[gate]*node{}}
		d.choose(s, r, slots[number])
		delete(slots, number)
		p.replicas = append(p.replicas, r)
	}
	for _, number := range sortedKeys(slots) {
		p.surplus = append(p.surplus, slots[number]...)
	}
	return p
}

// numbers are those of the replicas that are to be there.
func (d *differ) numbers(s *compose.Service, slots map[int][]*Container, want int) []int {
	if d.opts.restore != nil {
		return d.opts.restore.numbers(s, slots, want)
	}
	return d.keepNumbers(s, slots, want)
}

// keepNumbers are the numbers of the wanted replicas: those that are there, less the outdated and then the highest where
// there are too many, and new ones behind the highest where there are too few (as docker compose numbers them).
func (d *differ) keepNumbers(s *compose.Service, slots map[int][]*Container, want int) []int {
	var numbers []int
	highest := 0
	for _, number := range sortedKeys(slots) {
		if number > 0 {
			numbers = append(numbers, number)
			highest = max(highest, number)
		}
	}
	if len(numbers) > want {
		slices.SortStableFunc(numbers, func(a, b int) int {
			return cmp.Compare(d.rank(s, slots[a]), d.rank(s, slots[b]))
		})
		numbers = numbers[:want]
		slices.Sort(numbers)
	}
	for len(numbers) < want {
		highest++
		numbers = append(numbers, highest)
	}
	return numbers
}

// rank is 0 for a slot with a container that is as wanted, 1 for an outdated one.
func (d *differ) rank(s *compose.Service, containers []*Container) int {
	if slices.ContainsFunc(containers, func(c *Container) bool { return d.outdated(s, c) == "" }) {
		return 0
	}
	return 1
}

// choose picks the container to keep: one that is as wanted, rather a running one, rather the one of the proper name.
func (d *differ) choose(s *compose.Service, r *replica, containers []*Container) {
	name := d.want.ContainerName(s, r.number)
	best := func(a, b *Container) bool {
		if a.Running() != b.Running() {
			return a.Running()
		}
		return a.Name == name && b.Name != name
	}
	r.why = "missing"
	for _, c := range containers {
		if volume := d.loses(c); volume != "" {
			r.why = "volume " + volume + " is made anew"
			r.lost = append(r.lost, c)
			continue
		}
		why := d.outdated(s, c)
		switch {
		case why != "":
			r.why = why
		case r.keep == nil || best(c, r.keep):
			r.keep = c
		}
	}
	for _, c := range containers {
		if c != r.keep && !slices.Contains(r.lost, c) {
			r.others = append(r.others, c)
		}
	}
	if r.keep != nil {
		r.ref = r.keep.ref()
		return
	}
	r.ref = ref{name: d.freeName(s, name)}
}

// freeName is the name to create under: the proper one, or, while an old container has that, a passing one.
func (d *differ) freeName(s *compose.Service, name string) string {
	taken := func(name string) bool {
		return slices.ContainsFunc(d.have.Containers, func(c *Container) bool { return c.Name == name })
	}
	free := name
	for n := 1; taken(free); n++ {
		free = fmt.Sprintf("%s.%s", name, shortHash(s.Hash))
		if n > 1 {
			free += "." + strconv.Itoa(n)
		}
	}
	return free
}

// shortHash is the beginning of a versioned hash's digest.
func shortHash(hash string) string {
	_, digest, _ := strings.Cut(hash, ":")
	return digest[:min(8, len(digest))]
}

// isOneShot tells whether somebody waits for the service's completion: then it is not started again once completed.
func isOneShot(want *compose.Project, name string) bool {
	return slices.ContainsFunc(want.Services, func(s *compose.Service) bool {
		return slices.ContainsFunc(s.Needs, func(n compose.Need) bool {
			return n.Service == name && n.Condition == compose.Completed
		})
	})
}

// outdated tells why a container must be replaced; "" if it is as wanted.
func (d *differ) outdated(s *compose.Service, c *Container) string {
	if back := d.opts.restore; back != nil && back.old[s.Name] != nil {
		return back.unwanted(c, d.have)
	}
	if d.opts.keep[s.Name][c.ID] {
		return ""
	}
	switch {
	case c.Phase == container.StateDead || c.Phase == container.StateRemoving:
		return string(c.Phase)
	case d.opts.NoRecreate:
		return ""
	case d.forced(s):
		return "forced"
	case c.Hash == "":
		return "not created by galley"
	case !s.Fits(c.Hash, fieldsOf(c.Summary.Labels[compose.LabelFields])):
		return d.changes(s, c)
	}
	if d.absent[s.Config.Image] {
		return fmt.Sprintf("image %s is to be pulled again", s.Config.Image)
	}
	switch img := d.have.image(s.Config.Image); {
	case img != nil && c.ImageID != "" && img.ID != c.ImageID:
		return fmt.Sprintf("image %s was updated", s.Config.Image)
	case img == nil && byDigest(s.Config.Image) && c.Summary.Image != s.Config.Image:
		return fmt.Sprintf("image %s is another one", s.Config.Image)
	}
	return cmp.Or(d.strayed(s, c), d.misplaced(s, c), d.mustMove(s, c))
}

// forced tells whether a service's containers are replaced whatever they are. As with docker compose, what somebody forces are
// the services that he names, and what they need only if he says so.
func (d *differ) forced(s *compose.Service) bool {
	if len(d.opts.Services) == 0 || slices.Contains(d.opts.Services, s.Name) {
		return d.opts.ForceRecreate
	}
	return d.opts.RecreateDeps
}

// strayed tells whose namespace or volumes a container still shares although that one is gone or will be.
func (d *differ) strayed(s *compose.Service, c *Container) string {
	shared := parseParents(c.Summary.Labels[labelParents])
	for _, name := range s.Parents() {
		parent := d.services[name]
		if parent == nil {
			continue // left out of this plan
		}
		if r := parent.first(); r == nil || r.keep == nil || r.keep.ID != shared[name] {
			return fmt.Sprintf("service %s, which it shares with, is replaced", name)
		}
	}
	return ""
}

// first is the replica that others share namespaces and volumes with.
func (p *servicePlan) first() *replica {
	if len(p.replicas) == 0 {
		return nil
	}
	return p.replicas[0]
}

func parseParents(label string) map[string]string {
	ids := map[string]string{}
	for _, entry := range strings.Split(label, ",") {
		if service, id, ok := strings.Cut(entry, "="); ok {
			ids[service] = id
		}
	}
	return ids
}

// changes names what differs between a service and a container of it, by recipe attribute.
func (d *differ) changes(s *compose.Service, c *Container) string {
	var changed []string
	had := fieldsOf(c.Summary.Labels[compose.LabelFields])
	if s.Config.Image != c.Summary.Image && s.Fields["image"] != had["image"] {
		changed = append(changed, fmt.Sprintf("image %s → %s", c.Summary.Image, s.Config.Image))
	}
	for _, name := range differing(s.Fields, had) {
		if (name != "image" || len(changed) == 0) && !compose.InPlace(name) {
			changed = append(changed, name+" changed")
		}
	}
	if want := wantedSettings(d.want, s, c.Number); c.Settings != nil && len(changed) > 0 {
		if also := d.differences(s, differing(c.Settings, want), c.Settings, want); also != "" {
			changed = append(changed, also)
		}
	}
	if len(changed) == 0 {
		return "created by another version of galley"
	}
	return strings.Join(changed, ", ")
}

// differing are the sorted keys that are not in both maps with the same value.
func differing(a, b map[string]string) []string {
	var keys []string
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			keys = append(keys, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func sortedKeys[V any](m map[int]V) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// fieldsOf reads [compose.LabelFields]. A label that somebody mangled costs the reason its detail, nothing more.
func fieldsOf(label string) map[string]string {
	var fields map[string]string
	_ = json.Unmarshal([]byte(label), &fields)
	return fields
}
