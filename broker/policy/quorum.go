package policy

import "github.com/deedbroker/deed/audit"

// maxQuorum is how many approvals [Set.Quorum] tries.
const maxQuorum = 20

// Quorum is the least number of approvals that lifts a hold, if those who give them
// have every role that the policies mention; 0 if no number up to 20 does, or the call is
// not held. It is for people to see: what lifts a hold is decided by [Set.Decide].
func (s *Set) Quorum(r Request) int {
	r.Approvals = Approvals{}
	if d, err := s.Decide(r); err != nil || d.Effect != audit.Hold {
		return 0
	}
	e, err := s.examine(r)
	if err != nil {
		return 0
	}
	for n := 1; n <= maxQuorum; n++ {
		if e.ask(approvalsRecord(Approvals{Count: n, Roles: s.roles})).allowed {
			return n
		}
	}
	return 0
}
