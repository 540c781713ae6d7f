package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/go-connections/nat"
)

// serviceVersion starts the hash of a service, definitionVersion that of a network, a volume or a pre_start container. A
// new version of the latter makes every network in the world anew. A new one of the former replaces every container that
// [Service.Fits] doesn't know how to compare.
const (
	serviceVersion    = "2:"
	definitionVersion = "1:"
)

// canon is a value in bencode (BEP 3): the one encoding in which equal values have equal bytes and unequal ones don't.
// It owes nothing to how a library prints, so that no upgrade changes a hash.
type canon []byte

func (c canon) text(s string) canon {
	c = strconv.AppendInt(c, int64(len(s)), 10)
	c = append(c, ':')
	return append(c, s...)
}

func (c canon) number(n int64) canon {
	c = append(c, 'i')
	c = strconv.AppendInt(c, n, 10)
	return append(c, 'e')
}

func (c canon) flag(b bool) canon {
	if b {
		return c.number(1)
	}
	return c.number(0)
}

func (c canon) texts(list []string) canon {
	c = append(c, 'l')
	for _, s := range list {
		c = c.text(s)
	}
	return append(c, 'e')
}

func (c canon) table(m map[string]string) canon {
	c = append(c, 'd')
	for _, k := range sortedKeys(m) {
		c = c.text(k).text(m[k])
	}
	return append(c, 'e')
}

// digest is the short form of a value, for one field.
func (c canon) digest() string {
	sum := sha256.Sum256(c)
	return hex.EncodeToString(sum[:8])
}

// hash is the versioned form, for a whole.
func (c canon) hash(version string) string {
	sum := sha256.Sum256(c)
	return version + hex.EncodeToString(sum[:16])
}

// fields collects digests by recipe attribute. What is empty or the Engine's own default gets none: a field that a
// later version knows changes nothing as long as nobody uses it.
type fields map[string]string

func (f fields) put(name string, value canon) { f[name] = value.digest() }

func (f fields) text(name, value string) {
	if value != "" {
		f.put(name, canon{}.text(value))
	}
}

func (f fields) number(name string, value int64) {
	if value != 0 {
		f.put(name, canon{}.number(value))
	}
}

// optional is a number whose zero says something else than its absence.
func optional[T int | int64](f fields, name string, value *T) {
	if value != nil {
		f.put(name, canon{}.number(int64(*value)))
	}
}

func (f fields) flag(name string, value bool) {
	if value {
		f.put(name, canon{}.flag(true))
	}
}

// choice is a flag whose absence leaves it to the Engine.
func (f fields) choice(name string, value *bool) {
	if value != nil {
		f.put(name, canon{}.flag(*value))
	}
}

func (f fields) texts(name string, list []string) {
	if len(list) > 0 {
		f.put(name, canon{}.texts(list))
	}
}

// set is a list whose order means nothing.
func (f fields) set(name string, list []string) {
	f.texts(name, slices.Sorted(slices.Values(list)))
}

func (f fields) table(name string, m map[string]string) {
	if len(m) > 0 {
		f.put(name, canon{}.table(m))
	}
}

// entries gives each entry of a map a field of its own.
func (f fields) entries(name string, m map[string]string) {
	for k, v := range m {
		f.put(name+"."+k, canon{}.text(v))
	}
}

func (f fields) hash(version string) string { return canon{}.table(f).hash(version) }

// digestService digests all that only another container can have. How many there are, how they are replaced, when their
// image is pulled, on what they wait and where the recipe lies is no part of it, nor is what changes [InPlace].
func digestService(s *Service) (map[string]string, string) {
	f := digestAll(s)
	maps.DeleteFunc(f, func(name, _ string) bool { return InPlace(name) })
	for _, e := range s.Endpoints {
		f.text("networks."+e.Network+fixedMAC, e.Settings.MacAddress)
	}
	return f, f.hash(serviceVersion)
}

// digestAll digests all that makes a container what it is.
func digestAll(s *Service) fields {
	f := make(fields, 16)
	f.text("platform", s.Platform)
	f.config(&s.Config, s.Host.PortBindings)
	if s.ClearCommand {
		f.put("command", canon{}.texts(nil))
	}
	f.host(&s.Host)
	f.volumes(s)
	f.files(s.Files, s.OnSecretChange == "")
	f.resources(&s.Host.Resources)
	for i, e := range s.Endpoints {
		f.endpoint(e, i == 0)
	}
	f.inits(s.PreStart)
	f.hooks("post_start", s.PostStart)
	f.hooks("pre_stop", s.PreStop)
	return f
}

func (f fields) config(c *container.Config, published nat.PortMap) {
	f.text("image", c.Image)
	f.texts("command", c.Cmd)
	if c.Entrypoint != nil { // an empty one clears the image's
		f.put("entrypoint", canon{}.texts(c.Entrypoint))
	}
	for _, entry := range c.Env {
		key, value, set := strings.Cut(entry, "=")
		if set {
			f.put("environment."+key, canon{}.text(value))
		} else {
			f.put("environment."+key, canon{}.texts(nil)) // takes the image's away
		}
	}
	f.entries("labels", c.Labels)
	f.text("hostname", c.Hostname)
	f.text("domainname", c.Domainname)
	f.text("user", c.User)
	f.text("working_dir", c.WorkingDir)
	//lint:ignore SA1019 lowering sets it where there is no endpoint to set it on
	f.text("mac_address", c.MacAddress)
	f.flag("tty", c.Tty)
	f.flag("stdin_open", c.OpenStdin)
	f.text("stop_signal", c.StopSignal)
	optional(f, "stop_grace_period", c.StopTimeout)
	var exposed []string
	for port := range c.ExposedPorts {
		if _, ok := published[port]; !ok {
			exposed = append(exposed, string(port))
		}
	}
	f.set("expose", exposed)
	f.health(c.Healthcheck)
}

func (f fields) health(h *container.HealthConfig) {
	if h == nil {
		return
	}
	f.put("healthcheck", canon{}.texts(h.Test).number(int64(h.Interval)).number(int64(h.Timeout)).
		number(int64(h.StartPeriod)).number(int64(h.StartInterval)).number(int64(h.Retries)))
}

func (f fields) host(h *container.HostConfig) {
	f.entries("annotations", h.Annotations)
	f.set("cap_add", h.CapAdd)
	f.set("cap_drop", h.CapDrop)
	f.text("cgroup", string(h.CgroupnsMode))
	f.texts("dns", h.DNS)
	f.set("dns_opt", h.DNSOptions)
	f.texts("dns_search", h.DNSSearch)
	f.texts("extra_hosts", h.ExtraHosts)
	f.set("group_add", h.GroupAdd)
	f.choice("init", h.Init)
	f.text("ipc", string(h.IpcMode))
	if !h.Isolation.IsDefault() {
		f.text("isolation", string(h.Isolation))
	}
	if h.LogConfig.Type != "" || len(h.LogConfig.Config) > 0 {
		f.put("logging", canon{}.text(h.LogConfig.Type).table(h.LogConfig.Config))
	}
	f.text("network_mode", string(h.NetworkMode))
	f.number("oom_score_adj", int64(h.OomScoreAdj))
	f.text("pid", string(h.PidMode))
	f.ports(h.PortBindings)
	f.flag("privileged", h.Privileged)
	f.flag("read_only", h.ReadonlyRootfs)
	if !h.RestartPolicy.IsNone() {
		f.put("restart", canon{}.text(string(h.RestartPolicy.Name)).number(int64(h.RestartPolicy.MaximumRetryCount)))
	}
	f.text("runtime", h.Runtime)
	f.security(h)
	f.number("shm_size", h.ShmSize)
	f.table("storage_opt", h.StorageOpt)
	f.table("sysctls", h.Sysctls)
	f.table("tmpfs", h.Tmpfs)
	f.text("userns_mode", string(h.UsernsMode))
	f.text("uts", string(h.UTSMode))
	f.texts("volumes_from", h.VolumesFrom)
	f.texts("links", h.Links)
}

// security covers the paths too: the recipe asks for them by a security option.
func (f fields) security(h *container.HostConfig) {
	if len(h.SecurityOpt) == 0 && h.MaskedPaths == nil && h.ReadonlyPaths == nil {
		return
	}
	c := canon{}.texts(h.SecurityOpt)
	for _, paths := range [][]string{h.MaskedPaths, h.ReadonlyPaths} {
		if c = c.flag(paths != nil); paths != nil {
			c = c.texts(paths)
		}
	}
	f.put("security_opt", c)
}

func (f fields) ports(bindings nat.PortMap) {
	if len(bindings) == 0 {
		return
	}
	var all []string
	for port, binds := range bindings {
		for _, b := range binds {
			all = append(all, string(canon{}.text(string(port)).text(b.HostIP).text(b.HostPort)))
		}
	}
	f.set("ports", all)
}

// volumes covers the three notations in which the Engine takes mounts. Their order means nothing.
func (f fields) volumes(s *Service) {
	var all []string
	for _, bind := range s.Host.Binds {
		all = append(all, string(canon("bind ").text(bind)))
	}
	for _, m := range s.Host.Mounts {
		all = append(all, string(canon("mount ").mount(m)))
	}
	for target := range s.Config.Volumes {
		all = append(all, string(canon("anonymous ").text(target)))
	}
	f.set("volumes", all)
}

// files covers each config and secret twice: what it is, and what stands in it unless that is changed in place.
func (f fields) files(files []File, contents bool) {
	where := map[string]canon{}
	for _, file := range files {
		name := string(file.Kind) + " " + file.Name
		where[name] = where[name].text(file.Target).number(int64(file.UID)).number(int64(file.GID)).number(int64(file.Mode))
		if contents {
			f.put(name+" content", canon{}.text(file.Digest))
		}
	}
	for name, c := range where {
		f.put(name, c)
	}
}

func (c canon) mount(m mount.Mount) canon {
	c = c.text(string(m.Type)).text(m.Source).text(m.Target).flag(m.ReadOnly).text(string(m.Consistency))
	if b := m.BindOptions; b != nil {
		c = append(c, 'b')
		c = c.text(string(b.Propagation)).flag(b.NonRecursive).flag(b.CreateMountpoint).
			flag(b.ReadOnlyNonRecursive).flag(b.ReadOnlyForceRecursive)
	}
	if v := m.VolumeOptions; v != nil {
		c = append(c, 'v')
		c = c.flag(v.NoCopy).text(v.Subpath).table(v.Labels)
		if v.DriverConfig != nil {
			c = c.text(v.DriverConfig.Name).table(v.DriverConfig.Options)
		}
	}
	if i := m.ImageOptions; i != nil {
		c = append(c, 'i')
		c = c.text(i.Subpath)
	}
	if t := m.TmpfsOptions; t != nil {
		c = append(c, 't')
		c = c.number(t.SizeBytes).number(int64(t.Mode))
		for _, option := range t.Options {
			c = c.texts(option)
		}
	}
	return c
}

func (f fields) resources(r *container.Resources) {
	f.number("cpus", r.NanoCPUs)
	f.number("cpu_shares", r.CPUShares)
	f.number("cpu_period", r.CPUPeriod)
	f.number("cpu_quota", r.CPUQuota)
	f.number("cpu_rt_period", r.CPURealtimePeriod)
	f.number("cpu_rt_runtime", r.CPURealtimeRuntime)
	f.text("cpuset", r.CpusetCpus)
	f.text("cgroup_parent", r.CgroupParent)
	f.number("mem_limit", r.Memory)
	f.number("mem_reservation", r.MemoryReservation)
	f.number("memswap_limit", r.MemorySwap)
	optional(f, "mem_swappiness", r.MemorySwappiness)
	f.choice("oom_kill_disable", r.OomKillDisable)
	optional(f, "pids_limit", r.PidsLimit)
	f.blkio(r)
	f.devices(r)
	if len(r.Ulimits) > 0 {
		var all []string
		for _, u := range r.Ulimits {
			all = append(all, string(canon{}.text(u.Name).number(u.Soft).number(u.Hard)))
		}
		f.set("ulimits", all)
	}
}

func (f fields) blkio(r *container.Resources) {
	c := canon{}.number(int64(r.BlkioWeight))
	for _, d := range r.BlkioWeightDevice {
		c = c.text(d.Path).number(int64(d.Weight))
	}
	throttled := 0
	for _, list := range [][]*blkiodev.ThrottleDevice{
		r.BlkioDeviceReadBps, r.BlkioDeviceReadIOps, r.BlkioDeviceWriteBps, r.BlkioDeviceWriteIOps,
	} {
		c = append(c, '/')
		throttled += len(list)
		for _, d := range list {
			c = c.text(d.Path).number(int64(d.Rate))
		}
	}
	if r.BlkioWeight != 0 || len(r.BlkioWeightDevice) > 0 || throttled > 0 {
		f.put("blkio_config", c)
	}
}

func (f fields) devices(r *container.Resources) {
	f.texts("device_cgroup_rules", r.DeviceCgroupRules)
	var devices, requests []string
	for _, d := range r.Devices {
		devices = append(devices, string(canon{}.text(d.PathOnHost).text(d.PathInContainer).text(d.CgroupPermissions)))
	}
	for _, d := range r.DeviceRequests {
		c := canon{}.text(d.Driver).number(int64(d.Count)).texts(d.DeviceIDs).table(d.Options)
		for _, capabilities := range d.Capabilities {
			c = c.texts(capabilities)
		}
		requests = append(requests, string(c))
	}
	f.set("devices", devices)
	f.set("gpus", requests)
}

// endpoint covers one attachment. Which one is first decides how the container is created.
func (f fields) endpoint(e Endpoint, primary bool) {
	c := canon{}.text(e.Name).flag(primary).texts(e.Settings.Aliases).text(e.Settings.MacAddress).
		table(e.Settings.DriverOpts).number(int64(e.Settings.GwPriority))
	if ipam := e.Settings.IPAMConfig; ipam != nil {
		c = c.text(ipam.IPv4Address).text(ipam.IPv6Address).texts(ipam.LinkLocalIPs)
	}
	if len(e.Settings.Links) > 0 {
		c = append(c, 'l')
		c = c.texts(e.Settings.Links)
	}
	f.put("networks."+e.Network, c)
}

// inits covers the containers of pre_start, each by what a service of that payload has for its hash.
func (f fields) inits(inits []Init) {
	if len(inits) == 0 {
		return
	}
	var c canon
	for _, init := range inits {
		all := digestAll(&Service{
			Config: init.Config, Host: init.Host, Platform: init.Platform, Endpoints: init.Endpoints, Files: init.Files,
		})
		c = c.text(all.hash(definitionVersion)).flag(init.PerReplica)
	}
	f.put("pre_start", c)
}

func (f fields) hooks(name string, hooks []Hook) {
	if len(hooks) == 0 {
		return
	}
	var c canon
	for _, h := range hooks {
		c = c.texts(h.Command).text(h.User).text(h.WorkingDir).texts(h.Env).flag(h.Privileged)
	}
	f.put(name, c)
}

// digestNetwork is the hash of a network's definition with the recipe's own labels.
func digestNetwork(o network.CreateOptions, labels map[string]string) string {
	f := fields{}
	if o.Driver != network.NetworkBridge { // the Engine's default
		f.text("driver", o.Driver)
	}
	f.table("driver_opts", o.Options)
	f.choice("enable_ipv4", o.EnableIPv4)
	f.choice("enable_ipv6", o.EnableIPv6)
	f.flag("internal", o.Internal)
	f.flag("attachable", o.Attachable)
	f.table("labels", labels)
	if o.IPAM != nil {
		driver := o.IPAM.Driver
		if driver == network.NetworkDefault {
			driver = ""
		}
		c := canon{}.text(driver).table(o.IPAM.Options)
		for _, pool := range o.IPAM.Config {
			c = c.text(pool.Subnet).text(pool.IPRange).text(pool.Gateway).table(pool.AuxAddress)
		}
		f.put("ipam", c)
	}
	return f.hash(definitionVersion)
}

// digestVolume is the hash of a volume's definition with the recipe's own labels.
func digestVolume(o volume.CreateOptions, labels map[string]string) string {
	f := fields{}
	if o.Driver != volumeDriver {
		f.text("driver", o.Driver)
	}
	f.table("driver_opts", o.DriverOpts)
	f.table("labels", labels)
	return f.hash(definitionVersion)
}

// volumeDriver is the Engine's default.
const volumeDriver = "local"
