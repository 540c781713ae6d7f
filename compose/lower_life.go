package compose

import (
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
)

// healthcheck lowers how the container tells that it is ready. What is zero is inherited from the image.
func (s *serviceLowering) healthcheck() {
	check := s.src.HealthCheck
	if check == nil {
		return
	}
	if check.Disable {
		s.out.Config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
		return
	}
	s.out.Config.Healthcheck = &container.HealthConfig{
		Test:          check.Test,
		Interval:      s.checkEvery("interval", check.Interval),
		Timeout:       s.checkEvery("timeout", check.Timeout),
		StartPeriod:   s.checkEvery("start_period", check.StartPeriod),
		StartInterval: s.checkEvery("start_interval", check.StartInterval),
		Retries:       int(deref(check.Retries)),
	}
	if check.StartInterval != nil && *check.StartInterval != 0 {
		s.require("healthcheck.start_interval", "1.44")
	}
}

// checkEvery is one of the healthcheck's times: the Engine takes none below a millisecond (container.MinimumDuration).
func (s *serviceLowering) checkEvery(attribute string, d *types.Duration) time.Duration {
	t := time.Duration(deref(d))
	if t != 0 && t < container.MinimumDuration {
		s.refuse("healthcheck."+attribute, codeInvalid, "", "%s can't be below 1ms", attribute)
	}
	return t
}

// restart lowers the restart policy; that of deploy wins (compose-spec, deploy: restart_policy).
func (s *serviceLowering) restart() {
	if s.src.Restart != "" {
		s.out.Host.RestartPolicy = s.restartPolicy()
	}
	if s.src.Deploy != nil && s.src.Deploy.RestartPolicy != nil {
		s.out.Host.RestartPolicy = s.deployPolicy(s.src.Deploy.RestartPolicy)
	}
}

func (s *serviceLowering) restartPolicy() container.RestartPolicy {
	name, attempts, counted := strings.Cut(s.src.Restart, ":")
	policy := container.RestartPolicy{Name: container.RestartPolicyMode(name)}
	switch name { // docker compose takes deploy's words here too
	case "none":
		policy.Name = container.RestartPolicyDisabled
	case "any":
		policy.Name = container.RestartPolicyAlways
	}
	const hint = "use no, always, on-failure, on-failure:N or unless-stopped"
	switch policy.Name {
	case container.RestartPolicyDisabled, container.RestartPolicyAlways, container.RestartPolicyUnlessStopped:
		if counted {
			s.refuse("restart", codeInvalid, hint, "restart policy %q counts no attempts", name)
		}
	case container.RestartPolicyOnFailure:
		n, err := strconv.ParseUint(attempts, 10, 31)
		switch {
		case counted && attempts == "": // what a variable that is not set leaves
			s.warn("restart", codeIgnored, hint, "the colon of %q is ignored: without a number, there is no limit to the attempts", s.src.Restart)
		case counted && err != nil:
			s.refuse("restart", codeInvalid, hint, "%q is no number of attempts", attempts)
		}
		policy.MaximumRetryCount = int(n)
	default:
		near := nearest(s.src.Restart, "no always on-failure unless-stopped", hint)
		s.refuse("restart", codeInvalid, near, "%q is no restart policy", s.src.Restart)
	}
	return policy
}

func (s *serviceLowering) deployPolicy(p *types.RestartPolicy) container.RestartPolicy {
	attempts := int(deref(p.MaxAttempts))
	var policy container.RestartPolicy
	switch p.Condition {
	case "any", "always", "":
		policy.Name = container.RestartPolicyAlways
	case "unless-stopped":
		policy.Name = container.RestartPolicyUnlessStopped
	case "none", "no":
		policy.Name = container.RestartPolicyDisabled
	case "on-failure":
		return container.RestartPolicy{Name: container.RestartPolicyOnFailure, MaximumRetryCount: attempts}
	default:
		near := nearest(p.Condition, "none on-failure any", "use none, on-failure or any")
		s.refuse("deploy.restart_policy.condition", codeInvalid, near, "%q is no condition to restart on", p.Condition)
	}
	if attempts != 0 {
		s.refuse("deploy.restart_policy.max_attempts", codeConflict, "use condition: on-failure, or remove max_attempts",
			"the Engine counts attempts only with condition: on-failure")
	}
	return policy
}

// stop lowers how the container is asked to stop.
func (s *serviceLowering) stop() {
	s.out.Config.StopSignal = s.src.StopSignal
	if s.src.StopSignal != "" && !isSignal(s.src.StopSignal) {
		near := nearest(strings.TrimPrefix(strings.ToUpper(s.src.StopSignal), "SIG"), signalNames, "use a signal of signal(7), as SIGTERM")
		near = strings.Replace(near, `mean "`, `mean "SIG`, 1)
		s.refuse("stop_signal", codeInvalid, near, "%q is no signal", s.src.StopSignal)
	}
	if grace := s.src.StopGracePeriod; grace != nil {
		// The Engine counts whole seconds: more time than asked for is better than less.
		seconds := int((time.Duration(*grace) + time.Second - 1) / time.Second)
		s.out.Config.StopTimeout = &seconds
	}
}

// signalNames are those that the Engine knows on Linux (github.com/moby/sys/signal), less the real-time ones.
const signalNames = "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM " +
	"TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ"

func isSignal(name string) bool {
	if n, err := strconv.Atoi(name); err == nil {
		return n > 0 && n <= 64
	}
	bare := strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if contains(signalNames, bare) || bare == "RTMIN" || bare == "RTMAX" {
		return true
	}
	// RTMIN+1 … RTMIN+15 and RTMAX-14 … RTMAX-1
	if n, ok := strings.CutPrefix(bare, "RTMIN+"); ok {
		i, err := strconv.Atoi(n)
		return err == nil && i >= 1 && i <= 15
	}
	n, ok := strings.CutPrefix(bare, "RTMAX-")
	i, err := strconv.Atoi(n)
	return ok && err == nil && i >= 1 && i <= 14
}

// logging lowers the log driver; without one the Engine takes its default.
func (s *serviceLowering) logging() {
	if s.src.Logging != nil {
		s.out.Host.LogConfig = container.LogConfig{Type: s.src.Logging.Driver, Config: s.src.Logging.Options}
	}
}

// needs lowers depends_on, to which the loader has added what links, namespaces and volumes_from imply.
func (s *serviceLowering) needs() {
	for _, name := range sortedKeys(s.src.DependsOn) {
		d := s.src.DependsOn[name]
		need := Need{Service: name, Condition: Condition(d.Condition), Restart: d.Restart, Required: d.Required}
		if need.Condition == "" {
			need.Condition = Started
		}
		s.out.Needs = append(s.out.Needs, need)
	}
}

// replicas lowers how many containers run.
func (s *serviceLowering) replicas() {
	s.out.Replicas = s.src.GetScale()
	d := s.src.Deploy
	if d == nil {
		return
	}
	if s.src.Scale != nil && d.Replicas != nil && *s.src.Scale != *d.Replicas {
		s.refuse("scale", codeConflict, "keep one of them", "scale and deploy.replicas say different things")
	}
	if d.Mode != "" && d.Mode != "replicated" {
		s.warn("deploy.mode", codeIgnored, "set deploy.replicas", "deploy mode %q is ignored: on one machine, replicas say how many run", d.Mode)
	}
}
