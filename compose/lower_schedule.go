package compose

import (
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/netresearch/go-cron"
)

// Schedule says at which times a service runs. Next is the first one after a time, zero if there is none.
type Schedule interface {
	Next(after time.Time) time.Time
}

// ParseSchedule reads the times of [Service.Schedule]: crontab(5)'s five fields, a word as @daily, or @every DURATION. They
// are local times, unless CRON_TZ=ZONE stands before them.
func ParseSchedule(spec string) (Schedule, error) {
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, err
	}
	if schedule.Next(time.Now()).IsZero() {
		return nil, errors.New("that time never comes")
	}
	return schedule, nil
}

// extensionSchedule takes the times at which a service runs.
func extensionSchedule(out *Service, value any) string {
	const want = `times as in crontab(5), as "*/5 * * * *" or "@daily"`
	spec, ok := value.(string)
	if !ok {
		return want
	}
	if _, err := ParseSchedule(spec); err != nil {
		return fmt.Sprintf("%s, and %q is not: %v", want, spec, err)
	}
	out.Schedule = spec
	return ""
}

// scheduled makes a service with a schedule one that has no replicas: it is run at its times, and is otherwise not there.
func (s *serviceLowering) scheduled() {
	if s.out.Schedule == "" {
		return
	}
	switch name := s.out.Host.RestartPolicy.Name; name {
	case "", container.RestartPolicyDisabled:
	default:
		attribute := "restart"
		if s.src.Deploy != nil && s.src.Deploy.RestartPolicy != nil {
			attribute = "deploy.restart_policy"
		}
		s.refuse(attribute, codeConflict, "take one of them out", "%s: %s and x-galley.schedule exclude each other: the service ends, and runs again at its next time", attribute, name)
	}
	if s.out.Replicas > 1 {
		s.refuse(extension+".schedule", codeConflict, "take one of them out", "%d replicas and x-galley.schedule exclude each other: the service runs once at each time", s.out.Replicas)
	}
	if s.out.Replicas == 0 { // switched off
		s.out.Schedule = ""
	}
	s.out.Replicas = 0
}

// checkSchedules refuses to have a service wait for one that is there only at times.
func (l *lowering) checkSchedules() {
	for _, s := range l.project.Services {
		for _, need := range s.Needs {
			if on := l.project.Service(need.Service); on != nil && on.Schedule != "" {
				l.find(Error, "services."+s.Name+".depends_on."+need.Service, codeConflict, "take the dependency out",
					fmt.Sprintf("service %q can't wait for %q, which runs at times (x-galley.schedule)", s.Name, need.Service))
			}
		}
	}
}
