package compose

import (
	"cmp"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/types"
)

// Offline is what can be known of images without an Engine and without a registry.
type Offline struct {
	// Image tells what a reference stands for; an error says why it stands for nothing.
	Image func(ref string) (OfflineImage, error)
	// Machine is the platform that the recipe is to run on, as "linux/amd64".
	Machine string
}

// OfflineImage is what is known of an image without an Engine.
type OfflineImage struct {
	// Platform is what it is for, as "linux/amd64"; Runs tells whether the machine runs that.
	Platform string
	Runs     bool
	// Probed says that it brings a healthcheck.
	Probed bool
}

// UnusableTarball is the finding about a tarball that can't be used, with the place that lists it: "" and 0 for none.
func UnusableTarball(message, file string, line int) Diagnostic {
	return Diagnostic{Severity: Error, Code: "unusable-tarball", Message: message, File: file, Line: line}
}

// offlineLocked is what is known offline of the images that references mean by the recipe's lock. A lock that can't be used
// is a finding of [recipe.pin].
func (r *recipe) offlineLocked() *Offline {
	path := r.lockPath()
	if r.offline == nil || path == "" {
		return r.offline
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return r.offline
	}
	lock, found := parseLock(path, text)
	if len(found) > 0 {
		return r.offline
	}
	return &Offline{Machine: r.offline.Machine, Image: func(ref string) (OfflineImage, error) {
		return r.offline.Image(cmp.Or(lock.lockedRef(ref), ref))
	}}
}

// offline holds the recipe against the images that are there without a registry, if that is asked for: each must be there,
// for this machine, and have a healthcheck where others wait for one.
func (c *checker) offline(images *Offline) {
	if images == nil {
		return
	}
	for _, name := range c.project.ServiceNames() {
		s := c.project.Services[name]
		path := "services." + name
		c.offlineImage(images, path, s.Image, s.Platform)
		c.offlineMounts(images, path, s.ContainerSpec)
		if s.PullPolicy == types.PullPolicyAlways {
			c.add(Warning, "asks-registry", path+".pull_policy", "pull_policy: always asks a registry at each up, and up fails where it can't",
				"leave it out, or use `up --pull missing`")
		}
		for i, hook := range s.PreStart {
			if hook.Image != "" && hook.Image != s.Image {
				c.offlineImage(images, item(path+".pre_start", i), hook.Image, hook.Platform)
			}
			c.offlineMounts(images, item(path+".pre_start", i), hook.ContainerSpec)
		}
		for _, need := range sortedKeys(s.DependsOn) {
			if s.DependsOn[need].Condition == types.ServiceConditionHealthy {
				c.offlineGate(images, name, need)
			}
		}
	}
}

// offlineMounts finds images that are mounted and aren't there. What they are for doesn't matter: nothing runs from them.
func (c *checker) offlineMounts(images *Offline, path string, s types.ContainerSpec) {
	for i, v := range s.Volumes {
		if v.Type != types.VolumeTypeImage || v.Source == "" {
			continue
		}
		if _, err := images.Image(v.Source); err != nil {
			c.add(Error, "image-not-in-tarballs", item(path+".volumes", i)+".source", err.Error(), "export the image into a tarball, or correct its name")
		}
	}
}

func (c *checker) offlineImage(images *Offline, path, ref, platform string) {
	if ref == "" {
		return // the lack of an image is another finding
	}
	found, err := images.Image(ref)
	switch {
	case err != nil:
		c.add(Error, "image-not-in-tarballs", path+".image", err.Error(), "export the image into a tarball, or correct its name")
	case !found.Runs:
		c.add(Error, "image-for-other-machine", path+".image",
			fmt.Sprintf("image %q is for %s, and this machine is %s", ref, found.Platform, images.Machine), "export it for this platform")
	case platform != "" && platform != found.Platform:
		c.add(Error, "image-for-other-machine", path+".platform",
			fmt.Sprintf("image %q is there for %s alone", ref, found.Platform), "export it for this platform too")
	}
}

// offlineGate finds a gate that nothing can open: neither the recipe nor the image has a healthcheck.
func (c *checker) offlineGate(images *Offline, name, need string) {
	target, active := c.project.Services[need]
	if !active || target.HealthCheck != nil && (target.HealthCheck.Disable || len(target.HealthCheck.Test) > 0) {
		return
	}
	if found, err := images.Image(target.Image); err == nil && !found.Probed {
		c.add(Error, "never-healthy", "services."+need+".image",
			fmt.Sprintf("service %q waits until %q is healthy, but neither the recipe nor image %q has a healthcheck", name, need, target.Image),
			"give the service a healthcheck, or use condition: service_started")
	}
}
