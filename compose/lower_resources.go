package compose

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"
)

// resources lowers the limits on memory, processors and processes. An attribute of deploy.resources wins over the older
// one of the service, which must not say anything else (compose-spec, deploy: resources).
func (s *serviceLowering) resources() {
	r := &s.out.Host.Resources
	var limits, reserved types.Resource
	if d := s.src.Deploy; d != nil {
		limits, reserved = deref(d.Resources.Limits), deref(d.Resources.Reservations)
	}
	r.NanoCPUs = s.agree("cpus", nanos(float32(s.src.CPUS)), "limits.cpus", nanos(limits.NanoCPUs.Value()))
	r.Memory = s.agree("mem_limit", int64(s.src.MemLimit), "limits.memory", int64(limits.MemoryBytes))
	r.MemoryReservation = s.agree("mem_reservation", int64(s.src.MemReservation), "reservations.memory", int64(reserved.MemoryBytes))
	if pids := s.agree("pids_limit", s.src.PidsLimit, "limits.pids", limits.Pids); pids != 0 {
		r.PidsLimit = &pids
	}
	r.MemorySwap = int64(s.src.MemSwapLimit)
	if s.src.MemSwappiness != 0 {
		swappiness := int64(s.src.MemSwappiness)
		r.MemorySwappiness = &swappiness
	}
	if s.src.OomKillDisable {
		r.OomKillDisable = &s.src.OomKillDisable
	}
	s.out.Host.OomScoreAdj = int(s.src.OomScoreAdj)
	s.out.Host.ShmSize = int64(s.src.ShmSize)
	r.CPUShares, r.CPUPeriod, r.CPUQuota = s.src.CPUShares, s.src.CPUPeriod, s.src.CPUQuota
	r.CPURealtimePeriod, r.CPURealtimeRuntime = s.src.CPURTPeriod, s.src.CPURTRuntime
	r.CpusetCpus = s.src.CPUSet
	s.checkMemory(r)
	s.checkCPU(r)
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// agree is the value of an attribute that can be written in two places.
func (s *serviceLowering) agree(attribute string, legacy int64, resource string, deploy int64) int64 {
	if legacy != 0 && deploy != 0 && legacy != deploy {
		s.refuse(attribute, codeConflict, "keep one of them", "%s and deploy.resources.%s say different things", attribute, resource)
	}
	if deploy != 0 {
		return deploy
	}
	return legacy
}

// nanos are billionths of a processor. The loader keeps a float32: its shortest decimal is what the recipe says, while
// multiplying it would bring 0.7 to 699999988.
func nanos(cpus float32) int64 {
	if cpus == 0 {
		return 0
	}
	exact, err := strconv.ParseFloat(strconv.FormatFloat(float64(cpus), 'f', -1, 32), 64)
	if err != nil {
		return 0
	}
	return int64(math.Round(exact * 1e9))
}

// minMemory is the least limit that the Engine takes (moby daemon/daemon_unix.go, linuxMinMemory).
const minMemory = 6 << 20

// checkMemory finds what every Engine refuses (moby daemon/daemon_unix.go, verifyPlatformContainerResources).
func (s *serviceLowering) checkMemory(r *container.Resources) {
	if r.Memory != 0 && r.Memory < minMemory {
		s.refuse(s.limit("mem_limit", "limits.memory"), codeInvalid, "", "a memory limit can't be below 6 MiB")
	}
	if r.MemoryReservation != 0 && r.MemoryReservation < minMemory {
		s.refuse(s.limit("mem_reservation", "reservations.memory"), codeInvalid, "", "a memory reservation can't be below 6 MiB")
	}
	if r.Memory > 0 && r.MemoryReservation > r.Memory {
		s.refuse(s.limit("mem_reservation", "reservations.memory"), codeConflict, "", "more memory is reserved than the limit allows")
	}
	switch {
	case r.MemorySwap > 0 && r.Memory == 0:
		s.refuse("memswap_limit", codeConflict, "add mem_limit", "memswap_limit needs mem_limit")
	case r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		s.refuse("memswap_limit", codeConflict, "it counts memory and swap together", "memswap_limit is less than mem_limit")
	}
	if p := r.MemorySwappiness; p != nil && (*p < 0 || *p > 100) {
		s.refuse("mem_swappiness", codeInvalid, "", "swappiness is from 0 to 100, not %d", *p)
	}
	if adj := s.out.Host.OomScoreAdj; adj < -1000 || adj > 1000 {
		s.refuse("oom_score_adj", codeInvalid, "", "an OOM score adjustment is from -1000 to 1000, not %d", adj)
	}
	if s.out.Host.ShmSize < 0 {
		s.refuse("shm_size", codeInvalid, "", "shm_size can't be negative")
	}
}

func (s *serviceLowering) checkCPU(r *container.Resources) {
	cpus := s.limit("cpus", "limits.cpus")
	if r.NanoCPUs < 0 {
		s.refuse(cpus, codeInvalid, "", "a number of processors can't be negative")
	}
	if r.NanoCPUs > 0 && (r.CPUPeriod > 0 || r.CPUQuota > 0) {
		s.refuse(cpus, codeConflict, "cpus is short for a period and a quota", "cpus can't be set together with cpu_period or cpu_quota")
	}
	if p := r.CPUPeriod; p != 0 && (p < 1000 || p > 1000000) {
		s.refuse("cpu_period", codeInvalid, "", "a period is from 1000 to 1000000 microseconds, not %d", p)
	}
	if q := r.CPUQuota; q > 0 && q < 1000 {
		s.refuse("cpu_quota", codeInvalid, "", "a quota is at least 1000 microseconds, not %d", q)
	}
	if r.CPURealtimePeriod != 0 && r.CPURealtimeRuntime > r.CPURealtimePeriod {
		s.refuse("cpu_rt_runtime", codeConflict, "", "cpu_rt_runtime is longer than cpu_rt_period")
	}
	if !isCPUSet(r.CpusetCpus) {
		s.refuse("cpuset", codeInvalid, "write numbers and ranges, as 0-2,4", "%q is no list of processors", r.CpusetCpus)
	}
	if r.CPUShares < 0 {
		s.refuse("cpu_shares", codeInvalid, "", "cpu_shares can't be negative")
	}
}

// isCPUSet tells whether the Engine can read a list of processors, as 0-2,4 (moby pkg/parsers, ParseUintList).
func isCPUSet(list string) bool {
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(low, 10, 16)
		last, errLast := first, err
		if isRange {
			last, errLast = strconv.ParseUint(high, 10, 16)
		}
		if list != "" && (err != nil || errLast != nil || last < first) {
			return false
		}
	}
	return true
}

// limit is the attribute that a limit was written in.
func (s *serviceLowering) limit(legacy, resource string) string {
	d := s.src.Deploy
	if d != nil && (strings.HasPrefix(resource, "limits") && d.Resources.Limits != nil ||
		strings.HasPrefix(resource, "reservations") && d.Resources.Reservations != nil) {
		return "deploy.resources." + resource
	}
	return legacy
}

// limits lowers ulimits, sysctls and block I/O.
func (s *serviceLowering) limits() {
	r := &s.out.Host.Resources
	for _, name := range sortedKeys(s.src.Ulimits) {
		if u := s.src.Ulimits[name]; u != nil {
			r.Ulimits = append(r.Ulimits, s.ulimit(name, u))
		}
	}
	s.out.Host.Sysctls = s.src.Sysctls
	for _, name := range sortedKeys(s.src.Sysctls) {
		s.checkSysctl(name)
	}
	s.blkio(r)
}

// ulimitNames are those that the Engine knows (github.com/docker/go-units, ulimit.go).
const ulimitNames = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"

func (s *serviceLowering) ulimit(name string, u *types.UlimitsConfig) *container.Ulimit {
	limit := &container.Ulimit{Name: name, Soft: int64(u.Single), Hard: int64(u.Single)}
	if u.Single == 0 {
		limit.Soft, limit.Hard = int64(u.Soft), int64(u.Hard)
	}
	if !contains(ulimitNames, name) {
		near := nearest(name, ulimitNames, "the Engine knows "+strings.Join(strings.Fields(ulimitNames), ", "))
		s.refuse("ulimits."+name, codeInvalid, near, "%q is no ulimit", name)
		s.atKey()
	}
	if limit.Hard != -1 && (limit.Soft > limit.Hard || limit.Soft == -1) {
		s.refuse("ulimits."+name, codeInvalid, "", "the soft limit of %q is above its hard limit", name)
	}
	return limit
}

func (s *serviceLowering) blkio(r *container.Resources) {
	b := s.src.BlkioConfig
	if b == nil {
		return
	}
	r.BlkioWeight = b.Weight
	if b.Weight != 0 && (b.Weight < 10 || b.Weight > 1000) {
		s.refuse("blkio_config.weight", codeInvalid, "", "a block I/O weight is from 10 to 1000, not %d", b.Weight)
	}
	for _, d := range b.WeightDevice {
		r.BlkioWeightDevice = append(r.BlkioWeightDevice, &blkiodev.WeightDevice{Path: d.Path, Weight: d.Weight})
	}
	r.BlkioDeviceReadBps = throttles(b.DeviceReadBps)
	r.BlkioDeviceReadIOps = throttles(b.DeviceReadIOps)
	r.BlkioDeviceWriteBps = throttles(b.DeviceWriteBps)
	r.BlkioDeviceWriteIOps = throttles(b.DeviceWriteIOps)
}

func throttles(devices []types.ThrottleDevice) []*blkiodev.ThrottleDevice {
	var lowered []*blkiodev.ThrottleDevice
	for _, d := range devices {
		lowered = append(lowered, &blkiodev.ThrottleDevice{Path: d.Path, Rate: uint64(d.Rate)})
	}
	return lowered
}

// devices lowers devices and the requests for them that a driver answers.
func (s *serviceLowering) devices() {
	r := &s.out.Host.Resources
	r.DeviceCgroupRules = s.src.DeviceCgroupRules
	if d := s.src.Deploy; d != nil && d.Resources.Reservations != nil {
		for _, request := range d.Resources.Reservations.Devices {
			r.DeviceRequests = append(r.DeviceRequests, deviceRequest(request, request.Capabilities))
		}
	}
	var cdi []string
	for i, d := range s.src.Devices {
		switch {
		case d.Source == d.Target && isCDI(d.Source):
			cdi = append(cdi, d.Source)
			s.require(item("devices", i)+".source", "1.44")
		default:
			r.Devices = append(r.Devices, container.DeviceMapping{
				PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: s.permissions(item("devices", i), d.Permissions),
			})
		}
	}
	if len(cdi) > 0 {
		r.DeviceRequests = append(r.DeviceRequests, container.DeviceRequest{Driver: "cdi", DeviceIDs: cdi})
	}
	for _, gpu := range s.src.Gpus {
		capabilities := slices.Clone(gpu.Capabilities)
		if !slices.Contains(capabilities, "gpu") {
			capabilities = append(capabilities, "gpu")
		}
		r.DeviceRequests = append(r.DeviceRequests, deviceRequest(gpu, capabilities))
	}
}

// permissions are those on a device, all by default. The runtime skips letters that mean nothing, and starts no container
// with none left.
func (s *serviceLowering) permissions(attribute, asked string) string {
	known := strings.Map(func(r rune) rune {
		if strings.ContainsRune("rwm", r) {
			return r
		}
		return -1
	}, asked)
	const hint = "they are some of r, w and m"
	switch {
	case asked == "":
		return "rwm"
	case known == "":
		s.refuse(attribute, codeInvalid, hint, "%q are no permissions on a device", asked)
	case known != asked:
		s.warn(attribute, codeIgnored, hint, "of the permissions %q on a device, %q is all that there is", asked, known)
	}
	return known
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func deviceRequest(d types.DeviceRequest, capabilities []string) container.DeviceRequest {
	return container.DeviceRequest{
		Driver: d.Driver, Count: int(d.Count), DeviceIDs: d.IDs, Capabilities: [][]string{capabilities}, Options: d.Options,
	}
}

// isCDI tells a qualified device name, vendor/class=name, from a path.
// Source: Container Device Interface specification, "CDI JSON Specification": kind.
func isCDI(device string) bool {
	kind, name, ok := strings.Cut(device, "=")
	vendor, class, qualified := strings.Cut(kind, "/")
	return ok && qualified && name != "" && vendor != "" && class != "" && !strings.HasPrefix(vendor, ".") && !strings.Contains(class, "/")
}
