package bosh

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Range is a range of addresses, and who says so: a property, an attribute of the recipe, an interface or a route.
type Range struct {
	Prefix netip.Prefix
	Source string
}

// ClashError says that containers would get addresses of a network that the VM is in or reaches otherwise: it could not be
// reached any more.
type ClashError struct {
	Wanted, There Range
}

func (e *ClashError) Error() string {
	return fmt.Sprintf("%s: %s overlaps %s, %s", e.Wanted.Source, e.Wanted.Prefix, e.There.Prefix, e.There.Source)
}

// Clashes compares ranges for containers with those that are there.
func Clashes(wanted, there []Range) []error {
	var wrong []error
	for _, w := range wanted {
		for _, t := range there {
			if w.Prefix.Overlaps(t.Prefix) {
				wrong = append(wrong, &ClashError{w, t})
			}
		}
	}
	return wrong
}

// DaemonRanges are those that the operator's properties give to the Engine. What the Engine takes by itself keeps clear of
// the VM's routes.
func (v VM) DaemonRanges() ([]Range, error) {
	text, err := os.ReadFile(v.DaemonSpec())
	if err != nil {
		return nil, fmt.Errorf("reading the engine's properties: %w", err)
	}
	var spec struct {
		Daemon struct {
			BIP   string `json:"bip"`
			Pools []struct {
				Base string `json:"base"`
			} `json:"default-address-pools"`
		} `json:"daemon"`
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, fmt.Errorf("reading the engine's properties: %q: %w", v.DaemonSpec(), err)
	}
	var ranges []Range
	add := func(property, text string) error {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("property %q: %q is no range of addresses, as 10.9.0.0/16", property, text)
		}
		ranges = append(ranges, Range{prefix.Masked(), fmt.Sprintf("property %q", property)})
		return nil
	}
	if spec.Daemon.BIP != "" {
		if err := add("bip", spec.Daemon.BIP); err != nil {
			return nil, err
		}
	}
	for _, pool := range spec.Daemon.Pools {
		if err := add("default-address-pools", pool.Base); err != nil {
			return nil, err
		}
	}
	return ranges, nil
}

// HostRanges are the networks of the VM's interfaces and its routes, and the addresses of its peers. Bridges are left out:
// those are the Engine's own.
func (v VM) HostRanges(peers []string) ([]Range, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing the network interfaces: %w", err)
	}
	var ranges []Range
	var bridges []string
	for _, i := range interfaces {
		if _, err := os.Stat(filepath.Join("/sys/class/net", i.Name, "bridge")); err == nil {
			bridges = append(bridges, i.Name)
			continue
		}
		addresses, err := i.Addrs()
		if err != nil || i.Flags&net.FlagLoopback != 0 {
			continue // an interface that went away meanwhile
		}
		for _, address := range addresses {
			if prefix, err := netip.ParsePrefix(address.String()); err == nil && !prefix.Addr().IsLinkLocalUnicast() {
				ranges = append(ranges, Range{prefix.Masked(), "the network of " + i.Name})
			}
		}
	}
	table, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, fmt.Errorf("listing the routes: %w", err)
	}
	for _, r := range parseRoutes(string(table)) {
		known := slices.ContainsFunc(ranges, func(other Range) bool { return other.Prefix == r.prefix })
		if !known && !slices.Contains(bridges, r.device) {
			ranges = append(ranges, Range{r.prefix, "a route over " + r.device})
		}
	}
	for _, peer := range peers {
		if address, err := netip.ParseAddr(peer); err == nil { // a peer may be named
			ranges = append(ranges, Range{netip.PrefixFrom(address, address.BitLen()), "the address of a peer"})
		}
	}
	return ranges, nil
}

type route struct {
	device string
	prefix netip.Prefix
}

// parseRoutes reads /proc/net/route, where addresses are hexadecimal numbers in the machine's own byte order. Default
// routes are left out.
func parseRoutes(table string) []route {
	var routes []route
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[0] == "Iface" {
			continue
		}
		destination, mask := parseHex(fields[1]), parseHex(fields[7])
		if mask == nil || destination == nil {
			continue
		}
		ones, _ := net.IPMask(mask).Size()
		address, _ := netip.AddrFromSlice(destination) // four bytes always are one
		if ones > 0 {
			routes = append(routes, route{fields[0], netip.PrefixFrom(address, ones)})
		}
	}
	return routes
}

// parseHex gives the bytes of an address in their order on the network: those of the number as they lie in memory.
func parseHex(text string) []byte {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 4 {
		return nil
	}
	return binary.NativeEndian.AppendUint32(nil, binary.BigEndian.Uint32(raw))
}
