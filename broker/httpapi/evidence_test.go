package httpapi_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/httpapi"
)

// A reviewer gets evidence over the API that verifies by itself, with as much of it as they
// may read, and that they did is on record.
func TestEvidenceOverTheAPI(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.ended(r.call("marmalade"))
	if err := r.sealer.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	for query, payloads := range map[string]bool{"": false, "?tier=results": true, "?framework=soc2&tier=metadata": false, "?domains=desk": false} {
		resp := r.request("bob", http.MethodGet, "/v1/evidence"+query, "")
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/zip" {
			t.Fatalf("%q: answered %d: %s", query, resp.StatusCode, body)
		}
		path := filepath.Join(t.TempDir(), "evidence.zip")
		must(t, os.WriteFile(path, body, 0o600))
		from, err := pack.Open(path)
		must(t, err)
		report, err := verify.Verify(t.Context(), from, verify.Options{Keys: []seal.Verifier{r.key.Verifier()}})
		must(t, err)
		if !report.OK() || report.Calls != 1 || (report.Withheld == 0) != payloads {
			t.Errorf("%q: %+v", query, report)
		}
		must(t, from.Close())
	}
	looks := r.readings("bob")
	if len(looks) != 4 || !slices.ContainsFunc(looks, func(l audit.Reading) bool {
		return l.What == audit.ReadEvidence && l.Tier == "results" && l.For == "tier=results"
	}) {
		t.Errorf("on record: %+v", looks)
	}
	for who, want := range map[string]string{"carol": "of the domain deed", "frank": "of the domain deed", "alice": "of the domain deed", "copilot": "of the domain deed"} {
		problem := answer[httpapi.Problem](r, r.request(who, http.MethodGet, "/v1/evidence", ""), http.StatusForbidden)
		if !strings.Contains(problem.Detail, want) {
			t.Errorf("%s is told %q", who, problem.Detail)
		}
	}
	_, err := r.Activate(t.Context(), brokertest.Files(policies+`
		forbid (principal == User::"bob", action == Action::"read", resource is Call) when { resource.tool == "desk.echo" && context.tier == Tier::"results" };`))
	must(t, err)
	for query, want := range map[string]string{"?tier=results": "may not read the results of all", "?domains=desk,other": "no domain", "?framework=soc2&domains=desk": "of all domains"} {
		problem := answer[httpapi.Problem](r, r.request("bob", http.MethodGet, "/v1/evidence"+query, ""), http.StatusForbidden)
		if !strings.Contains(problem.Detail, want) {
			t.Errorf("%q: told %q", query, problem.Detail)
		}
	}
	answer[httpapi.Problem](r, r.request("bob", http.MethodGet, "/v1/evidence?tier=arguments", ""), http.StatusBadRequest)
}
