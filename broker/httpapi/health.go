package httpapi

import (
	"context"
	"net/http"
	"time"
)

// checkWait bounds all checks of one /readyz together.
const checkWait = 3 * time.Second

// Readiness says whether requests should come here, and if not, why.
type Readiness struct {
	Ready  bool          `json:"ready"`
	Checks []CheckResult `json:"checks"`
}

// CheckResult is what one [Check] said.
type CheckResult struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// alive serves GET /healthz.
func alive(w http.ResponseWriter, _ *http.Request) {
	writeBytes(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
}

// ready serves GET /readyz.
func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	ready := a.check(r.Context())
	status := http.StatusOK
	if !ready.Ready {
		status = http.StatusServiceUnavailable
	}
	write(w, status, mediaJSON, ready)
}

func (a *api) check(ctx context.Context) Readiness {
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	ready := Readiness{Ready: true, Checks: []CheckResult{}}
	for _, c := range a.cfg.Ready {
		result := CheckResult{Name: c.Name, OK: true}
		if err := c.Check(ctx); err != nil {
			result.OK, result.Detail = false, err.Error()
			ready.Ready = ready.Ready && c.Advisory
		}
		ready.Checks = append(ready.Checks, result)
	}
	return ready
}
