package compose

import (
	"fmt"
	"maps"
	"net/netip"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// network lowers one network of the project.
//
// Of docker compose's labels config-hash is left out: with a hash that isn't its own, docker compose would make the
// network, or with --yes the volume and its data, anew.
func (l *lowering) network(key string) *Network {
	src := l.src.Networks[key]
	n := &Network{Key: key, Name: src.Name, External: bool(src.External)}
	if n.External {
		return n
	}
	if isPredefined(n.Name) {
		l.find(Error, "networks."+key+".name", codeConflict, "add external: true to use it", fmt.Sprintf("network %q is the Engine's own", n.Name))
	}
	n.Create = network.CreateOptions{
		Driver:     src.Driver,
		Options:    src.DriverOpts,
		Internal:   src.Internal,
		Attachable: src.Attachable,
		EnableIPv4: src.EnableIPv4,
		EnableIPv6: src.EnableIPv6,
		IPAM:       l.ipam(key, src.Ipam),
	}
	n.Hash = digestNetwork(n.Create, src.Labels)
	n.Create.Labels = l.identify(src.Labels, LabelNetwork, key, n.Hash)
	return n
}

func (l *lowering) ipam(key string, src types.IPAMConfig) *network.IPAM {
	if src.Driver == "" && len(src.Config) == 0 && len(src.Options) == 0 {
		return nil
	}
	l.checkFamilies(key)
	ipam := &network.IPAM{Driver: src.Driver, Options: src.Options}
	for i, pool := range src.Config {
		if pool == nil {
			continue
		}
		l.checkPool(item("networks."+key+".ipam.config", i), pool)
		ipam.Config = append(ipam.Config, network.IPAMConfig{
			Subnet: pool.Subnet, IPRange: pool.IPRange, Gateway: pool.Gateway, AuxAddress: pool.AuxiliaryAddresses,
		})
	}
	return ipam
}

// checkPool finds what the Engine refuses of a subnet (moby api/types/network, ValidateIPAM; before API 1.44, libnetwork's ipam).
func (l *lowering) checkPool(place string, pool *types.IPAMPool) {
	if pool.Subnet == "" {
		if pool.Gateway != "" || pool.IPRange != "" || len(pool.AuxiliaryAddresses) > 0 {
			l.find(Warning, place, codeIgnored, "add subnet", "without a subnet, gateway, ip_range and aux_addresses mean nothing, and newer Engines refuse them")
		}
		return
	}
	subnet, err := netip.ParsePrefix(pool.Subnet)
	if err != nil {
		l.find(Error, place+".subnet", codeInvalid, "use address/bits, as 172.28.0.0/16", fmt.Sprintf("%q is no subnet", pool.Subnet))
		return
	}
	if subnet != subnet.Masked() {
		l.find(Warning, place+".subnet", codeIgnored, fmt.Sprintf("write %s", subnet.Masked()),
			fmt.Sprintf("the host's part of subnet %s is ignored, and newer Engines refuse it", subnet))
	}
	inside := func(attribute, text string) {
		address, err := netip.ParseAddr(text)
		switch {
		case err != nil:
			l.find(Error, place+attribute, codeInvalid, "", fmt.Sprintf("%q is no IP address", text))
		case !subnet.Contains(address):
			l.find(Error, place+attribute, "address-outside-subnet", "", fmt.Sprintf("%s is outside of the subnet %s", address, subnet.Masked()))
		}
	}
	if pool.Gateway != "" {
		inside(".gateway", pool.Gateway)
	}
	for _, name := range sortedKeys(pool.AuxiliaryAddresses) {
		inside(".aux_addresses."+name, pool.AuxiliaryAddresses[name])
	}
	if pool.IPRange == "" {
		return
	}
	if from, err := netip.ParsePrefix(pool.IPRange); err != nil {
		l.find(Error, place+".ip_range", codeInvalid, "use address/bits, as 172.28.5.0/24", fmt.Sprintf("%q is no range of addresses", pool.IPRange))
	} else if !subnet.Contains(from.Addr()) || from.Bits() < subnet.Bits() {
		l.find(Error, place+".ip_range", "address-outside-subnet", "", fmt.Sprintf("%s is outside of the subnet %s", from, subnet.Masked()))
	}
}

// checkFamilies finds a second subnet of one family: a bridge has one of each
// (moby libnetwork/drivers/bridge, parseNetworkOptions).
func (l *lowering) checkFamilies(key string) {
	src := l.src.Networks[key]
	if src.Driver != "" && src.Driver != network.NetworkBridge {
		return
	}
	families := map[bool]bool{}
	for _, subnet := range subnetsOf(src) {
		is4 := subnet.Addr().Is4()
		if families[is4] {
			l.find(Error, "networks."+key+".ipam.config", codeConflict, "make a second network",
				fmt.Sprintf("network %q has several subnets of one family, but a bridge has one", key))
			return
		}
		families[is4] = true
	}
}

// subnetsOf are the subnets that a network's definition fixes, less those that are none.
func subnetsOf(n types.NetworkConfig) []netip.Prefix {
	var subnets []netip.Prefix
	for _, pool := range n.Ipam.Config {
		if pool == nil {
			continue
		}
		if subnet, err := netip.ParsePrefix(pool.Subnet); err == nil {
			subnets = append(subnets, subnet.Masked())
		}
	}
	return subnets
}

// volume lowers one volume of the project.
func (l *lowering) volume(key string) *Volume {
	src := l.src.Volumes[key]
	v := &Volume{Key: key, Name: src.Name, External: bool(src.External)}
	if v.External {
		return v
	}
	if !isName(v.Name) {
		l.find(Error, "volumes."+key+".name", codeInvalid, nameHint, fmt.Sprintf("%q can't be a volume's name", v.Name))
	}
	v.Create = volume.CreateOptions{Name: src.Name, Driver: src.Driver, DriverOpts: src.DriverOpts}
	v.Hash = digestVolume(v.Create, src.Labels)
	v.Create.Labels = l.identify(src.Labels, LabelVolume, key, v.Hash)
	return v
}

// identify adds what tells to whom a resource belongs; it wins over the recipe's labels.
func (l *lowering) identify(labels map[string]string, kind, key, hash string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, labels)
	all[LabelProject], all[kind], all[LabelHash] = l.src.Name, key, hash
	return all
}
