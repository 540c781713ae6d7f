package engine

import "slices"

// node is a step while its plan is being made: needs are pointers until the order is known.
type node struct {
	action Action
	why    string
	needs  []*node
	after  []*node
	urgent bool
}

// graph collects the nodes of a plan in a readable order: that of their making.
type graph struct {
	nodes []*node
}

// add appends a node; nil needs are left out, so that "there already" needs no case of its own.
func (g *graph) add(action Action, why string, needs ...*node) *node {
	n := &node{action: action, why: why}
	n.need(needs...)
	g.nodes = append(g.nodes, n)
	return n
}

func (n *node) need(others ...*node) {
	for _, other := range others {
		if other != nil && other != n {
			n.needs = append(n.needs, other)
		}
	}
}

// change exchanges the node's action for a changed one, if it is of that kind.
func change[A Action](n *node, f func(A) A) {
	if action, ok := n.action.(A); ok {
		n.action = f(action)
	}
}

// steps puts the nodes into topological order, keeping the order of their making where the graph leaves a choice.
func (g *graph) steps() []Step {
	index := make(map[*node]int, len(g.nodes))
	steps := make([]Step, 0, len(g.nodes))
	var visit func(*node)
	visit = func(n *node) {
		if _, seen := index[n]; seen {
			return
		}
		index[n] = -1
		for _, before := range append(n.needs[:len(n.needs):len(n.needs)], n.after...) {
			visit(before)
		}
		index[n] = len(steps)
		steps = append(steps, Step{Action: n.action, Why: n.why, urgent: n.urgent})
	}
	for _, n := range g.nodes {
		visit(n)
	}
	for _, n := range g.nodes {
		step := &steps[index[n]]
		step.Needs = indices(index, n.needs)
		step.After = indices(index, n.after)
	}
	return steps
}

// indices are the sorted, distinct places of nodes.
func indices(index map[*node]int, nodes []*node) []int {
	var places []int
	for _, n := range nodes {
		places = append(places, index[n])
	}
	slices.Sort(places)
	return slices.Compact(places)
}
