package engine

import (
	"cmp"
	"slices"
)

// spread puts the loads into the order in which they begin: next comes always the one that brings the most bytes that none
// before it brings. So two that have a layer in common run at the same time only where there is no other, for the Engine would
// unpack that layer twice; what is there by then is left out. And none that takes long is left for the end.
func (d *imageDiffer) spread() {
	var pending []load
	var others []*node
	for _, n := range d.nodes {
		if a, ok := n.action.(loadArchive); ok {
			pending = append(pending, load{n, a.parts(), a.archive.Size})
		} else {
			others = append(others, n)
		}
	}
	d.nodes = nil
	brought := map[string]bool{}
	for len(pending) > 0 {
		next, most := 0, int64(-1)
		for i, l := range pending {
			if bytes := l.beyond(brought); bytes > most {
				next, most = i, bytes
			}
		}
		for _, p := range pending[next].parts {
			brought[p.chain] = true
		}
		d.nodes = append(d.nodes, pending[next].node)
		pending = slices.Delete(pending, next, next+1)
	}
	d.nodes = append(d.nodes, others...)
}

// load is one that waits for its turn. size is its archive's.
type load struct {
	node  *node
	parts []part
	size  int64
}

// beyond is how many bytes it brings of layers that are not there by then; an equal share of the archive's where that is not known.
func (l load) beyond(brought map[string]bool) int64 {
	var bytes int64
	for _, p := range l.parts {
		if !brought[p.chain] {
			bytes += cmp.Or(p.bytes, l.size/int64(len(l.parts)))
		}
	}
	return bytes
}

// part is a layer, together with those below it, that a load brings. bytes are as it lies in the archive, 0 where that is not
// known.
type part struct {
	chain string
	bytes int64
}

// parts are what the Engine lacks of a load's images, each once.
func (a loadArchive) parts() []part {
	var all []part
	seen := map[string]bool{}
	for _, w := range a.wanted {
		for i, chain := range chains(w.Image.DiffIDs) {
			if i >= w.Have && !seen[chain] {
				all = append(all, part{chain, w.Image.Layers[i].Size})
			}
			seen[chain] = true
		}
	}
	return all
}
