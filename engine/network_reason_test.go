package engine

import (
	"testing"

	"github.com/docker/docker/api/types/network"

	"galley/compose"
)

func TestNetworkReason(t *testing.T) {
	ranged := func(subnet, gateway string) *network.IPAM {
		return &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet, Gateway: gateway}}}
	}
	yes := true
	for name, test := range map[string]struct {
		want   network.CreateOptions
		have   network.Summary
		reason string
	}{
		"ranges": {
			network.CreateOptions{IPAM: ranged("10.1.0.0/24", "")}, network.Summary{Driver: "bridge", IPAM: *ranged("10.0.0.0/24", "10.0.0.1")},
			"network definition changed: subnet 10.0.0.0/24 → 10.1.0.0/24",
		},
		"what the Engine chose or added": {
			network.CreateOptions{Labels: map[string]string{compose.LabelHash: "new"}},
			network.Summary{Driver: "bridge", IPAM: *ranged("10.0.0.0/24", "10.0.0.1"), Options: map[string]string{"com.docker.network.enable_ipv4": "true"}},
			"network definition changed",
		},
		"all at a time": {
			network.CreateOptions{
				Driver: "macvlan", Internal: true, Attachable: true, EnableIPv6: &yes,
				Options: map[string]string{"parent": "eth1"}, Labels: map[string]string{"team": "b"},
			},
			network.Summary{Driver: "bridge", Labels: map[string]string{"team": "a"}},
			"network definition changed: driver bridge → macvlan, internal changed, attachable changed, enable_ipv6 changed, " +
				"driver_opts.parent changed, labels.team changed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := networkReason(test.want, test.have); got != test.reason {
				t.Errorf("got  %s\nwant %s", got, test.reason)
			}
		})
	}
}
