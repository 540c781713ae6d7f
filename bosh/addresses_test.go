package bosh

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRoutesAreRead(t *testing.T) {
	number := func(address string) string {
		bytes := netip.MustParseAddr(address).As4()
		return fmt.Sprintf("%08X", binary.NativeEndian.Uint32(bytes[:]))
	}
	line := func(device, destination, mask string) string {
		return strings.Join([]string{device, number(destination), number("0.0.0.0"), "0001", "0", "0", "0", number(mask), "0", "0", "0"}, "\t") + "\n"
	}
	got := parseRoutes("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
		line("eth0", "0.0.0.0", "0.0.0.0") + line("eth0", "10.1.2.0", "255.255.255.0") + line("eth1", "172.16.0.0", "255.240.0.0"))
	want := []route{{"eth0", netip.MustParsePrefix("10.1.2.0/24")}, {"eth1", netip.MustParsePrefix("172.16.0.0/12")}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAClashNamesThePropertyAndTheNetwork(t *testing.T) {
	wanted := []Range{{netip.MustParsePrefix("10.1.0.0/16"), `property "default-address-pools"`}, {netip.MustParsePrefix("10.9.0.0/16"), `property "bip"`}}
	there := []Range{{netip.MustParsePrefix("10.1.2.0/24"), "the network of eth0"}}
	wrong := Clashes(wanted, there)
	if len(wrong) != 1 || wrong[0].Error() != `property "default-address-pools": 10.1.0.0/16 overlaps 10.1.2.0/24, the network of eth0` {
		t.Errorf("got %v", wrong)
	}
}

func TestTheEnginesRangesAreRead(t *testing.T) {
	vm := VM{Root: t.TempDir()}
	if err := os.MkdirAll(filepath.Dir(vm.DaemonSpec()), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(vm.DaemonSpec(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"daemon": {"bip": "10.200.0.1/24", "default-address-pools": [{"base": "10.201.0.0/16", "size": 24}]}}`)
	got, err := vm.DaemonRanges()
	if err != nil || len(got) != 2 || got[0].Prefix.String() != "10.200.0.0/24" || got[1].Prefix.String() != "10.201.0.0/16" {
		t.Errorf("got %v, %v", got, err)
	}
	write(`{"daemon": {"bip": "10.200.0.1"}}`)
	if _, err := vm.DaemonRanges(); err == nil || !strings.Contains(err.Error(), `property "bip"`) {
		t.Errorf("got error %v, want one that names the property", err)
	}
}
