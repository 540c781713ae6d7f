package compose

import (
	"fmt"
	"math"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// updates lowers how the service's containers are replaced, and put back.
func (s *serviceLowering) updates() {
	d := s.src.Deploy
	if d == nil {
		return
	}
	s.out.Update = s.update("deploy.update_config", d.UpdateConfig, FailureRollback, FailurePause, FailureContinue)
	s.out.Rollback = s.update("deploy.rollback_config", d.RollbackConfig, FailurePause, FailureContinue)
}

// update lowers deploy.update_config or deploy.rollback_config (compose-spec, deploy: update_config).
//
// The spec gives parallelism no default. Where the section is written without it, replicas are replaced one at a time, as
// the Engine's own services do (docker service create --update-parallelism): with all at once, delay would mean nothing.
// Where there is no section, there is nobody to wait for. failure_action defaults to rollback, not to the spec's pause: a
// service is worth more than the knowledge of how it failed.
func (s *serviceLowering) update(attribute string, c *types.UpdateConfig, actions ...FailureAction) Update {
	if c == nil {
		return Update{}
	}
	u := Update{
		StartFirst:  c.Order == "start-first",
		Parallelism: 1,
		Delay:       s.notNegative(attribute+".delay", c.Delay),
		Monitor:     s.notNegative(attribute+".monitor", c.Monitor),
		OnFailure:   FailureAction(c.FailureAction),
	}
	if c.Parallelism != nil {
		u.Parallelism = int(min(*c.Parallelism, math.MaxInt32)) // more than there can be replicas
	}
	if u.OnFailure != "" {
		s.checkAction(attribute+".failure_action", u.OnFailure, actions)
	}
	return u
}

func (s *serviceLowering) checkAction(attribute string, action FailureAction, actions []FailureAction) {
	var names []string
	for _, a := range actions {
		if a == action {
			return
		}
		names = append(names, string(a))
	}
	hint := didYouMean(string(action), names)
	if hint == "" {
		hint = fmt.Sprintf("use %s", alternatives(names))
	}
	s.refuse(attribute, codeInvalid, hint, "%q is no failure action", action)
}

// notNegative is a span of time that the recipe gives.
func (s *serviceLowering) notNegative(attribute string, d types.Duration) time.Duration {
	if d < 0 {
		s.refuse(attribute, codeInvalid, "", "a time can't be negative")
	}
	return time.Duration(d)
}
