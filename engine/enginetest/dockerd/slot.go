package dockerd

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// slot is what tells daemons on one machine apart: a name (folder, bridge, control group) and a range of addresses.
type slot struct {
	name    string
	address string // of the default bridge, with its prefix length
	pool    string // of user-defined networks
	rang    string // all of it
	lock    net.Listener
}

const slots = 16

// takeSlot takes the first free slot. Slots share 198.18.0.0/15 out, which RFC 2544 sets aside for tests of networks, so
// nobody routes it. The lock is an abstract unix socket: it is as wide as the network namespace in which bridges and
// addresses could clash, leaves no file, and ends with the last process that holds it.
func takeSlot() (slot, error) {
	for n := range slots {
		name := fmt.Sprintf("galley-test%d", n)
		lock, err := net.Listen("unix", "@"+name)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return slot{}, fmt.Errorf("locking %s: %w", name, err)
		}
		second, third := 18+n/8, n%8*32 // a /19 each
		return slot{
			name:    name,
			address: fmt.Sprintf("198.%d.%d.1/24", second, third),
			pool:    fmt.Sprintf("198.%d.%d.0/20", second, third+16),
			rang:    fmt.Sprintf("198.%d.%d.0/19", second, third),
			lock:    lock,
		}, nil
	}
	return slot{}, fmt.Errorf("starting dockerd: %d private daemons are running already", slots)
}
